"""The nuScenes v1.0 layout: tables, `samples/`, `lidarseg/` and `maps/`, as the official devkit opens them.

Source: the schema of nuScenes v1.0 and nuScenes-lidarseg v1.0 (docs/schema_nuscenes.md of nuscenes-devkit). One street
is one scene, one log and one map. Every sample is a key frame; `instance` and `sample_annotation` (boxes) are empty.
"""

import hashlib
import io
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import yaml
from PIL import Image
from scipy.ndimage import binary_closing, binary_dilation
from scipy.spatial.transform import Rotation

import xkd
from xkd.errors import XkdError
from xkd.files import write_json

FACTS = yaml.safe_load((Path(xkd.__file__).parent / "datasets" / "labels" / "nuscenes.yaml").read_text())
# In nuScenes-lidarseg v1.0 the place in this list is the number in the label files.
CATEGORIES = list(FACTS["categories"])
ATTRIBUTES = """vehicle.moving vehicle.stopped vehicle.parked cycle.with_rider cycle.without_rider
pedestrian.sitting_lying_down pedestrian.standing pedestrian.moving""".split()
VISIBILITY = {"1": (0, 40), "2": (40, 60), "3": (60, 80), "4": (80, 100)}
VERSIONS = dict.fromkeys(("train", "tuning", "val"), "v1.0-trainval") | {"test": "v1.0-test"}

# Takes points from the axes of LIDAR_TOP on disk (x right, y forward) to x forward, y left.
T_LIDAR_DISK = np.array([[0.0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])

# Microseconds: 2018-07-24 00:00 UTC; scene n starts n hours later, so that no two files share a name.
EPOCH = 1_532_390_400_000_000
HOUR = 3_600_000_000
JPEG = {"quality": 90, "subsampling": "4:2:0", "optimize": True}
MAP_CELL, MAP_PIXEL, MAP_MARGIN = 0.5, 0.1, 5.0  # metres; the devkit takes the pixels of every mask to be 0.1 m


@dataclass
class Reading:
    """One file of `samples/` and what the tables say about it."""

    channel: str
    T_rig_sensor: np.ndarray  # (4, 4)
    T_world_rig: np.ndarray  # (4, 4) at `timestamp`
    timestamp: int  # microseconds
    suffix: str
    data: bytes
    size: tuple = (0, 0)  # height, width in pixels
    K: tuple = ()  # (3, 3) for a camera


def scene_numbers(split):
    """Official scene numbers of a split, in order, from ranges such as `1-2 4-11`."""
    spans = [[int(n) for n in span.split("-")] for span in str(FACTS["splits"][split]).split()]
    return [n for span in spans for n in range(span[0], span[-1] + 1)]


def role_numbers(role):
    """Official scene numbers of the streets of a role (key of `VERSIONS`): the streets to tune on are the training scenes 100 to 199,
    which one pattern names."""
    numbers = scene_numbers("train" if role == "tuning" else role)
    return [n for n in numbers if 100 <= n < 200] if role == "tuning" else numbers


def token(*parts):
    """32 hexadecimal digits that depend on `parts` alone."""
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()[:32]


def pose(T):
    """(4, 4) rigid transform -> translation (to the micrometre) and unit quaternion w, x, y, z with w >= 0."""
    q = Rotation.from_matrix(T[:3, :3]).as_quat(canonical=True, scalar_first=True)
    return {"translation": (np.round(T[:3, 3], 6) + 0.0).tolist(), "rotation": (np.round(q, 9) + 0.0).tolist()}


def lidar_bytes(sweep):
    """Float32 rows x right, y forward, z up (whole millimetres), intensity 0..255 (whole numbers), ring."""
    x, y, z = np.round(sweep.points, 3).T
    intensity = np.rint(np.clip(sweep.intensity, 0, 1) * 255)
    return (np.stack([-y, x, z, intensity, sweep.ring], 1) + 0.0).astype("<f4").tobytes()


def jpeg_bytes(image):
    """(H, W, 3) uint8 -> JPEG with every setting that shapes its bytes named."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", **JPEG)
    return buffer.getvalue()


def readings(sweep, shots):
    """The LiDAR's reading, then the cameras'."""
    T_rig_disk = sweep.T_rig_lidar @ T_LIDAR_DISK
    yield Reading("LIDAR_TOP", T_rig_disk, sweep.T_world_rig, sweep.timestamp, ".pcd.bin", lidar_bytes(sweep))
    for s in shots:
        size = s.image.shape[:2]
        yield Reading(s.name, s.T_rig_cam, s.T_world_rig, s.timestamp, ".jpg", jpeg_bytes(s.image), size, s.K)


def write_scene(root, split, number, frames, names):
    """Writes the files of one scene and returns its rows, {table: [row]}.

    root: the nuScenes folder; split: key of `VERSIONS`; number: official scene number; frames: iterable of
    (Sweep, [Shot]); names: official category of every taxonomy index. The world keeps its axes; origin and clock go to
    the scene's own map and hour, because made streets may all start at the same ones. The split test gets no labels.
    """
    root, scene = Path(root), f"scene-{number:04d}"
    index = np.array([category_index(n) for n in names], np.uint8)
    rows = {t: [] for t in ("calibrated_sensor", "ego_pose", "sample", "sample_data", "lidarseg")}
    road, shift, log = [], None, None
    for i, (sweep, shots) in enumerate(frames):
        if shift is None:
            start = EPOCH + number * HOUR
            shift = start - sweep.timestamp
            log = datetime.fromtimestamp(start // 1_000_000, UTC).strftime("n000-%Y-%m-%d-%H-%M-%S+0000")
        sample = {"token": token(scene, i), "timestamp": sweep.timestamp + shift, "scene_token": token(scene)}
        rows["sample"].append(sample)
        for reading in readings(sweep, shots):
            data, time = token(scene, i, reading.channel), reading.timestamp + shift
            file = f"samples/{reading.channel}/{log}__{reading.channel}__{time}{reading.suffix}"
            save(root / file, reading.data)
            sensor = {"sensor_token": token(reading.channel)} | pose(reading.T_rig_sensor)
            sensor |= {"camera_intrinsic": np.round(reading.K, 9).tolist()}
            calibration = {"token": token(scene, sensor)} | sensor
            rows["calibrated_sensor"] += [calibration] if calibration not in rows["calibrated_sensor"] else []
            rows["ego_pose"].append({"token": data, "timestamp": time, "T": reading.T_world_rig})
            rows["sample_data"].append(
                {
                    "token": data,
                    "sample_token": sample["token"],
                    "ego_pose_token": data,
                    "calibrated_sensor_token": calibration["token"],
                    "timestamp": time,
                    "fileformat": reading.suffix.split(".")[1],
                    "is_key_frame": True,
                    "height": reading.size[0],
                    "width": reading.size[1],
                    "filename": file,
                }
            )
        if split != "test":
            lidar = token(scene, i, "LIDAR_TOP")
            file = f"lidarseg/{VERSIONS[split]}/{lidar}_lidarseg.bin"
            save(root / file, index[sweep.label].tobytes())
            rows["lidarseg"].append({"token": lidar, "sample_data_token": lidar, "filename": file})
        flat = sweep.points[index[sweep.label] == CATEGORIES.index("flat.driveable_surface")]
        road.append(flat @ sweep.T_world_lidar[:2, :3].T + sweep.T_world_lidar[:2, 3])
    if shift is None:
        raise XkdError(f"{scene}: a scene needs at least one frame.")

    map_file = f"maps/{token(scene, 'map')}.png"
    origin = write_map(root / map_file, road, [row["T"][:2, 3] for row in rows["ego_pose"]])
    for row in rows["ego_pose"]:
        T = row.pop("T").copy()
        T[:2, 3] -= origin
        row |= pose(T)
    link(rows["sample"], lambda row: row["scene_token"])
    link(rows["sample_data"], lambda row: row["filename"].split("/")[1])
    ends = {"first_sample_token": rows["sample"][0]["token"], "last_sample_token": rows["sample"][-1]["token"]}
    text = {"name": scene, "description": "Made street, no real place"}
    logs = {"logfile": log, "vehicle": "n000", "date_captured": log[5:15], "location": f"made-{scene}"}
    mask = {"category": "semantic_prior", "filename": map_file, "log_tokens": [token(scene, "log")]}
    rows["scene"] = [{"token": token(scene), "log_token": token(scene, "log"), "nbr_samples": i + 1} | ends | text]
    rows["log"] = [{"token": token(scene, "log")} | logs]
    rows["map"] = [{"token": token(scene, "map")} | mask]
    return rows


def link(rows, chain):
    """Chains rows with equal `chain(row)` by `prev` and `next` tokens, in their order; the ends hold empty strings."""
    last = {}
    for row in rows:
        before = last.get(chain(row))
        row |= {"prev": before["token"] if before else "", "next": ""}
        if before:
            before["next"] = row["token"]
        last[chain(row)] = row


def write_map(path, road, ego):
    """Writes the driveable surface that the LiDAR saw as a mask (0, 255; row 0 = largest y), returns its origin (2,).

    road: list of (N, 2) world points on the surface, metres; ego: list of (2,) positions of the car, marked too.
    """
    points = np.concatenate([*road, np.array(ego)])
    origin = np.floor(points.min(0)) - MAP_MARGIN
    cells = ((points - origin) / MAP_CELL).astype(int)
    grid = np.zeros(cells.max(0) + 1 + round(MAP_MARGIN / MAP_CELL), bool)
    grid[tuple(cells.T)] = True
    # Beams leave gaps between their rings on the ground; a few cells close them.
    grid = binary_closing(binary_dilation(grid), iterations=3)
    mask = np.kron(grid.T[::-1], np.ones((round(MAP_CELL / MAP_PIXEL),) * 2, bool))
    buffer = io.BytesIO()
    Image.fromarray(np.where(mask, np.uint8(255), np.uint8(0))).save(buffer, "PNG", compress_level=6)
    save(path, buffer.getvalue())
    return origin


def write_tables(root, version, scenes):
    """Writes the tables of `version` from the rows of its scenes, results of `write_scene` in table order."""
    tables = {t: [row for rows in scenes for row in rows[t]] for t in scenes[0]}
    tables["sensor"] = [
        {"token": token(channel), "channel": channel, "modality": "lidar" if channel.startswith("LIDAR") else "camera"}
        for channel in dict.fromkeys(row["filename"].split("/")[1] for row in tables["sample_data"])
    ]
    tables["category"] = [{"index": i} | named("category", name) for i, name in enumerate(CATEGORIES)]
    tables["attribute"] = [named("attribute", name) for name in ATTRIBUTES]
    tables["visibility"] = [
        {"token": t, "level": f"v{a}-{b}", "description": f"visibility of whole object is between {a} and {b}%"}
        for t, (a, b) in VISIBILITY.items()
    ]
    tables |= {"instance": [], "sample_annotation": []}
    if not tables["lidarseg"]:
        del tables["lidarseg"]
    for table, rows in tables.items():
        write_json(Path(root) / version / f"{table}.json", rows)


def named(table, name):
    """Row of a table that only names things."""
    return {"token": token(table, name), "name": name, "description": name}


def save(path, data):
    """Writes bytes; the folder it goes to is part of a build that is renamed as a whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def category_index(name):
    """Number of an official category in the label files."""
    if name not in CATEGORIES:
        raise XkdError(f"taxonomy.yaml: {name!r} is not a nuScenes-lidarseg category.")
    return CATEGORIES.index(name)
