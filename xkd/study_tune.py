"""`python -m xkd.study_tune [NAME ...]`: the learning rates of the study's rows, by the search that the sweep's rows get (`xkd.tune`), with
one more up to the share study.least of the labels: the same rates to try and label subsets for all, judged on the tuning streets. Writes
study/tuning.json (`xkd.study_tuning`), in which a call with NAMEs or --fractions leaves what it has not searched as it is, and a file for
every training in study/tuning, which git keeps, so that a search can stop and go on. Validation streets are not opened."""

import argparse
import sys

import xkd
from xkd import finetune, mixed, self_training, study_tuning, tune
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
LEAST = (200, 201, 202, 203, 204)
"""The label subsets of the search where labels are fewest, more than elsewhere, since there they differ most; each with one of the study's
own inits, which have seen no label, as far as there are so many."""


def cell_of(params, name, fraction, seed, lr=0.0):
    """A training of the search for the rate `name` of study.lr as a cell of the study, with a folder for each rate."""
    init = dict(zip(LEAST, params["study"]["seeds"], strict=False)).get(seed)
    return Cell(*RATED[name], fraction, seed, xkd.ROOT / TRAININGS / f"{lr:g}", init)


def subsets(params):
    """{share of the labels that rates are searched at: label subsets there}"""
    return {params["study"]["least"]: LEAST, params["finetune"]["few"]: tune.SEEDS, 1: tune.SEEDS}


def searched(params, name, lr):
    """All sections with the rate that is tried, and with the steps that a training of the search has."""
    study = params["study"]
    return overlay(params, {"study": {"lr": {name: lr}, "steps": study["steps"] * study["search"]}})


def run(params, name, fraction, seed, lr, factor=1):
    """One training -> {miou: 0..100 on the tuning streets, steps, frames, made_of}; its file is written when it is over."""
    params = searched(params, name, lr)
    cell = cell_of(params, name, fraction, seed, lr)
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
    return initial(params, cell_of(params, name, 1, seed), OUT)


def search(params, names=(), fractions=()):
    """The rates `names` of study.lr, else those of all rows that there are with this teacher, at the shares `fractions` of the labels, else
    at all that rates are searched at -> what is written to study/tuning.json, where the others are as they were; with neither, all anew.

    Errors: those of `tune.ready` and `study_tuning.read`; no such name or share; others that were searched with other steps or subsets."""
    if unknown := sorted(set(names) - set(RATED)):
        raise XkdError(f"study.lr has no rate {unknown[0]!r}; it has {', '.join(RATED)}.")
    tune.ready(check(params), xkd.ROOT / OUT)
    shares = subsets(params)
    if unknown := sorted(set(fractions) - set(shares)):
        there = ", ".join(f"{share:g}" for share in shares)
        raise XkdError(f"No rate is searched at {unknown[0]:g} of the labels, but at {there}.")
    file, anew = xkd.ROOT / RESULT, not names and not fractions
    names = names or [name for name, row in RATED.items() if cells(params, *row)]
    shares = {share: own for share, own in shares.items() if not fractions or share in fractions}
    steps = {f"{share:g}": steps_of(params, share) for share in shares}
    seeds = {f"{share:g}": list(own) for share, own in shares.items()}
    old = study_tuning.EMPTY if anew else study_tuning.read(file)
    begun = {share: study_tuning.tried(old["search"], f"{share:g}", names) for share in shares}
    for share in (f"{share:g}" for share, others in begun.items() if others):
        for what, before, now in ("steps", old["steps"], steps), ("label subsets", old["seeds"], seeds):
            if before[share] != now[share]:
                said = (
                    f"at {share} of the labels rates were searched with {what} {before[share]}, now it is {now[share]}"
                )
                raise XkdError(f"{file}: {said}; search for all.")
    for name in names:
        make(params, cell_of(params, name, 1, tune.SEEDS[0]), OUT)

    def scores(params, jobs):
        return tune.scores(params, jobs, run, begin, lambda name: START.get(name, name))

    rates = {share: set().union(*others.values()) for share, others in begun.items() if others}
    table, _, _ = tune.search(params, names, scores, rates, shares)
    old = old if anew else study_tuning.read(file)  # another search may have ended meanwhile
    return study_tuning.merged(old, table, steps, seeds)


def steps_of(params, fraction):
    """How many steps a training on a share of the labels has; the network with images has its own."""
    cell = cell_of(params, "scratch", fraction, subsets(params)[fraction][0])
    return finetune.steps(len(frames_of(params, cell, OUT)), settings_of(searched(params, "scratch", 1)))


def main(arguments=None):
    description = "Learning rates of the study's rows: hours; what is trained is kept, and a second call goes on."
    parser = argparse.ArgumentParser(prog="python -m xkd.study_tune", description=description)
    parser.add_argument("name", nargs="*", help="rates of study.lr to search for; all of them where none is named")
    parser.add_argument(
        "--fractions",
        type=float,
        nargs="+",
        default=[],
        metavar="F",
        help="shares of the labels to search at; else all",
    )
    options = parser.parse_args(arguments)
    try:
        write_json(xkd.ROOT / RESULT, found := search(profile(), options.name, options.fractions))
        for share in found["steps"]:
            if said := study_tuning.uneven(found["search"], share):
                print(said, file=sys.stderr)
    except XkdError as error:
        print(f"xkd: {error}", file=sys.stderr)
        return 1
    print(found["lr"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
