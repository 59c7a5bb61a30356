"""What tests of bad input share: how a complaint is checked, how a file is damaged, and files of the layouts' first frames."""

import json
import re

import pytest

from xkd import XkdError

SCAN = "samples/LIDAR_TOP/scene-0061-0-lidar-1000000.pcd.bin"
LABEL = "lidarseg/v1.0-mini/scene-0061-0_lidarseg.bin"
FRONT = "samples/CAM_FRONT/scene-0061-0-front-1040000.jpg"
SEQUENCE = "dataset/sequences/00"


def complains(*words):
    """XkdError with one sentence that has these words in it."""
    return pytest.raises(XkdError, match=".*".join(map(re.escape, words)) + r".*\.$")


def shorten(path, bytes):
    path.write_bytes(path.read_bytes()[:-bytes])


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def change(nuscenes, table, alter):
    path = nuscenes / "v1.0-mini" / f"{table}.json"
    rows = json.loads(path.read_text())
    path.write_text(json.dumps(alter(rows)))
