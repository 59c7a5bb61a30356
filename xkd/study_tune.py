"""`python -m xkd.study_tune`: the learning rate of every row of the study, by the search that the sweep's rows get (`xkd.tune`): the same
rates and label subsets for each, judged on the tuning streets. Writes study/tuning.json, and a file for every training in study/tuning,
which git keeps, so that a search can stop and go on. Validation streets are not opened."""

import argparse
import sys

import xkd
from xkd import finetune, mixed, tune
from xkd.errors import XkdError
from xkd.files import read_json, write_json
from xkd.mixed import Source
from xkd.params import overlay, profile
from xkd.study import START, Cell, check, done
from xkd.study_cell import fused_of, made_of
from xkd.study_start import frames_of, initial, kind_of, place_of, rate_of, settings_of
from xkd.train import predict, tally

OUT, TRAININGS, RESULT = "out", "study/tuning", "study/tuning.json"


def cell_of(init, fraction, seed, lr=0.0):
    """A training of the search as a cell of the study, with a folder for each rate."""
    folder = xkd.ROOT / TRAININGS / f"{lr:g}"
    return Cell("images" if init == "fused" else "pretraining", init, fraction, seed, folder)


def searched(params, init, lr):
    """All sections with the rate that is tried, and with the steps that a training of the search has."""
    study = params["study"]
    return overlay(params, {"study": {"lr": {init: lr}, "steps": study["steps"] * study["search"]}})


def run(params, init, fraction, seed, lr, factor=1):
    """One training -> {miou: 0..100 on the tuning streets, steps, frames, made_of}; its file is written when it is over."""
    params, cell = searched(params, init, lr), cell_of(init, fraction, seed, lr)
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
            label = f"study-tune-{init}-{fraction:g}-{seed}-{lr:g}"
            given = (frames, start, params["student"], settings, rate_of(params, cell), seed, label)
            network, _, resume = finetune.train(train, *given)
            guesses = dict(predict(network, train, held))
        score = tune.score(tally(train, guesses)[0])
        write_json(cell.file, {"miou": score, "steps": count, "frames": len(frames), "made_of": made})
        if resume:
            resume.unlink(missing_ok=True)
    return read_json(cell.file)


def begin(params, init, seed):
    """The init of a seed, made if it is not there."""
    return initial(params, cell_of(init, 1, seed), OUT)


def search(params):
    """All rows of study.lr -> what is written to study/tuning.json. Errors: those of `tune.ready`."""
    tune.ready(params, xkd.ROOT / OUT)

    def scores(params, jobs):
        return tune.scores(params, jobs, run, begin, lambda init: START.get(init, init))

    table, best, steps = tune.search(check(params), list(params["study"]["lr"]), scores)
    return {"search": table, "lr": best, "steps": steps, "seeds": list(tune.SEEDS)}


def main(arguments=None):
    description = "Learning rates of the study's rows: hours; what is trained is kept, and a second call goes on."
    argparse.ArgumentParser(prog="python -m xkd.study_tune", description=description).parse_args(arguments)
    try:
        write_json(xkd.ROOT / RESULT, found := search(profile()))
    except XkdError as error:
        print(f"xkd: {error}", file=sys.stderr)
        return 1
    print(found["lr"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
