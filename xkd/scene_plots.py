"""One frame, shown well: the scan on every image, the scan in 3D, and where else in the scan it looks like a pixel.

Every control is part of the figure (plotly menus), so that it also works in a saved page without a running kernel.
"""

import base64
import io

import numpy as np
import plotly.graph_objects as go
from PIL import Image
from plotly.subplots import make_subplots
from skimage.segmentation import find_boundaries

from xkd.looks import decimate, overlap
from xkd.palette import IGNORED, class_rgb, css
from xkd.plots import WIDTH, look, menu

SHARED = {1: "#56B4E9", 2: "#E69F00", 3: "#CC79A7"}
WIDEST = 640


def cameras(frame, pairs, images, segments, classes, colours, most=2500):
    """Every image with the points projected on it; a menu colours them by depth, label, superpixel, or cameras in
    common.

    `images` and `segments`: (H, W, 3) uint8 and (H, W) ids, one a camera. At most `most` points an image are drawn;
    the title says how many of how many.
    """
    columns = min(3, len(images))
    lines = -(-len(images) // columns)
    kept, titles = [], []
    for k, camera in enumerate(frame.cameras):
        here = np.flatnonzero(pairs.camera == k)
        chosen, words = decimate(len(here), most) if len(here) else (np.empty(0, np.int64), "0 points")
        kept.append(here[chosen])
        titles.append(f"{camera.name}: {words}")
    gaps = {"horizontal_spacing": 0.01, "vertical_spacing": 0.06}
    figure = make_subplots(lines, columns, subplot_titles=titles, **gaps)
    groups, shared = [], overlap(frame, pairs)
    modes = ["depth", "label", "superpixel", "cameras in common"]
    if frame.labels is None:
        modes.remove("label")
    for k, image in enumerate(images):
        place = {"row": k // columns + 1, "col": k % columns + 1}
        figure.add_trace(picture(image), **place)
        groups.append(None)
        figure.add_trace(picture(outlined(image, segments[k])), **place)
        groups.append("superpixel")
        where, pixel = kept[k], pairs.pixel[kept[k]]
        for mode in modes:
            figure.add_scatter(
                x=pixel[:, 1], y=pixel[:, 0], mode="markers", showlegend=False, **place,
                **_points(mode, frame, pairs, where, segments[k], shared, classes, colours, k == 0),
            )  # fmt: skip
            groups.append(mode)
        height, width = image.shape[:2]
        axes = {"showticklabels": False, "ticks": "", "showline": False, **place}
        figure.update_xaxes(range=[-0.5, width - 0.5], constrain="domain", **axes)
        anchor = figure.get_subplot(**place).yaxis.anchor
        figure.update_yaxes(range=[height - 0.5, -0.5], scaleanchor=anchor, constrain="domain", **axes)
    for mode, name, colour in _legend(modes, frame, shared, classes, colours):
        figure.add_scatter(x=[None], y=[None], mode="markers", name=name, marker={"size": 9, "color": colour})
        groups.append(mode)
    for trace, group in zip(figure.data, groups, strict=True):
        trace.visible = group in (None, modes[0])
    tall = max(image.shape[0] / image.shape[1] for image in images) * WIDTH / columns
    layout = {
        "updatemenus": [menu(modes, groups, y=1.12)],
        "legend": {"orientation": "h", "y": -0.04, "yanchor": "top"},
    }
    look(figure, int(lines * (tall + 30) + 190), margin={"l": 10, "r": 90, "t": 100, "b": 90}, **layout)
    return figure.update_annotations(font_size=12)


def _points(mode, frame, pairs, where, segments, shared, classes, colours, bar):
    """Marker and hover text of one image's points for one way of colouring."""
    points, depth = pairs.point[where], pairs.depth[where]
    marker = {"size": 4}
    if mode == "depth":
        hover = [f"{d:.1f} m" for d in depth]
        marker |= {"color": depth.round(1), "colorscale": "Viridis_r", "cmin": 0, "cmax": 50}
        marker |= {"showscale": True, "colorbar": {"title": "depth (m)", "thickness": 14}} if bar else {}
    elif mode == "label":
        ids = frame.labels[points]
        hover = [classes[k] if k >= 0 else "not scored" for k in ids]
        marker["color"] = [css(colour) for colour in class_rgb(ids, colours)]
    elif mode == "superpixel":
        ids = segments[pairs.pixel[where, 0], pairs.pixel[where, 1]]
        # Any colours do, as long as neighbours differ; the seed only keeps them the same from run to run.
        shades = np.random.default_rng(0).integers(40, 256, (int(segments.max()) + 1, 3))
        hover, marker["color"] = [f"superpixel {k}" for k in ids], [css(shades[k]) for k in ids]
    else:
        hover = [f"seen by {n} cameras" if n > 1 else "seen by this camera alone" for n in shared[points]]
        marker["color"] = [SHARED[min(n, 3)] for n in shared[points]]
    return {"marker": marker, "hovertext": hover, "hoverinfo": "text"}


def _legend(modes, frame, shared, classes, colours):
    """(mode, name, colour) of the entries that explain colours in words."""
    if "label" in modes:
        for k in np.unique(frame.labels):
            yield "label", classes[k].replace("_", " ") if k >= 0 else "not scored", css(class_rgb([k], colours)[0])
    for n in sorted({min(int(n), 3) for n in shared if n}):
        yield "cameras in common", ["one camera", "two cameras", "three or more"][n - 1], SHARED[n]


def picture(image):
    """(H, W, 3) uint8 -> an image trace on the pixel grid, made smaller if it is wide; row 0, column 0 centred at
    (0, 0)."""
    step = -(-image.shape[1] // WIDEST)
    small = Image.fromarray(image).reduce(step)
    buffer = io.BytesIO()
    small.save(buffer, "jpeg", quality=80)
    source = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
    middle = (step - 1) / 2
    return go.Image(source=source, x0=middle, y0=middle, dx=step, dy=step, hoverinfo="skip")


def outlined(image, segments):
    """The image with the outlines of its superpixels bleached, so that what lies under them stays visible."""
    return np.where(find_boundaries(segments, mode="inner")[..., None], image // 2 + 127, image).astype(np.uint8)


def scan(frame, colourings, most=15000):
    """The scan in 3D; `colourings` {name: (N, 3) uint8} are what the menu offers. Axes in metres, x forward, y left,
    z up."""
    kept, words = decimate(len(frame.points), most)
    figure = go.Figure()
    for k, (name, rgb) in enumerate(colourings.items()):
        figure.add_trace(_cloud(frame.points[kept], [css(colour) for colour in rgb[kept]], name=name, visible=k == 0))
    return _in_3d(figure, f"{frame.id}: {words}", updatemenus=[menu(list(colourings))])


def patches(shown, reach=40):
    """Pieces of images around one point, each with a ring where the point is: `shown` [(title, image, (row, col))].

    A piece reaches `reach` pixels to each side, and stops at the image's edge.
    """
    columns = min(4, len(shown))
    lines = -(-len(shown) // columns)
    gaps = {"horizontal_spacing": 0.01, "vertical_spacing": 0.12 / lines}
    figure = make_subplots(lines, columns, subplot_titles=[title for title, _, _ in shown], **gaps)
    for k, (_, image, (row, column)) in enumerate(shown):
        place = {"row": k // columns + 1, "col": k % columns + 1}
        top, left = max(row - reach, 0), max(column - reach, 0)
        figure.add_trace(picture(image[top : row + reach + 1, left : column + reach + 1]), **place)
        ring = {"size": 14, "color": "rgba(0,0,0,0)", "line": {"color": "#D55E00", "width": 3}}
        at = {"x": [column - left], "y": [row - top], "hovertext": f"row {row}, column {column}", "hoverinfo": "text"}
        figure.add_scatter(mode="markers", marker=ring, showlegend=False, **at, **place)
        axes = {"showticklabels": False, "ticks": "", "showline": False, "showgrid": False, **place}
        figure.update_xaxes(range=[column - left - reach - 0.5, column - left + reach + 0.5], **axes)
        anchor = figure.get_subplot(**place).yaxis.anchor
        rows = [row - top + reach + 0.5, row - top - reach - 0.5]
        figure.update_yaxes(range=rows, scaleanchor=anchor, constrain="domain", **axes)
    look(figure, int(lines * (WIDTH / columns + 40) + 40), margin={"l": 10, "r": 10, "t": 50, "b": 10})
    return figure.update_annotations(font_size=12)


def similar(frame, pairs, image, found, most=12000):
    """Left the picked pixel, right the scan coloured by how much each point looks like it; a menu chooses the pixel.

    `found` [(name, (row, col), (N,) cosine or NaN)], all picked in the same `image`.
    """
    kept, words = decimate(len(frame.points), most)
    specs = [[{"type": "xy"}, {"type": "scene"}]]
    figure = make_subplots(1, 2, specs=specs, column_widths=[0.42, 0.58], horizontal_spacing=0.02)
    figure.add_trace(picture(image), row=1, col=1)
    groups = [None]
    for k, (name, pixel, cosine) in enumerate(found):
        ring = {"size": 16, "color": "rgba(0,0,0,0)", "line": {"color": "#D55E00", "width": 4}}
        figure.add_scatter(
            x=[pixel[1]], y=[pixel[0]], mode="markers", marker=ring, showlegend=False, hoverinfo="skip", visible=k == 0,
            row=1, col=1,
        )  # fmt: skip
        known = kept[np.isfinite(cosine[kept])]
        shade = {
            "color": cosine[known].astype(np.float32).round(2),
            "colorscale": "Viridis",
            "cmin": -1,
            "cmax": 1,
            "size": 2,
        }
        shade |= {"showscale": True, "colorbar": {"title": "cosine", "thickness": 14}}
        unseen = kept[~np.isfinite(cosine[kept])]
        figure.add_trace(_cloud(frame.points[unseen], IGNORED, visible=k == 0), row=1, col=2)
        figure.add_trace(_cloud(frame.points[known], None, marker=shade, visible=k == 0), row=1, col=2)
        groups += [name] * 3
    height, width = image.shape[:2]
    figure.update_xaxes(range=[-0.5, width - 0.5], constrain="domain", title="column (pixel)")
    figure.update_yaxes(range=[height - 0.5, -0.5], scaleanchor="x", constrain="domain", title="row (pixel)")
    return _in_3d(figure, words, updatemenus=[menu([name for name, *_ in found], groups)])


def _cloud(points, colour, marker=None, **more):
    points = points.astype(np.float32).round(2)
    marker = marker or {"size": 1.8, "color": colour}
    place = dict(zip("xyz", points.T, strict=True))
    return go.Scatter3d(**place, mode="markers", marker=marker, hoverinfo="skip", showlegend=False, **more)


def _in_3d(figure, title, **layout):
    axes = {f"{axis}axis": {"title": f"{axis} (m)", "range": [-35, 35], "nticks": 7} for axis in "xy"}
    axes["zaxis"] = {"title": "z (m)", "range": [-4, 12], "nticks": 3}
    view = {"eye": {"x": -0.62, "y": 0.0, "z": 0.42}, "center": {"x": 0, "y": 0, "z": -0.1}}
    figure.update_scenes(aspectmode="manual", aspectratio={"x": 1, "y": 1, "z": 16 / 70}, camera=view, **axes)
    margin = {"l": 60, "r": 20, "t": 110, "b": 60}
    return look(figure, 560, title={"text": title, "font": {"size": 15}}, margin=margin, **layout)
