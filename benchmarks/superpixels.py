"""`python benchmarks/superpixels.py [rounds]`: what cutting an image into superpixels costs on one thread, and how well the cuts lie,
beside scikit-image as it comes, and OpenCV's ximgproc where it is installed, at the segment count that each can bring nearest to ours.

On made 320 x 180 images, whose pixels have labels, and on a SemanticKITTI image, some of whose pixels have a labelled point, where
../shared/data holds one. Every round runs each method once; a ratio is that of one round to `slic`, so that what slows the machine
slows both. Milliseconds of CPU time, which other programs disturb less than they do the clock. Medians and quartiles after a warm-up, also
in results/superpixels-<machine>.json. recall: share of the labels' boundaries within two pixels of a cut; purity: share of labelled pixels
that have the commonest label of their segment.
"""

import sys
import time

import numpy as np
from skimage import segmentation
from skimage.color import rgb2gray
from skimage.filters import sobel
from timing import QUICK, keep
from timing import REAL as FOLDER

import xkd
from xkd import merging, superpixels
from xkd.geometry import pair
from xkd.params import profile

ROUNDS, STREETS, SIZE = (2, 1, (180, 320)) if QUICK else (7, 6, (180, 320))
REAL = FOLDER / "semantickitti"
METHODS = {
    "slic": lambda image, n: superpixels.segment(image, n),
    "ward": lambda image, n: merging.segment(image, n),
    "scikit-image slic": lambda image, n: segmentation.slic(image, n, start_label=0),
    "scikit-image watershed": lambda image, n: segmentation.watershed(sobel(rgb2gray(image)), n, compactness=1e-4) - 1,
    "scikit-image felzenszwalb": lambda image, n: segmentation.felzenszwalb(
        image, 1e5 / n, min_size=image.size // 3600
    ),
}
"""Of an image and a number that makes more segments if it is larger. Felzenszwalb's smallest segment is the 1200th part of the image."""


def opencv(image, n, kind):
    import cv2

    cv2.setNumThreads(1)
    side = int((image[..., 0].size / n) ** 0.5)
    found = cv2.ximgproc.createSuperpixelSLIC(cv2.cvtColor(image, cv2.COLOR_RGB2Lab), getattr(cv2.ximgproc, kind), side)
    found.iterate()
    found.enforceLabelConnectivity()
    return found.getLabels()


def methods():
    try:
        from cv2 import ximgproc  # noqa: F401
    except ImportError:
        return METHODS
    return METHODS | {
        f"OpenCV {kind}": lambda image, n, kind=kind: opencv(image, n, kind) for kind in ("SLIC", "SLICO")
    }


def asked(method, image, count):
    """The number for which the method gives a count nearest to `count`, by bisection."""
    low, high, best = 2, 40 * count, (np.inf, count)
    for n in [count] + [None] * 8:
        n = n or round((low * high) ** 0.5)
        found = len(np.unique(method(image, n)))
        best = min(best, (abs(found - count), n))
        low, high = (n, high) if found < count else (low, n)
    return best[1]


def made():
    """[(image, labels)] of one image of each street."""
    from xkd.sim.sensors import shoot
    from xkd.sim.world import street

    shots = [shoot(street(9000 + k), "nuscenes", 1, k % 6, SIZE, 0) for k in range(STREETS)]
    return [(shot.image, shot.label.astype(int)) for shot in shots]


def real():
    """[(image, labels)] of one image with the labels of the points that fall on it, -1 elsewhere; [] where there is none."""
    if not REAL.is_dir():
        return []
    frame = xkd.open_dataset("semantickitti", REAL, "train")[0]
    pairs, labels = pair(frame), np.full(frame.cameras[0].size, -1)
    labels[tuple(pairs.pixel.T)] = frame.labels[pairs.point]
    return [(frame.cameras[0].image(), labels)]


def purity(ids, labels):
    known = labels >= 0
    counts = np.zeros((ids.max() + 1, labels.max() + 1), int)
    np.add.at(counts, (ids[known], labels[known]), 1)
    return counts.max(1).sum() / known.sum()


def measure(name, pictures, rounds):
    """Rows of the table for images, of which the first is timed; recall only where every pixel has a label."""
    n, image, rows = profile()["prepare"]["superpixels"], pictures[0][0], {}
    knobs = {}
    for key, method in methods().items():
        quality = []
        for picture, labels in pictures:
            count = len(np.unique(METHODS["slic"](picture, n)))
            knob = n if key == "slic" else asked(method, picture, count)
            knobs.setdefault(key, knob)
            ids = method(picture, knob)
            recall = superpixels.boundary_recall(ids, labels) if (labels >= 0).all() else np.nan
            quality.append((len(np.unique(ids)), recall, purity(ids, labels)))
        rows[key] = np.mean(quality, 0)
    times = {key: [] for key in rows}
    for _ in range(rounds + 1):
        for key, method in methods().items():
            start = time.process_time()
            method(image, knobs[key])
            times[key].append(1000 * (time.process_time() - start))
    found = []
    for key, (count, recall, share) in rows.items():
        spent, ratio = np.array(times[key][1:]), np.divide(times[key], times["slic"])[1:]
        row = {"image": name, "method": key, "segments": round(float(count), 1)}
        row |= {"recall": None if np.isnan(recall) else round(float(recall), 4), "purity": round(float(share), 4)}
        row |= {
            f"{k}_{q}": round(float(np.percentile(v, q)), 3)
            for k, v in (("ms", spent), ("ratio", ratio))
            for q in (25, 50, 75)
        }
        found.append(row)
    return found


def main(rounds=ROUNDS):
    print(
        f"{'image':>12} {'method':>26} {'segments':>9} {'recall':>7} {'purity':>7} {'ms [quartiles]':>24} {'ratio [quartiles]':>22}"
    )
    rows = []
    for pictures in (made(), real()):
        for row in measure("x".join(map(str, pictures[0][0].shape[1::-1])), pictures, rounds) if pictures else ():
            spent, ratio = ([row[f"{k}_{q}"] for q in (50, 25, 75)] for k in ("ms", "ratio"))
            recall = "" if row["recall"] is None else f"{row['recall']:.4f}"
            print(
                f"{row['image']:>12} {row['method']:>26} {row['segments']:>9.1f} {recall:>7} {row['purity']:>7.4f} "
                f"{'{:.1f} [{:.1f} {:.1f}]'.format(*spent):>24} {'{:.2f} [{:.2f} {:.2f}]'.format(*ratio):>22}",
                flush=True,
            )
            rows.append(row)
    keep("superpixels", rows, rounds=rounds)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
