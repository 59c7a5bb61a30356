"""A frame, and the networks that belong to it, opened for looking; `python -m xkd.looks OUT.html` writes its linked views."""

import argparse
import sys
from pathlib import Path

import numpy as np
from scipy import ndimage

import xkd
from xkd import params
from xkd.errors import XkdError, of_disk
from xkd.palette import NAMED, styles

TINY = 60
"""Steps of the student that is distilled on the tiny data: enough to see that something changes."""


def open_frames(root=None, kind=None, split=None):
    """The data set in `root` (its kind found out where none is given), and the folder of the networks that were trained on it, or None.

    Without a root: the pipeline's own validation frames, or the tiny ones where the default data were not made yet. The tiny data,
    `out/smoke/data/nuscenes`, are made with tiny networks where they are missing.
    """
    from xkd import opening, smoke

    own, tiny = params.profile()["data"], params.profile("smoke")["data"]
    root = xkd.ROOT / (own["root"] if root is None else root)
    if root == xkd.ROOT / "data/nuscenes" and not root.exists():
        root = xkd.ROOT / tiny["root"]
    if root == xkd.ROOT / tiny["root"]:
        smoke.until("teacher", "out/smoke")
        _tiny_student(xkd.ROOT / "out" / "smoke")
    known = {xkd.ROOT / own["root"]: (own, xkd.ROOT / "out"), xkd.ROOT / tiny["root"]: (tiny, xkd.ROOT / "out/smoke")}
    if root not in known:
        return opening.opened(root, kind, split), None
    data, out = known[root]
    return xkd.open_dataset(data["kind"], root, split or data["validation"], **data["options"]), out


def frame(dataset, index):
    """Frame `index` of a data set. Errors: it has not so many."""
    if not -len(dataset) <= index < len(dataset):
        raise XkdError(f"index {index}: {dataset.root} has {len(dataset)} frames, counted from 0.")
    return dataset[index]


def _tiny_student(out):
    """Distils on the tiny data, into a folder of its own: `init` is the stages'."""
    from xkd.distill import distill

    path = out / "looks" / "distilled-0"
    if not path.exists():
        small = params.profile("smoke")
        settings = small["distill"] | {"steps": TINY}
        written = (path, path.with_suffix(".json"))
        distill(small["data"], small["student"], settings, 0, out / "prepared", out / "teacher", *written)


class Texture:
    """Stands in for a teacher where none was trained: local colour, contrast and edges at two scales. It knows no
    classes."""

    title, name, dim, stride = "raw colours", "they stand in for a teacher: none is here", 16, 4

    def dense(self, cameras, images):
        """The (H, W, 3) uint8 images -> (B, 16, H / 4, W / 4) float32, each channel standardised over the images."""
        import torch

        maps = np.stack([self._describe(image) for image in images])
        mean, spread = maps.mean((0, 2, 3), keepdims=True), maps.std((0, 2, 3), keepdims=True)
        return torch.from_numpy(((maps - mean) / np.maximum(spread, 1e-6)).astype(np.float32))

    def _describe(self, image):
        colour = image.astype(np.float64) / 255
        grey = colour.mean(-1)
        edges = np.abs(ndimage.sobel(grey, 0)), np.abs(ndimage.sobel(grey, 1)), np.abs(ndimage.laplace(grey))
        channels = []
        for sigma in (2.0, 5.0):
            channels += [ndimage.gaussian_filter(colour[..., k], sigma) for k in range(3)]
            mean = ndimage.gaussian_filter(grey, sigma)
            channels.append(np.sqrt(np.maximum(ndimage.gaussian_filter(grey**2, sigma) - mean**2, 0)))
            channels += [ndimage.gaussian_filter(edge, sigma) for edge in edges]
            channels.append(ndimage.gaussian_filter(colour.max(-1) - colour.min(-1), sigma))
        return np.stack(channels)[:, ::4, ::4]


def teacher(out, maps=None):
    """What image features come from, and its name for people: the folder `maps` of feature maps if one is named; else the teacher of the
    pipeline whose results are in `out`; or `Texture` where there is none."""
    from xkd.extract import stage_teacher
    from xkd.teachers import open_teacher

    settings = params.profile()["teacher"]
    if maps is not None:
        return open_teacher({"name": "features", "root": str(maps)}), f"maps of {_short(Path(maps))}"
    if out is not None and (out / "teacher" / "mini").is_dir():
        return open_teacher({"name": "mini", "path": str(out / "teacher" / "mini")}), f"mini, {_short(out / 'teacher')}"
    if out == xkd.ROOT / "out" and settings["name"] != "mini":
        return stage_teacher(settings, None)[0], f"{settings['name']}, {settings['source']}"
    return Texture(), Texture.name


def students(out, path=None):
    """[(key, title, name for people, colour, network)] of the student in the folder `path`: before its training, with the weights drawn
    from its seed, and after it. Without a path: the one distilled in `out`, if there is one. Errors: `path` holds no student."""
    from xkd.student import build, load

    found = [out / folder / "distilled-0" for folder in ("looks", "init")] if out is not None and path is None else []
    found = [xkd.ROOT / path] if path is not None else [folder for folder in found if folder.exists()]
    if not found:
        return []
    after = load(found[0])
    style, seed = styles([after.facts.get("init", "trained")]).popitem()[1], after.facts.get("seed", 0)
    before = build(after.config, seed).eval()
    return [
        ("before", "student, before", f"{NAMED['scratch'].name}, seed {seed}", NAMED["scratch"].colour, before),
        ("after", "student, after", f"{style.name}, {_short(found[0])}", style.colour, after),
    ]


def main(arguments=None):
    """Command line; returns the exit status."""
    from xkd import linked

    parser = argparse.ArgumentParser(
        prog="python -m xkd.looks", description="Writes linked views of a frame as one page."
    )
    parser.add_argument("out", type=Path, help="the HTML file")
    parser.add_argument("--root", help="a data set (default: the pipeline's own validation frames)")
    parser.add_argument("--kind", help="its layout (default: the first that it is)")
    parser.add_argument("--split", help="one of its splits (default: all)")
    parser.add_argument("--index", type=int, default=0, help="which of its frames (0)")
    parser.add_argument("--reach", type=int, default=1, help="frames before and after that are shown too (1)")
    parser.add_argument("--points", type=int, default=30_000, help="of a frame that are kept at most (30000)")
    parser.add_argument("--superpixels", type=int, default=120, help="of an image; 0 for none (120)")
    parser.add_argument("--features", help="folder of feature maps (default: the pipeline's teacher)")
    parser.add_argument("--student", help="folder of a distilled student (default: the pipeline's)")
    options = parser.parse_args(arguments)
    try:
        for name, least in (("reach", 0), ("points", 1), ("superpixels", 0)):
            if getattr(options, name) < least:
                raise XkdError(f"--{name} {getattr(options, name)}: has to be {least} or more.")
        # What is typed hangs on where one stands, a notebook's parameter on the checkout.
        given = (options.root, options.features, options.student)
        root, maps, trained = (Path(text).absolute() if text else None for text in given)
        dataset, out = open_frames(root, options.kind, options.split)
        frame(dataset, options.index)
        networks = teacher(out, maps), students(out, trained)
        given = {"reach": options.reach, "most": options.points, "superpixels": options.superpixels}
        print(linked.write(linked.scene(dataset, options.index, *networks, **given), options.out))
    except XkdError as error:
        print(f"xkd.looks: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"xkd.looks: {of_disk(error)}", file=sys.stderr)
        return 1
    return 0


def _short(path):
    """A folder as people call it: from the checkout, or its last two names."""
    return path.relative_to(xkd.ROOT) if path.is_relative_to(xkd.ROOT) else Path(*path.parts[-2:])


if __name__ == "__main__":
    sys.exit(main())
