"""Two tiny data sets in the official layouts, written out by hand: numbers that can be checked on paper."""

import json

import numpy as np
from PIL import Image

HALF = 0.5**0.5
POINTS = np.array([[1, 10, 0.2], [-2, 8, -1.0], [0, -6, 0.5], [3, 12, 1.0]], np.float32)
"""Of every nuScenes sweep, on the disk's axes: x right, y forward, z up."""
CATEGORIES = ["noise", "vehicle.car", "flat.driveable_surface", "human.pedestrian.child"]
RAW = np.array([2, 1, 0, 3], np.uint8)
SCENES = {"scene-0061": 3, "scene-0103": 2}
"""Key frames of each; the first is of mini_train, the second of mini_val."""


def nuscenes(root, version="v1.0-mini", lidarseg=True):
    """The car stands at (10, 20) and looks along the world's y at the sweep; half a metre further at the image."""
    tables = {name: [] for name in ("scene", "sample", "sample_data", "ego_pose")}
    tables["sensor"] = [
        {"token": "s-lidar", "channel": "LIDAR_TOP", "modality": "lidar"},
        {"token": "s-back", "channel": "CAM_BACK", "modality": "camera"},
        {"token": "s-front", "channel": "CAM_FRONT", "modality": "camera"},
        {"token": "s-radar", "channel": "RADAR_FRONT", "modality": "radar"},
    ]
    K = [[100, 0, 80], [0, 100, 45], [0, 0, 1]]
    mounts = {
        "lidar": ([1, 0, 1.8], [HALF, 0, 0, -HALF], []),
        "front": ([1.5, 0, 1.5], [0.5, -0.5, 0.5, -0.5], K),
        "back": ([-0.5, 0, 1.5], [0.5, -0.5, -0.5, 0.5], K),
        "radar": ([3, 0, 0.5], [1, 0, 0, 0], []),
    }
    tables["calibrated_sensor"] = [
        {"token": f"c-{s}", "sensor_token": f"s-{s}", "translation": t, "rotation": q, "camera_intrinsic": k}
        for s, (t, q, k) in mounts.items()
    ]
    tables["category"] = [{"token": n, "name": n, "description": ""} for n in CATEGORIES]
    if lidarseg:
        tables["lidarseg"] = []
        for index, row in enumerate(tables["category"]):
            row["index"] = index
    for scene, frames in SCENES.items():
        tables["scene"].append({"token": f"t-{scene}", "name": scene})
        for frame in reversed(range(frames)):
            sample, time = f"{scene}-{frame}", 1_000_000 + 500_000 * frame
            tables["sample"].append({"token": sample, "timestamp": time, "scene_token": f"t-{scene}"})
            for sensor, late, key in [("lidar", 0, True), ("lidar", 50_000, False), ("radar", 0, True)] + [
                (camera, 40_000, True) for camera in ("back", "front")
            ]:
                add_data(root, tables, sample, sensor, time + late, key, moved=0.5 if late else 0.0)
            if lidarseg:
                file = f"lidarseg/{version}/{sample}_lidarseg.bin"
                tables["lidarseg"].append({"sample_data_token": f"{sample}-lidar-{time}", "filename": file})
                (root / file).parent.mkdir(parents=True, exist_ok=True)
                RAW.tofile(root / file)
    (root / version).mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        (root / version / f"{name}.json").write_text(json.dumps(rows, indent=0))
    return root


def add_data(root, tables, sample, sensor, time, key, moved):
    """One row of sample_data with its own ego pose and its file."""
    channel = {"lidar": "LIDAR_TOP", "front": "CAM_FRONT", "back": "CAM_BACK", "radar": "RADAR_FRONT"}[sensor]
    token = f"{sample}-{sensor}-{time}"
    image = sensor in ("front", "back")
    file = f"{'samples' if key else 'sweeps'}/{channel}/{token}" + (".jpg" if image else ".pcd.bin")
    tables["ego_pose"].append({"token": token, "translation": [10, 20 + moved, 0], "rotation": [HALF, 0, 0, HALF]})
    tables["sample_data"].append(
        {
            "token": token, "sample_token": sample, "ego_pose_token": token, "calibrated_sensor_token": f"c-{sensor}",
            "timestamp": time, "is_key_frame": key, "filename": file, "fileformat": "",
            "height": 90 if image else 0, "width": 160 if image else 0,
        }
    )  # fmt: skip
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    if image:
        Image.new("RGB", (160, 90), (200, 100, 50)).save(root / file)
    elif sensor == "lidar":
        np.column_stack([POINTS, [0, 51, 102, 255], [0, 1, 30, 31]]).astype("<f4").tofile(root / file)


KITTI_POINTS = np.array([[10, 1, 0.5, 0.25], [5, -1, -1, 1.0], [-4, 0, 0, 0.0]], np.float32)
KITTI_RAW = np.array([40 | 7 << 16, 252, 0], np.uint32)
CALIBRATION = """P0: 100 0 80 0 0 100 45 0 0 0 1 0
P2: 100 0 80 20 0 100 45 10 0 0 1 0.5
P3: 100 0 80 -30 0 100 45 0 0 0 1 0
Tr: 0 -1 0 0.1 0 0 -1 -0.2 1 0 0 -0.3
"""
"""Tr turns the velodyne's x forward, y left, z up into the camera's x right, y down, z forward."""


def semantickitti(root, sequences=("00", "08", "11"), frames=3, cameras=("image_2",)):
    """Every frame has the same three points and moves 2 m along camera 0's z; test sequences have no labels."""
    for name in sequences:
        folder = root / "dataset" / "sequences" / name
        for kind in ("velodyne", *cameras, *(["labels"] if int(name) < 11 else [])):
            (folder / kind).mkdir(parents=True)
        (folder / "calib.txt").write_text(CALIBRATION)
        (folder / "poses.txt").write_text("".join(f"1 0 0 0 0 1 0 0 0 0 1 {2 * i}\n" for i in range(frames)))
        (folder / "times.txt").write_text("".join(f"{0.1 * i:e}\n" for i in range(frames)))
        for i in range(frames):
            KITTI_POINTS.tofile(folder / "velodyne" / f"{i:06d}.bin")
            if int(name) < 11:
                KITTI_RAW.tofile(folder / "labels" / f"{i:06d}.label")
            for camera in cameras:
                Image.new("RGB", (160, 90), (10, 20, 30)).save(folder / camera / f"{i:06d}.png")
    return root
