"""Linked views of a frame and its neighbours: one HTML page that needs nothing else. `xkd/web` draws, this file says what.

A place picked in an image or in the scan is shown in every image, in neighbouring frames and in 3D, and how alike all else is to it, for a
teacher and for students. The page computes with what it carries: projections, cosines and the score of `xkd.alignment`.
"""

import base64
import html as escape
import io
import json
import re
import zlib
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter
from pathlib import Path

import numpy as np
from PIL import Image

from xkd import geometry, looks, picks, shades
from xkd.alignment import image_edges, motion, range_edges
from xkd.errors import XkdError
from xkd.files import atomic
from xkd.geometry import in_view, invert, pair
from xkd.machine import cores
from xkd.palette import SPARE
from xkd.rivals import APART, RANKS
from xkd.superpixels import segment
from xkd.views import views

WEB = Path(__file__).parent / "web"
SCRIPTS = ("geometry.js", "draw.js", "panels.js", "nudge.js", "controls.js", "linked.js")
WIDEST = 1280
"""Pixels across that an image is kept with at most."""


class Together:
    """The frames shown, each read once, as the part of a data set that `xkd.views` asks for. `kept`: {frame: (K,) indices of points}."""

    def __init__(self, dataset, index, reach, most, point):
        self.centre = dataset[index]
        others, self.alone = _others(dataset, index, reach)
        near = sorted([self.centre, *others], key=attrgetter("index"))
        self.frames = {frame.index: frame for frame in near}
        self.images = {i: [camera.image() for camera in frame.cameras] for i, frame in self.frames.items()}
        self.pairs = {i: _pairs(dataset, frame) for i, frame in self.frames.items()}
        self.kept, self.words, self.views = {}, {}, {}
        for i, frame in self.frames.items():
            asked = point if frame is self.centre else None
            self.kept[i], self.words[i] = picks.thin(picks.overlap(frame, self.pairs[i]) > 0, most, asked)
            self.views[i] = views(self, i, only=self.kept[i])

    def __getitem__(self, i):
        return self.frames[i]

    def neighbours(self, i, reach):
        return [frame for j, frame in self.frames.items() if j != i]

    def seen(self, i, j):
        """(K,) uint32: which cameras of frame j show each point kept of frame i, one bit a camera."""
        found, bits = self.views[i], np.zeros(len(self.kept[i]), np.uint32)
        here = found.frame == j
        rows = np.searchsorted(self.kept[i], found.point[here])
        np.bitwise_or.at(bits, rows, np.uint32(1) << found.camera[here].astype(np.uint32))
        return bits


def _pairs(dataset, frame):
    """`pair`. Errors: a frame without an image; one of which fewer than two points fall into its images, as a wrong layout leaves it."""
    if not frame.cameras:
        raise XkdError(f"{dataset.root}: frame {frame.id} has no image, so there is nothing to look at.")
    index = np.unique(np.concatenate([in_view(frame.points, camera)[0] for camera in frame.cameras]))
    if len(index) > 1:
        return pair(frame)
    raise XkdError(
        f"{frame.cameras[0].path}: {len(index)} of the {len(frame.points)} points of frame {frame.id} fall into its images; are columns, "
        f"axes and extrinsics those of the files? python -m xkd check {dataset.root} looks at them."
    )


def _others(dataset, index, reach):
    """The frames that are shown beside frame `index`, and, where there are none, why, for people."""
    if not reach:
        return [], "no frames before and after it were asked for (reach 0)"
    try:
        others = dataset.neighbours(index, reach)
    except XkdError as error:
        # What follows is for who trains on it.
        return [], str(error).rstrip(".").partition("; without them")[0]
    if others:
        return others, None
    alone = dataset.scenes.count(dataset.scenes[index]) == 1
    return [], "it is the only one of its scene here" if alone else "the others of its scene have no poses"


def scene(dataset, index, teacher, students=(), reach=1, most=30_000, superpixels=120, point=None, pixel=None):
    """What the page shows, as a value for JSON.

    teacher: (teacher, its name for people); students: what `looks.students` gives; reach: frames before and after; most: points of a frame
    that are kept, those in images first; superpixels: of an image, 0 for none; point of the frame, or pixel (camera, row, column): what is
    picked first. Errors: see `_pairs`, a point or pixel that the frame has not.
    """
    pick = picks.picked(dataset[index], point, pixel)
    together = Together(dataset, index, reach, most, point)
    centre, frames = together.centre, list(together.frames.values())
    if pick["point"] is None and pick["camera"] is None:
        found, pairs = (part[centre.index] for part in (together.views, together.pairs))
        pick["point"] = picks.first_pick(found, centre, pairs, range_edges(centre.points))
    networks, features, cells = shades.features(together, teacher, students)
    with ThreadPoolExecutor(cores()) as workers:
        ids = {
            i: list(workers.map(lambda image: segment(image, superpixels), together.images[i])) if superpixels else None
            for i in together.frames
        }
        drawn = {
            i: list(workers.map(_drawn, together.images[i], ids[i] or [None] * len(together.images[i])))
            for i in together.frames
        }
    values, colourings = shades.colourings(dataset, together, networks, features, ids if superpixels else None)
    shown = [
        {
            "id": frame.id,
            "steps": i - centre.index,
            "seconds": _seconds(centre, frame),
            "words": together.words[i],
            "points": packed(frame.points[together.kept[i]].astype(np.float32)),
            "labels": None if frame.labels is None else packed(frame.labels[together.kept[i]].astype(np.uint8)),
            "edges": packed(range_edges(frame.points)[together.kept[i]].astype(np.uint8)),
            "centre_lidar": (invert(centre.T_world_lidar) @ frame.T_world_lidar).ravel().tolist(),
            "seen": [packed(together.seen(i, j)) for j in together.frames],
            "features": {key: {"vectors": packed(part[i])} for key, part in features.items()},
            "colours": {name: packed(part[i]) for name, part in values.items()},
            "cameras": [
                _camera(camera, frames) | picture | {"cells": packed(cell)}
                for camera, picture, cell in zip(frame.cameras, drawn[i], cells[i], strict=True)
            ],
        }
        for i, frame in together.frames.items()
    ]
    cameras = [camera for frame in frames for camera in frame.cameras]
    times = [camera.timestamp is not None for camera in cameras]
    place, kept, pairs = frames.index(centre), together.kept[centre.index], together.pairs[centre.index]
    places = picks.places(centre, pairs, dataset.classes, kept) | {"the first pick": pick["point"]}
    rows = {name: int(np.searchsorted(kept, one)) for name, one in places.items() if one is not None}
    pick["point"] = rows.get("the first pick")
    return {
        "title": f"{dataset.kind}, {centre.scene}: what the scan and the images say of the same place",
        "frames": shown,
        "alone": together.alone,
        "taught": not isinstance(teacher[0], looks.Texture),
        "pick": pick | {"frame": place},
        "places": [{"name": name, "frame": place, "point": row} for name, row in rows.items()],
        "error": RANKS * APART**0.5,
        "motion": motion(cameras),
        "still": None if motion(cameras) else "one image: no motion" if any(times) else "the images have no times",
        "reach": float(np.clip(np.quantile(np.abs(centre.points[kept][:, :2]).max(1), 0.9), 20, 60).round(-1)),
        "cameras": list(dataset.camera_names),
        "camera": centre.cameras[int(np.bincount(pairs.camera).argmax())].name,
        "classes": [name.replace("_", " ") for name in dataset.classes],
        "networks": networks,
        "colourings": colourings,
        "alike": shades.scale("cosine of the features", -1, 1, "no feature"),
        "axes": SPARE[:3],
    }  # fmt: skip


def _seconds(centre, frame):
    """From the frame `centre` to another, None where one has no time."""
    return None if None in (centre.timestamp, frame.timestamp) else (frame.timestamp - centre.timestamp) / 1e6


def _drawn(image, ids):
    """What the page keeps of an image (H, W, 3): itself, its edges, and the `ids` of its superpixels, every `step`-th pixel of those."""
    step = -(-image.shape[1] // WIDEST)
    buffer = io.BytesIO()
    Image.fromarray(image).reduce(step).save(buffer, "jpeg", quality=85)
    kept = np.s_[step // 2 :: step, step // 2 :: step]
    return {
        "image": "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode(),
        "step": step,
        "strength": packed(np.round(127 * image_edges(image)[kept]).astype(np.int8)),
        "segments": None if ids is None else packed(ids[kept].astype(np.uint16)),
    }


def _camera(camera, frames):
    """A camera as `geometry.js` takes it; `rig_lidar`: the sweep of each frame shown into the rig, at the image's own time."""
    _, K, model, distortion, limit, height, width = geometry.kernel_arguments(camera)
    world_rig = invert(camera.T_world_rig)
    return {
        "name": camera.name,
        "model": model,
        "K": K.ravel().tolist(),
        "distortion": distortion.tolist(),
        "limit": limit if np.isfinite(limit) else None,
        "height": int(height),
        "width": int(width),
        "cam_rig": invert(camera.T_rig_cam).ravel().tolist(),
        "rig_lidar": [(world_rig @ frame.T_world_lidar).ravel().tolist() for frame in frames],
    }


def packed(array):
    """An array for `unpack` of `linked.js`: little-endian, deflated, base64."""
    data = zlib.compress(np.ascontiguousarray(array).tobytes(), 6)
    return {"dtype": array.dtype.name, "shape": list(array.shape), "data": base64.b64encode(data).decode()}


def html(scene):
    """The page as a string; equal scenes give equal strings."""
    from plotly.offline import get_plotlyjs

    parts = {
        "plotly": get_plotlyjs(),
        # "</script>" in a name would end the script.
        "scene": json.dumps(scene, allow_nan=False).replace("<", "\\u003c"),
        "scripts": "\n".join((WEB / name).read_text() for name in SCRIPTS),
    }
    return re.sub(r"/\*(plotly|scene|scripts)\*/", lambda found: parts[found[1]], (WEB / "linked.html").read_text())


def write(scene, path):
    """Writes the page to the file `path`; returns its size in words."""
    with atomic(path) as temporary:
        temporary.write_text(html(scene))
    return f"{path}: {Path(path).stat().st_size / 2**20:.1f} MiB, opens in any browser, offline"


def view(scene, height=2400):
    """The page inside a notebook, with or without a kernel."""
    from IPython.display import IFrame

    page = escape.escape(html(scene))
    return IFrame("about:blank", "100%", height, extras=[f'srcdoc="{page}"'])
