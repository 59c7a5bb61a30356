"""Invented outputs of a sweep, so that the report can be tried, and tested, without training anything.

The numbers mean nothing; every page made from them says so.
"""

from pathlib import Path

import numpy as np

from xkd import metrics
from xkd.files import atomic, write_json

NOTE = "Made-up numbers: this is a trial of the report itself, nothing was trained."
CLASSES = {  # name: (colour, share of the points, how hard it is to learn)
    "car": ([255, 158, 0], 0.07, 0.5),
    "truck": ([255, 99, 71], 0.02, 0.9),
    "pedestrian": ([0, 0, 230], 0.006, 1.3),
    "barrier": ([112, 128, 144], 0.02, 1.0),
    "driveable_surface": ([0, 207, 191], 0.38, 0.2),
    "sidewalk": ([75, 0, 75], 0.14, 0.8),
    "terrain": ([112, 180, 60], 0.12, 0.9),
    "manmade": ([222, 184, 135], 0.17, 0.4),
    "vegetation": ([0, 175, 0], 0.074, 0.5),
}


def made_cells(
    path, seed=0, fractions=(0.01, 0.05, 0.2, 1.0), seeds=5, inits=("scratch", "distilled", "xmodel"), streets=6
):
    """Writes a folder like `out` (metrics/, finetune/) with invented, plausible cells; -> the folder.

    `made.json` marks it, `prepared/val` holds the frames shown. The same seed writes the same bytes.
    """
    with atomic(Path(path), folder=True) as folder:
        _make(folder, seed, fractions, seeds, inits, streets)
    return Path(path)


def _make(path, seed, fractions, seeds, inits, streets):
    names = list(CLASSES)
    rng = np.random.default_rng(seed)
    scans = [_scan(rng) for _ in range(2)]
    _prepared(path / "prepared" / "val", scans)
    points = np.array([20_000 * share for _, share, _ in CLASSES.values()])
    sizes = rng.lognormal(0, 0.5, (streets, len(names))) * points
    ease = rng.normal(0, 0.25, (streets, len(names)))
    for fraction in fractions:
        for k in range(seeds):
            luck = rng.normal(0, 0.12, len(names))
            frames = max(1, round(480 * fraction))
            seen = dict(
                zip(names, (int(n) for n in rng.poisson(points * frames / (1 + 400 * (points < 500)))), strict=True)
            )
            for init in inits:
                gain = 0.0
                if init != "scratch":
                    size = 0.7 if init == "xmodel" else 0.35
                    gain = size * (1 - 0.2 * np.log(100 * fraction)) + rng.normal(0, 0.08)
                hit = _accuracy(fraction, gain + luck + ease)
                counts = _counts(rng, sizes, hit)
                _write(
                    path,
                    f"{fraction:g}-{init}-{k}",
                    counts,
                    names,
                    dict(
                        fraction=fraction,
                        init=init,
                        objective="none" if init == "scratch" else "superpixel",
                        seed=k,
                        frames=frames,
                        classes_seen=seen,
                        steps=400,
                        lr=0.003,
                    ),
                    {i: _mistake(rng, true, _accuracy(fraction, gain + luck)) for i, (_, true) in enumerate(scans)},
                )
    write_json(path / "made.json", {"note": NOTE})


def _accuracy(fraction, extra):
    """Share of each class's points that are found: more labels help, hard classes need more of them."""
    hard = np.array([hardness for _, _, hardness in CLASSES.values()])
    return 1 / (
        1 + np.exp(-(2.2 + 0.55 * np.log(fraction) / np.log(10) - hard * (1 - 0.9 * np.log10(fraction)) + extra))
    )


def _counts(rng, sizes, hit):
    """(S, C) points and shares found -> (S, C, C) confusion counts; what is missed spreads over the other classes."""
    spread = (1 - np.eye(sizes.shape[1])) * sizes.mean(0)
    spread /= spread.sum(1, keepdims=True)
    shares = hit[..., None] * np.eye(sizes.shape[1]) + (1 - hit)[..., None] * spread
    return rng.multinomial(sizes.astype(int), shares).astype(np.int64)


def _mistake(rng, true, hit):
    """A prediction: patches of 25 neighbouring points go wrong together, as a network's mistakes do."""
    wrong = np.repeat(rng.random(-(-len(true) // 25)), 25)[: len(true)] > hit[np.maximum(true, 0)]
    other = np.repeat(rng.integers(0, len(CLASSES), -(-len(true) // 25)), 25)[: len(true)]
    return np.where(wrong, other, np.maximum(true, 0)).astype(np.uint8)


def _scan(rng, beams=16, columns=300):
    """A street seen from its middle: road, pavements and meadow by distance from the axis, walls, hedges, parked
    cars."""
    names = list(CLASSES)
    turn, down = np.meshgrid(np.linspace(-np.pi, np.pi, columns, endpoint=False), np.linspace(0.05, 0.5, beams))
    distance = np.minimum(1.8 / np.tan(down), 45) * (1 + 0.005 * rng.normal(size=turn.shape))
    points = np.stack([distance * np.cos(turn), distance * np.sin(turn), -1.8 + 0.02 * rng.normal(size=turn.shape)], -1)
    wall = np.minimum(1, 12 / np.maximum(np.abs(points[..., 1]), 1e-6))
    points[..., :2] *= wall[..., None]
    side = np.abs(points[..., 1])
    label = np.digitize(side, [4, 6, 11.9])
    label = np.array([names.index(n) for n in ("driveable_surface", "sidewalk", "terrain", "manmade")])[label]
    label[(side >= 11.9) & (points[..., 0] > 5)] = names.index("vegetation")
    points[..., 2] += np.where(side >= 11.9, rng.random(turn.shape) * 4, 0)
    for x, y, name, size in [
        (9, 3, "car", 2),
        (-8, -3, "car", 2),
        (16, -3, "truck", 3),
        (6, 5, "pedestrian", 0.6),
        (-14, 5, "barrier", 2),
    ]:
        near = np.hypot(points[..., 0] - x - rng.normal(), points[..., 1] - y) < size
        label[near] = names.index(name)
        points[near, 2] += 1.2 * rng.random(near.sum())
    label[rng.random(label.shape) < 0.01] = -1
    return points.reshape(-1, 3).astype(np.float32), label.reshape(-1).astype(np.int64)


def _prepared(path, scans):
    """The scans as a prepared validation split (`xkd.prepared`)."""
    frames = [{"id": f"made-up frame {i}", "scene": f"street-{i}", "points": len(p)} for i, (p, _) in enumerate(scans)]
    arrays = {
        "points": np.concatenate([points for points, _ in scans]),
        "intensity": np.zeros(sum(len(points) for points, _ in scans), np.float32),
        "labels": np.concatenate([labels for _, labels in scans]).astype(np.int16),
        "offsets": np.cumsum([0, *(len(points) for points, _ in scans)]),
    }
    colours = [colour for colour, _, _ in CLASSES.values()]
    about = {"frames": frames, "classes": list(CLASSES), "colours": colours, "cameras": [], "labelled": True}
    with atomic(path, folder=True) as folder:
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array)
        write_json(folder / "frames.json", about | {"paired": False, "digest": "made-up"})


def _write(path, key, counts, names, cell, predictions):
    scores = metrics.iou(counts.sum(0))
    cell["iou"] = {n: None if np.isnan(v) else round(100 * float(v), 4) for n, v in zip(names, scores, strict=True)}
    cell["miou"] = round(metrics.miou(counts.sum(0)), 4)
    cell["streets"] = [f"street-{i}" for i in range(len(counts))]
    with atomic(path / "finetune" / key / "confusion.npy") as temporary, temporary.open("wb") as file:
        np.save(file, counts)
    with atomic(path / "finetune" / key / "predictions.npz") as temporary, temporary.open("wb") as file:
        np.savez(file, frame=np.array(list(predictions)), **{f"pred_{i}": value for i, value in predictions.items()})
    write_json(path / "metrics" / f"finetune-{key}.json", cell)
