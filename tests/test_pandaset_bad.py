"""Damaged copies of a tiny PandaSet: each is told in one sentence that names the file and the value."""

import os

import numpy as np
import pytest
from complaints import complains
from layout_pandaset import POINTS, dump, layout, scan, table
from PIL import Image
from test_pickles import Call, write

from xkd.datasets import open_dataset
from xkd.files import read_json


@pytest.fixture
def panda(tmp_path):
    return layout(tmp_path)


LIDAR, LABEL, FRONT = "002/lidar/00.pkl.gz", "002/annotations/semseg/00.pkl.gz", "002/camera/front_camera/"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"points": POINTS * [1, np.nan, 1]}, ["4 points are not finite", "point 0"]),
        ({"t": [0, np.inf, 0, 0]}, ["1 points are not finite", "point 1"]),
        (
            {"points": POINTS + [[0, 0, 0], [20_000, 0, 0], [0, 0, 0], [0, 0, 0]]},
            ["1 points are more than 10000 m", "point 1"],
        ),
        ({"i": [0, 256, -1, 0]}, ["2 points have an intensity outside 0..255", "point 1 with 256"]),
        ({"d": [0, 0, 2, 1]}, ["1 points are of a sensor d other than 0 and 1", "point 2 with 2"]),
        ({"points": POINTS[:0], "i": [], "t": [], "d": []}, ["0 points", "sensor both"]),
    ],
)
def test_scans_of_another_kind(panda, change, words):
    scan(panda / LIDAR, 0, **change)
    with complains(LIDAR, *words):
        _ = open_dataset("pandaset", panda)[0].points


def test_scans_that_are_damaged_or_programs(panda, tmp_path):
    data = open_dataset("pandaset", panda)
    with complains(LIDAR, "4 points and none", "solid"):
        scan(panda / LIDAR, 0, d=[0, 0, 0, 0])
        _ = open_dataset("pandaset", panda, sensor="solid")[0].points
    for path, ask in ((LIDAR, "points"), (LABEL, "labels")):
        whole = (panda / path).read_bytes()
        (panda / path).write_bytes(whole[:-20])
        with complains(path, "not a whole gzip file"):
            getattr(data[0], ask)
        write(panda / path, Call(os.system, f"touch {tmp_path / 'ran'}"))
        with complains(path, "system", "not opened"):
            getattr(data[0], ask)
        table(panda / path, x=[1.0])
        with complains(path, "has no column", "its columns are x"):
            getattr(data[0], ask)
    assert not (tmp_path / "ran").exists()
    (panda / LIDAR).unlink()
    with complains(LIDAR, "no such file"):
        _ = data[0].points


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([7, 42, 4], ["3 labels for 4 points", LIDAR]),
        ([7, 0, 43, 300], ["unknown label id 0, 43, 300 (3 points)"]),
        ([7, -2, 4, 31], ["1 points have a label that is no id", "point 1 with -2"]),
        ([7, np.nan, 4, 31], ["1 points have a label that is no id", "point 1 with nan"]),
        ([7, 1e300, 4, 31], ["1 points have a label that is no id", "point 1 with 1e+300"]),
        ([7, 4.5, 4, 31], ["1 points have a label that is no id", "point 1 with 4.5"]),
        (["7", "42", "4", "31"], ["the column 'class' does not hold numbers"]),
    ],
)
def test_labels_that_are_none_of_this_scan(panda, labels, words):
    table(panda / LABEL, **{"class": np.array(labels, object) if isinstance(labels[0], str) else labels})
    with complains(LABEL, *words):
        _ = open_dataset("pandaset", panda)[0].labels


def test_labels_of_another_data_set(panda):
    dump(panda / "002" / "annotations" / "semseg" / "classes.json", {"0": "noise", "1": "animal"})
    with complains("002/annotations/semseg/classes.json", "noise", "PandaSet's 42 classes"):
        open_dataset("pandaset", panda)


POSES, TIMESTAMPS = FRONT + "poses.json", FRONT + "timestamps.json"


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (POSES, [], ["has 0 rows and so none for frame 02"]),
        (TIMESTAMPS, [1.0, 2.0], ["has 2 rows and so none for frame 02"]),
        (TIMESTAMPS, [1.0, 3.0, 2.0], ["row 2 is at 2.000000 s and not later"]),
        ("002/lidar/timestamps.json", [1.0, 1.0, 2.0], ["row 1 is at 1.000000 s and not later"]),
        (TIMESTAMPS, [1.0, None, 3.0], ["not a list of finite numbers"]),
        (TIMESTAMPS, {"0": 1.0}, ["not a list of finite numbers"]),
        (POSES, {"0": 1.0}, ["not a list of poses"]),
        (FRONT + "intrinsics.json", {"fx": 1.0, "fy": 1.0, "cx": 5.0}, ["cy is None"]),
        (FRONT + "intrinsics.json", {"fx": 1.0, "fy": 1.0, "cx": 5.0, "cy": "4"}, ["cy is 4", "no finite number"]),
        (
            FRONT + "intrinsics.json",
            {"fx": 10**400, "fy": 1.0, "cx": 5.0, "cy": 4.0},
            ["is not JSON", "401 digits"],
        ),
        (FRONT + "intrinsics.json", {"fx": 99, "fy": 99, "cx": 2000, "cy": 5}, ["2000", "1920 x 1080"]),
        ("002/meta/gps.json", [], ["0/lat is None"]),
    ],
)
def test_lists_that_do_not_fit(panda, path, value, words):
    dump(panda / path, value)
    with complains(path, *words):
        open_dataset("pandaset", panda)
    (panda / path).write_text("[1, 2")
    with complains(path, "is not JSON"):
        open_dataset("pandaset", panda)
    (panda / path).unlink()
    if "gps" not in path:
        with complains(path, "no such file"):
            open_dataset("pandaset", panda)


def test_poses_that_are_none(panda):
    for folder, ask in (("002/lidar", lambda data: data[0]), (FRONT[:-1], lambda data: data[0].cameras)):
        path = panda / folder / "poses.json"
        rows = read_json(path)
        for value, words in ((float("nan"), ["0/position/y is nan"]), (None, ["0/position/y is None"])):
            dump(path, [rows[0] | {"position": rows[0]["position"] | {"y": value}}, *rows[1:]])
            with complains(f"{folder}/poses.json", *words):
                ask(open_dataset("pandaset", panda))
        dump(path, [rows[0] | {"heading": dict.fromkeys("wxyz", 0)}, *rows[1:]])
        with complains(f"{folder}/poses.json: row 0", "not a quaternion"):
            ask(open_dataset("pandaset", panda))
        dump(path, [[1, 0, 0], *rows[1:]])
        with complains(f"{folder}/poses.json", "0/heading/w is None"):
            ask(open_dataset("pandaset", panda))
        dump(path, rows)


def test_images_folders_splits_options(panda, tmp_path):
    front = open_dataset("pandaset", panda)[0].cameras[0]
    for path in panda.glob("*/camera/front_camera/00.jpg"):
        path.unlink()
    with complains("front_camera/00.jpg", "no such image", "front_camera"):
        front.image()
    Image.new("RGB", (960, 540)).save(front.path)
    with complains("front_camera/00.jpg", "540 x 960", "1080 x 1920"):
        front.image()
    with complains("no split 'test'", "train, val"):
        open_dataset("pandaset", panda, "test")
    with complains("no option version", "sensor"):
        open_dataset("pandaset", panda, version=1)
    with complains("no sensor 'radar'", "both, spinning, solid"):
        open_dataset("pandaset", panda, sensor="radar")
    with complains("002", "no folder of a scene"):
        open_dataset("pandaset", panda / "002")
    (panda / "002" / "lidar" / "copy.pkl.gz").touch()
    with complains("002/lidar/copy.pkl.gz", "no scan's name"):
        open_dataset("pandaset", panda)
    (tmp_path / "empty" / "003" / "lidar").mkdir(parents=True)
    with complains("empty/003/lidar/poses.json", "no such file"):
        open_dataset("pandaset", tmp_path / "empty")
    with complains("empty", "no lidar scan of split val"):
        open_dataset("pandaset", tmp_path / "empty", "val")
