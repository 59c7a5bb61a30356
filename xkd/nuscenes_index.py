"""The index of one version of nuScenes: its tables joined into columns, of frames, of the rows of their scans and images, and of mounts.

| column | of each |
|---|---|
| sample, scene; lidarseg, panoptic | frame: token, scene's name; label files ("" = none) |
| first | frame, and one more: its first row. That is the scan's, and the images' follow in the order of `cameras` |
| token, filename, timestamp, height, width | row: of sample_data |
| mount; pose, ego_rotation, ego_translation | row: position among the mounts; the row of ego_pose |
| calibration, channel, rotation, translation, K | mount: the row of calibrated_sensor; K is zeros where that is not of a camera |
| cameras | name |
| category, number | category: name, and its number in lidarseg's files; only where there is lidarseg |
"""

import gc
import json
from contextlib import contextmanager, suppress

import numpy as np
import pandas as pd

from xkd.columns import Strings, column
from xkd.errors import XkdError
from xkd.files import whole
from xkd.json_scan import Unusual
from xkd.nuscenes_scan import sensor_rows, take, turns

LARGE = 1 << 26
"""Bytes of sample_data from which on values are made only of rows that are wanted."""


def build(tables, split, wanted, names):
    """The columns. tables: folder; split: None for all scenes; wanted: whether a scene is of it, by its name; names: the facts' `sensors`.
    Errors: a table that is missing, damaged or does not fit the others; no frame at all."""
    with no_collection():
        return columns_of(tables, key_frames(tables, split, wanted), names)


@contextmanager
def no_collection():
    """Without Python's search for cycles: here are none, and among millions of new objects it takes as long as making them."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


def columns_of(tables, frames, names):
    mounts, known = mount_rows(tables, names["lidar"])
    frame, mount, rows = found_rows(tables, frames, mounts, known)
    lidar = (mounts.channel == names["lidar"]).to_numpy()
    camera = (mounts.modality == "camera").to_numpy()
    count = np.bincount(frame[lidar[mount]], minlength=len(frames))
    if (count != 1).any():
        file, sample = tables / "sample_data.json", frames.sample_token[np.argmax(count != 1)]
        raise XkdError(f"{file}: sample {sample} has not exactly one {names['lidar']} key frame.")
    seen = set(mounts.channel[np.unique(mount[camera[mount]])])
    cameras = [c for c in names["cameras"] if c in seen] + sorted(seen - set(names["cameras"]))
    position = mounts.channel.map({name: k for k, name in enumerate(cameras)}).fillna(-1).to_numpy().astype(int)
    # The scan of each frame, then its images; a sort that is stable.
    order = np.lexsort([np.where(lidar, -1, position)[mount], frame])
    columns = {name: take(values, order) for name, values in rows.items()}
    frame, scan = frame[order], np.flatnonzero(lidar[mount[order]])
    twice = np.flatnonzero((np.diff(frame) == 0) & (np.diff(position[mount[order]]) == 0))
    if len(twice):
        file, sample = tables / "sample_data.json", frames.sample_token[frame[twice[0]]]
        raise XkdError(f"{file}: sample {sample} has two key frames of {mounts.channel[mount[order][twice[0]]]}.")
    labels = {task: annotation_files(tables, task) for task in ("lidarseg", "panoptic")}
    for task, files in labels.items():
        columns[task] = column([files.get(columns["token"][k]) or "" for k in scan] if files else [""] * len(frames))
    if labels["lidarseg"]:
        numbers = table(tables, "category", ["name", "index"])
        for name, number in zip(numbers.name, numbers["index"], strict=True):
            if not 0 <= number < 256 or (numbers["index"] == number).sum() > 1:
                raise XkdError(
                    f"{tables / 'category.json'}: the index of {name} is {number}; each has its own, 0 to 255."
                )
        columns |= {"category": column(numbers.name.tolist()), "number": numbers["index"].to_numpy().astype(int)}
    matrices = zip(mounts.camera_intrinsic, camera, strict=True)
    return columns | {
        "sample": column(frames.sample_token.tolist()),
        "scene": column(frames.scene.tolist()),
        "first": np.searchsorted(frame, np.arange(len(frames) + 1)),
        "mount": mount[order],
        "calibration": column(mounts.token.tolist()),
        "channel": column(mounts.channel.tolist()),
        "translation": column(mounts.translation.tolist(), (3,)),
        "rotation": turns(mounts.rotation.tolist()),
        "K": column([k if own else [[0] * 3] * 3 for k, own in matrices], (3, 3)),
        "cameras": Strings.of(cameras),
    }


def key_frames(tables, split, wanted):
    """One row a frame, in scene and time order: sample_token, scene, timestamp."""
    scenes = table(tables, "scene", ["token", "name"])
    scenes = scenes[np.array([wanted(name) for name in scenes.name], bool)]
    samples = table(tables, "sample", ["token", "timestamp", "scene_token"])
    scenes = scenes.rename(columns={"token": "scene_token", "name": "scene"})
    frames = samples.merge(scenes, on="scene_token").rename(columns={"token": "sample_token"})
    if frames.empty:
        raise XkdError(f"{tables}: holds no sample of split {split or '(any)'}.")
    return frames.sort_values(["scene", "timestamp"], ignore_index=True)


def mount_rows(tables, lidar):
    """One row a calibrated_sensor that is of the LiDAR or of a camera, and the tokens of all."""
    sensors = table(tables, "sensor", ["token", "channel", "modality"])
    known = set(sensors.token)
    sensors = sensors[(sensors.modality == "camera") | (sensors.channel == lidar)]
    mounts = table(
        tables, "calibrated_sensor", ["token", "sensor_token", "translation", "rotation", "camera_intrinsic"]
    )
    there(tables, "sensor", known, mounts.sensor_token, "calibrated_sensor")
    used = sensors.rename(columns={"token": "sensor_token"})
    return mounts.merge(used, on="sensor_token"), mounts.token.tolist()


def found_rows(tables, frames, mounts, known):
    """Scans and images of key frames: (N,) position of the frame, (N,) of the mount, {name: column} of file, time, size and ego pose."""
    path = tables / "sample_data.json"
    if path.is_file() and path.stat().st_size >= LARGE:
        with suppress(OSError, Unusual):
            return sensor_rows(tables, frames.sample_token.tolist(), known, mounts.token.tolist())
    frame = dict(zip(frames.sample_token, frames.index, strict=True))
    columns = ["token", "sample_token", "ego_pose_token", "calibrated_sensor_token", "timestamp", "filename"]
    used, asked, calibrated = set(), set(), set(mounts.token)

    def key(row):
        if row["is_key_frame"] not in (True, False):
            raise XkdError(
                f"{path}: row {row['token']}: is_key_frame is {row['is_key_frame']!r}, and not true or false."
            )
        typed(path, row, "sample_token", "calibrated_sensor_token", "ego_pose_token")
        own = row["is_key_frame"] and row["sample_token"] in frame
        if own:
            asked.add(row["calibrated_sensor_token"])
        keep = own and row["calibrated_sensor_token"] in calibrated
        if keep:
            used.add(row["ego_pose_token"])
        return keep

    def known_pose(row):
        typed(tables / "ego_pose.json", row, "token")
        return row["token"] in used

    data = table(tables, "sample_data", columns, keep=key, optional=["height", "width"])
    poses = table(tables, "ego_pose", ["token", "translation", "rotation"], keep=known_pose)
    there(tables, "calibrated_sensor", known, asked, "sample_data")
    there(tables, "ego_pose", poses.token, used, "sample_data")
    own = pd.DataFrame({"calibrated_sensor_token": mounts.token, "mount": np.arange(len(mounts))})
    poses = poses.rename(columns={"token": "ego_pose_token"})
    found = data.merge(own, on="calibrated_sensor_token").merge(poses, on="ego_pose_token")
    rows = {name: column(found[name].tolist()) for name in ("token", "filename", "timestamp", "height", "width")}
    rows["pose"] = column(found.ego_pose_token.tolist())
    rows["ego_rotation"], rows["ego_translation"] = (
        turns(found.rotation.tolist()),
        column(found.translation.tolist(), (3,)),
    )
    return found.sample_token.map(frame).to_numpy().astype(int), found["mount"].to_numpy(), rows


def there(tables, name, tokens, wanted, by):
    """Errors: a row that is wanted by another table and is not in table `name`."""
    if absent := set(wanted).difference(tokens):
        raise XkdError(f"{tables / name}.json: has no row {min(absent)}, which {by}.json refers to.")


def annotation_files(tables, task):
    """{scan token: file} of lidarseg or panoptic; empty where the data set has none."""
    if not (tables / f"{task}.json").is_file():
        return {}
    found = table(tables, task, ["sample_data_token", "filename"])
    return dict(zip(found.sample_data_token, found.filename, strict=True))


KINDS = {"timestamp": int, "index": int, "name": str, "channel": str, "modality": str, "filename": str}
"""What the values of a field are, where something hangs on it; tokens are texts."""


def table(folder, name, columns, keep=None, optional=()):
    """DataFrame of some columns of one table, of the rows with keep(row). Errors: no such table, not JSON, a gap, a value of another type
    than `KINDS` says, a token twice."""
    path = folder / f"{name}.json"
    try:
        kept = [tuple(map(row.get, (*columns, *optional))) for row in rows(path) if keep is None or keep(row)]
    except KeyError as error:
        raise XkdError(f"{path}: a row has no field {error}.") from None
    frame = pd.DataFrame(kept, columns=[*columns, *optional], dtype=object)
    for field in columns:
        if frame[field].isna().any():
            raise XkdError(f"{path}: a row has no field {field!r}.")
        if (kind := _kind(field)) is not object and (wrong := [v for v in frame[field] if type(v) is not kind]):
            typed(path, {field: wrong[0]}, field)
    own = columns[0]
    if own.endswith("token") and frame[own].duplicated().any():
        raise XkdError(f"{path}: has two rows whose {own} is {frame[own][frame[own].duplicated()].iloc[0]}.")
    return frame


def _kind(field):
    return KINDS.get(field, str if field.endswith("token") else object)


def typed(path, row, *fields):
    """Errors: a field of a row whose value is of another type than `KINDS` says, and not what other tables can refer to."""
    for field in fields:
        if type(row[field]) is not _kind(field):
            said = f"{row[field]!r}, and not of the type {_kind(field).__name__}"
            raise XkdError(f"{path}: has a row whose {field} is {said}.")


def rows(path, chunk=1 << 16, longest=1 << 26):
    """The objects of a JSON array, one by one: a full sample_data.json has 2.6 million, too many to hold at once."""
    if not path.is_file():
        raise XkdError(f"{path}: no such table, and it is needed here.")
    text, before = "", "["
    with open(path, encoding="utf-8-sig") as file:
        while (more := _piece(path, file, chunk)) and len(text) < longest:
            text += more
            end = text.rfind("}") + 1
            try:
                found = json.loads("[" + text[:end].lstrip().removeprefix(before) + "]", parse_int=whole) if end else []
            except (ValueError, RecursionError):
                # The last brace is one inside a row; with the next piece it will be another.
                continue
            if set(map(type, found)) - {dict}:
                wrong = next(row for row in found if type(row) is not dict)
                raise XkdError(f"{path}: has the row {str(wrong)[:60]!r}, which is no object of fields.")
            yield from found
            if found:
                text, before = text[end:], ","
    if "".join(text.split()) != ("]" if before == "," else "[]"):
        raise XkdError(f"{path}: is not a whole JSON array; it breaks off or is damaged at {text[:60]!r}.")


def _piece(path, file, size):
    try:
        return file.read(size)
    except UnicodeDecodeError as error:
        raise XkdError(f"{path}: is not text ({error.reason}).") from None
    except OSError as error:
        raise XkdError(f"{path}: cannot be read ({error.strerror}).") from error
