"""Several processes that share every training step: each takes its part of the batch, and gradients are averaged.

Each computes on one thread, as the student's loops do (`xkd.native`). How many processes there are is a parameter and not the
machine's number of cores, because the numbers of a run depend on it. Built on torch.distributed (gloo); a run that torchrun started
is taken as it is.
"""

import multiprocessing
import os
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

from xkd.errors import XkdError


def device():
    """The GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def together(processes, function, *arguments):
    """function(*arguments) in so many processes at once, this one being the first; returns this one's result.

    The function is importable by name and its arguments can be pickled.
    """
    if processes < 1:
        raise XkdError(f"params.yaml: processes {processes} is below 1.")
    torch.set_num_threads(1)
    if processes == 1 or dist.is_initialized():
        return function(*arguments)
    with tempfile.TemporaryDirectory() as folder:
        meeting = Path(folder) / "meeting"
        spawn = multiprocessing.get_context("spawn")
        others = [
            spawn.Process(target=_member, args=(rank, processes, meeting, function, arguments), daemon=True)
            for rank in range(1, processes)
        ]
        for other in others:
            other.start()
        try:
            _join(0, processes, meeting)
            return function(*arguments)
        except RuntimeError as error:
            for other in others:
                other.join(5)
            lost = [other.exitcode for other in others if other.exitcode]
            if lost:
                raise XkdError(
                    f"A training process ended with exit status {lost[0]}; its own message stands above."
                ) from error
            raise
        finally:
            _leave()
            for other in others:
                other.join(20)
                other.kill()


def _join(rank, processes, meeting):
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    # A member that died before it came is not waited for long; later on, a lost connection ends the others at once.
    options = {"rank": rank, "world_size": processes, "timeout": timedelta(minutes=2)}
    dist.init_process_group("gloo", init_method=f"file://{meeting}", **options)


def _leave():
    if dist.is_initialized():
        dist.destroy_process_group()


def _member(rank, processes, meeting, function, arguments):
    torch.set_num_threads(1)
    _join(rank, processes, meeting)
    try:
        function(*arguments)
    except XkdError as error:
        print(error, file=sys.stderr, flush=True)
        sys.exit(1)
    finally:
        _leave()


def first():
    """Whether this process is the one that writes files and shows progress."""
    return not dist.is_initialized() or dist.get_rank() == 0


def share(items):
    """This process' part of a list: every n-th item. Errors: too few items for every process to have one."""
    if not dist.is_initialized():
        return items
    if len(items) < dist.get_world_size():
        raise XkdError(f"params.yaml: a batch of {len(items)} cannot be shared by {dist.get_world_size()} processes.")
    return items[dist.get_rank() :: dist.get_world_size()]


def average(loss, parameters):
    """Averages the gradients over all processes in place, in one exchange, and returns the average loss, a float."""
    if not dist.is_initialized():
        return loss.item()
    gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
    flat = torch.cat([loss.detach().float().reshape(1), *(g.reshape(-1) for g in gradients)])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    start = 1
    for parameter in parameters:
        parameter.grad = flat[start : start + parameter.numel()].view_as(parameter)
        start += parameter.numel()
    return flat[0].item()
