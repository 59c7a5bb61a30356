"""Frames that cannot be looked at: one sentence that names the file and the value."""

from types import SimpleNamespace

import numpy as np
import own_files
import pytest
from PIL import Image

from xkd import XkdError, linked, looks


@pytest.mark.parametrize("seen", [0, 1])
def test_a_layout_that_leaves_no_points_in_the_images_is_one_sentence(tmp_path, capsys, seen):
    """Scans of four columns whose points lie behind the camera, but for one of them."""
    for name in ("lidar", "front"):
        (tmp_path / name).mkdir()
    points = np.full((20, 4), [0, -9, 0, 1], np.float32)
    points[:seen, 1] = 9
    points.tofile(tmp_path / "lidar" / "0.bin")
    Image.new("RGB", (160, 90)).save(tmp_path / "front" / "0.png")
    given = dict.fromkeys(("labels", "classes", "ignored", "poses"))
    scans = {"files": "lidar/*.bin", "timestamps": None}
    own_files.say(tmp_path, scans=scans, cameras={"front": own_files.camera(timestamps=None)}, **given)
    assert looks.main([str(tmp_path / "page.html"), "--root", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"xkd.looks: {tmp_path / 'front' / '0.png'}: {seen} of the 20 points of frame ")
    assert said.count("\n") == 1 and f"python -m xkd check {tmp_path} looks" in said


def test_a_frame_without_an_image_is_said_to_have_none():
    with pytest.raises(XkdError, match="here: frame f has no image"):
        linked._pairs(SimpleNamespace(root="here"), SimpleNamespace(id="f", cameras=[]))
