"""`python -m xkd.tune`: the learning rate of each init, and the check that the baseline is converged; writes docs/tuning.json.

Both inits get the same small search: the same rates, fractions and seeds, judged on the tuning streets, which are streets of the
training split that take part in nothing else. The best mean wins; a winner at the edge of the rates extends them. Then scratch is trained
with its own rate for the pipeline's steps and for twice as many. Validation streets are not opened.
"""

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

import xkd
from xkd.errors import XkdError
from xkd.files import digest, read_json, write_json
from xkd.params import profile
from xkd.progress import progress

RATES, FRACTIONS, SEEDS = (0.008, 0.016, 0.03), (0.05, 0.25), (100,)
"""The search every init gets. Seeds differ from those of the sweep."""
CHECK_SEEDS = (100,)
OUT = xkd.ROOT / "out"


def run(job):
    """One training on the tuning protocol -> mIoU (0..100) on the tuning streets; kept in out/tune, so that a search can go on."""
    import torch

    from xkd import finetune
    from xkd.prepared import Prepared
    from xkd.subsets import subset
    from xkd.train import evaluate

    torch.set_num_threads(1)
    params, init, fraction, seed, lr, factor = job
    data, settings = params["data"], params["finetune"]
    prepared = Prepared(OUT / "prepared", data["train"])
    path = OUT / "init" / f"{init}-{seed}"
    own = finetune.labelled(prepared, data["tuning"])
    frames = [own[k] for k in subset([prepared.scenes[i] for i in own], fraction, seed)]
    count = finetune.steps(len(frames), settings)
    settings = settings | {"steps": {"base": factor * count, "per_root": 0}, "processes": 1}
    code = [xkd.ROOT / "xkd" / name for name in finetune.CODE]
    facts = [params["student"], settings, frames, seed, lr, prepared.digest]
    kept = OUT / "tune" / (digest([str(facts)], path / "weights.safetensors", *code) + ".json")
    if not kept.exists():
        label = f"tune-{init}-{fraction:g}-{seed}-{lr:g}-x{factor}"
        network, _, resume = finetune.train(prepared, frames, path, params["student"], settings, lr, seed, label)
        held = [i for i, scene in enumerate(prepared.scenes) if scene in data["tuning"]]
        total, _, _ = evaluate(network, prepared, held)
        score = float(100 * np.nanmean(finetune.iou(total.sum(0))))
        write_json(kept, {"miou": round(score, 3), "steps": factor * count, "frames": len(frames)})
        resume.unlink(missing_ok=True)
    return read_json(kept)


def scores(jobs):
    """The result of every job, two at a time on two cores: one thread each is faster than two threads in turn."""
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        return list(progress(pool.map(run, jobs), "tune", len(jobs)))


def inits(params, names):
    """Makes the inits of the tuning seeds that are missing: fresh weights, and a distillation that saw no tuning street."""
    from xkd.distill import distill
    from xkd.finetune import scratch
    from xkd.prepared import Prepared

    classes = Prepared(OUT / "prepared", params["data"]["train"]).classes
    for seed in sorted({*SEEDS, *CHECK_SEEDS}):
        if not (OUT / "init" / f"scratch-{seed}").exists():
            scratch(params["student"], classes, seed, OUT / "init" / f"scratch-{seed}")
    for seed in SEEDS if "distilled" in names else ():
        if not (OUT / "init" / f"distilled-{seed}").exists():
            distill(
                params["data"],
                params["student"],
                params["distill"],
                seed,
                OUT / "prepared",
                OUT / "teacher",
                OUT / "init" / f"distilled-{seed}",
            )


def search(params, names):
    """{init: {rate: {fraction: mIoU, "mean": mIoU}}} and {init: best rate}; the rates are the same for all inits."""
    rates, table = list(RATES), {}
    while True:
        jobs = [(params, init, f, s, lr, 1) for init in names for lr in rates for f in FRACTIONS for s in SEEDS]
        found = {job[1:5]: row["miou"] for job, row in zip(jobs, scores(jobs), strict=True)}
        for init in names:
            table[init] = {}
            for lr in rates:
                row = {f"{f:g}": float(np.mean([found[init, f, s, lr] for s in SEEDS])) for f in FRACTIONS}
                table[init][f"{lr:g}"] = row | {"mean": round(float(np.mean(list(row.values()))), 3)}
        best = {init: max(rates, key=lambda lr: table[init][f"{lr:g}"]["mean"]) for init in names}
        lower, upper = min(rates) in best.values(), max(rates) in best.values()
        if not lower and not upper or len(rates) > 8:
            return table, best
        rates = [min(rates) / 2] * lower + rates + [max(rates) * 2] * upper


def convergence(params, rate):
    """{fraction: steps, mIoU and mIoU after twice the steps (means), their difference a seed} of scratch at its own rate."""
    fractions = params["sweep"]["fractions"]
    jobs = [(params, "scratch", f, s, rate, factor) for f in fractions for s in CHECK_SEEDS for factor in (1, 2)]
    found = {(j[2], j[3], j[5]): row for j, row in zip(jobs, scores(jobs), strict=True)}
    rows = {}
    for f in fractions:
        once, twice = ([found[f, s, factor]["miou"] for s in CHECK_SEEDS] for factor in (1, 2))
        row = {
            "steps": found[f, CHECK_SEEDS[0], 1]["steps"],
            "miou": float(np.mean(once)),
            "miou_double": float(np.mean(twice)),
        }
        rows[f"{f:g}"] = {k: round(v, 3) for k, v in row.items()} | {"seeds": len(CHECK_SEEDS)}
        rows[f"{f:g}"]["differences"] = [round(b - a, 3) for a, b in zip(once, twice, strict=True)]
    return rows


def main():
    params = profile()
    if not params["data"]["tuning"]:
        raise XkdError("params.yaml: data.tuning names no street to tune on.")
    from xkd.prepared import Prepared

    names = params["sweep"]["inits"]
    inits(params, names)
    table, best = search(params, names)
    prepared = Prepared(OUT / "prepared", params["data"]["train"])
    held = [scene for scene in prepared.scenes if scene in params["data"]["tuning"]]
    result = {"search": table, "lr": best, "convergence": convergence(params, best["scratch"])}
    result |= {
        "tuning_frames": len(held),
        "tuning_streets": sorted(set(held)),
        "seeds": list(SEEDS),
        "check_seeds": list(CHECK_SEEDS),
    }
    write_json(Path(sys.argv[1]) if len(sys.argv) > 1 else xkd.ROOT / "docs" / "tuning.json", result)
    print(result)


if __name__ == "__main__":
    try:
        main()
    except XkdError as error:
        sys.exit(f"xkd: {error}")
