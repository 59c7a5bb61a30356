"""`python -m xkd check`: right data are called good, and each of the common mistakes is named."""

import shutil
from dataclasses import replace
from pathlib import Path

import layouts
import numpy as np
import own_files
import pytest

import xkd
from xkd import XkdError, alignment, check, opening, rivals
from xkd.__main__ import main
from xkd.datasets.frame import Camera
from xkd.findings import report
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
    assert rivals.gain([(0.3, 100), (0.2, 50)], [(0.1, 100), (0.1, 50)]) == pytest.approx(0.15 - 0.0707, abs=1e-4)
    assert rivals.gain([(float("nan"), 0)], [(0.1, 100)]) < 0
    # An image that shows no edge is known to score 0: sqrt(4 / 100) / sqrt(12) = 0.0577.
    assert rivals.gain([(0.3, 100)], [(float("nan"), 0)]) == pytest.approx(0.3 - 0.0577, abs=1e-4)


INVERTED = "with the extrinsics the other way round"


def found_in(scores, others):
    return rivals.mistake(scores, {key: [value] for key, value in others.items()})


def test_cameras_that_tell_little_alone_tell_together():
    # Alone: 0.06 - sqrt(4 (1/100 + 1/100)) / sqrt(12) = -0.022. Four: 0.06 - 0.082 / 2 = 0.019; sixteen: 0.06 - 0.082 / 4 = 0.040 > 0.03.
    for count, told in ((1, False), (4, False), (16, True)):
        names = [f"c{k}" for k in range(count)]
        given = {name: [(0.0, 100)] for name in names}
        assert (found_in(given, {(name, INVERTED): (0.06, 100) for name in names})[0] == INVERTED) == told
    given = {name: [(-0.5, 1000)] for name in "abc"}
    # Better by far and yet nowhere near an image's edges: such a calibration is not named.
    assert found_in(given, {(name, INVERTED): (0.01, 1000) for name in given})[0] is None
    one_of_three = {("a", INVERTED): (0.9, 1000), ("b", INVERTED): (-0.6, 1000), ("c", INVERTED): (-0.6, 1000)}
    assert found_in(given, one_of_three)[0] is None


def test_findings_of_a_rig_name_the_mistake_and_no_worse_calibration():
    scores, paths = {"a": [(0.01, 1000)], "b": [(0.01, 1000)]}, {"a": "a.png", "b": "b.png"}
    better = {(name, INVERTED): [(0.2, 1000)] for name in scores}
    first, *each = rivals.alignment(scores, {}, better, paths)
    assert first.what == "rig: alignment" and first.found == f"edge score 0.010 of 2 cameras; {INVERTED} it is 0.200"
    assert [one.verdict for one in (first, *each)] == ["bad"] * 3 and each[1].where == "b.png"
    low = {"a": [(-0.2, 1000)]}
    turn = {("a", "turned by +2 degrees up or down"): [(-0.05, 1000)]}
    (only,) = rivals.alignment(low, turn, {}, paths)
    assert only.verdict == "look" and "turned" not in only.found and "hardly where the image's are" in only.found


@pytest.mark.parametrize(
    "own, by, told", [(0.01, 0.04, True), (0.01, 0.015, False), (0.03, 0.06, False), (0.03, 0.09, True)]
)
def test_a_mirrored_scan_is_told_of_by_less_where_the_given_one_fits_nowhere(own, by, told):
    """By hand: a gain of 0.03 - sqrt(4 * 2 / 4000) / sqrt(12) = 0.017 lies between 0.01 and 0.03; the mirrored one has to fit too."""
    name = "with left and right of the scan swapped"
    found = rivals.mistake({"a": [(own, 4000)]}, {("a", name): [(by, 4000)]})
    assert found == ((name, ["a"]) if told else (None, []))
    other = rivals.mistake({"a": [(own, 4000)]}, {("a", INVERTED): [(by, 4000)]})
    assert (other[0] == INVERTED) == (by - own > 0.05)


def test_cameras_that_would_fit_in_each_others_place_are_bad():
    """By hand: both together gain (0.10 + 0.12 - 0.00 - 0.01) / 2 less sqrt(4 * 4 / 1000) / 2 / sqrt(12) = 0.087. c alone would be
    better off in a's place, a not in c's."""
    scores = {"a": [(0.0, 1000)], "b": [(0.01, 1000)], "c": [(0.05, 1000)]}
    values = {"ab": 0.1, "ba": 0.12, "ac": -0.1, "ca": 0.9, "bc": 0, "cb": 0}
    others = {tuple(names): [(value, 1000)] for names, value in values.items()}
    assert rivals.exchanges(scores, others) == {"a": "b", "b": "a"}
    still = {(name, "turned by +2 degrees up or down"): [(-0.5, 1000)] for name in scores}
    first, second, third = rivals.alignment(scores, still, {}, {name: f"{name}.png" for name in scores}, others)
    assert first.verdict == second.verdict == "bad" and third.verdict == "good"
    assert first.found == "edge score 0.000; with the extrinsics of b it is 0.100" and first.where == "a.png"
    few = {name: [(value, 99) for value, _ in rows] for name, rows in scores.items()}
    assert not rivals.exchanges(few, others) and not rivals.exchanges(scores, {})


def test_a_rival_stands_where_another_camera_does_and_keeps_its_own_time():
    rig = np.eye(4)
    rig[0, 3] = 3
    side = replace(CAMERA, name="side", T_rig_cam=CAMERA.T_rig_cam @ np.diag([-1, 1, -1, 1.0]), T_world_rig=rig)
    ((name, found),) = rivals.exchanged(CAMERA, [CAMERA, side])
    assert name == "side" and (found.T_rig_cam == side.T_rig_cam).all() and (found.T_world_rig == EYE).all()


def test_a_raised_scan_lies_where_its_points_would_a_metre_higher():
    rows = {
        name: alignment.project(np.array([[10.0, 0, 0]]), camera)[0][0, 0] for name, camera in rivals.turned(CAMERA)
    }
    # 100 pixels to the unit: a metre at ten is ten pixels, and upward is a smaller row.
    assert rows["with the scan 1 m higher"] == pytest.approx(39.5)
    assert rows["with the scan 0.5 m lower"] == pytest.approx(54.5)


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
    found = check.check(dataset, frames)
    assert all(finding.where for finding in found if finding.verdict != "good"), report(found)
    return {finding.what: finding for finding in found}


def test_made_data_are_good(made):
    for kind in ("semantickitti", "nuscenes"):
        found = verdicts(xkd.open_dataset(kind, made / kind, "train"))
        assert not [f for f in found.values() if f.verdict == "bad"]
        for what in ("points", "motion", "any camera", "ground", "mounts", "way", "world"):
            assert found[what].verdict == "good"


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda c: rivals.moved(c, invert(c.T_cam_lidar)), "with the extrinsics the other way round"),
        (
            lambda c: rivals.moved(c, c.T_cam_lidar @ np.diag([1, -1, 1, 1.0])),
            "with left and right of the scan swapped",
        ),
        (lambda c: rivals.moved(c, c.T_cam_lidar @ np.diag([-1, -1, 1, 1.0])), "with the scan turned by 180 degrees"),
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


@pytest.mark.parametrize("frames", [1, 4])
def test_a_rig_the_other_way_round_is_bad_in_one_frame_too(made, frames):
    dataset = Bent(
        xkd.open_dataset("nuscenes", made / "nuscenes", "train"), lambda c: rivals.moved(c, invert(c.T_cam_lidar))
    )
    found = verdicts(dataset, frames)
    assert found["CAM_FRONT: mount"].verdict == found["CAM_BACK: mount"].verdict == "bad"
    assert "with the extrinsics the other way round it is upright" in found["CAM_FRONT: mount"].found


@real
def test_a_real_rig_the_other_way_round_is_bad_by_its_images():
    dataset = xkd.open_dataset("nuscenes", REAL / "nuscenes_one_sample")
    found = verdicts(Bent(dataset, lambda c: rivals.moved(c, invert(c.T_cam_lidar))))
    assert found["rig: alignment"].verdict == "bad" and INVERTED in found["rig: alignment"].found


def moves(dataset):
    return {finding.what: finding for finding in check.motion(dataset)}


def test_poses_that_jump_and_times_that_run_back(made):
    dataset = xkd.open_dataset("nuscenes", made / "nuscenes", "train")
    assert moves(dataset)["motion"].verdict == "good"
    far = EYE.copy()
    far[0, 3] = 500
    last = max(i for i in range(1, len(dataset)) if dataset.scenes[i] == dataset.scenes[i - 1])
    jumped = Bent(dataset, frame=lambda f: replace(f, T_world_lidar=far @ f.T_world_lidar) if f.index == last else f)
    found = moves(jumped)["motion"]
    assert found.verdict == "bad" and "a pose jumps" in found.found and dataset[last].id in found.where
    back = moves(Bent(dataset, frame=lambda f: replace(f, timestamp=-f.timestamp)))["motion"]
    assert back.verdict == "bad" and "s after the frame before it" in back.found
    still = moves(Bent(dataset, frame=lambda f: replace(f, T_world_lidar=EYE)))["motion"]
    assert still.verdict == "look" and "no pose moves" in still.found and still.where


class Shut(Bent):
    """A data set whose frames of some numbers cannot be opened; one of them for a reason that no reader means to give."""

    shut = (0, 2)

    def __getitem__(self, i):
        if i in self.shut:
            raise XkdError("poses.txt: no pose") if i else KeyError("pose")
        return super().__getitem__(i)


def test_frames_that_cannot_be_opened_are_findings(made):
    dataset = Shut(xkd.open_dataset("nuscenes", made / "nuscenes", "train"))
    found = check.check(dataset, 2)
    (reading,) = [f for f in found if f.what == "reading"]
    assert reading.where == f"frame number 0, of scene {dataset.scenes[0]}" and reading.found == "KeyError: 'pose'"
    (opening,) = [f for f in found if f.what == "opening"]
    assert opening.found == "1 frame cannot be opened; the first: poses.txt: no pose" and "number 2" in opening.where
    assert {"points", "motion"} <= {f.what for f in found}
    dataset.shut = range(len(dataset))
    assert {f.what for f in check.check(dataset, 2) if f.verdict == "bad"} == {"reading", "opening"}


def scanned(**changes):
    """A change of a frame's points, attributes or labels."""

    def change(frame):
        points, attributes = changes.get("points", frame.points), changes.get("attributes", frame.attributes)
        frame.__dict__["_scan"] = points, attributes
        frame.__dict__["_annotation"] = changes.get("labels", frame.labels), None
        return frame

    return change


def test_scans_of_which_nothing_can_be_told(made):
    dataset = xkd.open_dataset("semantickitti", made / "semantickitti", "train")
    empty = Bent(dataset, frame=scanned(points=np.empty((0, 3), np.float32), labels=None))
    assert "the scan has no point" in verdicts(empty)["reading"].found
    short = Bent(dataset, frame=scanned(labels=np.zeros(3, np.int64)))
    assert "3 labels for" in verdicts(short)["reading"].found
    bare = verdicts(Bent(dataset, frame=scanned(attributes={}, labels=None)))
    assert bare["intensity"].found == "none" and bare["intensity"].verdict == "look"
    few = np.ones((5, 3), np.float32)
    assert verdicts(Bent(dataset, frame=scanned(points=few, labels=None)))["ground"].verdict == "look"


@pytest.mark.parametrize("least, verdict", [(0.5, "look"), (0.496, "look"), (0.49, "good"), (0.0, "good")])
def test_intensities_that_hardly_differ(made, least, verdict):
    # One point in a hundred may be another: of 0.5 the least may be 0.495 where more of them are less.
    dataset = xkd.open_dataset("semantickitti", made / "semantickitti", "train")

    def change(frame):
        values = np.full(len(frame.points), 0.5, np.float32)
        values[: len(values) // 50], values[0] = least, 0.0
        return scanned(attributes={"intensity": values})(frame)

    assert verdicts(Bent(dataset, frame=change), 2)["intensity"].verdict == verdict


def test_a_broken_scan_is_a_finding_that_names_its_file(kitti, capsys):
    scans = sorted(kitti.rglob("velodyne/*.bin"))
    scans[0].write_bytes(b"\0" * 15)
    assert main(["check", str(kitti), "--split", "train"]) == 1
    said = capsys.readouterr().out
    assert f"{scans[0]}: 15 bytes are not a whole number of points" in said and "bad   reading" in said


@pytest.mark.parametrize("frames", ["0", "-3"])
def test_no_frame_to_look_at_is_refused(kitti, capsys, frames):
    assert main(["check", str(kitti), "--frames", frames]) == 1
    assert capsys.readouterr().err == f"xkd: {frames} frames to look at; there has to be one at least.\n"


def refusal(root, capsys, *arguments):
    assert main(["check", str(root), *arguments]) == 1
    said = capsys.readouterr().err
    assert said.startswith("xkd: ") and said.count("\n") == 1
    return said[5:-1]


def test_an_error_of_the_layout_that_is_there_is_told_alone(tmp_path, capsys):
    root = own_files.folder(tmp_path / "own")
    (root / "xkd.yaml").write_text("scans: {files: lidar/*.pcd, intensity_max: 0}")
    alone = f"{root / 'xkd.yaml'}: scans.intensity_max is 0; it has to be larger than 0."
    assert refusal(root, capsys) == alone
    (root / "v1.0-mini").mkdir()
    assert refusal(root, capsys) == alone, "an xkd.yaml says itself what the folder is"
    empty = tmp_path / "empty"
    for name, says in (
        ("sequences", f"{empty / 'sequences'}: holds no velodyne scan of split train, val or test."),
        ("002/lidar/00.pkl.gz", None),
        (
            "2011_09_26/2011_09_26_drive_0001_sync",
            f"{empty}: holds no <date>/<date>_drive_<number>_sync/velodyne_points",
        ),
        ("00000/os1_cloud_node_kitti_bin", f"{empty}: holds no scan in <sequence>/os1_cloud_node_kitti_bin"),
    ):
        (empty / name).mkdir(parents=True)
        said = refusal(empty, capsys)
        assert "known layout" not in said and (says is None or said.startswith(says)), said
        shutil.rmtree(empty)


def test_versions_and_splits_are_chosen_as_the_command_line_does(tmp_path, capsys):
    for version in ("v1.0-mini", "v1.0-trainval"):
        layouts.nuscenes(tmp_path, version)
    said = refusal(tmp_path, capsys)
    assert said.endswith("holds tables of v1.0-mini, v1.0-trainval; say which with --split or --option version=NAME.")
    assert main(["check", str(tmp_path), "--option", "version=v1.0-mini", "--frames", "1"]) in (0, 1)
    assert "nuscenes: 5 frames of 2 scenes" in capsys.readouterr().out


def test_a_folder_that_is_no_data_set(tmp_path, capsys):
    (tmp_path / "notes").mkdir()
    said = refusal(tmp_path, capsys)
    assert said.startswith(f"{tmp_path}: is a data set of no known layout") and "semantickitti: sequences or" in said
    assert "Its folder" not in said and len(said) < 700
    (tmp_path / "kitti" / "sequences").mkdir(parents=True)
    assert "Its folder kitti looks like semantickitti: give that." in refusal(tmp_path, capsys)
    assert refusal(tmp_path / "nothing", capsys) == f"{tmp_path / 'nothing'}: no such folder."
    with pytest.raises(XkdError, match="knows no option colour"):
        opening.opened(tmp_path, "semantickitti", colour="red")
