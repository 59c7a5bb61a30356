"""Superpixel InfoNCE as xkd has it and as SLidR has it: the same value, their time and their memory; a part of `hot_paths.py`.

`python benchmarks/loss.py xkd` or `one-hot`: one form alone, in a process of its own, for its memory."""

import subprocess
import sys
from pathlib import Path

import peers
import torch
from timing import QUICK, compare, size

from xkd import contrast
from xkd.machine import cores
from xkd.pool import pool

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
    """Runs one form of the loss, forward and backward, and prints its value and the process' peak of memory, in GiB: inputs included,
    and how far it is above what the process held when these were made."""
    given = loss_input()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew: what making the inputs took does not count
    before = held("VmRSS")
    loss = {"xkd": our_loss, "one-hot": peers.one_hot_loss}[way](*given, 0.07)
    loss.backward()
    print(loss.item(), held("VmHWM"), held("VmHWM") - before)


def held(name):
    """A line of what the system says of this process' memory, in GiB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 2**20


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
        said = subprocess.run([sys.executable, __file__, way], capture_output=True, text=True, check=True).stdout
        values[way] = [float(part) for part in said.split()]
    assert abs(values["xkd"][0] - values["one-hot"][0]) < 1e-3, values
    for what, place in (("superpixel loss, peak of memory", 1), ("superpixel loss, memory beside its inputs", 2)):
        for way, found in values.items():
            print(f"{what:<44} {way:<36} {found[place]:9.2f} GiB")
            share = found[place] / values["one-hot"][place]
            rows.append({"what": what, "way": way, "GiB": round(found[place], 3), "ratio": round(share, 3)})
    return rows


if __name__ == "__main__":
    torch.set_num_threads(1)
    one_loss(sys.argv[1])
