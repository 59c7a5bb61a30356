"""What this machine has to work with."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

pool = ThreadPoolExecutor
"""pool(workers).map(function, frames): how stages make their frames; `xkd.frames` has a cluster share them instead."""


def cores():
    """How many CPU cores this process may run on; a quota of CPU time is not seen."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def bfloat16(about="/proc/cpuinfo"):
    """Whether the processor multiplies bfloat16, so that it is faster than float32 and not slower; False where nothing says so."""
    try:
        lines = Path(about).read_text().splitlines()
    except OSError:
        return False
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    return "avx512_bf16" in flags or "amx_bf16" in flags


def end_with(parent):
    """Ends this process, whatever it does, soon after the process `parent` that started it has ended, killed or not."""
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent):
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
