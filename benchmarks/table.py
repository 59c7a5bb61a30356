"""`python benchmarks/table.py [MACHINE]`: docs/benchmarks.md and its pictures, from the results that `make bench` keeps of one machine.

MACHINE: the end of the results' names; this machine's without one, or the only one there is. Every figure on the page is read from the
results, from those of `card.py`, or is a named constant of `plan.py`.
"""

import argparse
import sys

import pictures
from sections import KINDS, page, rows_of
from timing import OUT, QUICK, label, machine

import xkd
from xkd.files import atomic, read_json

PAGE = OUT.parent / "benchmarks.md" if QUICK else xkd.ROOT / "docs" / "benchmarks.md"
PEERS = (
    ("pairing", "pair a sweep with", "from disk", "nuscenes-devkit", 15),
    ("voxelising", "voxels of", "m", "hash and sort", 6),
    ("voxelising, cells alone", "cells alone of", "m", "hash and sort", 6),
    ("evaluation", "confusion of", "points", "np.add.at", 5),
    ("superpixel loss", "superpixel loss of", "cameras", "sparse one-hot", 4),
)
"""Name, begin and end of `what`, begin of the peer's `way`, how many times as fast as it."""
SUPERPIXELS, HALF, DECODING, STEP = 10, 0.5, 1.3, 1.5
ANYWHERE = "occlusion"
"""What comes out the same on every machine: it goes with the results of any."""
INDEX = (
    ("first opening", "open_s", 5.0, "s"),
    ("first opening", "peak_mb", 1000.0, "MB"),
    ("second opening", "open_s", 0.5, "s"),
)


def main(arguments=None):
    parser = argparse.ArgumentParser(description="docs/benchmarks.md from the results of one machine.")
    parser.add_argument("machine", nargs="?", help="the end of its results' names")
    try:
        results = read(parser.parse_args(arguments).machine)
    except xkd.XkdError as error:
        print(f"xkd: {error}", file=sys.stderr)
        return 1
    found = targets(results)
    drawn = pictures.save(results, found, PAGE.with_suffix(""))
    with atomic(PAGE) as temporary:
        temporary.write_text(page(results, found, drawn))
    print(PAGE.relative_to(xkd.ROOT))
    return 0


def read(name=None, folder=None):
    """{part: its JSON} of one machine, with what is `ANYWHERE` from another where it has none; {} where nothing is kept. Errors: several
    machines, and none named or this one."""
    folder = folder or OUT
    there, alike = {}, {}
    for path in sorted(folder.glob("*.json")):
        for kind in KINDS:
            if path.stem.startswith(f"{kind}-"):
                kept = alike if kind == ANYWHERE else there
                kept.setdefault(path.stem.removeprefix(f"{kind}-"), {})[kind] = read_json(path)
    own = name or label(machine())
    alike = alike.get(own) or next(iter(alike.values()), {})
    if own in there:
        return there[own] | alike
    if name or len(there) > 1:
        raise xkd.XkdError(f"{folder}: holds no results of {own}; there are {', '.join(there) or 'none'}.")
    return next(iter(there.values()), {}) | alike


def target(name, value, limit, unit, above, low=None, high=None, note=""):
    """above: whether the limit is the least; else it is the most."""
    reached = value >= limit if above else value <= limit
    row = {"name": name, "value": value, "low": value if low is None else low, "high": value if high is None else high}
    return row | {"target": limit, "unit": unit, "above": above, "reached": reached, "note": note}


def targets(results):
    """What was aimed at and what was measured, of what there is."""
    found, hot = [], rows_of(results, "hot_paths")
    for name, begin, end, peer, least in PEERS:
        for row in hot:
            if row["what"].startswith(begin) and row["what"].endswith(end) and row["way"].startswith(peer):
                found.append(
                    target(name, row["ratio"], least, "x", True, row["ratio_low"], row["ratio_high"], row["way"])
                )
    if rows_of(results, "superpixels"):
        found.append(superpixel_target(results))
    for row in rows_of(results, "step"):
        last = [r for r in rows_of(results, "step") if (r["what"], r["processes"]) == (row["what"], row["processes"])][
            -1
        ]
        if row is last:
            name = f"step of {row['what']}, {row['processes']} process{'es' * (row['processes'] > 1)}"
            found.append(
                target(
                    name,
                    row["ratio"],
                    STEP,
                    "x",
                    True,
                    row["ratio_low"],
                    row["ratio_high"],
                    "spconv's and torch's own loops",
                )
            )
    for row in hot:
        for what, name in (
            ("peak of memory", "memory, inputs included"),
            ("memory beside its inputs", "memory beside inputs"),
        ):
            if (row["what"], row["way"]) == (f"superpixel loss, {what}", "xkd"):
                found.append(target(f"superpixel loss, {name}", row["ratio"], HALF, "of SLidR's form", False))
        if (
            row["what"].startswith("load and pair")
            and row["way"].startswith("decoding")
            and "processes" not in row["what"]
        ):
            ratios = [1 / row[key] for key in ("ratio", "ratio_high", "ratio_low")]
            found.append(target("load and pair", ratios[0], DECODING, "of decoding alone", False, *ratios[1:]))
    for what, key, most, unit in INDEX:
        for row in rows_of(results, "index"):
            if row["what"] == what:
                name = f"nuScenes' index, {what}" + (", highest memory" if unit == "MB" else "")
                found.append(target(name, row[key], most, unit, False))
    return found


def superpixel_target(results):
    rows = [row for row in rows_of(results, "superpixels") if row["recall"] is not None]
    ours, peer = (next(row for row in rows if row["method"] == name) for name in ("slic", "scikit-image slic"))
    quartiles = [peer[f"ratio_{q}"] for q in (25, 75)]
    counts = f"{peer['segments']:.0f} segments to our {ours['segments']:.0f}"
    note = f"scikit-image slic, {counts}, boundary recall {ours['recall']:.3f} to its {peer['recall']:.3f}"
    found = target("superpixels", peer["ratio_50"], SUPERPIXELS, "x", True, *quartiles, note)
    return found | {"reached": found["reached"] and ours["recall"] >= peer["recall"]}


if __name__ == "__main__":
    sys.exit(main())
