"""Pictures of correspondences: where a scan's points fall on its images, by distance and by label, what superpixels they lie in, and what
colour the images give the scan. JPEG, as wide as a page; equal frames give equal bytes."""

import io

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from xkd.geometry import pair
from xkd.palette import IGNORED, class_rgb, css
from xkd.picks import image_colours

WIDTH, DPI = 11.0, 110
FAR = 50.0
"""Metres at which the colours of distances end, as on the linked views."""
REACH = 35.0
"""Metres to each side of the scan from above."""
ACROSS = 3
"""Images in a row."""
DOTS = 10_000
"""Points that are drawn on superpixels at most, evenly chosen: more would hide them."""


def pictures(frame, dataset, cut):
    """[(caption, JPEG)] of one frame; cut: camera -> (H, W) ids of its superpixels (`xkd.segments`)."""
    pairs, images = pair(frame), [camera.image() for camera in frame.cameras]
    distance = np.linalg.norm(frame.points, axis=1)
    drawn = [
        (
            "Every dot is a point of the scan where it falls on the image; points that something nearer hides are left out. "
            "The distance should jump exactly where the image has an outline.",
            on_images(frame, pairs, images, distance=distance),
        )
    ]
    if frame.labels is not None:
        caption = "The same points in the colours of their labels; grey ones are not scored."
        drawn += [(caption, on_images(frame, pairs, images, ids=frame.labels, dataset=dataset))]
    most = int(np.bincount(pairs.camera, minlength=len(images)).argmax())
    caption = (
        f"Superpixels of {frame.cameras[most].name}, each in the mean colour of its pixels, and the points that lie in them: "
        "all points of one are taught the same, so that it should not cross the outline of a thing."
    )
    drawn += [(caption, segmented(images[most], cut(frame.cameras[most]), pairs.pixel[pairs.camera == most]))]
    caption = (
        "The scan from above, each point in the colour that the images have where it falls; grey: no image shows it."
    )
    return [*drawn, (caption, above(frame, image_colours(frame, pairs, images)))]


def on_images(frame, pairs, images, distance=None, ids=None, dataset=None):
    """Each image with its points, by distance in metres or by class id, both (N,)."""
    columns = min(len(images), ACROSS)
    rows = -(-len(images) // columns)
    shape = max(image.shape[0] / image.shape[1] for image in images)
    figure = Figure(figsize=(WIDTH, 0.75 + rows * (0.25 + shape * WIDTH / columns)), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    size = 5.0 if columns == 1 else 1.2
    for k, axis in enumerate(panels):
        axis.set_axis_off()
        if k >= len(images):
            continue
        here = pairs.camera == k
        # The nearest last, so that it lies on top.
        order = np.argsort(-pairs.depth[here], kind="stable")
        point, (row, column) = pairs.point[here][order], pairs.pixel[here][order].T
        # Grey, so that colours are those of the points alone.
        axis.imshow(images[k].mean(-1), cmap="gray", vmin=0, vmax=255)
        axis.set_title(f"{frame.cameras[k].name}: {len(point):,} points", fontsize=10)
        dots = {"c": distance[point], "cmap": "viridis_r", "vmin": 0, "vmax": FAR} if ids is None else {
            "c": class_rgb(ids[point], dataset.colours) / 255}  # fmt: skip
        shown = axis.scatter(column, row, s=size, linewidths=0, **dots)
        axis.set(xlim=(-0.5, images[k].shape[1] - 0.5), ylim=(images[k].shape[0] - 0.5, -0.5))
    if ids is None:
        label = f"distance from the LiDAR (m; {FAR:.0f} and more are one colour)"
        figure.colorbar(
            shown, ax=panels.tolist(), orientation="horizontal", label=label, aspect=60, shrink=0.6, pad=0.02
        )
    else:
        marks = {int(k): dataset.classes[k].replace("_", " ") for k in np.unique(ids[pairs.point]) if k >= 0}
        handles = [mark(css(dataset.colours[k]), name) for k, name in marks.items()] + [mark(IGNORED, "not scored")]
        figure.legend(handles=handles, loc="outside lower center", ncols=8, fontsize=9, handletextpad=0.1)
    return jpeg(figure)


def mark(colour, name):
    return Line2D([], [], color=colour, marker="o", linestyle="", label=name)


def segmented(image, ids, pixel):
    """Left the image with the outlines of its segments, right the segments' mean colours with the points in them."""
    outline = np.zeros(ids.shape, bool)
    outline[:, 1:] |= ids[:, 1:] != ids[:, :-1]
    outline[1:] |= ids[1:] != ids[:-1]
    # Two pixels of a large image are a thin line in a small picture.
    wide = outline.copy()
    for _ in range(image.shape[1] // 800):
        wide[1:] |= wide[:-1]
        wide[:, 1:] |= wide[:, :-1]
    count = np.bincount(ids.ravel())
    mean = np.stack([np.bincount(ids.ravel(), image[..., c].ravel()) / count for c in range(3)], 1).astype(np.uint8)
    shape = image.shape[0] / image.shape[1]
    stacked = shape < 0.45
    size = (WIDTH, 2 * (0.3 + shape * WIDTH)) if stacked else (WIDTH, 0.3 + shape * WIDTH / 2)
    figure = Figure(figsize=size, layout="constrained")
    left, right = figure.subplots(*((2, 1) if stacked else (1, 2)))
    left.imshow(np.where(wide[..., None], np.uint8(255), image))
    left.set_title(f"{len(count):,} segments", fontsize=10)
    right.imshow(mean[ids])
    held, step = len(np.unique(ids[pixel[:, 0], pixel[:, 1]])), -(-len(pixel) // DOTS)
    pixel = pixel[::step]
    right.scatter(pixel[:, 1], pixel[:, 0], s=0.9, color="#E69F00", linewidths=0)
    right.set_title(f"{held:,} of them hold points" + (f" (1 in {step} is drawn)" if step > 1 else ""), fontsize=10)
    for axis in (left, right):
        axis.set_axis_off()
    return jpeg(figure)


def above(frame, colours):
    """The scan from above in (N, 3) uint8 colours, forward up."""
    figure = Figure(figsize=(0.6 * WIDTH, 0.6 * WIDTH), layout="constrained")
    axis = figure.subplots()
    near = (np.abs(frame.points[:, :2]) < REACH).all(1)
    grey = int(IGNORED[1:3], 16)
    # Coloured ones on top.
    order = np.argsort((colours[near] != grey).any(1), kind="stable")
    points, shown = frame.points[near][order], colours[near][order] / 255
    axis.scatter(-points[:, 1], points[:, 0], s=1.0, c=shown, linewidths=0)
    axis.set(aspect="equal", xlim=(-REACH, REACH), ylim=(-REACH, REACH))
    axis.set(xlabel="to the right (m)", ylabel="forward (m)")
    return jpeg(figure)


def jpeg(figure):
    """The figure's bytes."""
    buffer, out = io.BytesIO(), io.BytesIO()
    figure.savefig(buffer, dpi=DPI, format="png", metadata={"Software": None})
    Image.open(buffer).convert("RGB").save(out, "jpeg", quality=88)
    return out.getvalue()
