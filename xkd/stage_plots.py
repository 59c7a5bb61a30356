"""Figures of the pipeline's own notebooks: what was prepared, what the teacher and the student say."""

import numpy as np
import plotly.graph_objects as go

from xkd.curves import styled
from xkd.palette import DISTILLED, SCRATCH, css

SHOWN = 20_000


def coverage(prepared):
    """Histogram over frames: share of a scan's points that some image shows, in per cent."""
    share = [100 * frame["seen"] / frame["points"] for frame in prepared.frames]
    figure = go.Figure(go.Histogram(x=share, xbins={"start": 0, "end": 100, "size": 2}, marker_color=DISTILLED.colour))
    return styled(figure, "points seen by a camera (% of the scan)", "frames")


def class_histogram(train, validation=None):
    """Labelled points of each class in one or two splits, in per mille of the split, in the data set's order."""
    figure = go.Figure()
    shown = [(train, "train", DISTILLED.colour), (validation, "validation", SCRATCH.colour)]
    for prepared, name, colour in shown[: 1 + (validation is not None)]:
        labels = np.concatenate([prepared.labels(i) for i in range(len(prepared))])
        counts = np.bincount(labels[labels >= 0], minlength=len(prepared.classes))
        figure.add_bar(x=prepared.classes, y=1000 * counts / max(counts.sum(), 1), name=name, marker_color=colour)
    figure.update_yaxes(type="log")
    return styled(figure, "class", "labelled points (‰)")


def superpixels(prepared, i):
    """The first camera's superpixels of frame i in arbitrary colours, and the points paired with them as dots."""
    segments = prepared.segments(i, 0)
    colours = np.random.default_rng(0).integers(60, 255, (int(segments.max()) + 1, 3), dtype=np.uint8)
    figure = go.Figure(go.Image(z=colours[segments]))
    pairs = prepared.pairs(i)
    here = pairs.camera == 0
    figure.add_scatter(
        x=pairs.pixel[here, 1],
        y=pairs.pixel[here, 0],
        mode="markers",
        marker={"size": 3, "color": "black"},
        name="paired points",
    )
    return styled(figure, f"{prepared.cameras[0]}: column (pixel)", "row (pixel)")


def pairs_each(counts):
    """How many superpixels hold so many pairs, in steps of twice as many: (S,) counts."""
    counts = np.asarray(counts)
    edges = [0, *2 ** np.arange(max(int(counts.max(initial=0)), 1).bit_length() + 1)]
    names = [
        f"{low}" if high - low == 1 else f"{low} to {high - 1}" for low, high in zip(edges, edges[1:], strict=False)
    ]
    figure = go.Figure(go.Bar(x=names, y=np.histogram(counts, edges)[0], marker_color=DISTILLED.colour))
    figure.update_xaxes(type="category")
    return styled(figure, "paired points in a superpixel", "superpixels")


def teacher_scan(prepared, features, i):
    """Frame i from above, its paired points coloured by the three strongest components of the teacher's features."""
    point, _, values = features.pairs(i)
    return scan(prepared.points(i)[point], components(values))


def student_scan(points, values):
    """A scan from above, every point coloured by the student's own features: (N, 3) metres and (N, C)."""
    return scan(points, components(values))


def components(values):
    """(N, C) features -> (N, 3) uint8 colours: the three strongest principal components, clipped at the 2nd and 98th percentile.

    Signs are fixed by each component's largest loading, so that equal features give equal colours.
    """
    values = np.asarray(values, np.float64) - np.mean(values, 0)
    _, vectors = np.linalg.eigh(values.T @ values)
    axes = vectors[:, ::-1][:, :3]
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), np.arange(3)])
    scores = values @ axes
    low, high = np.percentile(scores, [2, 98], axis=0)
    return (255 * np.clip((scores - low) / np.maximum(high - low, 1e-9), 0, 1)).astype(np.uint8)


def scan(points, colours):
    """(N, 3) metres and (N, 3) uint8 colours -> the scan from above; of more than 20,000 points every k-th, and the title says so."""
    step = -(-len(points) // SHOWN)
    points, colours = points[::step], [css(c) for c in colours[::step]]
    figure = go.Figure(
        go.Scattergl(x=-points[:, 1], y=points[:, 0], mode="markers", marker={"size": 3, "color": colours})
    )
    figure.update_yaxes(scaleanchor="x")
    title = f"{len(points):,} points" + (f" (every {step}th)" if step > 1 else "")
    return styled(figure, "to the right (m)", "forward (m)", height=620).update_layout(title=title)
