"""`python -m xkd.estimate`: how long `dvc repro` will take on this machine, from what is left to do."""

import time
from contextlib import chdir

import xkd

SECONDS = {"prepare": 40.0, "teacher": 180.0, "scratch": 5.0, "distill": 300.0, "finetune": 130.0, "report": 25.0}
"""One stage of each kind, with params.yaml as it is, on two cores where `calibrate` takes `REFERENCE` seconds."""
REFERENCE = 0.09


def main():
    """Prints one sentence."""
    left = stages_left(xkd.ROOT)
    if not left:
        print("xkd: every stage is done.", flush=True)
        return
    seconds = sum(SECONDS.get(name.partition("@")[0], 0.0) for name in left) * calibrate() / REFERENCE
    print(
        f"xkd: {len(left)} stages to run, {words(seconds)} on this machine; "
        "stopped and started again, it goes on where it was.",
        flush=True,
    )


def stages_left(root):
    """Names of the stages that `dvc repro` in `root` will run: those that have changed, and all that depend on them."""
    import networkx
    from dvc.repo import Repo

    # DVC names stages as seen from the working directory.
    with chdir(root), Repo() as repo:
        changed = repo.status()
        graph = repo.index.graph  # from a stage to those that it needs
        hit = {stage for stage in graph if stage.addressing in changed}
        hit |= {later for stage in hit for later in networkx.ancestors(graph, stage)}
        return sorted(stage.addressing for stage in hit if stage.cmd)


def calibrate():
    """Seconds for a fixed piece of work like that of training: gather, multiply, scatter, on one thread."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(20000, 32, generator=generator)
    weight = torch.randn(32, 32, generator=generator)
    index = torch.randint(20000, (20000,), generator=generator)
    try:
        best = float("inf")
        for _ in range(8):  # the best of some: other work on the machine comes and goes
            start = time.perf_counter()
            for _ in range(40):
                torch.zeros_like(features).index_add_(0, index, features[index] @ weight)
            best = min(best, time.perf_counter() - start)
        return best
    finally:
        torch.set_num_threads(threads)


def words(seconds):
    """A duration for people."""
    minutes = seconds / 60
    return "about a minute" if minutes < 1.5 else f"about {minutes:.0f} minutes"


if __name__ == "__main__":
    main()
