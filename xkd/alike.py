"""`python -m xkd.alike`: docs/alike.png, what is alike to one place in an image and in the scan, to the teacher and to the student before
and after distillation. After `make repro` (of tiny networks where that did not run)."""

import argparse
import sys

import matplotlib.pyplot as plt
import numpy as np

import xkd
from xkd import linked, looks, picks, shades
from xkd.alignment import range_edges
from xkd.errors import XkdError
from xkd.palette import IGNORED

REACH, MOST, FIRST = 20.0, 30_000, 200
"""Metres around the LiDAR that are shown; points that are kept at most; how many of the most alike are counted."""


def alike(dataset, index, teacher, students, path):
    """Draws frame `index`: a column for each network, the first image that shows the pick above, the scan from above below.

    teacher, students: as `xkd.linked.scene` takes them. Errors: a frame none of whose points falls into any of its images."""
    together = linked.Together(dataset, index, 0, MOST, None)
    frame, pairs, kept = together.centre, together.pairs[together.centre.index], together.kept[together.centre.index]
    views = together.views[frame.index]
    point = picks.first_pick(views, frame, pairs, range_edges(frame.points))
    row, camera = int(np.searchsorted(kept, point)), int(pairs.camera[pairs.point == point][0])
    networks, values, _ = shades.features(together, teacher, students)
    figure, axes = plt.subplots(2, len(networks), figsize=(4 * len(networks), 6.4), dpi=120, layout="constrained")
    for column, network in zip(axes.T.reshape(-1, 2), networks, strict=True):
        vectors = values[network["key"]][frame.index]
        cosines = cosine(vectors, vectors[row])
        name = network["name"].replace(" (", "\n(")
        column[0].set_title(f"{network['title']}\n{name}", fontsize=10, color=network["colour"])
        image(column[0], together.images[frame.index][camera], pairs, camera, point, kept, cosines)
        shown = above(column[1], frame.points[kept], cosines, row)
        if frame.labels is not None:
            column[1].set_title(agreement(cosines, frame.labels[kept], row, dataset.classes), fontsize=10)
    figure.colorbar(shown, ax=axes, location="bottom", shrink=0.4, aspect=40, label="cosine of the features")
    figure.get_layout_engine().set(rect=(0, 0, 1, 0.97))
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)


def cosine(vectors, query):
    """(K, D) and (D,) -> (K,) cosines; NaN where either is zero."""
    vectors, query = np.asarray(vectors, np.float64), np.asarray(query, np.float64)
    length = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
    return np.divide(vectors @ query, length, out=np.full(len(vectors), np.nan), where=length > 0)


def agreement(cosines, labels, row, classes):
    """Of the `FIRST` points most alike to point `row`, and of all, the share that has its label, in words; '' where it has none."""
    if labels[row] < 0:
        return ""
    known = np.flatnonzero(np.isfinite(cosines) & (labels >= 0) & (np.arange(len(labels)) != row))
    first = known[np.argsort(-cosines[known], kind="stable")[:FIRST]]
    own, all_ = (100 * np.mean(labels[part] == labels[row]) if len(part) else 0 for part in (first, known))
    return f"of the {len(first)} points most alike\n{own:.0f} % are {classes[labels[row]].replace('_', ' ')} too (of all: {all_:.0f} %)"


def image(axes, picture, pairs, camera, point, kept, cosines):
    """One image in grey, its points by their cosines, a ring where the pick is."""
    here = np.flatnonzero((pairs.camera == camera) & np.isin(pairs.point, kept))
    axes.imshow(picture.mean(2), cmap="gray", vmin=-60, vmax=330)
    rows, columns = pairs.pixel[here].T
    dots(axes, columns, rows, cosines[np.searchsorted(kept, pairs.point[here])])
    ((at, across),) = pairs.pixel[(pairs.camera == camera) & (pairs.point == point)]
    ring(axes, across, at)
    axes.set_axis_off()


def above(axes, points, cosines, row):
    """The scan from above; returns what a colour bar is made of."""
    shown = dots(axes, -points[:, 1], points[:, 0], cosines)
    ring(axes, -points[row, 1], points[row, 0])
    axes.set(
        aspect="equal", xlim=(-REACH, REACH), ylim=(-REACH, REACH), xlabel="to the right (m)", ylabel="forward (m)"
    )
    return shown


def dots(axes, x, y, cosines):
    colours = plt.get_cmap("viridis").with_extremes(bad=IGNORED)
    return axes.scatter(
        x, y, s=1.5, c=np.ma.masked_invalid(cosines), cmap=colours, vmin=-1, vmax=1, linewidths=0, plotnonfinite=True
    )


def ring(axes, x, y):
    for width, colour in ((3, "white"), (1.2, "black")):
        axes.plot(x, y, "o", ms=9, mfc="none", mec=colour, mew=width)


def main(arguments=None):
    """Command line; returns the exit status."""
    description = "Draws docs/alike.png, from what `dvc repro` left."
    argparse.ArgumentParser(prog="python -m xkd.alike", description=description).parse_args(arguments)
    try:
        dataset, out = looks.open_frames()
        path = xkd.ROOT / "docs" / "alike.png"
        alike(dataset, 0, looks.teacher(out), looks.students(out), path)
    except XkdError as error:
        print(f"xkd.alike: {error}", file=sys.stderr)
        return 1
    print(f"xkd: {path}, of {dataset.root}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
