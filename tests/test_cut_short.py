"""Arrays that a stage left and that were cut short or changed since: whoever opens them next says which file, and never what numpy says."""

import io
import json

import numpy as np
import pytest
from complaints import complains
from PIL import Image

from xkd import distill, families, gather
from xkd.arrays import map_bare, map_npy
from xkd.cells import _confusion
from xkd.feature_cache import verify
from xkd.files import digest, write_json
from xkd.gathered import FIELDS, Gathered
from xkd.prepared import Prepared, TeacherFeatures
from xkd.study_inputs import fewer, shuffled

PAIRS, CELLS, CHANNELS = 4, 3, 2
"""Of two frames with one image each: pairs, superpixels, and the channels of their features."""


def split(folder, facts, arrays, name):
    folder.mkdir(parents=True)
    for stem, values in arrays.items():
        np.save(folder / f"{stem}.npy", values)
    write_json(folder / name, facts | {"digest": digest(*sorted(folder.iterdir()), facts)})
    return folder


@pytest.fixture
def out(tmp_path):
    """A folder with one split of each stage, as small as it can be."""
    png = io.BytesIO()
    Image.fromarray(np.array([[0, 1]], np.uint16)).save(png, "png")
    frames = [{"id": str(k), "scene": "s", "points": 3, "images": 1} for k in range(2)]
    about = {
        "frames": frames,
        "classes": ["a"],
        "colours": [[0, 0, 0]],
        "cameras": ["c"],
        "labelled": True,
        "paired": True,
    }
    arrays = {
        "points": np.zeros((6, 3), np.float32),
        "intensity": np.zeros(6, np.float32),
        "labels": np.zeros(6, np.int16),
    }
    arrays |= {
        "offsets": np.array([0, 3, 6]),
        "pair_point": np.zeros(PAIRS, np.int32),
        "pair_camera": np.zeros(PAIRS, np.int16),
    }
    arrays |= {"pair_pixel": np.zeros((PAIRS, 2), np.int16), "pair_superpixel": np.zeros(PAIRS, np.int64)}
    arrays |= {"pair_offsets": np.array([0, 2, PAIRS]), "superpixel_offsets": np.array([0, 2, CELLS])}
    arrays |= {"segment_offsets": np.array([0, len(png.getvalue()), 2 * len(png.getvalue())])}
    split(tmp_path / "prepared" / "train", about, arrays, "frames.json")
    (tmp_path / "prepared" / "train" / "segments.bin").write_bytes(2 * png.getvalue())
    arrays = {
        "point": np.zeros(PAIRS, np.int32),
        "superpixel": np.zeros(PAIRS, np.int64),
        "offsets": np.array([0, 2, PAIRS]),
    }
    arrays |= {"features": np.ones((PAIRS, CHANNELS), np.float16), "superpixel_offsets": np.array([0, 2, CELLS])}
    arrays |= {"superpixel_features": np.ones((CELLS, CHANNELS), np.float16), "correlation": np.eye(CHANNELS)}
    facts = {"dim": CHANNELS, "mean": [0.0] * CHANNELS, "std": [1.0] * CHANNELS}
    split(tmp_path / "teacher" / "train", facts, arrays, "features.json")
    views = split(
        tmp_path / "views" / "train",
        {"channels": 2, "reach": 1, "prepared": "p"},
        {"offsets": np.array([0, 1, 3])},
        "views.json",
    )
    for name, kind in (FIELDS | {"values": (np.float16, 2)}).items():
        np.zeros(3, kind).tofile(views / f"{name}.bin")
    return tmp_path


def damaged(folder):
    """(path, its bytes) of each array of a folder, while it is a part of itself or another thing."""
    paths = sorted(path for path in folder.iterdir() if path.suffix in (".npy", ".bin"))
    assert paths
    for path in paths:
        whole = path.read_bytes()
        for cut in (0, 1, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:cut])
            yield path
        path.write_bytes(whole + b"\0")
        yield path
        path.unlink()
        yield path
        path.mkdir()
        yield path
        path.rmdir()
        path.write_bytes(whole)


def test_prepared_frames(out):
    folder = out / "prepared"
    for path in damaged(folder / "train"):
        with complains(str(path)):
            Prepared(folder, "train")
    assert Prepared(folder, "train").segments(1, 0).tolist() == [[0, 1]]


def test_extracted_features(out):
    folder = out / "teacher"
    for path in damaged(folder / "train"):
        with complains(str(path)):
            TeacherFeatures(folder, "train").whitening(0.1)
    assert TeacherFeatures(folder, "train").whitening(3.0).tolist() == [[0.5, 0], [0, 0.5]]


def test_features_of_another_number_than_their_offsets(out):
    for name, shape in (("features", (PAIRS - 1, CHANNELS)), ("superpixel_features", (CELLS, CHANNELS + 1))):
        path = out / "teacher" / "train" / f"{name}.npy"
        whole = path.read_bytes()
        np.save(path, np.ones(shape, np.float16))
        with complains(f"{path}: is of shape {shape}", str((len(np.load(io.BytesIO(whole))), CHANNELS))):
            TeacherFeatures(out / "teacher", "train")
        path.write_bytes(whole)


def next_stages(out):
    """What opens extracted features next: `teachers --verify`, distillation, and what gathers views."""
    data = {"train": "train", "unlabelled": []}
    settings = {"objective": "cosine"}
    return {
        "verify": lambda: list(families.report(features=out / "teacher")),
        "distill": lambda: distill.distill(
            data, {}, settings, 0, out / "prepared", out / "teacher", out / "x", out / "x.json"
        ),
        "views": lambda: gather.reduction(out / "teacher" / "train", 2, 0.1),
    }


@pytest.mark.parametrize("stage", ["verify", "distill", "views"])
def test_features_are_cut_short_or_changed_before_the_next_stage(out, stage):
    open_next, folder = next_stages(out)[stage], out / "teacher" / "train"
    for _ in damaged(folder):
        with complains(str(folder)):
            open_next()
    for path in sorted(folder.glob("*.npy")):
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with complains(f"{folder}: its files have the SHA-256", "features.json says"):
            open_next()
        path.write_bytes(whole)
    facts = folder / "features.json"
    whole = facts.read_text()
    for text in ("", whole[:-5], "[]", '"x"'):
        facts.write_text(text)
        with complains(str(facts)):
            open_next()
    facts.write_text(json.dumps(json.loads(whole) | {"digest": None}))
    with complains(f"{folder}: its files have the SHA-256"):
        open_next()
    facts.write_text(whole)
    if stage != "distill":
        assert len(open_next())
    assert not list(out.glob("x*"))


def test_gathered_views(out):
    for path in damaged(out / "views" / "train"):
        with complains(str(path)):
            Gathered(out / "views", "train")
    assert Gathered(out / "views", "train").views(1)[1].shape == (2, 2)


def test_what_the_study_makes_of_them(out):
    for path in damaged(out / "teacher" / "train"):
        if path.exists():
            with complains(str(path)):
                shuffled(out / "teacher" / "train", out / "shuffled", 0)
    for path in damaged(out / "views" / "train"):
        with complains(str(path)):
            fewer(out / "views" / "train", "own", out / "fewer")
    assert not (out / "shuffled").exists() and not (out / "fewer").exists()
    shuffled(out / "teacher" / "train", out / "shuffled" / "train", 0)
    assert verify(out / "shuffled" / "train")["dim"] == CHANNELS
    fewer(out / "views" / "train", "own", out / "fewer" / "train")
    assert Gathered(out / "fewer", "train").views(1)[1].shape == (2, 2)


def test_counts_of_a_cell(tmp_path):
    cell = {"streets": ["s"], "miou": 100.0}
    np.save(tmp_path / "confusion.npy", np.ones((1, 1, 1), np.int64))
    for path in damaged(tmp_path):
        with complains(str(path)):
            _confusion(tmp_path, cell, 1)
    assert _confusion(tmp_path, cell, 1).tolist() == [[[1]]]


def test_maps_are_what_was_saved(tmp_path):
    for values in (
        np.arange(6, dtype=np.int16).reshape(2, 3),
        np.asfortranarray(np.eye(2)),
        np.zeros((0, 3), np.float16),
    ):
        np.save(tmp_path / "a.npy", values)
        found = map_npy(tmp_path / "a.npy")
        assert found.dtype == values.dtype and found.tolist() == values.tolist() and found.shape == values.shape
    np.save(tmp_path / "a.npy", np.array([{}], object))
    with complains("a.npy: is no array of numbers"):
        map_npy(tmp_path / "a.npy")
    (tmp_path / "a.bin").write_bytes(np.array([1, 2, 3, 4], "<u2").tobytes())
    assert map_bare(tmp_path / "a.bin", np.uint16, (2, 2)).tolist() == [[1, 2], [3, 4]]
    with complains("a.bin: is damaged: uint16 (3, 2) take 12 bytes, and 8 are there"):
        map_bare(tmp_path / "a.bin", np.uint16, (3, 2))
    (tmp_path / "a.bin").write_bytes(b"")
    assert map_bare(tmp_path / "a.bin", np.uint16, (0, 2)).shape == (0, 2)
