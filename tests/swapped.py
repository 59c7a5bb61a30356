"""Copies of the samples of real frames with one plain mistake each in their calibration or their scans; all other files are links."""

import json

import numpy as np
import yaml
from scipy.spatial.transform import Rotation

from xkd.geometry import invert, rigid


def copied(source, dest):
    """Folders of their own, and links to the files in `source`; returns `dest`."""
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        link = dest / path.relative_to(source)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path.absolute())
    return dest


def rewrite(path, content):
    """Puts text or bytes in the place of a link."""
    path.unlink()
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def inverted(T):
    return invert(T)


def raised(T):
    """T_cam_lidar of a camera that is said to be a metre higher than it is: y of a camera points down."""
    return np.array([[1, 0, 0, 0], [0, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 1.0]]) @ T


def matrix(words, shape=(3, 4)):
    """The numbers in a text -> (4, 4)."""
    T = np.eye(4)
    T[: shape[0], : shape[1]] = np.array(words.split(), np.float64).reshape(shape)
    return T


def numbers(values):
    return " ".join(f"{value:.12e}" for value in np.ravel(values))


def relined(root, pattern, changed):
    """Calibration files of lines `name: numbers`: changed(lines) -> those lines that are others, by name."""
    for path in root.rglob(pattern):
        lines = dict(line.split(":", 1) for line in path.read_text().splitlines() if line.strip())
        lines |= changed(lines)
        rewrite(path, "".join(f"{name}: {line.strip()}\n" for name, line in lines.items()))


def semantickitti(root, change):
    relined(root, "calib.txt", lambda lines: {"Tr": numbers(change(matrix(lines["Tr"]))[:3])})


def kitti_raw(root, change):
    def changed(lines):
        T = matrix(lines["R"], (3, 3))
        T[:3, 3] = np.array(lines["T"].split(), np.float64)
        T = change(T)
        return {"R": numbers(T[:3, :3]), "T": numbers(T[:3, 3])}

    relined(root, "calib_velo_to_cam.txt", changed)


def opencalib(root, change):
    relined(root, "calib.txt", lambda lines: {"T": numbers(change(matrix(lines["T"]))[:3])})


def rellis3d(root, change):
    path = root / "transforms.yaml"
    about = yaml.safe_load(path.read_text())
    (mount,) = about.values()
    # The file has T_lidar_cam.
    T = invert(change(invert(rigid([mount["q"][k] for k in "wxyz"], [mount["t"][k] for k in "xyz"]))))
    mount["q"] = dict(zip("wxyz", Rotation.from_matrix(T[:3, :3]).as_quat(scalar_first=True).tolist(), strict=True))
    mount["t"] = dict(zip("xyz", T[:3, 3].tolist(), strict=True))
    rewrite(path, yaml.safe_dump(about))


def nuscenes(root, change):
    """change: {channel: its row of `calibrated_sensor`} -> the same, changed."""
    (folder,) = root.glob("v1.0-*")
    sensors = {row["token"]: row["channel"] for row in json.loads((folder / "sensor.json").read_text())}
    rows = json.loads((folder / "calibrated_sensor.json").read_text())
    change({sensors[row["sensor_token"]]: row for row in rows})
    rewrite(folder / "calibrated_sensor.json", json.dumps(rows))


def mounts_inverted(rows):
    """The places of all cameras in the vehicle the other way round, for `nuscenes`."""
    for channel, row in rows.items():
        if channel.startswith("CAM"):
            T = invert(rigid(row["rotation"], row["translation"]))
            row["rotation"] = Rotation.from_matrix(T[:3, :3]).as_quat(scalar_first=True).tolist()
            row["translation"] = T[:3, 3].tolist()


def exchanged(one, other, keys=("translation", "rotation")):
    """The places of two cameras, for `nuscenes`."""

    def change(rows):
        for key in keys:
            rows[one][key], rows[other][key] = rows[other][key], rows[one][key]

    return change


def pandaset(root, one, other):
    """The poses of two cameras exchanged."""
    (a, b) = (next(root.glob(f"*/camera/{name}/poses.json")) for name in (one, other))
    first, second = a.read_bytes(), b.read_bytes()
    rewrite(a, second)
    rewrite(b, first)


XY, MIRRORED = np.eye(3, dtype=np.float32)[[1, 0, 2]], np.diag(np.float32([1, -1, 1]))


def scans(root, pattern, width, turn):
    """Every point of the scans, of `width` float32 numbers of which the first are x, y and z, turned by `turn` (3, 3)."""
    for path in root.rglob(pattern):
        scan = np.fromfile(path, np.float32).reshape(-1, width)
        rewrite(path, np.column_stack([scan[:, :3] @ turn.T, scan[:, 3:]]).tobytes())
