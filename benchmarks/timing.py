"""Times of several ways to do one thing on one input, taken in turn, so that what else the machine does hits all of them alike."""

import os
import platform
import time
from pathlib import Path

import numpy as np

from xkd.files import write_json

OUT = Path(__file__).parent / "results"


def compare(name, ways, rounds=15, warm_up=2):
    """ways: {label: function without arguments}, the first being ours -> rows [{what, way, ms (median), low, high (quartiles), ratio}];
    ratio: of this way's median to ours."""
    times = {label: [] for label in ways}
    for turn in range(warm_up + rounds):
        for label, way in ways.items():
            start = time.perf_counter()
            way()
            if turn >= warm_up:
                times[label].append(1000 * (time.perf_counter() - start))
    ours = np.median(next(iter(times.values())))
    rows = []
    for label, taken in times.items():
        low, middle, high = np.quantile(taken, [0.25, 0.5, 0.75])
        row = {"what": name, "way": label, "ms": middle, "low": low, "high": high, "ratio": middle / ours}
        rows.append({key: round(float(value), 3) if isinstance(value, float) else value for key, value in row.items()})
        print(
            f"{name:<44} {label:<36} {middle:9.2f} ms  [{low:.2f}, {high:.2f}]  {middle / ours:6.2f} of ours",
            flush=True,
        )
    return rows


def machine():
    """What a file of results is named after, and what it says of where they were measured."""
    model = next(
        (line.split(":")[1].strip() for line in read("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    flags = next((line.split() for line in read("/proc/cpuinfo") if line.startswith("flags")), [])
    wide = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    return {"processor": model, "cores": os.cpu_count(), "vectors": wide, "python": platform.python_version()}


def read(path):
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def keep(name, rows):
    """Writes results/<name>-<machine>.json."""
    about = machine()
    label = "-".join([*about["processor"].lower().split(), f"{about['cores']}cores", *about["vectors"][-1:]])
    label = "".join(c if c.isalnum() or c == "-" else "" for c in label)
    write_json(OUT / f"{name}-{label}.json", {"machine": about, "rows": rows})
    print(OUT / f"{name}-{label}.json")
