"""`python -m xkd.study_tune [NAME ...]`: the learning rates of the study's rows, by the search that the sweep's rows get (`xkd.tune`): the
same rates to try and label subsets for all, judged on the tuning streets. Writes study/tuning.json, in which what has no NAME in this call
stays as it is, and a file for every training in study/tuning, which git keeps, so that a search can stop and go on. Validation streets
are not opened."""

import argparse
import sys

import xkd
from xkd import finetune, kept, mixed, self_training, tune
from xkd.errors import XkdError
from xkd.files import read_json, write_json
from xkd.mixed import Source
from xkd.params import overlay, profile
from xkd.study import RATED, START, Cell, cells, check, done
from xkd.study_cell import fused_of, made_of
from xkd.study_inputs import make
from xkd.study_start import frames_of, initial, kind_of, place_of, rate_of, settings_of
from xkd.train import predict, tally

OUT, TRAININGS, RESULT = "out", "study/tuning", "study/tuning.json"


def cell_of(name, fraction, seed, lr=0.0):
    """A training of the search for the rate `name` of study.lr as a cell of the study, with a folder for each rate."""
    return Cell(*RATED[name], fraction, seed, xkd.ROOT / TRAININGS / f"{lr:g}")


def searched(params, name, lr):
    """All sections with the rate that is tried, and with the steps that a training of the search has."""
    study = params["study"]
    return overlay(params, {"study": {"lr": {name: lr}, "steps": study["steps"] * study["search"]}})


def run(params, name, fraction, seed, lr, factor=1):
    """One training -> {miou: 0..100 on the tuning streets, steps, frames, made_of}; its file is written when it is over."""
    params, cell = searched(params, name, lr), cell_of(name, fraction, seed, lr)
    if not done(params, cell, OUT):
        place, frames = place_of(params, OUT), frames_of(params, cell, OUT)
        data, settings, made = params["data"], settings_of(params), made_of(params, cell, OUT)
        train, resume = place.split(data["train"]), None
        held = tune.held_out(params, train)
        if kind_of(cell) == "fused":
            network, count = fused_of(params, cell, OUT)[0], finetune.steps(len(frames), params["fused"])
            seen = Source(train, place.gathered(data["train"]))
            guesses = {i: mixed.whole(network, seen, i).argmax(1).numpy() for i in held}
        else:
            start, count = initial(params, cell, OUT), finetune.steps(len(frames), settings)
            label = f"study-tune-{name}-{fraction:g}-{seed}-{lr:g}"
            given, last = (frames, start, params["student"], settings), (rate_of(params, cell), seed, label)
            if kind_of(cell) == "self":
                network, _, resume = self_training.train(place, *given, params, *last)
            else:
                network, _, resume = finetune.train(train, *given, *last)
            guesses = dict(predict(network, train, held))
        score = tune.score(tally(train, guesses)[0])
        write_json(cell.file, {"miou": score, "steps": count, "frames": len(frames), "made_of": made})
        if resume:
            resume.unlink(missing_ok=True)
    return read_json(cell.file)


def begin(params, name, seed):
    """The init of a seed, made if it is not there."""
    return initial(params, cell_of(name, 1, seed), OUT)


def search(params, names=()):
    """The rates `names` of study.lr, else those of all rows that there are with this teacher -> what is written to study/tuning.json,
    where the others are as they were. Errors: those of `tune.ready`; no such name; others that were searched with other steps."""
    if unknown := sorted(set(names) - set(RATED)):
        raise XkdError(f"study.lr has no rate {unknown[0]!r}; it has {', '.join(RATED)}.")
    tune.ready(check(params), xkd.ROOT / OUT)
    names, alone = names or [name for name, row in RATED.items() if cells(params, *row)], bool(names)
    for name in names:
        make(params, cell_of(name, 1, tune.SEEDS[0]), OUT)

    def scores(params, jobs):
        return tune.scores(params, jobs, run, begin, lambda name: START.get(name, name))

    file, old, rates = xkd.ROOT / RESULT, {"search": {}, "lr": {}}, {}
    if alone and file.exists():
        old = kept.facts(file, search=dict, lr=dict, steps=dict)
        for rate, row in next(iter(old["search"].values()), {}).items():
            for fraction in row:
                rates.setdefault(float(fraction), []).append(float(rate))
    table, best, steps = tune.search(params, names, scores, rates)
    if old.get("steps", steps) != steps:
        raise XkdError(f"{file}: was searched with {old['steps']} steps, these rates with {steps}; search for all.")
    return {"search": old["search"] | table, "lr": old["lr"] | best, "steps": steps, "seeds": list(tune.SEEDS)}


def main(arguments=None):
    description = "Learning rates of the study's rows: hours; what is trained is kept, and a second call goes on."
    parser = argparse.ArgumentParser(prog="python -m xkd.study_tune", description=description)
    parser.add_argument("name", nargs="*", help="rates of study.lr to search for; all of them where none is named")
    names = parser.parse_args(arguments).name
    try:
        write_json(xkd.ROOT / RESULT, found := search(profile(), names))
    except XkdError as error:
        print(f"xkd: {error}", file=sys.stderr)
        return 1
    print(found["lr"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
