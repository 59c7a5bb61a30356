"""Several processes that share every training step: each makes its part of the batch, and together they are one process with the whole.

Norms take the moments of all rows (`norm`), losses are computed on all rows (`gather`), gradients are summed. Each process computes on
one thread, as the student's loops do (`xkd.native`). How many processes there are is a parameter and not the machine's number of cores,
because the random draws of a run depend on it. Built on torch.distributed: gloo, and nccl on GPUs. In a run that torchrun started, on one
machine or several, its processes are the ones.
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
    """The GPU if there is one; of several, this process' own."""
    return (
        torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if torch.cuda.is_available() else torch.device("cpu")
    )


def half():
    """A context in which a network computes in half precision on a GPU, where spconv lacks some kernels in float32; on a CPU nothing."""
    return torch.autocast("cuda", torch.float16, enabled=device().type == "cuda")


def launched():
    """Whether torchrun started this process as one of several."""
    return "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", 1)) > 1


def several():
    """Whether this process is one of several that share every step."""
    return dist.is_initialized() and dist.get_world_size() > 1


def together(processes, function, *arguments):
    """function(*arguments) in so many processes at once, this one being the first; returns this one's result.

    The function is importable by name and its arguments can be pickled. Under torchrun every process comes here, and all its processes
    share the steps, whatever `processes` says.
    """
    if processes < 1:
        raise XkdError(f"params.yaml: processes {processes} is below 1.")
    torch.set_num_threads(1)
    if launched() and not dist.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(device())
        # What one process does alone, such as pseudo-labels, the others wait for.
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=timedelta(hours=12))
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


def rest(items):
    """This process' part of a list, which may be none of it."""
    return items[dist.get_rank() :: dist.get_world_size()] if several() else items


def merged(found):
    """The dicts of all processes as one."""
    if not several():
        return found
    parts = [None] * dist.get_world_size()
    dist.all_gather_object(parts, found)
    return {key: value for part in parts for key, value in part.items()}


def given(value):
    """What the first process has for `value`, in every process."""
    if not several():
        return value
    box = [value]
    dist.broadcast_object_list(box, 0)
    return box[0]


def meet():
    """Waits until every process is here."""
    if several():
        dist.barrier()


def gather(rows):
    """(R, ...) of each process, of as many rows as it has -> the rows of all, in the order of the processes. A loss of them is the whole
    batch's, the same in every process; its gradient is that of the process' own rows, so that a weight's is the sum over all (`reduce`)."""
    return _Gather.apply(rows) if several() else rows


def before(count):
    """The sum of `count` over the processes before this one, and over all of them."""
    if not several():
        return 0, count
    counts = _counts(count, device())
    return sum(counts[: dist.get_rank()]), sum(counts)


def _counts(count, where):
    counts = [torch.zeros(1, dtype=torch.int64, device=where) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, torch.tensor([count], device=where))
    return [int(c) for c in counts]


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rows):
        counts = _counts(len(rows), rows.device)
        padded = rows.new_zeros(max(counts), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(parts, padded)
        first = sum(counts[: dist.get_rank()])
        ctx.own = slice(first, first + len(rows))
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    @staticmethod
    def backward(ctx, gradient):
        return gradient[ctx.own]


class _Sum(torch.autograd.Function):
    """The sum over all processes, and so is its gradient."""

    @staticmethod
    def forward(ctx, value):
        value = value.clone()
        dist.all_reduce(value)
        return value

    @staticmethod
    def backward(ctx, gradient):
        gradient = gradient.clone()
        dist.all_reduce(gradient)
        return gradient


def norm(layer, x):
    """(R, C), rows of this process -> what the batch norm `layer` makes of them in training, by the moments of all processes' rows."""
    x = x.to(layer.weight.dtype)
    count = _Sum.apply(x.new_tensor([len(x)]))
    mean = _Sum.apply(x.sum(0)) / count
    centred = x - mean
    variance = _Sum.apply(centred.square().sum(0)) / count
    with torch.no_grad():
        layer.running_mean.lerp_(mean, layer.momentum)
        layer.running_var.lerp_(variance * (count / (count - 1)), layer.momentum)
        layer.num_batches_tracked += 1
    return centred * torch.rsqrt(variance + layer.eps) * layer.weight + layer.bias


def reduce(loss, parameters):
    """Sums the gradients over all processes in place, in one exchange; returns the loss, a float, the whole batch's in every process."""
    if several():
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
        flat = torch.cat([g.reshape(-1) for g in gradients])
        dist.all_reduce(flat)
        start = 0
        for parameter in parameters:
            parameter.grad = flat[start : start + parameter.numel()].view_as(parameter)
            start += parameter.numel()
    return loss.item()
