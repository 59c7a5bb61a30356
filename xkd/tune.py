"""`python -m xkd.tune [--check]`: the learning rate of each row of the sweep, and the check that the baseline is converged; writes
docs/tuning.json.

All rows get the same small search, at few labels (params finetune.few) and at all of them: the same rates and seeds, judged on the
tuning streets, which are streets of the training split that nothing is trained on. The best mean wins; a winner at the edge of the
rates extends them. The file is written then, and again after each fraction at which scratch was trained with its own rate for the
pipeline's steps and for twice as many, on more label subsets where labels are few. Validation streets are not opened.
"""

import argparse
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

import xkd
from xkd import finetune, kept, unlabelled
from xkd import student as students
from xkd.cells import TAUGHT
from xkd.errors import XkdError
from xkd.files import digest, write_json
from xkd.machine import cores, end_with
from xkd.metrics import iou
from xkd.palette import BASELINE
from xkd.params import profile
from xkd.prepared import Prepared, matching
from xkd.progress import progress
from xkd.report import tuned
from xkd.train import evaluate

RATES, SEEDS, MOST = (0.003, 0.012, 0.048), (100, 101), 9
"""The search every init gets, in steps that are larger than its noise, and label subsets that are none of the sweep's; with so many
rates or more it ends, whatever they say."""
SUBSETS = (12, 4)
"""How many label subsets the check of convergence takes up to params finetune.few of the labels, and above."""
OUT = xkd.ROOT / "out"


def run(params, init, fraction, seed, lr, factor):
    """One training as the sweep does it -> mIoU (0..100) on the tuning streets; kept in out/tune, so that a search can go on."""
    data, settings = params["data"], params["finetune"]
    prepared = Prepared(OUT / "prepared", data["train"])
    start = initial(params, init, seed)
    own = finetune.labelled(prepared, data["tuning"])
    frames = finetune.chosen(prepared, own, fraction, seed, settings["subset"])
    count = finetune.steps(len(frames), settings)
    settings = {k: v for k, v in settings.items() if k != "lr"} | {
        "steps": {"base": factor * count, "per_frame": 0, "most": factor * count}
    }
    label = f"tune-{init}-{fraction:g}-{seed}-{lr:g}-x{factor}"
    if init == TAUGHT:
        arguments = (
            unlabelled.Place(OUT / "prepared", OUT / "views", data),
            frames,
            start,
            params["student"],
            settings,
            params,
            lr,
            seed,
        )
        state = unlabelled.student_state(*arguments[:2], unlabelled.predictions_of(*arguments), *arguments[2:])
    else:
        state = finetune.state_file(prepared, frames, start, params["student"], settings, lr, seed)
    file = named(state, ".json")
    if not file.exists():
        if init == TAUGHT:
            network, _, _, left = unlabelled.teach(*arguments, label)
        else:
            network, _, resume = finetune.train(prepared, frames, start, params["student"], settings, lr, seed, label)
            left = [resume]
        total, _, _ = evaluate(network, prepared, held_out(params, prepared))
        write_json(file, {"miou": score(total), "steps": factor * count, "frames": len(frames)})
        unlabelled.remove(*left)
    return kept.facts(file, miou=float, steps=int)


def held_out(params, prepared):
    """Indices of the frames of the tuning streets."""
    return np.flatnonzero(matching(prepared.scenes, params["data"]["tuning"])).tolist()


def score(confusions):
    """(S, C, C) counts by street -> mIoU, 0..100, to three decimals."""
    return round(float(100 * np.nanmean(iou(confusions.sum(0)))), 3)


def initial(params, init, seed):
    """The folder of a tuning seed's init (scratch, else distilled), named after all that it was made from; made if it is not there."""
    from xkd.distill import Pool, distill, state_file

    classes = Prepared(OUT / "prepared", params["data"]["train"]).classes
    if init == BASELINE:
        key = digest([params["student"], classes], *students.code(params["student"], ["student.py"]))[:16]
        path = OUT / "tune" / f"scratch-{seed}-{key}"
        if not path.exists():
            finetune.scratch(params["student"], classes, seed, path)
        return path
    pool = Pool(params["data"], params["distill"], OUT / "prepared", OUT / "teacher")
    path = named(state_file(pool, params["student"], params["distill"], seed))
    if not path.exists():
        label = f"tune-distill-{seed}"
        arguments = (params["data"], params["student"], params["distill"], seed)
        distill(*arguments, OUT / "prepared", OUT / "teacher", path, path.with_name(f"{path.name}.json"), label)
    return path


def start(init):
    """The init that a row begins with."""
    return "distilled" if init == TAUGHT else init


def scores(params, jobs, run=run, initial=initial, start=start):
    """The result of every job (init, fraction, seed, rate, factor), as many at a time as there are cores for; the last three: how one is
    made, and what it begins with (`xkd.study_tune` has its own)."""
    starts = sorted({(start(job[0]), job[2]) for job in jobs})
    workers = max(1, cores() // params["finetune"]["processes"])
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, spawn, end_with, (os.getpid(),)) as pool:
        list(pool.map(initial, *zip(*((params, *start) for start in starts), strict=True)))
        found = pool.map(run, *zip(*((params, *job) for job in jobs), strict=True))
        return dict(zip(jobs, progress(found, "tune", len(jobs)), strict=True))


def named(state, ending=""):
    """Where the result of the training with this state file is kept."""
    return OUT / "tune" / (state.parent.name + ending)


def search(params, names, judge=None, rates=None, seeds=None):
    """{init: {rate: {fraction: mIoU}}}, {init: [best rate at each fraction]} and {fraction: steps}; at a fraction the rates are the same
    for all inits. `judge`: what trains and scores, else `scores`; `rates`: {fraction: those to begin with}, else `RATES`; `seeds`:
    {fraction: label subsets}, else `SEEDS` for few labels and for many."""
    table, best, steps = {init: {} for init in names}, {init: [] for init in names}, {}
    for fraction, subsets in (seeds or dict.fromkeys((params["finetune"]["few"], 1), SEEDS)).items():
        scored, steps[f"{fraction:g}"] = _search(
            params, names, fraction, judge or scores, (rates or {}).get(fraction, RATES), subsets
        )
        for init, row in scored.items():
            best[init].append(max(row, key=row.get))
            for rate, score in row.items():
                table[init].setdefault(f"{rate:g}", {})[f"{fraction:g}"] = score
    return table, best, steps


def _search(params, names, fraction, judge, rates, seeds):
    """{init: {rate: mIoU}} at one fraction, over rates within which every init has its best, and the steps of a training."""
    rates, ratio = sorted(rates), RATES[1] / RATES[0]
    while True:
        found = judge(params, [(init, fraction, s, lr, 1) for init in names for lr in rates for s in seeds])
        mean = {
            init: {
                lr: round(float(np.mean([found[init, fraction, s, lr, 1]["miou"] for s in seeds])), 3) for lr in rates
            }
            for init in names
        }
        best = [max(rates, key=row.get) for row in mean.values()]
        lower, upper = min(rates) in best, max(rates) in best
        if not lower and not upper or len(rates) >= MOST:
            if edge := [init for init, rate in zip(names, best, strict=True) if rate in (min(rates), max(rates))]:
                said = f"xkd: at {fraction:g} of the labels the best of {len(rates)} rates is the last one of"
                print(f"{said} {', '.join(edge)}; the search ends there.", file=sys.stderr)
            return mean, next(iter(found.values()))["steps"]
        rates = [min(rates) / ratio] * lower + rates + [max(rates) * ratio] * upper


def convergence(params, rate, fraction, subsets=SUBSETS):
    """Steps, mIoU and mIoU after twice the steps (means), their difference a seed: of scratch at its own rate, at one fraction."""
    seeds = [SEEDS[0] + i for i in range(subsets[fraction > params["finetune"]["few"]])]
    jobs = [("scratch", fraction, s, rate, factor) for s in seeds for factor in (1, 2)]
    found = {(s, factor): row for (_, _, s, _, factor), row in scores(params, jobs).items()}
    once, twice = ([found[s, factor]["miou"] for s in seeds] for factor in (1, 2))
    row = {"steps": found[seeds[0], 1]["steps"], "miou": float(np.mean(once)), "miou_double": float(np.mean(twice))}
    row = {k: round(v, 3) for k, v in row.items()} | {"seeds": len(seeds)}
    return row | {"differences": [round(b - a, 3) for a, b in zip(once, twice, strict=True)]}


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m xkd.tune", description="Learning rates, and whether scratch is converged."
    )
    parser.add_argument(
        "out", type=Path, nargs="?", default=xkd.ROOT / "docs" / "tuning.json", help="default: docs/tuning.json"
    )
    parser.add_argument(
        "--check", action="store_true", help="only the check of convergence, with the rates that are in the file"
    )
    parser.add_argument(
        "--fractions", type=float, nargs="+", metavar="F", help="check these alone; what is in the file of others stays"
    )
    options = parser.parse_args(arguments)
    try:
        searched = options.check or options.fractions
        result = kept.facts(options.out, sections=dict, lr=dict) if searched else None
        print(tune(profile(), options.out, result, options.fractions))
    except XkdError as error:
        print(f"xkd: {error}", file=sys.stderr)
        return 1
    return 0


def ready(params, out):
    """Errors: there is no street to tune on, or the stage views has not been run."""
    if not params["data"]["tuning"]:
        raise XkdError("params.yaml: data.tuning names no street to tune on.")
    if not (out / "views").is_dir():
        raise XkdError(f"{out / 'views'}: no such folder; run dvc repro views first.")


def tune(params, out, result=None, fractions=None):
    """Writes the file `out` after the search and after each fraction of the check, and returns what is in it; `result`: a search's,
    which is then not made again; `fractions`: those to check, else all of the sweep's. Errors: a search that was made with other
    parameters, a fraction that is none of the sweep's."""
    if other := sorted(set(fractions or []) - set(params["sweep"]["fractions"])):
        raise XkdError(
            f"params.yaml: sweep.fractions is {params['sweep']['fractions']}; {other[0]:g} is not among them."
        )
    ready(params, OUT)
    if result is None:
        table, best, steps = search(params, [*params["sweep"]["inits"], TAUGHT])
        prepared = Prepared(OUT / "prepared", params["data"]["train"])
        held = [prepared.scenes[i] for i in held_out(params, prepared)]
        result = {"search": table, "lr": best, "steps": steps, "seeds": list(SEEDS), "sections": tuned(params)}
        result |= {"tuning_frames": len(held), "tuning_streets": sorted(set(held))}
        write_json(out, result)
    elif result["sections"] != tuned(params):
        raise XkdError(f"{out}: was made with other parameters than those of params.yaml; search again.")
    result["convergence"] = result.get("convergence", {}) if fractions else {}
    for fraction in sorted(fractions or params["sweep"]["fractions"]):
        rate = finetune.rate(params["finetune"] | {"lr": result["lr"]}, BASELINE, fraction)
        result["convergence"][f"{fraction:g}"] = convergence(params, rate, fraction)
        write_json(out, result)
    return result


if __name__ == "__main__":
    sys.exit(main())
