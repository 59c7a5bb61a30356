"""`python -m xkd check`: right data are called good, and each of the common mistakes is named."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import xkd
from xkd import XkdError, alignment, check
from xkd.__main__ import main
from xkd.datasets.frame import Camera
from xkd.geometry import invert

REAL = xkd.ROOT.parent / "shared" / "data"
real = pytest.mark.skipif(not REAL.is_dir(), reason=f"{REAL}: the real frames are not here")

EYE = np.eye(4)
T_CAM_LIDAR = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]], np.float64)
"""A camera at the LiDAR that looks forward."""
CAMERA = Camera(
    "front",
    Path("front.png"),
    (100, 200),
    np.array([[100, 0, 99.5], [0, 100, 49.5], [0, 0, 1]]),
    invert(T_CAM_LIDAR),
    EYE,
    EYE,
)


def box():
    """A wall 20 m away and, 8 m away, a board 2 m wide: (N, 3) points at every half degree, and (N,) bool, those on the board."""
    yaw, pitch = np.meshgrid(np.deg2rad(np.arange(-40, 40.1, 0.5)), np.deg2rad(np.arange(-10, 10.1, 0.5)))
    board = (np.abs(8 * np.tan(yaw)) <= 1).ravel()
    forward = np.where(board, 8.0, 20.0)
    points = forward[:, None] * np.stack([np.ones_like(yaw), np.tan(yaw), np.tan(pitch) / np.cos(yaw)], 2).reshape(
        -1, 3
    )
    return points.astype(np.float32), board


def picture():
    """What the camera sees of `box`: the board is white. Its sides are at columns 99.5 -+ 12.5."""
    image = np.zeros((100, 200, 3), np.uint8)
    image[:, 87:113] = 255
    return image


def test_edges_of_a_scan_are_on_the_near_side_of_a_jump():
    points, board = box()
    edges = alignment.range_edges(points)
    side = np.abs(points[:, 1]) > 8 * np.tan(np.deg2rad(6.6))  # the board's last columns, at 7 degrees
    amid = np.abs(points[:, 2] / points[:, 0]) < np.tan(
        np.deg2rad(8)
    )  # at the scan's border neighbours lie farther off
    assert edges[board & side].all() and not edges[~board].any() and not edges[board & ~side & amid].any()
    assert not alignment.range_edges(np.zeros((20, 3), np.float32)).any()


def test_edges_of_an_image_are_ranks():
    strength = alignment.image_edges(picture())
    assert strength.shape == (100, 200) and strength.mean(1) == pytest.approx(np.zeros(100), abs=1e-6)
    far = strength[:, [0, 40, 100, 160]]
    assert (far == far[0, 0]).all()
    # 22 of 200 columns or fewer are near an edge, so all others are weaker.
    assert (strength[:, [86, 87, 112, 113]] - far[0, 0] > 0.85).all()


def test_a_turned_camera_scores_lower_and_a_right_one_high():
    points, _ = box()
    edges, strength = alignment.range_edges(points), alignment.image_edges(picture())
    right, count = alignment.score(points, edges, CAMERA, strength)
    turned, _ = alignment.score(points, edges, alignment.nudged(CAMERA, (0, np.deg2rad(5), 0)), strength)
    assert right > 0.7 and turned < 0.3 and count > 50
    behind = alignment.nudged(CAMERA, (0, np.pi, 0))
    value, count = alignment.score(points, edges, behind, strength)
    assert np.isnan(value) and count == 0


def test_a_nudge_turns_about_the_cameras_own_axes():
    point = np.array([[10.0, 0, 0]])
    for turn, moved in (
        ((0, 0.1, 0), (49.5, 99.5 - 100 * np.tan(0.1))),
        ((0.1, 0, 0), (49.5 + 100 * np.tan(0.1), 99.5)),
    ):
        pixel, _, _ = alignment.project(point, alignment.nudged(CAMERA, turn))
        assert pixel[0] == pytest.approx(moved)
    pixel, _, _ = alignment.project(point, alignment.nudged(CAMERA, shift=(1, 0, 0)))
    assert pixel[0] == pytest.approx((49.5, 89.5))


def test_a_gain_is_the_mean_difference_less_its_error():
    # By hand: differences 0.2 and 0.1; sqrt(4 (1/100 + 1/100 + 1/50 + 1/50)) / 2 / sqrt(12) = 0.0707.
    assert check.gain([(0.3, 100), (0.2, 50)], [(0.1, 100), (0.1, 50)]) == pytest.approx(0.15 - 0.0707, abs=1e-4)
    assert check.gain([(float("nan"), 0)], [(0.1, 100)]) < 0


class Bent:
    """A data set whose cameras, or frames, are not what they were."""

    def __init__(self, dataset, camera=lambda c: c, frame=lambda f: f):
        self.dataset, self.camera, self.change = dataset, camera, frame

    def __getattr__(self, name):
        return getattr(self.dataset, name)

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, i):
        frame = self.change(self.dataset[i])
        frame.__dict__["cameras"] = [self.camera(camera) for camera in frame.cameras]
        return frame


def verdicts(dataset, frames=4):
    return {finding.what: finding for finding in check.check(dataset, frames)}


def test_made_data_are_good(made):
    for kind in ("semantickitti", "nuscenes"):
        found = verdicts(xkd.open_dataset(kind, made / kind, "train"))
        assert not [f for f in found.values() if f.verdict == "bad"] and {"points", "motion", "any camera"} <= set(
            found
        )


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda c: check.moved(c, invert(c.T_cam_lidar)), "with the extrinsics the other way round"),
        (lambda c: check.moved(c, c.T_cam_lidar @ np.diag([1, -1, 1, 1.0])), "with left and right of the scan swapped"),
        (lambda c: check.moved(c, c.T_cam_lidar @ np.diag([-1, -1, 1, 1.0])), "with the scan turned by 180 degrees"),
    ],
    ids=["direction", "mirrored", "turned"],
)
@real
def test_wrong_extrinsics_are_named(change, words):
    dataset = Bent(xkd.open_dataset("semantickitti", REAL / "semantickitti"), change)
    found = verdicts(dataset, 6)
    assert found["image_2: alignment"].verdict == "bad" or found["image_2"].verdict == "bad"
    assert words in found["image_2: alignment"].found or "the other way round" in found["image_2"].found


@real
def test_real_frames_are_good_and_a_turn_of_four_degrees_is_seen():
    dataset = xkd.open_dataset("semantickitti", REAL / "semantickitti")
    found = verdicts(dataset, 8)
    assert {f.verdict for f in found.values()} <= {"good", "look"} and found["image_2: alignment"].verdict == "good"
    turned = verdicts(Bent(dataset, lambda c: alignment.nudged(c, (0, np.deg2rad(4), 0))), 8)["image_2: alignment"]
    assert turned.verdict == "look" and "turned by -4 degrees left or right" in turned.found


def test_poses_that_jump_and_times_that_run_back(made):
    dataset = xkd.open_dataset("nuscenes", made / "nuscenes", "train")
    assert check.motion(dataset).verdict == "good"
    far = EYE.copy()
    far[0, 3] = 500
    last = max(i for i in range(1, len(dataset)) if dataset.scenes[i] == dataset.scenes[i - 1])
    jumped = Bent(dataset, frame=lambda f: replace(f, T_world_lidar=far @ f.T_world_lidar) if f.index == last else f)
    found = check.motion(jumped)
    assert found.verdict == "bad" and "a pose jumps" in found.found and dataset[last].id in found.where
    back = check.motion(Bent(dataset, frame=lambda f: replace(f, timestamp=-f.timestamp)))
    assert back.verdict == "bad" and "s after the frame before it" in back.found
    still = check.motion(Bent(dataset, frame=lambda f: replace(f, T_world_lidar=EYE)))
    assert still.verdict == "look" and "no pose moves" in still.found


def test_a_broken_scan_is_a_finding_that_names_its_file(kitti, capsys):
    scans = sorted(kitti.rglob("velodyne/*.bin"))
    scans[0].write_bytes(b"\0" * 15)
    assert main(["check", str(kitti), "--split", "train"]) == 1
    said = capsys.readouterr().out
    assert f"{scans[0]}: 15 bytes are not a whole number of points" in said and "bad   reading" in said


def test_a_folder_that_is_no_data_set(tmp_path, capsys):
    assert main(["check", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"xkd: {tmp_path}: is a data set of no known layout") and "semantickitti: " in said
    assert main(["check", str(tmp_path / "nothing")]) == 1
    assert capsys.readouterr().err == f"xkd: {tmp_path / 'nothing'}: no such folder.\n"
    with pytest.raises(XkdError, match="knows no option colour"):
        check.opened(tmp_path, "semantickitti", colour="red")
