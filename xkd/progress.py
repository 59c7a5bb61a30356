"""Progress that people can follow and that no result depends on: a bar, a rate and the time left.

Lines go to `out/log/<label>.log` and, outside a notebook, to stderr. A notebook's own output stays free of them, because an
executed notebook is a versioned output and a wall time in it would change it at every run.
"""

import sys
import time
from contextlib import suppress

import xkd


def progress(iterable, label, total=None, every=2.0):
    """Passes the items through; reports at most every `every` seconds and at the end."""
    total = len(iterable) if total is None and hasattr(iterable, "__len__") else total
    # A kernel's stderr is the notebook's output; the stage runner follows the log file there instead.
    quiet = "ipykernel" in sys.modules
    start = told = time.monotonic()
    done = 0
    for done, item in enumerate(iterable, 1):
        yield item
        now = time.monotonic()
        if now - told >= every or done == total:
            told = now
            line = bar(label, done, total, now - start)
            note(label, line)
            if not quiet:
                end = "\n" if done == total or not sys.stderr.isatty() else "\r"
                print(line, end=end, file=sys.stderr, flush=True)


def note(label, line):
    """A line at the end of `out/log/<label>.log`; none on a disk that takes none, for no result depends on it."""
    with suppress(OSError):
        log = xkd.ROOT / "out" / "log" / f"{label}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as lines:
            lines.write(line + "\n")


def bar(label, done, total, seconds):
    """One line: label, bar, count, items a second, time left. `total` may be unknown."""
    rate = done / max(seconds, 1e-9)
    if not total:
        return f"{label}: {done}  {rate:.1f}/s"
    filled = round(20 * done / total)
    left = (total - done) / rate
    return f"{label}: [{'#' * filled}{'.' * (20 - filled)}] {done}/{total}  {rate:.1f}/s  {int(left) // 60}:{int(left) % 60:02d} left"
