"""`python benchmarks/index.py [--scenes N] [--folder FOLDER]`: what it costs to open nuScenes at its full size.

Makes tables of the size and form of v1.0-trainval (850 scenes, 34,149 samples, 2,631,083 rows of sample_data and as many of ego_pose,
twelve sensors, the official order of fields, a line a field without indentation), without any scan or image, in a temporary folder, or in
FOLDER, which stays and is not made again. Each row of the result is one new process: seconds of importing the reader, numba with it;
then, of opening, seconds by the clock and of CPU, and the highest resident memory; milliseconds of CPU of a frame and of its cameras, over
1000 frames. The first opening finds nothing kept, the second what the first kept. A row of the tables cut to each share of `GROWTH`
follows, for how it grows.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from timing import QUICK, keep, slope

from xkd.datasets import reader

SCENES, SAMPLES, ROWS, FRAMES = 850, 34_149, 2_631_083, 1000
GROWTH = (0.125, 0.25, 0.5)
CAMERAS = "CAM_FRONT CAM_FRONT_RIGHT CAM_BACK_RIGHT CAM_BACK CAM_BACK_LEFT CAM_FRONT_LEFT".split()
RADARS = "RADAR_FRONT RADAR_FRONT_LEFT RADAR_FRONT_RIGHT RADAR_BACK_LEFT RADAR_BACK_RIGHT".split()
SENSORS = {name: ("camera", "jpg") for name in CAMERAS} | {name: ("radar", "pcd") for name in RADARS}
SENSORS["LIDAR_TOP"] = ("lidar", "pcd.bin")
OPEN = """
import json, resource, sys, time
def now(): u = resource.getrusage(resource.RUSAGE_SELF); return time.perf_counter(), u.ru_utime + u.ru_stime
def since(start): return [round(b - a, 4) for a, b in zip(start, now())]
start = now(); import xkd, xkd.datasets.nuscenes; loaded = since(start)
start = now(); data = xkd.open_dataset("nuscenes", sys.argv[1], sys.argv[2] or None, version="v1.0-trainval"); opened = since(start)
high = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024
some = range(0, len(data), max(1, len(data) // int(sys.argv[3])))
start = now(); frames = [data[i] for i in some]; read = since(start)
start = now(); shown = [frame.cameras for frame in frames]; cameras = since(start)
print(json.dumps({"frames": len(data), "reader_s": loaded[0], "open_s": opened[0], "open_cpu_s": opened[1], "peak_mb": round(high),
"frame_ms": round(1000 * read[1] / len(some), 4), "cameras_ms": round(1000 * cameras[1] / len(some), 4)}))
"""


PREFIX, CLOCK = "@scn", "~~~~"
"""Stand for the number of a scene in the first digits of all its tokens and in all its times."""


def make(folder, scenes=SCENES, seed=0):
    """Writes the tables into `folder`/v1.0-trainval; of fewer scenes, the first ones, with their share of samples and rows. Scenes differ
    in tokens, times and numbers of samples and rows alone."""
    dice, tables, known = random.Random(seed), folder / "v1.0-trainval", reader("nuscenes")
    tables.mkdir(parents=True)
    numbers = sorted(known.splits()["train"] | known.splits()["val"])[:scenes]
    sensors = [{"token": name.lower(), "channel": name, "modality": kind} for name, (kind, _) in SENSORS.items()]
    categories = [
        {"token": f"c{i}", "name": n, "description": "", "index": i} for i, n in enumerate(known.facts()["categories"])
    ]
    for name, rows in (("sensor", sensors), ("category", categories)):
        (tables / f"{name}.json").write_text(json.dumps(rows, indent=0))
    patterns = {}
    with ExitStack() as opened:
        files = {}
        for k, number in enumerate(numbers):
            size = share(k, SAMPLES), share(k, ROWS)
            if size not in patterns:
                patterns[size] = {name: ",\n".join(map(lined, rows)) for name, rows in scene(dice, *size).items()}
            for name, text in patterns[size].items():
                if name not in files:
                    files[name] = opened.enter_context(open(tables / f"{name}.json", "w"))
                text = (
                    text.replace(PREFIX, f"{k:04x}").replace(CLOCK, f"{k:04d}").replace("scene-", f"scene-{number:04d}")
                )
                files[name].write(("[\n" if k == 0 else ",\n") + text)
        for file in files.values():
            file.write("\n]")


def lined(value):
    """JSON as `json.dumps(value, indent=0)`, without what makes that slow; a time with CLOCK in it is a number too."""
    if isinstance(value, dict):
        return "{\n" + ",\n".join(f'"{key}": {lined(inner)}' for key, inner in value.items()) + "\n}"
    if isinstance(value, list):
        return "[\n" + ",\n".join(map(lined, value)) + "\n]" if value else "[]"
    quoted = isinstance(value, str) and not value.startswith("15" + CLOCK)
    return f'"{value}"' if quoted else str(value).lower()


def share(k, total):
    """How many of `total` things are of scene `k` of all scenes."""
    return total * (k + 1) // SCENES - total * k // SCENES


def token(dice):
    return f"{PREFIX}{dice.getrandbits(112):028x}"


def time(microseconds):
    return f"15{CLOCK}{microseconds:010d}"


def pose(dice):
    wxyz = [dice.gauss(0, 1) for _ in range(4)]
    length = sum(v * v for v in wxyz) ** 0.5
    return {"rotation": [v / length for v in wxyz], "translation": [dice.uniform(0, 2000), dice.uniform(0, 2000), 0.0]}


def scene(dice, samples, rows):
    """{table: rows} of one scene; of sample_data and ego_pose in no order: one key frame a sample and sensor, sweeps between them."""
    mine, log = token(dice), token(dice)
    own = [{"token": token(dice), "timestamp": time(500_000 * i)} for i in range(samples)]
    for i, row in enumerate(own):
        row |= {"prev": own[i - 1]["token"] if i else "", "next": own[i + 1]["token"] if i + 1 < samples else ""}
        row["scene_token"] = mine
    K = [[1266.417203046554, 0.0, 816.2670197447984], [0.0, 1266.417203046554, 491.50706579294757], [0.0, 0.0, 1.0]]
    mounts = [
        {"token": token(dice), "sensor_token": name.lower()}
        | pose(dice)
        | {"camera_intrinsic": K if kind == "camera" else []}
        for name, (kind, _) in SENSORS.items()
    ]
    made, labels = [], []
    for k in range(rows):
        (channel, (kind, suffix)), key = list(SENSORS.items())[k % 12], k < 12 * samples
        now = time(500_000 * (k // 12 % samples) + (dice.randrange(40_000) if key else dice.randrange(40_000, 460_000)))
        name = token(dice)
        row = {"token": name, "sample_token": own[k // 12 % samples]["token"], "ego_pose_token": name}
        row |= {
            "calibrated_sensor_token": mounts[k % 12]["token"],
            "timestamp": now,
            "fileformat": suffix[:3],
            "is_key_frame": key,
        }
        row |= {"height": 900, "width": 1600} if kind == "camera" else {"height": 0, "width": 0}
        row["filename"] = (
            f"{'samples' if key else 'sweeps'}/{channel}/n015-2018-07-24-11-22-45+0800__{channel}__{now}.{suffix}"
        )
        made.append((row | {"prev": token(dice), "next": token(dice)}, {"token": name, "timestamp": now} | pose(dice)))
        if key and kind == "lidar":
            file = f"lidarseg/v1.0-trainval/{name}_lidarseg.bin"
            labels.append({"token": name, "sample_data_token": name, "filename": file})
    dice.shuffle(made)
    about = {"token": mine, "log_token": log, "nbr_samples": samples, "first_sample_token": own[0]["token"]}
    about |= {"last_sample_token": own[-1]["token"], "name": "scene-", "description": "Made, no real place"}
    tables = {"scene": [about], "sample": own, "calibrated_sensor": mounts, "lidarseg": labels}
    return tables | {"sample_data": [row for row, _ in made], "ego_pose": [row for _, row in made]}


def opened(what, root, split, cache):
    """One row: the data set opened in a new process, with its index cache in `cache`."""
    environment = os.environ | {"XKD_CACHE": str(cache)}
    command = [sys.executable, "-c", OPEN, str(root), split or "", str(FRAMES)]
    said = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    row = {"what": what} | json.loads(said)
    print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    return row


def main(folder, scenes):
    root = made(folder, scenes)
    sizes = {path.name: path.stat().st_size for path in sorted((root / "v1.0-trainval").glob("*.json"))}
    print("  ".join(f"{name} {size / 1e6:.1f} MB" for name, size in sizes.items()))
    with tempfile.TemporaryDirectory() as cache:
        order = [("first opening", None), ("second opening", None), ("first, val", "val"), ("second, val", "val")]
        rows = [opened(what, root, split, cache) for what, split in order]
        kept = sum(path.stat().st_size for path in Path(cache).rglob("*") if path.is_file())
    print(f"index cache {kept / 1e6:.1f} MB")
    growth = []
    for share in GROWTH:
        with tempfile.TemporaryDirectory() as cache:
            growth.append(opened(f"{share:g} of the scenes", made(folder, max(1, round(share * scenes))), None, cache))
    growth.append(rows[0])
    slopes = {key: round(slope([r["frames"] for r in growth], [r[key] for r in growth]), 3) for key in ("open_cpu_s",)}
    keep("index", rows, scenes=scenes, tables=sizes, cache=kept, growth=growth, slopes=slopes)


def made(folder, scenes):
    """The root of tables of so many scenes in `folder`, written where they are not there yet."""
    root = folder / f"nuscenes-{scenes}"
    if not root.is_dir():
        make(folder / "part", scenes)
        os.replace(folder / "part", root)
    return root


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split(":")[1].strip())
    parser.add_argument("--scenes", type=int, default=20 if QUICK else SCENES)
    parser.add_argument(
        "--folder",
        type=Path,
        default=os.environ.get("XKD_BENCH_INDEX"),
        help="where the tables stay for the next time (or $XKD_BENCH_INDEX); else they are temporary",
    )
    given = parser.parse_args()
    if given.folder:
        main(given.folder, given.scenes)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary), given.scenes)
