"""`python benchmarks/hot_paths.py`: the steps around the network, each against a named peer on the same input, one thread and all.

Real frames of ../shared/data where they are, made ones (`python -m xkd.sim data`) else. `make bench` runs it. A part that cannot run says
so, and the others go on. `touched`: the bytes that a step has to read and write at least.
"""

import argparse
import json
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import peers
import torch
from loss import loss
from timing import MADE, REAL, compare, keep, measured, on_all_cores, size

import xkd
from xkd import prepare
from xkd.datasets import reader
from xkd.datasets.frame import training_ids
from xkd.geometry import in_view, pair, project
from xkd.machine import cores
from xkd.metrics import confusion
from xkd.params import profile
from xkd.segments import open_method
from xkd.sparse import assign, voxelise


def both(name, ways, touched=None, rounds=15):
    """`compare` on one core, and the same in as many processes as there are cores."""
    return compare(name, ways, rounds, touched=touched) + on_all_cores(name, ways)


def semantickitti():
    """A SemanticKITTI frame."""
    root = REAL / "semantickitti" if REAL.is_dir() else MADE / "semantickitti"
    return xkd.open_dataset("semantickitti", root, "val")[0]


def nuscenes():
    """The root of a nuScenes data set, its version and a frame."""
    if REAL.is_dir():
        root, version = REAL / "nuscenes_one_sample", "v1.0-test"
        return root, version, xkd.open_dataset("nuscenes", root)[0]
    root, version = MADE / "nuscenes", "v1.0-trainval"
    return root, version, xkd.open_dataset("nuscenes", root, "val")[0]


TABLES = (
    "category attribute visibility instance sensor calibrated_sensor ego_pose log scene sample sample_data sample_annotation map"
).split()
"""The devkit wants all of them; the real sample lacks some."""


BLANK = [{"token": "m", "log_tokens": [], "category": "none", "filename": ""}]
"""A table of maps with nothing in it, without which the devkit does not open."""


def pairing():
    root, version, frame = nuscenes()
    from nuscenes.nuscenes import NuScenes

    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder)
        (whole / version).mkdir()
        for entry in root.iterdir():
            if entry.name != version:
                os.symlink(entry, whole / entry.name)
        for table in TABLES:
            there = root / version / f"{table}.json"
            (whole / version / there.name).write_text(
                there.read_text() if there.is_file() else json.dumps(BLANK * (table == "map"))
            )
        return paired(NuScenes(version, str(whole), verbose=False), frame)


def paired(official, frame):
    tokens = official.get("sample", frame.id)["data"]
    names = [camera.name for camera in frame.cameras]

    def devkit():
        for name in names:
            official.explorer.map_pointcloud_to_image(tokens["LIDAR_TOP"], tokens[name])

    def read_and_pair():
        pair(type(frame)(**{k: getattr(frame, k) for k in frame.__dataclass_fields__}), occlusion=False)

    touched = size(frame.points, pair(frame, occlusion=False))
    return both(
        f"pair a sweep with {len(names)} cameras, from disk",
        {"xkd": read_and_pair, "nuscenes-devkit map_pointcloud_to_image": devkit},
        touched,
    ) + compare(
        f"pair a sweep with {len(names)} cameras, in memory",
        {"xkd": lambda: pair(frame, occlusion=False), "xkd, with occlusion": lambda: pair(frame)},
        touched=touched,
    )


def load_and_pair():
    _, _, frame = nuscenes()

    def decode():
        for camera in frame.cameras:
            camera.image()

    def whole():
        fresh = type(frame)(**{k: getattr(frame, k) for k in frame.__dataclass_fields__})
        for camera in fresh.cameras:
            camera.image()
        pair(fresh)

    height, width = frame.cameras[0].size
    name = f"load and pair {len(frame.cameras)} images of {width} x {height}"
    return both(name, {"xkd": whole, "decoding the images alone": decode})


def stage_frame():
    """Stage 1 of one frame: decoded, paired, every image cut into superpixels and kept as PNG. The plan's rate is from here."""
    _, _, frame = nuscenes()
    settings = profile()["prepare"]
    cut = open_method(settings)

    def whole():
        fresh = type(frame)(**{k: getattr(frame, k) for k in frame.__dataclass_fields__})
        return prepare._frame(fresh, True, False, settings, cut)

    made, (height, width) = whole(), frame.cameras[0].size
    rows = compare(f"prepare a frame of {len(frame.cameras)} images of {width} x {height}", {"xkd": whole}, rounds=7)
    rows[0]["bytes"] = size(*(v for k, v in made["arrays"].items() if k != "segments"))
    rows[0]["bytes"] += sum(map(len, made["arrays"]["segments"]))
    return rows


def projection():
    frame = semantickitti()
    points, camera = frame.points, frame.cameras[0]
    return both(
        "project a SemanticKITTI scan",
        {
            "xkd, what is in view": lambda: in_view(points, camera),
            "xkd, all points": lambda: project(points, camera),
            "numpy matrix product (ScaLR)": lambda: peers.numpy_projection(points, camera),
        },
        size(points, *in_view(points, camera)),
    )


def voxels():
    from spconv.pytorch.utils import PointToVoxel

    frame = semantickitti()
    points, intensity, edge = frame.points, frame.attributes["intensity"], 0.1
    four = torch.from_numpy(np.concatenate([points, intensity[:, None]], 1))
    spconv = PointToVoxel([edge] * 3, [-100, -100, -20, 100, 100, 20], 4, 150_000, 5)
    return both(
        f"voxels of {len(points):,} points at {edge} m",
        {
            "xkd, with features and means": lambda: voxelise(points, intensity, edge),
            "hash and sort (Pointcept)": lambda: peers.hash_and_sort(points, edge),
            "distinct rows (2DPASS)": lambda: peers.rows_unique(points, edge),
            "spconv PointToVoxel": lambda: spconv.generate_voxel_with_id(four),
        },
        size(points, intensity, *voxelise(points, intensity, edge)),
    ) + both(
        f"cells alone of {len(points):,} points at {edge} m",
        {
            "xkd, with the points' features": lambda: assign(points, intensity, edge),
            "hash and sort (Pointcept)": lambda: peers.hash_and_sort(points, edge),
        },
        size(points, intensity, *assign(points, intensity, edge)),
    )


def labels():
    facts = reader("semantickitti").facts()
    classes = list(facts["classes"])
    table = {raw: classes.index(name) if name else -1 for raw, (_, name) in facts["labels"].items()}
    raw = np.random.default_rng(0).choice(sorted(table), 120_000).astype(np.uint32)
    by_dict = np.vectorize(table.get)
    return both(
        "map 120,000 raw labels",
        {"xkd": lambda: training_ids(raw, table, "labels"), "vectorised dict": lambda: by_dict(raw)},
        size(raw, training_ids(raw, table, "labels")),
    )


def evaluation():
    rng = np.random.default_rng(0)
    true, pred = rng.integers(-1, 19, 120_000).astype(np.int16), rng.integers(0, 19, 120_000)
    return both(
        "confusion of 120,000 points",
        {
            "xkd": lambda: confusion(pred, true, 19),
            "np.add.at (semantic-kitti-api)": lambda: peers.add_at(pred, true, 19),
        },
        size(pred, true),
    )


def all_cores():
    """How much faster as many frames are paired in as many threads as there are cores."""
    _, _, frame = nuscenes()
    count = 8 * cores()

    def alone():
        for _ in range(count):
            pair(frame)

    def together():
        with ThreadPoolExecutor(cores()) as workers:
            list(workers.map(lambda _: pair(frame), range(count)))

    return compare(f"pair {count} sweeps", {f"xkd, {cores()} threads": together, "xkd, one thread": alone})


PARTS = (pairing, load_and_pair, stage_frame, projection, voxels, labels, evaluation, loss, all_cores)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=[part.__name__ for part in PARTS], help="one part alone; nothing is kept")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows, failed = measured([part for part in PARTS if options.only in (None, part.__name__)])
    if not options.only:
        keep("hot_paths", rows, data="real frames" if REAL.is_dir() else "made frames", failed=failed)
    return int(not rows)


if __name__ == "__main__":
    sys.exit(main())
