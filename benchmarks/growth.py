"""`python benchmarks/growth.py`: how the cost of the hot paths and of a training step grows with points, cameras, frames, superpixels,
classes and workers, on made inputs. Each size is measured in turn, medians and quartiles; `slope` is the exponent by least squares on the
logarithms, `expected` what it should be: 1 is linear, 0 constant.

How the stages grow with frames is `memory.py`'s, which runs them; how an index does, `index.py`'s.
"""

import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from made import CLASSES, picture, rig, street
from timing import QUICK, compare, keep, measured, slope

from xkd import contrast, superpixels
from xkd import student as students
from xkd.files import write_json
from xkd.geometry import pair
from xkd.losses import segmentation
from xkd.machine import cores
from xkd.metrics import confusion
from xkd.native import has_half
from xkd.optim import Muon
from xkd.params import profile
from xkd.pool import pool
from xkd.prepared import Prepared
from xkd.sparse import voxelise

ROUNDS = 9


def sizes(*all_of_them):
    return all_of_them[:3] if QUICK else all_of_them


def grown(path, against, ways, expected=1.0, rounds=ROUNDS):
    """ways: {size: function} -> one row, of all sizes."""
    found = compare(f"{path}, against {against}", {f"{size:,}": way for size, way in ways.items()}, rounds)
    row = {"path": path, "against": against, "x": list(ways), "expected": expected}
    row |= {key: [own[key] for own in found] for key in ("ms", "low", "high")}
    row["slope"] = round(slope(row["x"], row["ms"]), 3)
    print(f"{path}, against {against}: slope {row['slope']:.2f}, expected {expected:g}", flush=True)
    return row


def trained(scans, labels, classes):
    """A function that makes one training step of the default student on whole scans."""
    params = profile()
    network = students.build(params["student"] | {"classes": classes}, 0).train()
    optimiser = Muon(network.parameters(), 0.006, 0.01)

    def step():
        voxels = students.voxels(scans, params["student"])
        loss = segmentation(network(voxels)[1], labels, params["finetune"]["lovasz_points"])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    return step


def scan(points):
    return street(points), np.linspace(0, 1, points, dtype=np.float32)


def points():
    some = sizes(8_000, 16_000, 32_000, 64_000, 128_000, 256_000)
    scans, rng = {n: scan(n) for n in some}, np.random.default_rng(0)
    classes = {n: (rng.integers(-1, 16, n).astype(np.int16), rng.integers(0, 16, n)) for n in some}
    network = students.build(profile()["student"] | {"classes": CLASSES}, 0).eval()

    def seen(n):
        with torch.inference_mode():
            network(students.voxels([scans[n]], profile()["student"]))

    yield grown("pairing with 6 cameras", "points", {n: lambda n=n: pair(rig(scans[n][0])) for n in some})
    yield grown("voxelising at 0.1 m", "points", {n: lambda n=n: voxelise(*scans[n], 0.1) for n in some})
    yield grown(
        "counting a confusion", "points", {n: lambda n=n: confusion(classes[n][1], classes[n][0], 16) for n in some}
    )
    yield grown("segmenting a scan", "points", {n: lambda n=n: seen(n) for n in some}, rounds=5)
    ways = {n: trained([scans[n]], torch.from_numpy(classes[n][0]).long(), CLASSES) for n in some}
    yield grown("a training step", "points", ways, rounds=5)


def cameras():
    own = street(32_000)
    ways = {n: lambda n=n: pair(rig(own, n)) for n in sizes(1, 2, 4, 8, 16)}
    yield grown("pairing 32,000 points", "cameras", ways)


def frames():
    """Opening a prepared split of so many frames, which a training does at its start; then a frame of it."""
    with tempfile.TemporaryDirectory() as folder:
        some = sizes(100, 1000, 10_000, 100_000)
        for n in some:
            split = Path(folder) / str(n)
            split.mkdir()
            rows = [{"id": str(i), "scene": f"street-{i // 40}", "points": 4, "labelled": True} for i in range(n)]
            about = {"frames": rows, "classes": CLASSES, "cameras": [], "colours": [[0, 0, 0]] * 16, "digest": "made"}
            write_json(split / "frames.json", about | {"labelled": True, "paired": False})
            np.save(split / "points.npy", np.zeros((4 * n, 3), np.float32))
            np.save(split / "intensity.npy", np.zeros(4 * n, np.float32))
            np.save(split / "labels.npy", np.zeros(4 * n, np.int16))
            np.save(split / "offsets.npy", np.arange(n + 1) * 4)
        yield grown("opening a prepared split", "frames", {n: lambda n=n: Prepared(folder, str(n)) for n in some})
        splits = {n: Prepared(folder, str(n)) for n in some}
        ways = {n: lambda n=n: [splits[n].points(i) for i in range(0, n, n // 100)] for n in some}
        yield grown("reading 100 of the frames", "frames", ways, 0.0)


def segments():
    image, some = picture(), sizes(75, 150, 300, 600, 1200)
    yield grown(
        "SLIC of 1600 x 900", "superpixels", {n: lambda n=n: superpixels.segment(image, n) for n in some}, 0.0, 3
    )
    maps = {n: torch.from_numpy(superpixels.segment(image, n)) for n in some}
    features = torch.randn(64, 56, 100)
    ways = {n: lambda n=n: pool(features, maps[n]) for n in some}
    yield grown("pooling 64 channels", "superpixels", ways, 0.0, 5)
    rows = sizes(1000, 2000, 4000, 8000)
    given = {n: [torch.randn(n, 64, requires_grad=True), torch.randn(n, 64)] for n in rows}

    def loss(n):
        contrast.info_nce(*given[n], 0.07).backward()

    yield grown("InfoNCE, every one against every one", "superpixels", {n: lambda n=n: loss(n) for n in rows}, 2.0, 5)


def classes():
    some, rng, count = sizes(4, 8, 16, 32, 64), np.random.default_rng(0), 16_000
    true = {n: rng.integers(0, n, count).astype(np.int16) for n in some}
    guess = {n: rng.integers(0, n, count) for n in some}
    logits = {n: torch.randn(count, n, requires_grad=True) for n in some}
    labels = {n: torch.from_numpy(true[n]).long() for n in some}
    yield grown("counting a confusion", "classes", {n: lambda n=n: confusion(guess[n], true[n], n) for n in some}, 0.0)

    def loss(n):
        segmentation(logits[n], labels[n], profile()["finetune"]["lovasz_points"]).backward()

    yield grown("cross-entropy and Lovasz", "classes", {n: lambda n=n: loss(n) for n in some})
    own = scan(count)
    ways = {n: trained([own], labels[n], [f"class {i}" for i in range(n)]) for n in some}
    yield grown("a training step", "classes", ways, 0.0, 5)


def workers():
    """Pairing and cutting of frames in threads, as stage 1 does it: milliseconds a frame."""
    own, image = rig(street(32_000)), picture(size=(225, 400))
    some = [n for n in (1, 2, 4, 8, 16, 32) if n <= 2 * cores()]
    count = 2 * max(some) if QUICK else 8 * max(some)

    def frame(_):
        pair(own)
        superpixels.segment(image, 120)

    def run(n):
        with ThreadPoolExecutor(n) as threads:
            list(threads.map(frame, range(count)))

    row = grown("stage 1's work on frames", "workers", {n: lambda n=n: run(n) for n in some}, -1.0, 5)
    for key in ("ms", "low", "high"):
        row[key] = [round(value / count, 4) for value in row[key]]
    within = [i for i, n in enumerate(some) if n <= cores()]
    row["slope"] = round(slope(*([row[k][i] for i in within] for k in ("x", "ms"))), 3) if len(within) > 1 else None
    yield row | {"cores": cores()}


PARTS = (points, cameras, frames, segments, classes, workers)


def main():
    torch.set_num_threads(1)
    rows, failed = measured(PARTS)
    keep("growth", rows, failed=failed, bfloat16=has_half())
    return int(not rows)


if __name__ == "__main__":
    sys.exit(main())
