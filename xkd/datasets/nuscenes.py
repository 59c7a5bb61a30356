"""nuScenes and nuScenes-lidarseg (Caesar et al. 2020; Fong et al. 2021): key frames with six images around the car.

Layout: `v1.0-*/*.json` (tables), `samples/<sensor>/*`, `lidarseg/v1.0-*/*.bin`, `panoptic/v1.0-*/*.npz`.
LIDAR_TOP is x right, y forward on disk; here points and extrinsics are turned into x forward, y left.
"""

import json
import re

import numpy as np
import pandas as pd

from xkd.datasets.frame import Camera, Dataset, Frame, read_bytes, read_points, same_length, training_ids
from xkd.errors import XkdError
from xkd.geometry import numeric, rigid

VERSIONS = {
    "train": "v1.0-trainval",
    "val": "v1.0-trainval",
    "test": "v1.0-test",
    "mini_train": "v1.0-mini",
    "mini_val": "v1.0-mini",
}
T_DISK_LIDAR = np.array([[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], np.float64)
"""Contract axes (x forward, y left) to the axes on disk (x right, y forward)."""


class NuScenes(Dataset):
    """Key frames of one version's tables, of the scenes of one split or of all; labels if lidarseg is there."""

    kind = "nuscenes"
    options = ("version",)

    def __init__(self, root, split=None, version=None):
        super().__init__(root, split)
        self.version = version or choose_version(root, split)
        self._tables = root / self.version
        if not self._tables.is_dir():
            raise XkdError(f"{self._tables}: no such folder, so there are no tables of {self.version}.")
        self._frames = self._key_frames()
        self.scenes = self._frames.scene.tolist()
        rows = self._sensor_rows()
        sensors = self.facts()["sensors"]
        scans = rows[rows.channel == sensors["lidar"]]
        count = np.bincount(scans.frame, minlength=len(self))
        if (count != 1).any():
            file, sample = self._tables / "sample_data.json", self._frames.sample_token[np.argmax(count != 1)]
            raise XkdError(f"{file}: sample {sample} has not exactly one {sensors['lidar']} key frame.")
        self._scans = scans.set_index("frame").sort_index()
        images = rows[rows.modality == "camera"]
        found = images.channel.unique()
        self.camera_names = [c for c in sensors["cameras"] if c in found] + sorted(set(found) - set(sensors["cameras"]))
        order = images.channel.map({name: i for i, name in enumerate(self.camera_names)})
        self._images = images.assign(order=order).sort_values(["frame", "order"], kind="stable")
        self._first_image = np.searchsorted(self._images.frame, np.arange(len(self) + 1))
        self._annotations = {task: self._annotation_files(task) for task in ("lidarseg", "panoptic")}
        self._training = self._category_table() if self._annotations["lidarseg"] else None

    def _key_frames(self):
        """One row a frame, in scene and time order: sample_token, scene, split, timestamp."""
        scenes = table(self._tables, "scene", ["token", "name"])
        mini = self.version.endswith("mini")
        numbers = {n: s for s, part in self.splits().items() if s.startswith("mini_") == mini for n in part}
        if self.split is not None:
            numbers = dict.fromkeys(self.splits()[self.split], self.split)
        scenes["split"] = [numbers.get(int(re.sub(r"\D", "", name) or 0)) for name in scenes.name]
        if self.split is not None:
            scenes = scenes[scenes.split == self.split]
        samples = table(self._tables, "sample", ["token", "timestamp", "scene_token"])
        scenes = scenes.rename(columns={"token": "scene_token", "name": "scene"})
        frames = samples.merge(scenes, on="scene_token").rename(columns={"token": "sample_token"})
        if frames.empty:
            raise XkdError(f"{self._tables}: holds no sample of split {self.split or '(any)'}.")
        return frames.sort_values(["scene", "timestamp"], ignore_index=True)

    def _sensor_rows(self):
        """One row a scan or image of a key frame: frame (position), file, time, sensor, calibration and ego pose."""
        sensors = table(self._tables, "sensor", ["token", "channel", "modality"])
        known = set(sensors.token)
        sensors = sensors[(sensors.modality == "camera") | (sensors.channel == self.facts()["sensors"]["lidar"])]
        mounts = table(
            self._tables, "calibrated_sensor", ["token", "sensor_token", "translation", "rotation", "camera_intrinsic"]
        )
        self._there("sensor", known, mounts.sensor_token, "calibrated_sensor")
        known = set(mounts.token)
        mounts = mounts.merge(sensors.rename(columns={"token": "sensor_token"}), on="sensor_token")
        frame = dict(zip(self._frames.sample_token, self._frames.index, strict=True))
        columns = ["token", "sample_token", "ego_pose_token", "calibrated_sensor_token", "timestamp", "filename"]
        used, asked, calibrated = set(), set(), set(mounts.token)

        def key(row):
            own = row["is_key_frame"] and row["sample_token"] in frame
            if own:
                asked.add(row["calibrated_sensor_token"])
            keep = own and row["calibrated_sensor_token"] in calibrated
            if keep:
                used.add(row["ego_pose_token"])
            return keep

        data = table(self._tables, "sample_data", columns, keep=key, optional=["height", "width"])
        poses = table(
            self._tables, "ego_pose", ["token", "translation", "rotation"], keep=lambda row: row["token"] in used
        )
        self._there("calibrated_sensor", known, asked, "sample_data")
        self._there("ego_pose", poses.token, used, "sample_data")
        data["frame"] = data.sample_token.map(frame)
        mounts = mounts.rename(columns={"token": "calibrated_sensor_token"})
        poses = poses.rename(
            columns={"token": "ego_pose_token", "translation": "ego_translation", "rotation": "ego_rotation"}
        )
        return data.merge(mounts, on="calibrated_sensor_token").merge(poses, on="ego_pose_token")

    def _there(self, name, tokens, wanted, by):
        """Errors: a row that is wanted by another table and is not in table `name`."""
        if absent := set(wanted).difference(tokens):
            raise XkdError(f"{self._tables / name}.json: has no row {min(absent)}, which {by}.json refers to.")

    def _annotation_files(self, task):
        """{scan token: file} of lidarseg or panoptic; empty where the data set has none."""
        if not (self._tables / f"{task}.json").is_file():
            return {}
        rows = table(self._tables, task, ["sample_data_token", "filename"])
        return dict(zip(rows.sample_data_token, rows.filename, strict=True))

    def _category_table(self):
        """{lidarseg number: training id}, by the numbers in this data set's own category.json."""
        rows = table(self._tables, "category", ["name", "index"])
        known = self.facts()["categories"]
        unknown = set(rows.name) - set(known)
        if unknown:
            raise XkdError(f"{self._tables / 'category.json'}: unknown category {min(unknown)!r}.")
        ids = [self.ignore_index if known[name] is None else self.classes.index(known[name]) for name in rows.name]
        return dict(zip(rows["index"].astype(int), ids, strict=True))

    def frame(self, i):
        row = self._frames.loc[i]
        scan = self._scans.loc[i]
        return Frame(row.sample_token, row.scene, row.split, i, int(scan.timestamp), self._T_world_lidar(scan), self)

    def _T_world_lidar(self, scan):
        return self._ego(scan) @ self._mount(scan) @ T_DISK_LIDAR

    def _ego(self, row):
        """T_world_rig at the time of a scan or image."""
        return self._pose("ego_pose", row.ego_pose_token, row.ego_rotation, row.ego_translation)

    def _mount(self, row):
        """T_rig_sensor of a scan or image, in the sensor's axes on disk."""
        return self._pose("calibrated_sensor", row.calibrated_sensor_token, row.rotation, row.translation)

    def _pose(self, name, token, rotation, translation):
        """(4, 4) of a table's row. Errors: no quaternion, no three finite numbers."""
        try:
            return rigid(rotation, translation)
        except XkdError as error:
            raise XkdError(f"{self._tables / name}.json: row {token}: {error}") from None

    def read_scan(self, i):
        return self.scan_file(self.root / self._scans.filename[i])

    @staticmethod
    def scan_file(path):
        """One `.pcd.bin`: (N, 3) float32 metres in the contract's axes, and its attributes."""
        raw = read_points(path, 5, 255)
        points = np.stack([raw[:, 1], -raw[:, 0], raw[:, 2]], axis=1)
        return points, {"intensity": raw[:, 3] / np.float32(255), "ring": raw[:, 4].astype(np.uint8)}

    def read_labels(self, i):
        scan = self._scans.loc[i]
        labels, panoptic = (files.get(scan.token) for files in self._annotations.values())
        path, points = self.root / scan.filename, None
        if labels or panoptic:
            points = len(read_bytes(path)) // 20
        if labels:
            file = self.root / labels
            raw = np.frombuffer(read_bytes(file), np.uint8)
            same_length(file, len(raw), path, points)
            labels = training_ids(raw, self._training, file)
        if panoptic:
            file = self.root / panoptic
            panoptic = read_panoptic(file)
            same_length(file, len(panoptic), path, points)
        return labels, panoptic

    def read_cameras(self, i):
        T_world_lidar = self._T_world_lidar(self._scans.loc[i])
        rows = self._images.iloc[self._first_image[i] : self._first_image[i + 1]]
        return [self._camera(row, T_world_lidar) for row in rows.itertuples()]

    def _camera(self, row, T_world_lidar):
        K = numeric(row.camera_intrinsic)
        if K.shape != (3, 3) or not np.isfinite(K).all():
            raise XkdError(
                f"{self._tables / 'calibrated_sensor.json'}: row {row.calibrated_sensor_token}: {row.camera_intrinsic} "
                "is no camera_intrinsic of 3 x 3 finite numbers."
            )
        if not (numeric([row.height, row.width]) > 0).all():
            raise XkdError(
                f"{self._tables / 'sample_data.json'}: row {row.token}: height {row.height} and width {row.width} are no image's size."
            )
        return Camera(
            name=row.channel, path=self.root / row.filename, size=(int(row.height), int(row.width)), K=K,
            T_rig_cam=self._mount(row), T_world_rig=self._ego(row), T_world_lidar=T_world_lidar, timestamp=int(row.timestamp),
        )  # fmt: skip


Reader = NuScenes


def choose_version(root, split):
    """The version of a split; without a split the only one in the folder."""
    if split is not None:
        return VERSIONS[split]
    found = sorted(path.name for path in root.glob("v1.0-*") if path.is_dir())
    if len(found) != 1:
        raise XkdError(
            f"{root}: holds tables of {', '.join(found) or 'no version'}; say which with split= or version=."
        )
    return found[0]


def read_panoptic(path):
    """(N,) int64: category * 1000 + instance, 0 where a point belongs to no instance."""
    read_bytes(path)
    with np.load(path) as file:
        value = file["data"].astype(np.int64)
    return np.where(value % 1000 > 0, value, 0)


def table(folder, name, columns, keep=None, optional=()):
    """DataFrame of some columns of one table, of the rows with keep(row). Errors: no such table, not JSON, a gap."""
    path = folder / f"{name}.json"
    try:
        kept = [tuple(map(row.get, (*columns, *optional))) for row in rows(path) if keep is None or keep(row)]
    except KeyError as error:
        raise XkdError(f"{path}: a row has no field {error}.") from None
    frame = pd.DataFrame(kept, columns=[*columns, *optional])
    for column in columns:
        if frame[column].isna().any():
            raise XkdError(f"{path}: a row has no field {column!r}.")
    return frame


def rows(path, chunk=1 << 16, longest=1 << 26):
    """The objects of a JSON array, one by one: a full sample_data.json has 2.6 million, too many to hold at once."""
    if not path.is_file():
        raise XkdError(f"{path}: no such table, and it is needed here.")
    text, before = "", "["
    with open(path, encoding="utf-8") as file:
        while (more := file.read(chunk)) and len(text) < longest:
            text += more
            end = text.rfind("}") + 1
            try:
                found = json.loads("[" + text[:end].lstrip().removeprefix(before) + "]") if end else []
            except ValueError:
                # The last brace is one inside a row; with the next piece it will be another.
                continue
            yield from found
            if found:
                text, before = text[end:], ","
    if "".join(text.split()) != ("]" if before == "," else "[]"):
        raise XkdError(f"{path}: is not a whole JSON array; it breaks off or is damaged at {text[:60]!r}.")
