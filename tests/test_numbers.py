"""What counts as a number in tables and calibration files, and what is told in one sentence because numpy would take it for one."""

import json
import re

import layout_pandaset
import numpy as np
import pytest
from complaints import change, complains

from xkd import calibration
from xkd.datasets import open_dataset
from xkd.geometry import numeric, quaternion_matrix, rigid

HUGE = 10**400
"""Beyond any float, whose largest is about 1.8e308."""


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2.5, -3], [1, 2.5, -3]),
        ([[1, 2], [3, 4]], [[1, 2], [3, 4]]),
        (((1, 2), [3, 4.5]), [[1, 2], [3, 4.5]]),
        ([10**300], [1e300]),
        (7, 7),
        ([np.float32(0.5), np.int16(2)], [0.5, 2]),
        ([np.array([1, 2]), np.array([3, 4])], [[1, 2], [3, 4]]),
        (np.array([[1, 2]], np.uint8), [[1, 2]]),
    ],
)
def test_numbers(values, expected):
    found = numeric(values)
    assert found.dtype == np.float64 and found.tolist() == expected


def test_none_is_not_a_number():
    assert np.isnan(numeric([1, None])).tolist() == [False, True] and np.isnan(numeric(None))


@pytest.mark.parametrize(
    "values",
    [
        *(HUGE, [HUGE], [1, -HUGE], [[1, 2], [3, HUGE]]),
        *("1", ["1", "2"], [1, "2"], [[1, 2], [3, "4"]], np.array(["1", "2"]), b"1", [b"1"]),
        *(True, [True, False], [1, True], [[1, 0], [0, True]], np.array([True]), [np.bool_(True)]),
        *([[1, 2], [3]], [1, [2]], [1j], {}, {"w": 1}, [{}], [object()], object()),
    ],
    ids=lambda values: re.sub("0x.*", "", repr(values))[:40],
)
def test_what_is_no_number(values):
    assert numeric(values).shape == (0,)


@pytest.mark.parametrize("value", [HUGE, "0", True], ids=["huge", "text", "truth"])
def test_transforms_of_what_is_no_number(value):
    with complains(f"{[value, 0, 0]} is not a translation of three finite numbers"):
        rigid([1, 0, 0, 0], [value, 0, 0])
    for make in (quaternion_matrix, lambda turn: rigid(turn, [0, 0, 0])):
        with complains(f"{[1, 0, 0, value]} is not a quaternion (w, x, y, z)"):
            make([1, 0, 0, value])


@pytest.mark.parametrize("value", ["0", True])
@pytest.mark.parametrize("field", ["rotation", "translation"])
def test_poses_of_nuscenes(nuscenes, field, value):
    wrong = [value, 0, 0] + [0] * (field == "rotation")
    change(nuscenes, "calibrated_sensor", lambda rows: [row | {field: wrong} for row in rows])
    with complains(
        "calibrated_sensor.json: row c-lidar", f"{wrong} is not a {'quaternion' if len(wrong) > 3 else field}"
    ):
        open_dataset("nuscenes", nuscenes)[0]


@pytest.mark.parametrize("value", ["0.5", True])
def test_times_of_pandaset(tmp_path, value):
    data = layout_pandaset.layout(tmp_path)
    path = min(data.glob("*/lidar/timestamps.json"))
    path.write_text(json.dumps([value, *json.loads(path.read_text())[1:]]))
    with complains(f"{path}: is not a list of finite numbers of seconds"):
        list(open_dataset("pandaset", data))


def test_texts_of_numbers_in_yaml():
    """YAML takes 1e-5 for a text, and calibration files have their numbers in one; a truth value is no number there either."""
    assert calibration.numbers([["1e-5", 2], [3, "-4"]]).tolist() == [[1e-5, 2], [3, -4]]
    assert calibration.numbers("1, 2 3e1").tolist() == [1, 2, 30] and calibration.numbers("7").tolist() == [7]
    for value in ("here", ["1", "x"], [True, "1"], [[1, 2], [True, 3]], True):
        assert calibration.numbers(value).size == 0


@pytest.mark.parametrize("fx", [True, HUGE, "a"], ids=["truth", "huge", "text"])
def test_focal_lengths_that_are_none(fx):
    section = {"fx": fx, "fy": 100, "cx": 80, "cy": 45}
    with complains(f"xkd.yaml: cameras.front: K is {section}; it has to be 3 x 3 finite numbers"):
        calibration.intrinsics("xkd.yaml: cameras.front", section)
