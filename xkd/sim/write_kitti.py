"""The SemanticKITTI odometry layout: velodyne/, labels/, image_2/, image_3/, calib.txt, poses.txt, times.txt.

Sources: the devkits of the KITTI odometry benchmark (Geiger et al., 2012) and of SemanticKITTI (Behley et al., 2019).
The layout has one calibration a sequence and no time of an image's own, so images have to be taken at the sweep's time.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from xkd.errors import XkdError

# Metres along the common x axis of the cameras, as on KITTI's car: from camera 2 to camera 0, and on to camera 1.
CAMERA_0 = 0.06
BASELINE_1 = 0.54


def write_sequence(root, name, frames, raw_ids):
    """Writes `root/dataset/sequences/<name>`.

    frames: iterable of (Sweep, [Shot of image_2, Shot of image_3]); raw_ids: SemanticKITTI label of every taxonomy
    index. The cameras must be rectified (equal K and axes) and stand still against the LiDAR: else XkdError.
    """
    folder = Path(root) / "dataset" / "sequences" / name
    for sub in ("velodyne", "labels", "image_2", "image_3"):
        (folder / sub).mkdir(parents=True, exist_ok=True)
    raw = np.array(raw_ids, np.uint32)
    calibration, poses, times = None, [], []
    for i, (sweep, shots) in enumerate(frames):
        scan = np.concatenate([np.round(sweep.points, 3), np.round(np.clip(sweep.intensity, 0, 1), 2)[:, None]], 1)
        (scan + 0.0).astype("<f4").tofile(folder / "velodyne" / f"{i:06d}.bin")
        labels = sweep.instance.astype(np.uint32) << 16 | raw[sweep.label]
        labels.astype("<u4").tofile(folder / "labels" / f"{i:06d}.label")
        cameras = {shot.name: shot for shot in shots}
        for camera, shot in cameras.items():
            Image.fromarray(shot.image).save(folder / camera / f"{i:06d}.png", "PNG", compress_level=6)
        P, T_cam0_lidar = calibrate(name, sweep, cameras)
        if calibration is None:
            calibration = P | {"Tr": T_cam0_lidar[:3]}
        elif np.abs(calibration["Tr"] - T_cam0_lidar[:3]).max() > 1e-6:
            raise XkdError(f"sequence {name}, frame {i}: the cameras moved against the LiDAR; calib.txt has one Tr.")
        poses.append(sweep.T_world_lidar @ np.linalg.inv(T_cam0_lidar))
        times.append(sweep.timestamp)
    if calibration is None:
        raise XkdError(f"sequence {name}: needs at least one frame.")
    numbers = {key: " ".join(f"{v + 0.0:.12e}" for v in np.round(M, 9).ravel()) for key, M in calibration.items()}
    (folder / "calib.txt").write_text("".join(f"{key}: {line}\n" for key, line in numbers.items()))
    first = np.linalg.inv(poses[0])
    lines = [" ".join(f"{v + 0.0:.9e}" for v in np.round(first @ T, 9)[:3].ravel()) for T in poses]
    (folder / "poses.txt").write_text("\n".join(lines) + "\n")
    (folder / "times.txt").write_text("".join(f"{(t - times[0]) / 1e6:.6e}\n" for t in times))


def calibrate(name, sweep, cameras):
    """{P0..P3: (3, 4)} and T_cam0_lidar (4, 4), so that homogeneous pixels of image_k are Pk @ T_cam0_lidar @ points.

    cameras: {"image_2": Shot, "image_3": Shot}. Camera 0 stands on the line through both, with their axes and K.
    """
    T_lidar_rig = np.linalg.inv(sweep.T_rig_lidar)
    for key, shot in cameras.items():
        if np.abs(shot.T_world_rig - sweep.T_world_rig).max() > 1e-6:
            raise XkdError(f"sequence {name}: {key} was not taken at the sweep's time, and calib.txt cannot say so.")
    T_lidar_cam = {key: T_lidar_rig @ shot.T_rig_cam for key, shot in cameras.items()}
    K = cameras["image_2"].K
    step = np.eye(4)
    step[0, 3] = CAMERA_0
    T_cam0_lidar = np.linalg.inv(T_lidar_cam["image_2"] @ step)
    P = {"P0": projection(K, np.zeros(3)), "P1": projection(K, np.array([-BASELINE_1, 0, 0]))}
    for key in ("image_2", "image_3"):
        T_cam_cam0 = np.linalg.inv(T_cam0_lidar @ T_lidar_cam[key])
        if np.abs(T_cam_cam0[:3, :3] - np.eye(3)).max() > 1e-6 or np.abs(cameras[key].K - K).max() > 1e-9:
            raise XkdError(f"sequence {name}: {key} is not rectified against image_2.")
        P[f"P{key[-1]}"] = projection(K, T_cam_cam0[:3, 3])
    return P, T_cam0_lidar


def projection(K, t):
    """K [I | t] (3, 4), t in metres."""
    return K @ np.column_stack([np.eye(3), t])
