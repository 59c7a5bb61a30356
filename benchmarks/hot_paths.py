"""`python benchmarks/hot_paths.py`: the steps around the network, each against a named peer on the same input, one thread and all.

Real frames of ../shared/data where they are, made ones (`python -m xkd.sim data`) else. `make bench` runs it. A part that cannot run says
so, and the others go on. `touched`: the bytes that a step has to read and write at least.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import peers
import torch
from timing import MADE, QUICK, REAL, compare, keep, on_all_cores

import xkd
from xkd import contrast, prepare
from xkd.datasets import reader
from xkd.datasets.frame import training_ids
from xkd.geometry import in_view, pair, project
from xkd.machine import cores
from xkd.metrics import confusion
from xkd.params import profile
from xkd.pool import pool
from xkd.segments import open_method
from xkd.sparse import voxelise


def size(*arrays):
    """Bytes of arrays, of those in lists and in fields of objects too."""
    total = 0
    for array in arrays:
        if hasattr(array, "nbytes"):
            total += array.nbytes
        else:
            total += size(*(array if isinstance(array, list | tuple) else vars(array).values()))
    return total


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


SCANS = 1 if QUICK else 16
CAMERAS, SIZE, SEGMENTS, CHANNELS, POINTS, PAIRS = 6, (224, 416), 150, 64, 30_000, 10_000


def loss_input():
    """A batch as SLidR has it: maps as large as its resized images, superpixels in rows of fifteen."""
    generator = torch.Generator().manual_seed(0)
    images = SCANS * CAMERAS
    points = torch.randn(SCANS * POINTS, CHANNELS, generator=generator, requires_grad=True)
    maps = torch.randn(images, CHANNELS, *SIZE, generator=generator)
    rows, columns = torch.arange(SIZE[0]) * 10 // SIZE[0], torch.arange(SIZE[1]) * 15 // SIZE[1]
    superpixels = (rows[:, None] * 15 + columns).expand(images, *SIZE).contiguous()
    image = torch.arange(SCANS).repeat_interleave(PAIRS) * CAMERAS + torch.randint(
        CAMERAS, (SCANS * PAIRS,), generator=generator
    )
    row, column = (torch.randint(side, (SCANS * PAIRS,), generator=generator) for side in SIZE)
    point = torch.randint(POINTS, (SCANS * PAIRS,), generator=generator) + image // CAMERAS * POINTS
    return points, maps, superpixels, (image, row, column, point)


def our_loss(points, maps, superpixels, pairs, temperature):
    """The same loss by xkd's pooling and blocks."""
    from torch_scatter import scatter_mean

    image, row, column, point = pairs
    used, place = (superpixels[image, row, column] + image * SEGMENTS).unique(return_inverse=True)
    means = torch.cat([pool(features, ids) for features, ids in zip(maps, superpixels, strict=True)])
    return contrast.info_nce(scatter_mean(points[point], place, 0), means[used], temperature)


def one_loss(way):
    """Runs one form of the loss, forward and backward, and prints its value and the process' peak of memory, inputs included, in GiB."""
    given = loss_input()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew: what making the inputs took does not count
    loss = {"xkd": our_loss, "one-hot": peers.one_hot_loss}[way](*given, 0.07)
    loss.backward()
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(loss.item(), int(peak.split()[1]) / 2**20)


def loss():
    given = loss_input()

    def run(function):
        given[0].grad = None
        function(*given, 0.07).backward()

    ways = {"xkd": lambda: run(our_loss), "sparse one-hot (SLidR)": lambda: run(peers.one_hot_loss)}
    name, points, rows = f"superpixel loss of {SCANS} scans x {CAMERAS} cameras", given[0], []
    touched = size(given[1].numpy(), given[2].numpy(), points.detach().numpy()) + size(points.detach().numpy())
    for threads in sorted({1, cores()}):
        torch.set_num_threads(threads)
        label = name if threads == 1 else f"{name}, {threads} threads"
        rows += compare(label, ways, 3, 1, touched)
    torch.set_num_threads(1)
    values = {}
    for way in ("xkd", "one-hot"):
        said = subprocess.run(
            [sys.executable, __file__, "--loss", way], capture_output=True, text=True, check=True
        ).stdout
        values[way] = [float(part) for part in said.split()]
    assert abs(values["xkd"][0] - values["one-hot"][0]) < 1e-3, values
    for way, (_, memory) in values.items():
        print(f"{'peak of its memory':<44} {way:<36} {memory:9.2f} GiB")
        share = memory / values["one-hot"][1]
        row = {"what": "superpixel loss, peak of memory", "way": way, "GiB": round(memory, 3), "ratio": round(share, 3)}
        rows.append(row)
    return rows


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
    parser.add_argument("--loss", choices=("xkd", "one-hot"), help="one form of the loss alone, for its memory")
    parser.add_argument("--only", choices=[part.__name__ for part in PARTS], help="one part alone; nothing is kept")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.loss:
        one_loss(options.loss)
        return 0
    rows, failed = [], {}
    for part in PARTS if not options.only else [p for p in PARTS if p.__name__ == options.only]:
        try:
            rows += part()
        except Exception as error:  # the others are worth having
            traceback.print_exc()
            failed[part.__name__] = str(error).split("\n")[0]
            print(f"xkd: {part.__name__}: not measured: {failed[part.__name__]}", flush=True)
    if not options.only:
        keep("hot_paths", rows, data="real frames" if REAL.is_dir() else "made frames", failed=failed)
    return int(not rows)


if __name__ == "__main__":
    sys.exit(main())
