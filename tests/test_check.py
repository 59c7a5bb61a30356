"""`python -m xkd check`: right data are called good, and each of the common mistakes is named."""

from dataclasses import replace

import numpy as np
import pytest
from test_alignment import CAMERA, EYE, INVERTED

import xkd
from xkd import XkdError, alignment, check, rivals
from xkd.__main__ import main
from xkd.findings import report
from xkd.geometry import invert

REAL = xkd.ROOT.parent / "shared" / "data"
real = pytest.mark.skipif(not REAL.is_dir(), reason=f"{REAL}: the real frames are not here")


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
    # The quaternion of no turn, its real part last: read in the layout's order it is half a turn about z.
    half = np.diag([-1.0, -1.0, 1.0, 1.0])
    turned = lambda f: replace(f, T_world_lidar=f.T_world_lidar @ half) if f.index == last else f  # noqa: E731
    found = moves(Bent(dataset, frame=turned))["motion"]
    assert found.verdict == "bad" and "a pose turns" in found.found and dataset[last].id in found.where
    back = moves(Bent(dataset, frame=lambda f: replace(f, timestamp=-f.timestamp)))["motion"]
    timeless = moves(Bent(dataset, frame=lambda f: replace(f, timestamp=None)))["motion"]
    assert timeless.verdict == "look" and "no timestamps" in timeless.found
    assert back.verdict == "bad" and "s after the frame before it" in back.found
    still = moves(Bent(dataset, frame=lambda f: replace(f, T_world_lidar=EYE)))["motion"]
    assert still.verdict == "look" and "no pose moves" in still.found and still.where
    # Seconds that were written as microseconds: half a second from frame to frame is half a million of them.
    slow = moves(Bent(dataset, frame=lambda f: replace(f, timestamp=f.timestamp * 1_000_000)))["motion"]
    assert slow.verdict == "bad" and "in the layout's unit" in slow.found


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


@pytest.mark.parametrize("most, verdict", [(0.049, "look"), (0.051, "good")])
def test_intensities_that_were_divided_by_too_much(made, most, verdict):
    dataset = xkd.open_dataset("semantickitti", made / "semantickitti", "train")
    faint = lambda f: scanned(attributes={"intensity": np.linspace(0, most, len(f.points), dtype=np.float32)})(f)  # noqa: E731
    found = verdicts(Bent(dataset, frame=faint), 2)["intensity"]
    assert found.verdict == verdict and ("divided by more" in found.found) == (verdict == "look")


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
