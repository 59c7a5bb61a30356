"""`python benchmarks/memory.py`: memory and time of the stages prepare, teacher, views, distill and finetune against the number of frames.

Each row is a new process that runs one stage with the sections of params.yaml on made frames: forty made ones over and over for the first
three (their teacher is `random`, of the default one's architecture; training that one is not in it), splits written as the stages leave
them for the last two, which make a few steps. anonymous: what the process itself holds, at most, sampled a hundred times a second; file:
pages of memory maps, which the machine takes back when it needs them; highest: of both together, by the kernel's own count. A straight
line through the sizes gives the base and what a thousand frames add, with a standard error. The sizes of the first three are such that the
teacher's statistics, over at most 400,000 rows, take as much at each.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from unittest import mock

import numpy as np
from timing import QUICK, keep, slope

import xkd

STAGES = dict.fromkeys(("prepare", "teacher", "views"), (60, 120, 240))
"""Each takes what the one before left of as many frames."""
STAGES |= dict.fromkeys(("distill", "finetune"), (100, 300, 900))
MADE, STEPS, PER_STREET = (8, 3, 4) if QUICK else (40, 30, 10)
if QUICK:
    STAGES = dict.fromkeys(STAGES, (8, 16, 24))


def status(*names):
    """MB of fields of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return [next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024 for name in names]


class Watch:
    """The most that a process holds while the body runs."""

    def __enter__(self):
        self.most, self.over = np.zeros(2), threading.Event()
        self.thread = threading.Thread(target=self.look, daemon=True)
        self.thread.start()
        return self

    def look(self):
        while not self.over.wait(0.01):
            self.most = np.maximum(self.most, status("RssAnon", "RssFile"))

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.most = np.maximum(self.most, status("RssAnon", "RssFile"))


class Repeated:
    """A data set over and over, until it has so many frames."""

    def __init__(self, base, count):
        self.base, self.count, self.scenes = base, count, [base.scenes[i % len(base)] for i in range(count)]

    def __getattr__(self, name):
        return getattr(self.base, name)

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        return self.base[i % len(self.base)]

    def neighbours(self, i, k):
        return self.base.neighbours(i % len(self.base), k)


def streets(folder):
    """A nuScenes data set of MADE made frames in `folder`."""
    from xkd.sim import write, write_nuscenes

    own = [write.Street("train", i, PER_STREET, "default", 0) for i in range(MADE // PER_STREET)]
    results = write.make(own, folder, 1)
    write_nuscenes.write_tables(folder / "nuscenes", "v1.0-trainval", [results[street] for street in own])


def run(stage, count, folder):
    """One stage on so many frames, in this process -> {anonymous, file, highest, at the start (MB), seconds, steps}."""
    import torch

    from xkd import distill, extract, finetune, gather, prepare, train
    from xkd.params import profile
    from xkd.prepared import Prepared
    from xkd.teachers import open_teacher

    torch.set_num_threads(1)
    params, out = profile(), folder / f"{count}"
    data = params["data"] | {"unlabelled": [], "tuning": [], "validation": None}
    work = {}
    if stage in ("prepare", "teacher", "views"):
        base = xkd.open_dataset("nuscenes", folder / "nuscenes", "train")
        repeated = Repeated(base, count)
        for module in (prepare, extract, gather):
            module.open_split = lambda *_: repeated
        teacher = open_teacher({"name": "random"}) if stage != "prepare" else None
        splits = data, out / "prepared"
        work["prepare"] = lambda: prepare.prepare(data, params["prepare"], out / "prepared")
        work["teacher"] = lambda: extract.extract(teacher, *splits, params["teacher"], out / "teacher")
        work["views"] = lambda: gather.gather(teacher, *splits, out / "teacher", params["views"], out / "views")
    else:
        settings = params[stage] | {
            "steps": STEPS if stage == "distill" else {"base": STEPS, "per_frame": 0, "most": STEPS}
        }
        splits, student = (out / "made" / "prepared", out / "made" / "teacher"), params["student"]
        start = out / "scratch"
        if stage == "finetune":
            finetune.scratch(student, Prepared(splits[0], "train").classes, 0, start)
        tuned = (splits[0] / "train", range(count), start, student, settings, 0.003, 0, f"memory-{count}")
        work["distill"] = lambda: distill._train(data, student, settings, 0, *splits, f"memory-{count}")
        work["finetune"] = lambda: finetune._train(*tuned)
    marks, check = [], train.check_finite

    def noted(*given):
        marks.append(time.perf_counter())
        return check(*given)

    begun, start = status("RssAnon")[0], time.perf_counter()
    with Watch() as watch, mock.patch.object(train, "check_finite", noted):
        made = work[stage]()
    row = {"stage": stage, "frames": count, "seconds": time.perf_counter() - start, "start": begun}
    row |= dict(zip(("anonymous", "file"), watch.most, strict=True)) | {"highest": status("VmHWM")[0]}
    if stage in ("distill", "finetune"):
        made[-1].unlink(missing_ok=True)
        # Two marks a step: of the loss and of the gradient.
        row |= {"steps": STEPS, "step_ms": 1000 * float(np.median(np.diff(marks[::2][1:])))}
    else:
        own = out / {"prepare": "prepared"}.get(stage, stage) / "train"
        row["disk"] = sum(path.stat().st_size for path in own.rglob("*") if path.is_file()) / 2**20
    return {key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", nargs=3, metavar=("STAGE", "FRAMES", "FOLDER"), help="one row, in this process")
    given = parser.parse_args().run
    if given:
        print(json.dumps(run(given[0], int(given[1]), Path(given[2]))))
        return
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        streets(folder)
        for stage, counts in STAGES.items():
            for count in counts:
                rows.append(alone(stage, count, folder))
                print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    keep("memory", rows, lines={stage: line([row for row in rows if row["stage"] == stage]) for stage in STAGES})


def alone(stage, count, folder):
    made = folder / f"{count}" / "made"
    if stage in ("distill", "finetune") and not made.is_dir():
        # In a process of its own, which is over before the measurement.
        code = "import sys; from pathlib import Path; from made import written; written(Path(sys.argv[1]), int(sys.argv[2]), 64)"
        subprocess.run([sys.executable, "-c", code, made, str(count)], check=True, cwd=Path(__file__).parent)
    command = [sys.executable, __file__, "--run", stage, str(count), str(folder)]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(said.splitlines()[-1])


def line(rows):
    """Base and what a thousand frames add, MB, and the exponent of the time."""
    frames = [row["frames"] for row in rows]
    found = {"frames": frames, "time_slope": round(slope(frames, [row["seconds"] for row in rows]), 3)}
    for kind in ("anonymous", "file", "highest", *["disk"] * ("disk" in rows[0])):
        x, y = np.array(frames) / 1000, np.array([row[kind] for row in rows])
        per, base = np.polyfit(x, y, 1)
        # Of the slope, by what the sizes leave of the line.
        error = np.sqrt(((y - base - per * x) ** 2).sum() / (len(x) - 2) / ((x - x.mean()) ** 2).sum())
        values = {"base": base, "per_thousand": per, "error": error}
        found |= {f"{kind}_{name}": round(float(value), 1) for name, value in values.items()}
    if "step_ms" in rows[0]:
        found["step_slope"] = round(slope(frames, [row["step_ms"] for row in rows]), 3)
    return found


if __name__ == "__main__":
    main()
