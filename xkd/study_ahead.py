"""What a row of the study leaves a core for, once it has nothing more to train at the same time: the inits of the rows that follow, of
which each finds what is done, and goes on with what is begun (`xkd.companion`)."""

import os

import xkd
from xkd.study import EXTRA, LINES, cells, done
from xkd.study_inputs import inputs
from xkd.study_start import init_of, init_path, initial, kind_of
from xkd.study_variants import varied


def later(params, block, row, out, folder):
    """Yields (all sections as its row has them, cell), one for each init that is not there and that a later row needs. Left out: what the
    row makes itself, what learns from a teacher or views that are not made yet, and, before the first of these, rows of `EXTRA`."""
    rows = [own for own in LINES if own not in EXTRA or (block, row) in EXTRA]
    made = {init_path(varied(params, cell), cell, out) for cell in cells(params, block, row, folder)}
    for following in rows[rows.index((block, row)) + 1 :]:
        for cell in cells(params, *following, folder):
            sections = varied(params, cell)
            if kind_of(cell) == "probe" or done(params, cell, out):
                continue
            found, path = inputs(sections, init_of(cell), out), init_path(sections, cell, out)
            there = found.name is None or (xkd.ROOT / out / "study" / found.name).exists()
            if there and path not in made and not path.exists():
                made.add(path)
                yield sections, cell


def inits(*arguments):
    """Makes one of `later` after the other, until it is stopped."""
    os.environ.pop("DVC_STAGE", None)  # it is itself what runs beside a stage
    for sections, cell in later(*arguments):
        initial(sections, cell, arguments[-2])
