"""One rule for every reader: what is no rotation is told with its file, key and value; what was rounded as published files are passes."""

import json

import layout_kitti_raw
import layout_pandaset
import layout_rellis3d
import layouts
import numpy as np
import own_files
import pytest
from complaints import SEQUENCE, complains
from own_files import camera, say

from xkd.datasets import open_dataset
from xkd.files import read_json


def numbers(values):
    return " ".join(f"{value:g}" for value in np.ravel(values))


def three_by_four(R):
    return numbers(np.column_stack([R, [0, 0, 0]]))


def second(path, text):
    """Another second line."""
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], text, *lines[2:]]) + "\n")


def entry(path, key, text):
    """Another text of the line that begins with the key."""
    lines = [f"{key}: {text}" if line.startswith(f"{key}:") else line for line in path.read_text().splitlines()]
    path.write_text("\n".join(lines) + "\n")


def mount(root, key, value):
    say(root, cameras={"front": camera(T_camera_lidar={"translation": [0, 0, 0], key: value})})


def row(path, token, field, value):
    rows = [r | ({field: value} if r["token"] == token else {}) for r in json.loads(path.read_text())]
    path.write_text(json.dumps(rows))


def heading(root, value):
    path = root / "002" / "lidar" / "poses.json"
    rows = read_json(path)
    rows[2]["heading"] = dict(zip("wxyz", value, strict=True))
    layout_pandaset.dump(path, rows)


def tum(root, wxyz):
    (root / "poses.txt").write_text(own_files.tum())
    second(root / "poses.txt", f"1 5 0 0 {numbers([*wxyz[1:], wxyz[0]])}")


def panda(root):
    root.mkdir()
    return layout_pandaset.layout(root)


DATE, RELLIS = layout_kitti_raw.DATE, "Rellis-3D/00000"
QUATERNION = layout_rellis3d.MOUNT.splitlines()[1]
MATRICES = {
    "semantickitti, poses": (
        layouts.semantickitti,
        lambda root, R: second(root / SEQUENCE / "poses.txt", three_by_four(R)),
        "00/poses.txt: line 2",
    ),
    "semantickitti, Tr": (
        layouts.semantickitti,
        lambda root, R: entry(root / SEQUENCE / "calib.txt", "Tr", three_by_four(R)),
        "00/calib.txt: line Tr",
    ),
    "kitti_raw": (
        layout_kitti_raw.layout,
        lambda root, R: entry(root / DATE / "calib_velo_to_cam.txt", "R", numbers(R)),
        "calib_velo_to_cam.txt: line R",
    ),
    "rellis3d": (
        layout_rellis3d.sequences,
        lambda root, R: second(root / RELLIS / "poses.txt", three_by_four(R)),
        "00000/poses.txt: line 2",
    ),
    "folder, poses": (
        own_files.folder,
        lambda root, R: second(root / "poses.txt", three_by_four(R)),
        "data/poses.txt: line 2",
    ),
    "folder, extrinsic": (
        own_files.folder,
        lambda root, R: mount(root, "rotation", R.tolist()),
        "xkd.yaml: cameras.front.T_camera_lidar",
    ),
}
QUATERNIONS = {
    "nuscenes": (
        layouts.nuscenes,
        lambda root, q: row(root / "v1.0-mini" / "calibrated_sensor.json", "c-front", "rotation", q),
        "calibrated_sensor.json: row c-front",
    ),
    "pandaset": (panda, heading, "002/lidar/poses.json: row 2: heading"),
    "rellis3d": (
        layout_rellis3d.sequences,
        lambda root, q: (root / RELLIS / "transforms.yaml").write_text(
            layout_rellis3d.MOUNT.replace(QUATERNION, "  q: {{w: {}, x: {}, y: {}, z: {}}}".format(*q))
        ),
        "transforms.yaml: os1_cloud_node-pylon_camera_node",
    ),
    "folder, poses": (own_files.folder, tum, "data/poses.txt: line 2"),
    "folder, extrinsic": (
        own_files.folder,
        lambda root, q: mount(root, "quaternion", q),
        "xkd.yaml: cameras.front.T_camera_lidar",
    ),
}


def read(name, root):
    """Every pose and camera of the data set of a case."""
    for frame in open_dataset(name.partition(",")[0], root):
        _ = frame.T_world_lidar, [camera.T_cam_lidar for camera in frame.cameras]


C, S = np.cos(np.pi / 6), np.sin(np.pi / 6)
TURN = np.array([[C, -S, 0], [S, C, 0], [0, 0, 1]])


@pytest.mark.parametrize("name", MATRICES)
def test_matrices(name, tmp_path):
    """30 degrees to three decimals are a rotation: 0.866^2 + 0.5^2 = 0.99996. Rows 1 % too long have a product of 1.0201, and a shear of
    1 % leaves 0.01 off the diagonal."""
    layout, change, where = MATRICES[name]
    root = layout(tmp_path / "data")
    change(root, TURN.round(3))
    read(name, root)
    for R, words in (
        (np.diag([1.0, 1, -1]), ["mirrors (its determinant is -1)", "[0.0, 0.0, -1.0]"]),
        (TURN * 1.01, ["is not orthonormal", "no rotation", "0.8747"]),
        (np.eye(3) + [[0, 0.01, 0], [0, 0, 0], [0, 0, 0]], ["is not orthonormal", "0.01"]),
    ):
        change(root, R)
        with complains(where, *words):
            read(name, root)


@pytest.mark.parametrize("name", QUATERNIONS)
def test_quaternions(name, tmp_path):
    """Two decimals of a quarter turn, 0.71^2 + 0.71^2 = 1.0082, are one; 1.2 and 0.9 are no lengths of a rotation, nor is 0."""
    layout, change, where = QUATERNIONS[name]
    root = layout(tmp_path / "data")
    change(root, [0.71, 0, 0, 0.71])
    read(name, root)
    for q, words in (([0, 1.2, 0, 0], ["1.2"]), ([0, 0, 0, 0.9], ["0.9"]), ([0, 0, 0, 0], ["length 0"])):
        change(root, q)
        with complains(where, "quaternion", *words):
            read(name, root)
