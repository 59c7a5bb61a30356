"""The linked views of a small street in a browser: the page, its sliders and its choices, and the features in it."""

import base64
import zlib
from contextlib import contextmanager

import browser
import numpy as np
from wall import CLASSES

from xkd import linked, looks, picks, student


def distilled(folder):
    """The students of a small network without a training: before it and after it."""
    network = student.build({"voxel": 0.5, "widths": [8, 8], "classes": list(CLASSES)}, 1)
    student.save(network, folder / "distilled-0", init="distilled", seed=0)
    return looks.students(None, folder / "distilled-0")


@contextmanager
def opened(scene, folder, *flags):
    """The page of a scene in a browser; at the end: its console said no error, and nothing was asked of the network."""
    browser.needed()
    linked.write(scene, folder / "page.html")
    with browser.Browser(folder / "profile", patience=300, more=flags) as tab:
        tab.open((folder / "page.html").as_uri(), "!!document.body && document.body.dataset.ready === 'yes'")
        tab.folder = folder
        yield tab
        assert not tab.errors
        assert {url.partition(":")[0] for url in tab.requests} <= {"file", "data", "blob"}, "the page asks the network"


def kept(dataset, i, most=1500):
    frame = dataset[i]
    pairs = linked.pair(frame)
    return picks.thin(picks.overlap(frame, pairs) > 0, most)[0]


def slide(page, **values):
    for name, value in values.items():
        page.run(
            f"(s => {{ s.value = {value}; s.dispatchEvent(new Event('input')) }})(document.getElementById('{name}'))"
        )


def choose(page, name):
    page.run(
        f"(s => {{ s.value = '{name}'; s.dispatchEvent(new Event('change')) }})(document.getElementById('camera'))"
    )


def looked(scene, i, key):
    given = scene["frames"][i]["features"][key]["vectors"]
    data = zlib.decompress(base64.b64decode(given["data"]))
    return np.frombuffer(data, np.int8).reshape(given["shape"]).astype(np.float64)
