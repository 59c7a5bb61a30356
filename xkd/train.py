"""The training loop that distillation and fine-tuning share: one schedule, one way to stop and go on, one way to evaluate."""

import io
import math
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import is_dataclass, replace

import numpy as np
import torch

from xkd import parallel
from xkd.errors import XkdError
from xkd.files import atomic
from xkd.machine import cores
from xkd.metrics import confusion
from xkd.optim import optimisers
from xkd.parallel import device, half
from xkd.progress import progress

AHEAD, LOADERS = 3, 8
"""Batches that are made before they are asked for; threads that make them beside a GPU, at most (beside a CPU's training, one)."""
LEAST_SCALE = 2.0**-10
"""Of a loss in half precision; one that has been halved to this has overflowed at every step."""


def order(count, seed, batch, step):
    """The frames of a batch: every epoch is a permutation drawn from (seed, epoch), so that any step can be asked for alone."""
    start = step * batch
    places = np.arange(start, start + batch)
    epochs = {epoch: np.random.default_rng([seed, 1, epoch]).permutation(count) for epoch in np.unique(places // count)}
    return [int(epochs[place // count][place % count]) for place in places]


def rate(step, steps, peak, warmup):
    """Learning rate of a step: linear warm-up over `warmup` (a share of the steps), then a half cosine to zero."""
    done = (step + 1) / steps
    if done < warmup:
        return peak * done / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup)))


def loaders():
    """Threads that make batches: one core is the network's."""
    return max(1, min(LOADERS, cores() - 1)) if device().type == "cuda" else 1


def ahead(make, start, stop):
    """make(step) for each step, made in other threads while the network works on the ones before; for a GPU `pinned`."""
    threads = loaders()
    least = max(AHEAD, threads + 1)
    made = (lambda step: pinned(make(step))) if device().type == "cuda" else make
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(torch.get_num_threads(),)) as pool:
        waiting = [pool.submit(made, step) for step in range(start, min(start + least, stop))]
        for step in range(start, stop):
            yield step, waiting.pop(0).result()
            if step + least < stop:
                waiting.append(pool.submit(made, step + least))


def pinned(batch):
    """A batch, tensors in tuples, dicts and data classes, those of the CPU in memory that a GPU copies from by itself while it computes."""
    if isinstance(batch, torch.Tensor):
        return batch if batch.is_cuda else batch.pin_memory()
    if isinstance(batch, dict):
        return {name: pinned(value) for name, value in batch.items()}
    if isinstance(batch, tuple | list):
        return type(batch)(map(pinned, batch))
    if is_dataclass(batch):
        return replace(batch, **{name: pinned(value) for name, value in vars(batch).items()})
    return batch


def finished(resume, steps):
    """Whether the state in the file `resume` is that of a training of so many steps that has come to its end."""
    return resume.exists() and len(torch.load(resume, map_location="cpu", weights_only=True)["losses"]) >= steps


def fit(network, make, loss_of, settings, resume, label):
    """Trains all parameters of `network` in place; returns the losses, one a step.

    make(step) -> batch, a function of the step alone; loss_of(batch) -> scalar. settings: optimiser, steps, lr, head (factor of the
    classifier's rate), warmup, weight_decay, clip, save_every (s). The state lies in the file `resume` (outside every stage's outs, which
    DVC deletes), at the end too, until the caller removes it: a killed run goes on from there to the weights of an uninterrupted one. A
    loss or a gradient that is not finite is an error, before it has touched a weight. Left out, and counted in a warning: batches whose
    loss is 0, because they hold nothing to learn from, and on a GPU steps whose gradients overflow in half precision, which are an error
    where no scale helps.
    In several processes (`xkd.parallel`) each makes its own part of a batch and gathers what its loss is made of, and all end with the
    same weights.
    """
    parameters = [p for p in network.parameters() if p.requires_grad]
    given = (settings["optimiser"], network, settings["lr"], settings["weight_decay"], settings.get("head", 1.0))
    moved = optimisers(*given)
    # spconv computes in half precision under autocast, and gradients of a mean over 100,000 points would vanish in it.
    scaler = torch.amp.GradScaler("cuda", enabled=device().type == "cuda")
    losses, overflows, steps = [], 0, settings["steps"]
    state = parallel.given(torch.load(resume, map_location=device(), weights_only=True) if resume.exists() else None)
    if state is not None:
        network.load_state_dict(state["network"])
        for (optimiser, _), own in zip(moved, state["optimisers"], strict=True):
            fused = optimiser.param_groups[0].get("fused")
            optimiser.load_state_dict(own)
            for group in optimiser.param_groups:
                if "fused" in group:  # of this device, and not of the one that the state was saved on
                    group["fused"] = fused
        scaler.load_state_dict(state["scaler"])
        losses, overflows = state["losses"], state["overflows"]
    network.train()
    saved = time.monotonic()
    batches = ahead(make, len(losses), steps)
    for step, batch in progress(batches, label, steps - len(losses)) if parallel.first() else batches:
        for optimiser, factor in moved:
            for group in optimiser.param_groups:
                group["lr"] = factor * rate(step, steps, settings["lr"], settings["warmup"])
        with half():
            loss = _loss(loss_of, batch, step, label)
        for parameter in parameters:
            parameter.grad = None
        scaler.scale(loss).backward()
        value = parallel.reduce(loss, parameters)
        check_finite("loss", value, step, settings, label)
        if value != 0:
            for optimiser, _ in moved:
                scaler.unscale_(optimiser)
            norm = torch.nn.utils.clip_grad_norm_(parameters, settings["clip"])
            if not scaler.is_enabled():
                check_finite("gradient's norm", norm.item(), step, settings, label)
            scale = scaler.get_scale()
            for optimiser, _ in moved:
                scaler.step(optimiser)
            scaler.update()
            overflows += scaler.get_scale() < scale
            if scaler.get_scale() < LEAST_SCALE:
                check_finite("gradient in half precision", math.inf, step, settings, label)
        losses.append(value)
        last = len(losses) == steps
        if parallel.first() and (last or time.monotonic() - saved > settings["save_every"]):
            saved = time.monotonic()
            state = {
                "network": network.state_dict(),
                "optimisers": [own.state_dict() for own, _ in moved],
                "losses": losses,
            }
            state |= {"scaler": scaler.state_dict(), "overflows": overflows}
            buffer = io.BytesIO()
            torch.save(state, buffer)
            with atomic(resume) as temporary:
                temporary.write_bytes(buffer.getvalue())
    for count, what in ((losses.count(0.0), "had nothing to learn from"), (overflows, "overflowed in half precision")):
        if count:
            warnings.warn(f"{label}: {count} of {steps} batches {what} and were left out.", stacklevel=2)
    return losses


def _loss(loss_of, batch, step, label):
    """loss_of(batch). Errors: a batch that is too small for a norm."""
    try:
        return loss_of(batch)
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise XkdError(
            f"{label}: the batch of step {step} is one cell at a level; larger crops or fewer widths help."
        ) from None


def check_finite(what, value, step, settings, label):
    """Errors: a number of a training step that is infinite or none."""
    if not math.isfinite(value):
        raise XkdError(
            f"{label}: the {what} at step {step} is {value}; a lower learning rate than {settings['lr']} may help."
        )


def nothing(network):
    """The loss of a batch that holds nothing to learn from: 0, whose gradient is 0."""
    return sum(0 * p.sum() for p in network.parameters())


def predict(student, prepared, indices=None, batch=4):
    """Yields (frame index, (N,) int64 predicted class ids) over the frames of a split, whole scans, no augmentation.

    A batch a thread; the batches are the same however many threads there are.
    """
    student.eval()
    indices = list(range(len(prepared)) if indices is None else indices)
    groups = [indices[i : i + batch] for i in range(0, len(indices), batch)]

    @torch.inference_mode()
    def guess(group):
        voxels = student.voxels([(prepared.points(i), prepared.intensity(i)) for i in group])
        with half():
            classes, scan = student(voxels)[1].argmax(1).cpu().numpy(), voxels.scan.cpu().numpy()
        return [(i, classes[scan == b]) for b, i in enumerate(group)]

    workers = 1 if device().type == "cuda" else cores()
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            for rows in pool.map(guess, groups):
                yield from rows
    finally:
        torch.set_num_threads(threads)


def evaluate(student, prepared, indices=None):
    """What `tally` counts of a split's frames, and the predictions {frame index: (N,) class ids}; several processes share the frames."""
    indices = list(range(len(prepared)) if indices is None else indices)
    guesses = parallel.merged(dict(predict(student, prepared, parallel.rest(indices))))
    return *tally(prepared, guesses), guesses


def tally(prepared, guesses):
    """Predictions {frame index: (N,) class ids} -> confusion matrices (S, C, C) int64 of their streets, rows truth, and the streets'
    names in that order."""
    streets = sorted({prepared.scenes[i] for i in guesses})
    total = np.zeros((len(streets), len(prepared.classes), len(prepared.classes)), np.int64)
    for i, guess in guesses.items():
        total[streets.index(prepared.scenes[i])] += confusion(guess, prepared.labels(i), len(prepared.classes))
    return total, streets
