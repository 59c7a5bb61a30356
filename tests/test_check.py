"""`python -m xkd check`: right data are called good, and each of the common mistakes is named."""

from dataclasses import replace

import numpy as np
import pytest
from test_alignment import EYE, INVERTED

import xkd
from xkd import XkdError, alignment, check, rivals
from xkd.__main__ import main
from xkd.findings import report
from xkd.geometry import invert

REAL = xkd.ROOT.parent / "shared" / "data"
real = pytest.mark.skipif(not REAL.is_dir(), reason=f"{REAL}: the real frames are not here")


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
