"""The next training of a sweep, beside the one that a stage was started for.

DVC runs one stage at a time, and a training fills one core. So a stage lets a second process train what a later stage of its kind
will need, and leaves it where a killed training leaves its state, in out/resume: finished, so that its own stage has only to take it
up. What comes out is what stages one by one would give, because a training that goes on is the training that was never stopped.
"""

import importlib
import multiprocessing
import os
import sys
from contextlib import contextmanager

import torch

from xkd.errors import XkdError
from xkd.machine import cores, end_with
from xkd.parallel import device, launched
from xkd.train import finished

DONE = "done"
"""A file beside a state: the stage that the training was for has kept its result."""


def idle(settings):
    """Whether a core is left over: in a stage of DVC's, on the CPU, for trainings of one process."""
    room = device().type == "cpu" and cores() > 1 and settings["processes"] == 1 and not launched()
    return room and "DVC_STAGE" in os.environ


def done(state):
    """Removes a training's state whose result is kept, and leaves word that it need not be made again."""
    state.with_name(DONE).touch()
    state.unlink(missing_ok=True)


def over(state, steps):
    """Whether a training of so many steps, with its state in this file, need not be made: it came to its end, or its result is kept."""
    return state.with_name(DONE).exists() or finished(state, steps)


def turned(items, first):
    """The items from `first` on, and then those before it."""
    place = items.index(first)
    return items[place:] + items[:place]


def following(items, own, training):
    """The job, for `beside`, of the next of `items` after `own` whose training has not come to its end; None where there is none, or
    where that of `own` itself has, so that this stage will not train.

    training(item) -> (its state's file, its steps, the job), or None for what cannot be trained yet.
    """
    for item in turned(items, own):
        found = training(item)
        if found is None:
            continue
        state, steps, job = found
        if over(state, steps) == (item == own):
            return None if item == own else job
    return None


@contextmanager
def beside(job):
    """Runs `job`, a function that can be imported by name, and its arguments, or None, in a process of its own while the body runs, and
    waits for both. Work of another kind of stage is named, "module:function"; that goes on with it from where it is when the body is over.
    The process ends with this one; what goes wrong in it is left for its own stage to say."""
    if job is None:
        yield
        return
    other = multiprocessing.get_context("spawn").Process(target=_run, args=(os.getpid(), *job), daemon=True)
    other.start()
    try:
        yield
        if not isinstance(job[0], str):
            other.join()
    finally:
        other.kill()


def _run(parent, function, *arguments):
    end_with(parent)
    sys.stderr = open(os.devnull, "w")  # the bar goes to out/log, where the stage shows it
    torch.set_num_threads(1)
    if isinstance(function, str):  # of a module that the stage's result does not hang on
        module, name = function.split(":")
        function = getattr(importlib.import_module(module), name)
    try:
        function(*arguments)
    except XkdError:
        sys.exit(1)
