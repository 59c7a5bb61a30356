"""What became of a run on real frames, in numbers, from what the stages have left; and the same as lines for people."""

import numpy as np
import torch
from scipy.spatial import cKDTree

from xkd import images, kept, metrics, probe, purity, superpixels
from xkd import student as students
from xkd.findings import counted
from xkd.geometry import pair
from xkd.prepared import Prepared

DRAWN = 2000
"""Labelled points of a frame that a probe learns from at most."""
JUMP = 0.2
"""By what share of the nearer one two neighbours' depths differ at least where something ends."""


def numbers(out, data, masks=None):
    """{what: value} of the folder `out` of a run; data: its section of params.yaml; masks: the folder of its masks, or None.

    `probe`: None without labels or with one frame alone."""
    train = Prepared(out / "prepared", data["train"])
    validation = Prepared(out / "prepared", data["validation"]) if data["validation"] else None
    rows = train.frames
    found = {"frames": len(rows), "streets": len(set(train.scenes)), "images": sum(row["images"] for row in rows)}
    found |= {"validation": len(validation) if validation else 0}
    points = [row["points"] for row in rows]
    found |= {"points": int(np.median(points)), "pairs": sum(row["pairs"] for row in rows)}
    found |= {"seen": sum(row["seen"] for row in rows) / sum(points)}
    given = purity.table(train)
    found["superpixels"] = {name: None if np.isnan(value) else value for name, value in given.items()}
    found["masks"] = covered(masks) if masks else None
    found["distilled"] = kept.facts(out / "metrics" / "distill-0.json", objective=str, loss=[float])
    found["probe"] = probed(train, validation, out / "init" / "distilled-0") if train.labelled else None
    report = out / "report" / "report.json"
    found["scores"] = kept.facts(report, scores=[dict])["scores"] if validation and report.exists() else None
    return found


def covered(folder):
    """{masks, images, share}: masks in `folder`, of how many images, and the share of these images' pixels that lie in one.

    Errors: a mask that is none, or that is not as large as the others of its image."""
    files, inside, pixels = sorted(folder.glob("*/*/*.png")), 0, 0
    pictures = sorted({path.parent for path in files})
    for picture in pictures:
        own = [path for path in files if path.parent == picture]
        any_of = np.any([images.ids(path, images.size(own[0])) != 0 for path in own], axis=0)
        inside, pixels = inside + int(any_of.sum()), pixels + any_of.size
    return {"masks": len(files), "images": len(pictures), "share": inside / max(pixels, 1)}


def probed(train, validation, folder):
    """Accuracy and mIoU (0..100) of a linear probe of the student's frozen features, before its distillation and after.

    Fitted on the training frames and scored on the validation frames; without these fitted on the first two thirds of the training
    frames and scored on the others, of the same streets. -> {before, after, fitted, scored}, or None where there is one frame alone."""
    after = students.load(folder)
    seed = kept.Facts(after.facts, folder / "network.json", "facts.")["seed"]
    before = students.build(after.config, seed).eval()
    last = len(train) if validation else 2 * len(train) // 3
    scored = (validation, range(len(validation))) if validation else (train, range(last, len(train)))
    if not last or not len(scored[1]):
        return None
    found = {"fitted": last, "scored": len(scored[1])}
    for name, network in (("before", before), ("after", after)):
        drawn = probe.drawn(train, range(last), embedding(network, train), DRAWN, 0)
        guess = probe.linear(*drawn, len(train.classes))
        counts = probe.score(*scored, embedding(network, scored[0]), guess)[0].sum(0)
        right = 100 * float(np.trace(counts) / counts.sum())
        found[name] = {"accuracy": right, "miou": float(metrics.miou(counts))}
    return found


def embedding(network, prepared):
    """i -> (N, C) features of frame i."""

    @torch.inference_mode()
    def embed(i):
        return network.features(network.voxels([(prepared.points(i), prepared.intensity(i))]))

    return embed


def jumps(frames, cut):
    """Do segments keep to things, told without a label? How often a paired point and the one nearest to it in the image lie in different
    segments: {own, slic: [where their depths differ by `JUMP` or more, where they differ by less]}, of `cut` (camera -> ids) and of as
    many segments of SLIC. The first should be large and the second small; a thing may bend away, so neither is 1 or 0. NaN without such."""
    apart, count = np.zeros((2, 2)), np.zeros(2)
    for frame in frames:
        pairs = pair(frame)
        for k, camera in enumerate(frame.cameras):
            depth, pixel = pairs.depth[pairs.camera == k], pairs.pixel[pairs.camera == k]
            if len(pixel) < 2:
                continue
            # Of two points on one pixel each may be named first.
            found = cKDTree(pixel).query(pixel, k=2)[1]
            other = np.where(found[:, 1] == np.arange(len(found)), found[:, 0], found[:, 1])
            near = (np.abs(np.log(depth / depth[other])) < np.log1p(JUMP)).astype(int)
            count += np.bincount(near, minlength=2)
            own = cut(camera)
            for j, ids in enumerate((own, superpixels.segment(camera.image(), int(own.max()) + 1))):
                where = ids[pixel[:, 0], pixel[:, 1]]
                apart[j] += np.bincount(near, where != where[other], minlength=2)
    shares = apart / np.where(count > 0, count, np.nan)
    return dict(zip(("own", "slic"), shares.tolist(), strict=True))


def lines(found):
    """[(what, value)] of `numbers`, for people."""
    one, about = found["distilled"], found["superpixels"]
    counts = [counted(found[f"{what}s"], what) for what in ("frame", "street", "image")]
    size = "{} of {}, {}".format(*counts)
    said = [("learnt from", size + (f"; {found['validation']} to evaluate on" if found["validation"] else ""))]
    said += [("points a scan (median)", f"{found['points']:,}")]
    said += [("points seen in an image", f"{found['seen']:.1%}"), ("pairs of point and pixel", f"{found['pairs']:,}")]
    said += [("superpixels", f"{about['superpixels']:,}, {about['without a pair (%)']} % without a pair")]
    if about["purity (%)"] is not None:
        said += [
            ("purity of the superpixels", f"{about['purity (%)']} % of their labelled pairs have the commonest label")
        ]
    if found["masks"]:
        masks = found["masks"]
        said += [("masks", f"{masks['masks']} in {masks['images']} images, over {masks['share']:.1%} of their pixels")]
    if found.get("jumps"):
        for name, title in (("own", "these segments"), ("slic", "as many of SLIC")):
            far, near = found["jumps"][name]
            words = f"{far:.1%} where the depth jumps by {JUMP:.0%} or more, {near:.1%} elsewhere"
            said += [(f"neighbours parted by {title}", words)]
    said += [(f"loss of the distillation ({one['objective']})", f"{one['loss'][0]:.3f} -> {one['loss'][1]:.3f}")]
    if one["hit"] is not None:
        where = "frames that nothing is trained on" if one["held"] else "frames it learnt from"
        words = f"{one['hit']:.1%} find their own among {one['among']:.0f} (chance {1 / one['among']:.1%}), on {where}"
        said += [("superpixels of the scan", words)]
    if found["probe"]:
        one = found["probe"]
        scores = [f"{one[k]['accuracy']:.1f} % right, mIoU {one[k]['miou']:.1f} % {k}" for k in ("before", "after")]
        frames = f"{one['fitted']} frames, {one['scored']} scored" + ("" if found["validation"] else ", same street")
        said += [(f"linear probe ({frames})", "; ".join(scores))]
    for score in found["scores"] or ():
        name = f"fine-tuned on {score['frames'][0]} frames: {score['init']}"
        said += [(name, f"mIoU {score['mean']:.2f} % (n = {score['n']})")]
    return said
