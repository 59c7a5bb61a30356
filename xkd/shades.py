"""What the linked views colour: distances, labels, cameras in common, images, and the features of networks, all as bytes.

A colour is a number 0..255 of a palette of 256; so is a cosine. Number `NONE` stands for none, and is light grey.
"""

from colorsys import hls_to_rgb

import numpy as np
import torch
from PIL import Image
from plotly.colors import sample_colorscale, unlabel_rgb
from torch.nn.functional import adaptive_avg_pool2d

from xkd import picks
from xkd.extract import over_views
from xkd.palette import IGNORED, NAMED
from xkd.stage_plots import components

NONE = 255
GREY = [int(IGNORED[i : i + 2], 16) for i in (1, 3, 5)]
SHARED = {"one camera": "#56B4E9", "two": "#E69F00", "three or more": "#CC79A7"}
FAR = 50.0
"""Metres at which the colours of distances end."""
HUES = [[round(255 * v) for v in hls_to_rgb(0.618034 * k % 1, (0.35, 0.5, 0.65)[k % 3], 0.8)] for k in range(61)]
"""Colours of superpixels, of which those of neighbours differ: the hue goes on by the golden ratio."""
CELLS, DIRECTIONS = 96, 32
"""Cells across a feature map, and channels of a feature, that are kept at most."""


class Compact:
    """Features as the page keeps them: centred, in the strongest `DIRECTIONS` directions of their spread, each of length 127, int8.

    Centred, because what all features share says nothing about a place and would make all of them look alike. `share`: of the variance.
    """

    def __init__(self, values):
        """values: (N, C), of all the points that are shown."""
        self.mean = values.mean(0)
        centred = (values - self.mean).astype(np.float64)
        spread, axes = np.linalg.eigh(centred.T @ centred / max(len(values) - 1, 1))
        self.axes = axes[:, ::-1][:, :DIRECTIONS].astype(np.float32)
        self.share = float(spread[::-1][:DIRECTIONS].sum() / max(spread.sum(), 1e-12))
        self.flat = bool(spread.sum() < 1e-12)
        """All features are the same but for rounding: then none of them has a direction."""

    def __call__(self, values):
        """(..., C) -> (..., D)."""
        turned = (values - self.mean) @ self.axes
        if self.flat:
            return np.zeros(turned.shape, np.int8)
        length = np.linalg.norm(turned, axis=-1, keepdims=True)
        return np.round(127 * turned / np.maximum(length, 1e-9)).astype(np.int8)

    def name(self, name):
        """The network's name for people, with what is kept of its features."""
        count, kept = self.axes.shape
        part = f", {kept} directions hold {100 * self.share:.0f} %" if kept < count else ""
        part = ", the same everywhere" if self.flat else part
        return f"{name} ({count} channels{part})"


def maps_of(teacher, cameras, images):
    """The feature maps [(C, h, w)] of a frame's images, one a camera."""
    if len({camera.size for camera in cameras}) == 1:
        return list(teacher.dense(cameras, images).float().cpu())
    return [teacher.dense([camera], [image])[0].float().cpu() for camera, image in zip(cameras, images, strict=True)]


def features(together, teacher, students):
    """The features of all frames shown.

    -> networks [{key, title, name, colour}]; values {key: {frame: (K, D) int8, zero where there is none}}; cells {frame: [(h, w, D) int8,
    one a camera]}. A point's teacher feature is the mean over all images shown that show it.
    """
    source, name = teacher
    maps = {i: maps_of(source, frame.cameras, together.images[i]) for i, frame in together.frames.items()}
    values, known = {}, {}
    for i, frame in together.frames.items():
        mean, seen = over_views(maps.__getitem__, together, together.views[i], len(frame.points))
        values[i], known[i] = mean[together.kept[i]].numpy(), (seen[together.kept[i]] > 0).numpy()
    compact = Compact(np.concatenate([values[i][known[i]] for i in values]))
    found = {"teacher": {i: compact(values[i]) * known[i][:, None] for i in values}}
    cells = {i: [compact(np.moveaxis(_fewer(one).numpy(), 0, -1)) for one in maps[i]] for i in maps}
    title = getattr(source, "title", "teacher")
    networks = [("teacher", title, compact.name(name), NAMED["teacher-probe"].colour)]
    for key, title, name, colour, network in students:
        values = {i: _seen_by(network, frame)[together.kept[i]] for i, frame in together.frames.items()}
        compact = Compact(np.concatenate(list(values.values())))
        found[key] = {i: compact(values[i]) for i in values}
        networks.append((key, title, compact.name(name), colour))
    return [dict(zip(("key", "title", "name", "colour"), one, strict=True)) for one in networks], found, cells


def _fewer(one):
    """A feature map (C, h, w) of at most `CELLS` cells across."""
    height, width = one.shape[1:]
    return adaptive_avg_pool2d(one, (max(1, round(height * CELLS / width)), CELLS)) if width > CELLS else one


@torch.inference_mode()
def _seen_by(network, frame):
    """(N, C) float32 features of a student at all points of a frame."""
    intensity = frame.attributes.get("intensity", np.zeros(len(frame.points), np.float32))
    return network.features(network.voxels([(frame.points, intensity)])).float().cpu().numpy()


def colourings(dataset, together, networks, features, segments=None):
    """-> numbers {name: {frame: (K,) uint8}}; meanings {name: {palette: (256, 3), and scale, names or words that explain it}}.

    segments: {frame: [(H, W) ids of superpixels, one a camera]}, None: there are none."""
    kept = together.kept
    distance = {i: np.linalg.norm(frame.points[kept[i]], axis=1) for i, frame in together.frames.items()}
    seen = {i: picks.overlap(frame, together.pairs[i])[kept[i]] for i, frame in together.frames.items()}
    numbers = {
        "distance": {i: np.round(254 * np.minimum(far / FAR, 1)).astype(np.uint8) for i, far in distance.items()}
    }
    meanings = {"distance": scale("distance from the LiDAR (m)", 0, f"{FAR:.0f} and more", reverse=True)}
    labelled = {i: frame.labels for i, frame in together.frames.items() if frame.labels is not None}
    if labelled:
        blank = {i: np.full(len(kept[i]), NONE, np.uint8) for i in kept}
        numbers["label"] = blank | {i: ids[kept[i]].astype(np.uint8) for i, ids in labelled.items()}
        meanings["label"] = named(zip(dataset.classes, dataset.colours.tolist(), strict=True), "not scored")
        used = np.unique(np.concatenate(list(numbers["label"].values())))
        meanings["label"]["names"] = [one for one in meanings["label"]["names"] if one[0] in used]
    numbers["cameras in common"] = {
        i: np.where(n > 0, np.minimum(n, 3) - 1, NONE).astype(np.uint8) for i, n in seen.items()
    }
    rgb = [(name, [int(colour[i : i + 2], 16) for i in (1, 3, 5)]) for name, colour in SHARED.items()]
    meanings["cameras in common"] = named(rgb, "no camera")
    images = {
        i: picks.image_colours(f, together.pairs[i], together.images[i])[kept[i]] for i, f in together.frames.items()
    }
    numbers["image colour"], meanings["image colour"] = quantised(
        images, {i: seen[i] > 0 for i in seen}, "grey: in no image"
    )
    if segments:
        numbers["superpixel"] = {
            i: superpixel(f, together.pairs[i], segments[i])[kept[i]] for i, f in together.frames.items()
        }
        words = "points in one superpixel of an image have one colour (colours come again); grey: in no image"
        meanings["superpixel"] = {"palette": [*HUES, *[GREY] * (NONE + 1 - len(HUES))], "words": words}
    for network in networks:
        own = features[network["key"]]
        known = {i: values.any(1) for i, values in own.items()}
        if not any(part.any() for part in known.values()):
            continue
        shown = components(np.concatenate([own[i][known[i]] for i in own]))
        rgb = {i: np.zeros((len(values), 3), np.uint8) for i, values in own.items()}
        for i, part in zip(own, np.split(shown, np.cumsum([known[i].sum() for i in own])[:-1]), strict=True):
            rgb[i][known[i]] = part
        name = f"features: {network['title']}"
        words = "the three strongest components of the features as red, green and blue: alike colours, alike features"
        numbers[name], meanings[name] = quantised(rgb, known, words)
    return numbers, meanings


def superpixel(frame, pairs, segments):
    """(N,) uint8: of each point a number of `HUES` for its superpixel in the first image that shows it, `NONE` where none does."""
    numbers = np.full(len(frame.points), NONE, np.uint8)
    for k in reversed(range(len(segments))):
        here = pairs.camera == k
        rows, columns = pairs.pixel[here].T
        # Another step for each camera, so that neighbouring images do not begin alike.
        numbers[pairs.point[here]] = (segments[k][rows, columns] + 7 * k) % len(HUES)
    return numbers


def scale(title, low, high, grey="", reverse=False):
    """Viridis in 255 steps, and grey."""
    steps = np.linspace(1, 0, NONE) if reverse else np.linspace(0, 1, NONE)
    palette = [[round(v) for v in unlabel_rgb(text)] for text in sample_colorscale("Viridis", steps.tolist())]
    return {"palette": [*palette, GREY], "scale": {"title": title, "low": low, "high": high, "grey": grey}}


def named(pairs, grey):
    """(name, colour) pairs, numbered in their order, and the name of what is grey."""
    names, colours = zip(*pairs, strict=True)
    palette = [*(list(colour) for colour in colours), *[GREY] * (NONE + 1 - len(colours))]
    return {"palette": palette, "names": [[k, name.replace("_", " ")] for k, name in enumerate(names)] + [[NONE, grey]]}


def quantised(rgb, known, words):
    """{frame: (K, 3) uint8} -> numbers of the 255 colours that come closest to them all, `NONE` where not known, and these colours."""
    colours = np.concatenate([rgb[i][known[i]] for i in rgb])
    few = Image.fromarray(colours[None]).quantize(NONE)
    palette = np.array(few.getpalette(), np.uint8).reshape(-1, 3)
    rest = np.tile(np.array(GREY, np.uint8), (NONE + 1 - len(palette), 1))
    parts = np.split(np.asarray(few)[0], np.cumsum([known[i].sum() for i in rgb])[:-1])
    numbers = {i: np.full(len(rgb[i]), NONE, np.uint8) for i in rgb}
    for i, part in zip(rgb, parts, strict=True):
        numbers[i][known[i]] = part
    return numbers, {"palette": np.concatenate([palette, rest]).tolist(), "words": words}
