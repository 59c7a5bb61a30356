"""What a folder of one's own may not say, and damaged copies of its files: one sentence that names the file and the value."""

import re

import cloud_files
import numpy as np
import own_files
import pytest
from own_files import HALF, camera, say
from PIL import Image

from xkd import XkdError
from xkd.datasets import open_dataset, reader


def complains(*words):
    """XkdError with one sentence that has these words in it."""
    return pytest.raises(XkdError, match=".*".join(map(re.escape, words)) + r".*\.$")


@pytest.fixture
def own(tmp_path):
    return own_files.folder(tmp_path / "own")


def whole(root, split=None):
    """Opens the folder and reads all that is in it."""
    for frame in open_dataset("folder", root, split):
        _ = frame.points, frame.labels, [(camera.image(), camera.T_cam_lidar) for camera in frame.cameras]


def front(**changes):
    return {"cameras": {"front": camera(**changes)}}


SAID = [
    ({"scan": 3}, ["xkd.yaml: has an unknown key 'scan'", "scans, cameras, labels"]),
    ({"scans": {"file": "a"}}, ["xkd.yaml: scans has an unknown key 'file'", "files, columns, axes"]),
    ({"scans": {"timestamps": {"unit": "min"}}}, ["scans.timestamps.unit is 'min'", "s, ms, us, ns"]),
    ({"scans": {"drop_zeros": 1}}, ["scans.drop_zeros is 1", "true or false"]),
    ({"scans": {"intensity_max": "many"}}, ["scans.intensity_max is 'many'", "a number"]),
    ({"scans": {"intensity_max": 0}}, ["scans.intensity_max is 0", "larger than 0"]),
    ({"scans": {"files": None}}, ["no scans.files"]),
    ({"scans": {"files": "lidar/*.bin"}}, ["lidar/*.bin: there is no such file"]),
    ({"scans": {"files": "/lidar/*.bin"}}, ["scans.files", "no pattern"]),
    ({"scans": {"columns": ["x", "y", "i"]}}, ["scans.columns", "x, y and z"]),
    ({"scans": {"axes": "x forward, y left"}}, ["scans.axes is 'x forward, y left'", "x forward, y left, z up"]),
    ({"scans": {"axes": "x ahead, y left, z up"}}, ["scans.axes", "forward, backward, left"]),
    ({"scans": {"axes": "x forward, y right, z up"}}, ["scans.axes", "left-handed"]),
    ({"scans": {"axes": "x forward, y backward, z up"}}, ["scans.axes", "a direction twice"]),
    ({"scene_frames": 0}, ["scene_frames is 0"]),
    ({"scenes": "drive_*"}, ["own/drive_*: there is no such folder"]),
    ({"splits": {"train": "a"}}, ["splits.train: no scene fits 'a'", "own"]),
    ({"splits": {"valid": "own"}}, ["splits has an unknown key 'valid'", "train, val, test, unlabelled"]),
    ({"splits": {"train": "own", "val": "ow*"}}, ["scene own is in the splits train and val"]),
    ({"classes": None}, ["names no classes"]),
    ({"labels": {"field": "ring"}}, ["labels needs files or field"]),
    ({"classes": {"road": {"ids": [0]}}}, ["classes.road: the label id 0 is named twice"]),
    ({"classes": {"road": {"ids": [0.5]}}}, ["whole numbers", "0.5"]),
    ({"classes": {"road": {"ids": [1], "colour": [1, 2, 256]}}}, ["classes.road.colour is [1, 2, 256]"]),
    ({"classes": {"road": None}}, ["classes.road is None", "a section"]),
    ({"poses": {"file": None}}, ["no poses.file"]),
    ({"poses": {"T_body_lidar": "1 0 0"}}, ["poses.T_body_lidar", "3 x 4"]),
    ({"cameras": ["front"]}, ["cameras is ['front']", "a section"]),
    ({"cameras": "cameras.yaml"}, ["own/cameras.yaml: no such file"]),
    (front(image="a"), ["cameras.front has an unknown key 'image'", "images, match"]),
    (front(model="omni"), ["cameras.front.model is 'omni'", "pinhole, opencv, fisheye"]),
    (front(model=None), ["no cameras.front.model"]),
    (front(images="side/*.png"), ["side/*.png: there is no such file", "cameras.front.images"]),
    (front(width=160), ["cameras.front: height is None and width 160"]),
    (front(width=160, height=20), ["centre at column 80, row 45", "images of 160 x 20"]),
    (front(cx=170), ["centre at column 170, row 45", "images of 160 x 90"]),
    (front(fx=-100), ["cameras.front: has focal lengths -100 and 100"]),
    (front(fx=None), ["cameras.front: needs either K or all of fx, fy, cx, cy"]),
    (front(K="100 0 80 0 100 45 0 0 1"), ["needs either K or all of fx, fy, cx, cy"]),
    (front(fx=None, fy=None, cx=None, cy=None, K=[[1, 0], [0, 1]]), ["K is [[1, 0], [0, 1]]"]),
    (front(fx=None, fy=None, cx=None, cy=None, K="80 0 1 0 80 1 1 1 1"), ["K has 0, [1.0, 1.0, 1.0]"]),
    (front(distortion=[0.1]), ["cameras.front: distortion is [0.1]", "pinhole takes 0"]),
    (front(model="opencv", distortion=[0.1, 0.2, 0.3]), ["opencv takes 0 or 4 or 5 or 8"]),
    (front(model="fisheye", distortion="a b c d"), ["distortion is a b c d", "fisheye takes 0 or 4"]),
    (front(T_camera_lidar=None), ["cameras.front: has neither T_camera_lidar", "nor T_lidar_camera", "exactly one"]),
    (front(T_lidar_camera=own_files.T_CAMERA_LIDAR), ["has both T_camera_lidar", "exactly one"]),
    (front(T_camera_lidar="1 0 0 0.1"), ["cameras.front.T_camera_lidar: is 1 0 0 0.1", "3 x 4"]),
    (front(T_camera_lidar=[[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]), ["as its last row"]),
    (front(T_camera_lidar="1 0 0 0 0 1 0 0 0 0 -1 0"), ["mirrors (its determinant is -1)", "no rotation"]),
    (front(T_camera_lidar="1 0 0 0 0 1 0 0 0 0 2 0"), ["is not orthonormal", "no rotation"]),
    (front(T_camera_lidar="1 0 0 397 0 1 0 0 0 0 1 0"), ["397 m", "in metres"]),
    (front(T_camera_lidar={"translation": [0, 0, 0]}), ["keys translation", "quaternion or rotation"]),
    (front(T_camera_lidar={"translation": [0, 0], "rotation": np.eye(3).tolist()}), ["3 x 4 or 4 x 4"]),
    (front(T_camera_lidar={"translation": [0, 0, 0], "quaternion": [0, 0, 0, 0]}), ["not a quaternion (w, x, y, z)"]),
    (front(T_camera_lidar={"translation": [0, 0, 0], "quaternion": [HALF, 0, HALF]}), ["not a quaternion"]),
    (front(match="time", timestamps=None), ["match: time needs timestamps"]),
    (front(match="time", within=0.01), ["8.pcd: no image", "near enough in time"]),
]  # fmt: skip


@pytest.mark.parametrize("changes, words", SAID)
def test_what_cannot_be_said(own, changes, words):
    say(own, **changes)
    with complains(*words):
        whole(own)


def test_a_layout_that_is_none(own):
    for text in ("scans: [", "- scans", "", "scans: {files: \xff}".encode("latin1")):
        (own / "xkd.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        with complains("own/xkd.yaml: is"):
            whole(own)
    (own / "xkd.yaml").unlink()
    with complains("own/xkd.yaml", "no such file"):
        whole(own)
    with complains("8.pcd", "no folder above it has an xkd.yaml"):
        reader("folder").scan_file(own / "lidar" / "8.pcd")


def test_splits_that_are_not_said(own):
    with complains("own/xkd.yaml", "which scenes are in split 'train'", "none"):
        whole(own, "train")
    with complains("folder has no split 'night'", "train, val, test, unlabelled"):
        whole(own, "night")


FILES = [
    ("front/9.png", None, ["front.txt: has 3 lines for 2 files", "8.png to 10.png"]),
    ("front/9.png", b"PNG?", ["front/9.png: cannot be read as an image"]),
    ("front/8.png", b"PNG?", ["front/8.png: cannot be read as an image"]),
    ("labels/9.label", None, ["labels/9.label: no such label file", "labels.missing: allowed"]),
    ("labels/9.label", bytes(8), ["labels/9.label: 2 labels for 3 points", "9.pcd"]),
    ("labels/9.label", bytes(9), ["labels/9.label: 9 bytes"]),
    ("labels/9.label", np.array([41, 10, 500], "<u4").tobytes(), ["labels/9.label: unknown label id 41, 500 (2 points)"]),
    ("lidar/9.pcd", cloud_files.pcd("binary")[:-9], ["lidar/9.pcd", "cut short"]),
    ("lidar/9.pcd", b"", ["lidar/9.pcd", "no PCD file"]),
    ("lidar.txt", b"1000\n1100\n", ["lidar.txt: has 2 lines for 3 files", "8.pcd", "match: stem"]),
    ("lidar.txt", b"1000\n1100\n1100\n", ["lidar.txt: times have to rise", "line 3 with 1.100000 s"]),
    ("lidar.txt", b"1000\nnan\n1100\n", ["lidar.txt: line 2: 'nan' is no time"]),
    ("front.txt", b"1050\n1150\n9250\n", ["poses.txt: has no pose near the time 9.250000 s"]),
    ("front.txt", b"\xff", ["front.txt: is not text"]),
    ("poses.txt", None, ["poses.txt: no such file"]),
    ("poses.txt", b"1 0 0 5 0 1 0 0 0 0 1 0\n" * 2, ["poses.txt: has 2 lines for 3 files"]),
    ("poses.txt", b"1 0 0 5 0 1 0 0 0 0 1\n" * 3, ["poses.txt: its lines have 11 numbers"]),
    ("poses.txt", b"1 0 0 5 0 1 0 0 0 0 1 x\n" * 3, ["poses.txt: line 1", "are not 12 finite numbers"]),
    ("poses.txt", b"1 0 0 5 0 1 0 0 0 0 -1 0\n" * 3, ["poses.txt: line 1", "mirrors"]),
    ("poses.txt", b"1 0 0 0 0 0 0 1\n2 0 0 0 0 0 0 0\n", ["poses.txt: line 2", "quaternion [0.0, 0.0, 0.0, 0.0] has length 0"]),
    ("poses.txt", b"2 0 0 0 0 0 0 1\n1 0 0 0 0 0 0 1\n", ["poses.txt: times have to rise", "line 2"]),
    ("poses.txt", b"7 0 0 0 0 0 0 1\n8 0 0 0 0 0 0 1\n", ["no pose near the time 1.000000 s", "7.000000 s and 8.0"]),
]  # fmt: skip


@pytest.mark.parametrize("name, data, words", FILES)
def test_damaged_files(own, name, data, words):
    (own / name).unlink()
    if data is not None:
        (own / name).write_bytes(data)
    with complains(*words):
        whole(own)


def test_scans_that_are_none(own):
    table = cloud_files.rows("<")
    table["x"] = np.nan
    (own / "lidar" / "8.pcd").write_bytes(cloud_files.pcd("binary", table))
    with complains("8.pcd", "empty scan", "3 returns is NaN"):
        whole(own)
    kinds = [("x", "f4"), ("y", "f4"), ("z", "f4"), ("intensity", "f4")]
    (own / "lidar" / "8.pcd").write_bytes(cloud_files.pcd("binary", cloud_files.rows("<", kinds)))
    say(own, scans={"intensity_max": None})
    with complains("8.pcd", "intensity is float32 of up to 255", "scans.intensity_max"):
        whole(own)


def test_names_that_cannot_be_matched(own):
    Image.new("RGB", (160, 90)).save(own / "front" / "9.jpg")
    say(own, **front(images="front/*", timestamps=None))
    with complains("front/9.png", "same name but for its ending", "9.jpg"):
        whole(own)
    say(own, **front(images="front/*", match="order", timestamps=None))
    with complains("front/*: 4 images for 3 scans", "cameras.front.match: order"):
        whole(own)
    say(own, scans={"timestamps": {"from": "stem"}}, **front(timestamps=None))
    (own / "lidar" / "10.pcd").rename(own / "lidar" / "a.pcd")
    with complains("lidar/a.pcd", "one number"):
        whole(own)


def test_an_image_that_is_not_there(own):
    (own / "front" / "9.png").unlink()
    say(own, **front(timestamps=None))
    with complains("front/9.png: no such image of", "9.pcd", "cameras.front.missing: allowed"):
        whole(own)


def test_images_of_mixed_sizes(own):
    Image.new("RGB", (80, 60)).save(own / "front" / "9.png")
    with complains("front/9.png", "60 x 80", "90 x 160"):
        whole(own)


def test_labels_of_another_kind(own):
    say(own, labels={"files": "labels/*.npy"})
    for values, words in ((np.zeros(3), "float64 of shape (3,)"), (np.zeros((3, 1), int), "int64 of shape (3, 1)")):
        for name in own_files.STEMS:
            np.save(own / "labels" / f"{name}.npy", values)
        with complains("8.npy", words):
            whole(own)
    say(own, labels={"files": None, "field": "class"})
    with complains("8.pcd", "no field class", "x, y, z, intensity, ring"):
        whole(own)
    say(own, labels={"files": None, "field": "z"})
    with complains("8.pcd", "have a z that is no whole number", "point 0 with 0.25"):
        whole(own)
    say(own, labels={"files": "lidar/*.pcd"})
    with complains("8.pcd", "no label file", ".label or .npy"):
        whole(own)
