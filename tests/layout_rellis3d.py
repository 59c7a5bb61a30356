"""RELLIS-3D's layouts with small files: the sequences, and the published example's one folder."""

import numpy as np
from PIL import Image

SCANS, LABELS, IMAGES = "os1_cloud_node_kitti_bin", "os1_cloud_node_semantickitti_label_id", "pylon_camera_node"
POINTS = np.array(
    [[-10, 1, 0.5, 0.25], [0, 0, 0, 0.001], [-20, -2, -1, 1.0], [0, -0.0, 0, 0], [4, 0, 0, 0.0]], np.float32
)
"""On disk: x backward, y right. Two of the five are zero returns."""
RAW = np.array([3, 0, 17, 0, 1], np.uint32)
K1, K2, P1, P2 = -0.134313, -0.025905, 0.002181, 0.00084
MOUNT = """os1_cloud_node-pylon_camera_node:
  q: {w: 0.5, x: -0.5, y: -0.5, z: 0.5}
  t: {x: -0.2, y: 0.0, z: -0.1}
"""
"""The camera looks along the LiDAR's -x on disk, its right is y, its down -z; it is 0.2 m in front of the LiDAR and 0.1 m below."""
LISTS = {"pt_train.lst": ("00000", [0, 1]), "pt_val.lst": ("00000", [2, 3]), "pt_test.lst": ("00001", [0])}


def fill(scans, labels, images, frames):
    for folder in (scans, labels, images):
        folder.mkdir(parents=True, exist_ok=True)
    names = [images / f"frame{i:06d}-15816246{i:02d}_149.jpg" for i in range(frames)]
    Image.new("RGB", (1920, 1200), (10, 20, 30)).save(names[0])
    for i in range(frames):
        POINTS.tofile(scans / f"{i:06d}.bin")
        RAW.tofile(labels / f"{i:06d}.label")
        names[i].write_bytes(names[0].read_bytes())


def sequences(root, frames=4):
    """Two sequences that drive 2 m along the world's x from scan to scan, looking forward, which is -x on disk."""
    for name in ("00000", "00001"):
        folder = root / "Rellis-3D" / name
        fill(folder / SCANS, folder / LABELS, folder / IMAGES, frames)
        (folder / "poses.txt").write_text("".join(f"-1 0 0 {2 * i} 0 -1 0 0 0 0 1 0\n" for i in range(frames)))
        (folder / "calib.txt").write_text("Tr: 1 0 0 0 0 1 0 0 0 0 1 0\n")
        calibrate(folder)
    for name, (sequence, numbers) in LISTS.items():
        lines = [f"{sequence}/{SCANS}/{i:06d}.bin {sequence}/{LABELS}/{i:06d}.label\n" for i in numbers]
        (root / "Rellis-3D" / name).write_text("".join(lines))
    return root


def calibrate(folder):
    (folder / "camera_info.txt").write_text("1000 1100 960 600\n")
    (folder / "transforms.yaml").write_text(MOUNT)


def example(root):
    """The flat folder, with the other files that lie in the published one."""
    fill(root, root, root, 1)
    calibrate(root)
    (root / "vel000000.bin").write_bytes(b"\0" * 20)
    Image.new("L", (1920, 1200)).save(root / "frame000000-1581624600_149.png")
    Image.new("RGB", (40, 20)).save(root / "000000.png")
    return root


def first(root, kind):
    """A file of the first frame of either layout."""
    folder = root if kind == "example" else root / "Rellis-3D" / "00000"
    return {
        "scan": folder / ("" if kind == "example" else SCANS) / "000000.bin",
        "label": folder / ("" if kind == "example" else LABELS) / "000000.label",
        "image": folder / ("" if kind == "example" else IMAGES) / "frame000000-1581624600_149.jpg",
        "camera_info.txt": folder / "camera_info.txt",
        "transforms.yaml": folder / "transforms.yaml",
    }
