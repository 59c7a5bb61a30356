"""Times of several ways to do one thing on one input, taken in turn, so that what else the machine does hits all of them alike.

XKD_BENCH_QUICK=1 makes everything tiny, to see that it runs: results then go to out/bench-quick. XKD_REAL names the folder of real
frames, ../shared/data otherwise."""

import multiprocessing
import os
import platform
import threading
import time
import traceback
import warnings
from pathlib import Path

import numpy as np

import xkd
from xkd.files import write_json
from xkd.machine import cores

QUICK = bool(os.environ.get("XKD_BENCH_QUICK"))
OUT = xkd.ROOT / "out" / "bench-quick" / "results" if QUICK else Path(__file__).parent / "results"
REAL, MADE = Path(os.environ.get("XKD_REAL") or xkd.ROOT.parent / "shared" / "data"), xkd.ROOT / "data"
PATIENCE = 300
"""Seconds that a measurement on all cores may take to begin."""


def compare(name, ways, rounds=15, warm_up=2, touched=None):
    """ways: {label: function without arguments}, the first being ours -> rows [{what, way, ms (median), low, high (quartiles), ratio}];
    ratio: of this way's time to ours, round by round, the median (ratio_low, ratio_high: quartiles). touched: bytes that any way has to
    read and write at least, which the memory's rate makes a bound of (`bounds.py`)."""
    rounds, warm_up = (2, 1) if QUICK else (rounds, warm_up)
    times = {label: [] for label in ways}
    for turn in range(warm_up + rounds):
        for label, way in ways.items():
            start = time.perf_counter()
            way()
            if turn >= warm_up:
                times[label].append(1000 * (time.perf_counter() - start))
    return rows_of(name, times, {"touched": touched} if touched else {})


def rows_of(name, times, about=None):
    """{label: [milliseconds, one a round], the first label being ours} -> the rows of `compare`."""
    ours, rows = np.array(next(iter(times.values()))), []
    for label, taken in times.items():
        low, middle, high = np.quantile(taken, [0.25, 0.5, 0.75])
        ratios = np.quantile(np.array(taken) / ours, [0.25, 0.5, 0.75])
        row = {"what": name, "way": label, "ms": middle, "low": low, "high": high}
        row |= dict(zip(("ratio_low", "ratio", "ratio_high"), ratios, strict=True)) | {"rounds": len(taken)}
        row |= {} if rows else about or {}
        rows.append({key: round(float(value), 4) if isinstance(value, float) else value for key, value in row.items()})
        print(f"{name:<48} {label:<38} {middle:9.2f} ms  [{low:.2f}, {high:.2f}]  {ratios[1]:6.2f} of ours", flush=True)
    return rows


def on_all_cores(name, ways, rounds=5, seconds=0.15):
    """As `compare`, each way in as many processes at once as there are cores, as loaders of batches run; each calls it for about so many
    seconds a round. ms: of the clock, a call of any."""
    rounds, seconds = (2, 0.01) if QUICK else (rounds, seconds)
    times, calls = {label: [] for label in ways}, {}
    for label, way in ways.items():
        start = time.perf_counter()
        way()
        calls[label] = int(np.clip(seconds / (time.perf_counter() - start), 1, 500))
    for _ in range(rounds):
        for label, way in ways.items():
            times[label].append(1000 * together(way, calls[label]) / (calls[label] * cores()))
    return rows_of(f"{name}, {cores()} processes", times, {"processes": cores()})


def together(way, calls):
    """Seconds in which each of as many processes as cores calls `way` so many times, after a call that does not count."""
    # Forked, so that a way may be any function; what it needs is compiled in the parent by the rounds on one core.
    fork = multiprocessing.get_context("fork")
    ready, done = fork.Barrier(cores() + 1), fork.Barrier(cores() + 1)

    def run():
        try:
            way()
            ready.wait(PATIENCE)
            for _ in range(calls):
                way()
            done.wait(PATIENCE)
        except BaseException:
            ready.abort(), done.abort()
        os._exit(0)

    workers = [fork.Process(target=run) for _ in range(cores())]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads, which sleep here
        for worker in workers:
            worker.start()
    try:
        ready.wait(PATIENCE)
        start = time.perf_counter()
        done.wait(PATIENCE)
        return time.perf_counter() - start
    except threading.BrokenBarrierError:
        raise RuntimeError("a process of the measurement on all cores failed or took too long") from None
    finally:
        for worker in workers:
            worker.kill()
            worker.join()


def said(error):
    """The first line of an error, without where this checkout lies: results are published."""
    return (
        str(error).split("\n")[0].replace(f"{xkd.ROOT}/", "").replace(f"{REAL}/", "").replace(f"{xkd.ROOT.parent}/", "")
    )


def size(*arrays):
    """Bytes of arrays, of those in lists and in fields of objects too."""
    total = 0
    for array in arrays:
        if hasattr(array, "nbytes"):
            total += array.nbytes
        else:
            total += size(*(array if isinstance(array, list | tuple) else vars(array).values()))
    return total


def slope(x, y):
    """The exponent k of y ~ x^k by least squares on the logarithms: 1 is linear, 0 constant."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


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


def label(about):
    """What the files of a machine are called after, of what `machine` says of it."""
    words = "-".join([*about["processor"].lower().split(), f"{about['cores']}cores", *about["vectors"][-1:]])
    return "".join(c if c.isalnum() or c == "-" else "" for c in words)


def measured(parts):
    """All rows of functions that give some, and {name: sentence} of those that failed, which has been said."""
    rows, failed = [], {}
    for part in parts:
        try:
            rows += part()
        except Exception as error:  # the others are worth having
            traceback.print_exc()
            failed[part.__name__] = said(error)
            print(f"xkd: {part.__name__}: not measured: {failed[part.__name__]}", flush=True)
    return rows, failed


def keep(name, rows, **more):
    """Writes results/<name>-<machine>.json: the machine, the rows, and what else is given by name."""
    about = machine()
    path = OUT / f"{name}-{label(about)}.json"
    write_json(path, {"machine": about, "quick": QUICK, "rows": rows} | more)
    print(path.relative_to(xkd.ROOT))
