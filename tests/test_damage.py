"""Damaged copies of a tiny data set of every reader: it works, or one sentence says which file is to blame; nothing else happens."""

import json
import resource
import shutil
import signal
import warnings
from collections import Counter

import cloud_files
import layout_kitti_raw
import layout_pandaset
import layout_rellis3d
import layouts
import numpy as np
import own_files
import pytest
from PIL import Image

from xkd import XkdError
from xkd.datasets import open_dataset

FLIPS = 8
"""Copies of each file with one to three other bytes."""
SECONDS, MEGABYTES = 20, 400
"""That one copy may take at most on a busy machine, and that it may add to the process."""
CHARACTERS = np.frombuffer(b'0123456789-.eE,:[]{}"\n xna#', np.uint8)


def nuscenes(root):
    layouts.nuscenes(root)
    rows = json.loads((root / "v1.0-mini" / "lidarseg.json").read_text())
    for row in rows:
        row["filename"] = row["filename"].replace("lidarseg", "panoptic").replace(".bin", ".npz")
        (root / row["filename"]).parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(root / row["filename"], data=np.array([24000, 1001, 0, 2002], np.uint16))
    (root / "v1.0-mini" / "panoptic.json").write_text(json.dumps(rows))
    return root


def pandaset(root):
    root.mkdir()
    data = layout_pandaset.layout(root)
    for scene in ("004", "101"):
        shutil.rmtree(data / scene)
    for image in data.glob("*/camera/*/*.jpg"):
        whole = image.read_bytes()
        image.unlink()  # a link to the one of all others
        image.write_bytes(whole)
    return data


def rellis3d(root):
    root.mkdir()
    layout_rellis3d.fill(root, root, root, 2)
    layout_rellis3d.calibrate(root)
    return root


def own(ending, **scans):
    """A folder of one's own whose scans have another format."""

    def make(root):
        own_files.folder(root, cameras={"front": own_files.camera(images="front/*.jpg")})
        for path in (root / "front").glob("*.png"):
            Image.open(path).save(path.with_suffix(".jpg"))
            path.unlink()
        (root / "poses.txt").write_text(own_files.tum())
        for path in (root / "lidar").iterdir():
            path.unlink()
            CLOUDS[ending](path.with_suffix(f".{ending.partition('-')[0]}"))
        scans.setdefault("files", f"lidar/*.{ending.partition('-')[0]}")
        return own_files.say(root, scans=scans, cameras={"front": own_files.camera(images="front/*.jpg")})

    return make


def las(path):
    import laspy

    cloud = laspy.create(point_format=3, file_version="1.2")
    cloud.header.scales = [0.25] * 3
    cloud.x, cloud.y, cloud.z = cloud_files.XYZ.T
    cloud.intensity = cloud_files.INTENSITY.astype(np.uint16)
    cloud.write(str(path))


TABLE = np.column_stack([cloud_files.XYZ, cloud_files.INTENSITY]).astype("<f4")
CLOUDS = {f"pcd-{form}": lambda path, form=form: path.write_bytes(cloud_files.pcd(form)) for form in
          ("ascii", "binary", "binary_compressed")}  # fmt: skip
CLOUDS |= {f"ply-{form}": lambda path, form=form: path.write_bytes(cloud_files.ply(form)) for form in
           ("ascii", "binary_little_endian", "binary_big_endian")}  # fmt: skip
CLOUDS |= {"bin": TABLE.tofile, "npy": lambda path: np.save(path, TABLE), "las": las, "laz": las}
READERS = {
    "nuscenes": nuscenes,
    "semantickitti": lambda root: layouts.semantickitti(root, sequences=("00",), frames=2),
    "kitti_raw": lambda root: layout_kitti_raw.layout(root, drives=(layout_kitti_raw.DRIVE,)),
    "rellis3d": rellis3d,
    "pandaset": pandaset,
} | {f"folder-{name}": own(name) for name in CLOUDS}


def read(kind, root):
    for frame in open_dataset(kind, root):
        assert len(frame.points) == len(frame.attributes["intensity"])
        assert frame.labels is None or len(frame.labels) == len(frame.points)
        for camera in frame.cameras:
            assert camera.image().shape == (*camera.size, 3) and camera.T_cam_lidar.shape == (4, 4)


def damaged(whole, random):
    """(what was done, bytes) of copies of a file; None for one that is gone, "folder" for one in its place."""
    yield "removed", None
    yield "folder", "folder"
    yield "emptied", b""
    yield "random bytes", random.bytes(300)
    for cut in sorted({1, len(whole) // 4, len(whole) // 2, 3 * len(whole) // 4, len(whole) - 4, len(whole) - 1}):
        yield f"the first {cut} bytes", whole[: max(cut, 0)]
    for k in range(FLIPS):
        other = np.array(bytearray(whole))
        places = random.integers(len(whole) if k % 2 else min(len(whole), 400), size=1 + k % 3)
        other[places] = random.choice(CHARACTERS if k % 4 < 2 else 256, places.shape)
        yield f"other bytes at {places}", other.tobytes()


def chosen(root):
    """One file of each kind of a folder of scans, images or labels, and all of the others."""
    seen = Counter()
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        kind = path if path.suffix in (".json", ".txt", ".yaml", ".lst") else (path.parent, path.suffix)
        seen[kind] += 1
        if seen[kind] == 1:
            yield path


class Hangs(BaseException):
    """No Exception, which a reader could take for one of its own."""


@pytest.fixture
def clock():
    def late(*_):
        raise Hangs

    before = signal.signal(signal.SIGALRM, late)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("name", READERS)
def test_every_damage_ends_in_one_sentence(tmp_path, capfd, clock, name):
    if "las" in name or "laz" in name:
        pytest.importorskip("laspy")
    kind, root, random = name.partition("-")[0], READERS[name](tmp_path / "data"), np.random.default_rng(0)
    read(kind, root)
    capfd.readouterr()
    said = 0
    for path in chosen(root):
        whole = path.read_bytes()
        for what, data in damaged(whole, random):
            path.unlink()
            if data == "folder":
                path.mkdir()
            elif data is not None:
                path.write_bytes(data)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            signal.alarm(SECONDS)
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                try:
                    read(kind, root)
                except XkdError as error:
                    sentence, said = str(error), said + 1
                    assert sentence.endswith(".") and "\n" not in sentence and len(sentence) < 1000, sentence
                    # Bytes that read as other values may be found out in the file that they do not fit.
                    names = (str(tmp_path),) if "other bytes" in what else (path.name, str(path.parent))
                    assert any(name in sentence for name in names), f"{path}, {what}: {sentence}"
                except BaseException as error:
                    raise AssertionError(f"{path}, {what}: {type(error).__name__}: {error}") from error
            signal.alarm(0)
            grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
            assert not warned, f"{path}, {what}: {warned[0].message}"
            assert grown < MEGABYTES, f"{path}, {what}: {grown:.0f} MB"
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            path.write_bytes(whole)
    read(kind, root)
    assert said > 20 and capfd.readouterr() == ("", "")
