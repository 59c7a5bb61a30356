"""`python -m xkd check` on samples of real frames: nothing is bad of them as they are, and copies with one plain mistake are told of."""

import pytest
import swapped
from test_frames import REAL, real

from xkd.__main__ import main
from xkd.real import samples

FOLDERS = {name: sample.folder for name, sample in samples.SAMPLES.items()} | {"nuscenes": "nuscenes_one_sample"}
FRAMES = {"semantickitti": 4, "kitti_raw": 3, "opencalib": 3}
"""How many are looked at; one of the others."""


def said(name, tmp_path, capsys, change=None):
    """The exit status, and the findings that are not good of a copy that `change` (its folder) changed: {what: (verdict, the rest)}."""
    root = swapped.copied(REAL / FOLDERS[name], tmp_path / "data" / FOLDERS[name])
    if change:
        change(root)
    if name in samples.SAMPLES:
        root, _ = samples.place(name, tmp_path / "data", tmp_path / "laid")
    status = main(["check", str(root), "--frames", str(FRAMES.get(name, 1))])
    lines = [
        line[6:].split("  ", 1) + [line[:4].strip()] for line in capsys.readouterr().out.splitlines() if "  -> " in line
    ]
    return status, {what.strip(): (verdict, text.strip()) for what, text, verdict in lines}


@real
@pytest.mark.parametrize("name", FOLDERS)
def test_nothing_is_bad_of_a_sample_as_it_is(name, tmp_path, capsys):
    status, found = said(name, tmp_path, capsys)
    assert status == 0 and {verdict for verdict, _ in found.values()} <= {"look"}, found


XY, MIRRORED = "with x and y of the scan swapped", "with left and right of the scan swapped"
MISTAKES = {
    "semantickitti raised": ("image_2: alignment", "look", "with the scan 1 m higher", "image_2/0000"),
    "semantickitti xy": ("world", "bad", XY, "frame 0"),
    "kitti_raw raised": ("image_02: alignment", "look", "with the scan 1 m higher", "data/0000000000.png"),
    "kitti_raw xy": ("image_02: alignment", "bad", XY, "data/0000000000.png"),
    "opencalib raised": ("front: alignment", "look", "hardly where the image's are", "calib.jpg"),
    "opencalib xy": ("front: alignment", "look", "hardly where the image's are", "calib.jpg"),
    "opencalib mirrored": ("front: alignment", "bad", MIRRORED, "calib.jpg"),
    "kitti_raw mirrored": ("image_02: alignment", "bad", MIRRORED, "data/0000000000.png"),
    "rellis3d raised": ("pylon_camera_node: alignment", "look", " at least", "frame000104"),
}
FILES = {"semantickitti": ("*.bin", 4), "kitti_raw": ("*.bin", 4), "opencalib": ("calib.bin", 4)}


@real
@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_in_the_files_is_told_with_the_file_to_look_at(case, tmp_path, capsys):
    name, mistake = case.split()
    if mistake in ("xy", "mirrored"):
        rows = {"xy": swapped.XY, "mirrored": swapped.MIRRORED}[mistake]
        _, found = said(name, tmp_path, capsys, lambda root: swapped.scans(root, *FILES[name], rows))
    else:
        change = getattr(swapped, mistake)
        _, found = said(name, tmp_path, capsys, lambda root: getattr(swapped, name)(root, change))
    what, verdict, words, where = MISTAKES[case]
    assert found[what][0] == verdict and words in found[what][1] and where in found[what][1].split("  -> ")[1], found


WAY = "with the extrinsics the other way round"
HALF = f"{WAY} in axes turned by 180 degrees"
INVERTED = {
    "semantickitti": ("image_2", WAY, "image_2/0000"),
    "kitti_raw": ("image_02", WAY, "image_02/data/00000000"),
    "opencalib": ("front", WAY, "/calib."),
    "rellis3d": ("pylon_camera_node", HALF, "frame000104"),
}


@real
@pytest.mark.parametrize("name", INVERTED)
def test_extrinsics_the_other_way_round_are_told_by_the_mount_and_by_the_score(name, tmp_path, capsys):
    status, found = said(name, tmp_path, capsys, lambda root: getattr(swapped, name)(root, swapped.inverted))
    camera, words, where = INVERTED[name]
    assert status == 1
    for what in (f"{camera}: mount", f"{camera}: alignment"):
        verdict, text = found[what]
        assert verdict == "bad" and f"{words} it is " in text and where in text.split("  -> ")[1], found


@real
def test_a_rig_with_all_its_extrinsics_the_other_way_round_is_told_by_the_score(tmp_path, capsys):
    status, found = said("nuscenes", tmp_path, capsys, lambda root: swapped.nuscenes(root, swapped.mounts_inverted))
    verdict, text = found["rig: alignment"]
    assert status == 1 and verdict == "bad" and f"{WAY} it is " in text
    for camera in ("CAM_FRONT", "CAM_BACK"):
        verdict, text = found[f"{camera}: mount"]
        assert verdict == "bad" and f"{WAY} it is upright" in text


@real
@pytest.mark.parametrize(
    "name, one, other",
    [
        ("nuscenes", "CAM_FRONT", "CAM_FRONT_LEFT"),
        ("nuscenes", "CAM_BACK_LEFT", "CAM_FRONT_LEFT"),
        ("pandaset", "front_camera", "front_left_camera"),
    ],
)
def test_two_cameras_of_a_rig_exchanged_are_both_bad(name, one, other, tmp_path, capsys):
    def change(root):
        if name == "nuscenes":
            swapped.nuscenes(root, swapped.exchanged(one, other))
        else:
            swapped.pandaset(root, one, other)

    status, found = said(name, tmp_path, capsys, change)
    assert status == 1
    for camera, twin in ((one, other), (other, one)):
        verdict, text = found[f"{camera}: alignment"]
        assert verdict == "bad" and f"with the extrinsics of {twin} it is" in text and f"{camera}/" in text


@real
def test_x_and_y_of_a_rig_with_axes_of_its_own_are_named(tmp_path, capsys):
    """nuScenes' x is to the right, so that x and y exchanged there are -y and x here."""
    status, found = said(
        "nuscenes", tmp_path, capsys, lambda root: swapped.scans(root, "samples/LIDAR_TOP/*.bin", 5, swapped.XY)
    )
    verdict, text = found["rig: alignment"]
    assert status == 1 and verdict == "bad" and "with x and -y of the scan swapped" in text
