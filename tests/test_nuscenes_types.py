"""Tables of nuScenes with one value of another type: one sentence that names the table, the field and the value, whoever reads it first."""

import json

import pytest
from complaints import complains

from xkd.datasets import open_dataset

SCAN, FRONT = "scene-0061-0-lidar-1000000", "scene-0061-0-front-1040000"
TEXTS = {
    "scene": ["token", "name"],
    "sample": ["token", "scene_token"],
    "sample_data": ["token", "sample_token", "ego_pose_token", "calibrated_sensor_token", "filename"],
    "sensor": ["token", "channel", "modality"],
    "calibrated_sensor": ["token", "sensor_token"],
    "ego_pose": ["token"],
    "category": ["name"],
    "lidarseg": ["sample_data_token", "filename"],
}
"""Fields that are texts, by table."""
NUMBERS = {"sample": ["timestamp"], "sample_data": ["timestamp"], "category": ["index"]}
ANY = [(table, field) for fields in (TEXTS, NUMBERS) for table in fields for field in fields[table]]


def read(root):
    """All that hangs on tables."""
    for frame in open_dataset("nuscenes", root):
        _ = frame.points, frame.labels, [camera.image() for camera in frame.cameras]


def put(root, table, values, drop=()):
    """Other values for one row of a table that a frame hangs on, without the fields `drop`."""
    path = root / "v1.0-mini" / f"{table}.json"
    before = path.read_text()
    rows = json.loads(before)
    found = [k for k, row in enumerate(rows) if row.get("token") in (SCAN if table == "ego_pose" else FRONT, "c-front")]
    rows[found[0] if found else 0] |= values
    for name in drop:
        rows[found[0] if found else 0].pop(name)
    path.write_text(json.dumps(rows))
    return path, before


@pytest.mark.parametrize(("table", "field"), ANY)
def test_a_value_of_another_type(nuscenes, table, field):
    text = field in TEXTS.get(table, ())
    for value in (True, 1.5, [], ["x"], {}, {"token": 1}, 7 if text else "7"):
        path, before = put(nuscenes, table, {field: value})
        with complains(
            f"{table}.json: has a row whose {field} is {value!r}, and not of the type {'str' if text else 'int'}"
        ):
            read(nuscenes)
        path.write_text(before)
    read(nuscenes)


@pytest.mark.parametrize(("table", "field"), ANY)
def test_a_value_that_is_not_there(nuscenes, table, field):
    for change in (({field: None},), ({}, [field])):
        path, before = put(nuscenes, table, *change)
        with complains(f"{table}.json", field):
            read(nuscenes)
        path.write_text(before)


@pytest.mark.parametrize("value", [2, "true", None, [], 0.5])
def test_key_frames_are_said_to_be_so_or_not(nuscenes, value):
    put(nuscenes, "sample_data", {"is_key_frame": value})
    with complains(f"sample_data.json: row {FRONT}: is_key_frame is {value!r}, and not true or false"):
        read(nuscenes)


@pytest.mark.parametrize("row", [1, "row", None, [], [["token", "x"]]])
@pytest.mark.parametrize("table", TEXTS)
def test_rows_that_are_none(nuscenes, table, row):
    path = nuscenes / "v1.0-mini" / f"{table}.json"
    path.write_text(json.dumps([row, *json.loads(path.read_text())]))
    with complains(f"{table}.json: has the row {str(row)!r}, which is no object of fields"):
        read(nuscenes)
    path.write_text(json.dumps([*json.loads(path.read_text())[1:], row]))
    with complains(f"{table}.json", "damaged", json.dumps(row)[:20]):
        read(nuscenes)


@pytest.mark.parametrize(
    ("value", "field"), [(x, f) for x in (True, "160", 160.5, -1, 1 << 17, []) for f in ("width", "height")]
)
def test_sizes_of_images(nuscenes, value, field):
    put(nuscenes, "sample_data", {field: value})
    with complains(f"sample_data.json: row {FRONT}", f"{field} {value}", "no image's size"):
        read(nuscenes)


@pytest.mark.parametrize(
    "value", [[[True, 0, 80], [0, 100, 45], [0, 0, 1]], [["100", 0, 80], [0, 100, 45], [0, 0, 1]], "K", 7, {}]
)
def test_intrinsics(nuscenes, value):
    put(nuscenes, "calibrated_sensor", {"camera_intrinsic": value})
    with complains("calibrated_sensor.json: row c-front", f"{value} is no camera_intrinsic of 3 x 3 finite numbers"):
        read(nuscenes)
