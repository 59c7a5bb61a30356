"""The samples as one HTML page that needs nothing else: what a run gave in numbers, what the check found, and the pictures."""

import base64
from html import escape

import numpy as np

from xkd import kept
from xkd.check import check
from xkd.files import atomic
from xkd.page import CSS, html_table
from xkd.real.numbers import lines
from xkd.real.pictures import pictures
from xkd.real.samples import SAMPLES
from xkd.segments import open_method

SHOWN = 3
"""Streets of a sample of which the first frame is shown."""
WIDE = ".wide{max-width:1240px}img{max-width:100%}td{white-space:normal}td:nth-child(n+2){text-align:left}"
READ = (
    "Few frames, few steps: the numbers say that the way from the files to a student works on these data, and nothing about how "
    "well it would do on a whole data set. A loss of 1 (cosine) means that the prediction has nothing to do with the teacher's feature."
)


def firsts(dataset):
    """The first frame of each of the first `SHOWN` streets: a rule, no choice."""
    streets = list(dict.fromkeys(dataset.scenes))
    return [dataset[dataset.scenes.index(street)] for street in streets[:SHOWN]]


def section(name, dataset, prepare, found=None):
    """One sample as HTML. prepare: that section of params.yaml, whose superpixels are shown; found: `numbers` of its run, if there was
    one."""
    sample, cut = SAMPLES[name], open_method(prepare)
    parts = [f"<h2 id='{name}'>{sample.title}</h2>", f"<p>{escape(sample.says)}</p>"]
    if found:
        parts += [html_table(["run", ""], lines(found)), f"<p>{READ}</p>"]
    rows = [[one.what, one.verdict, one.found] for one in check(dataset)]
    parts += ["<details><summary>what <code>python -m xkd check</code> finds</summary>"]
    parts += [html_table(["", "", "found"], rows), "</details>"]
    for frame in firsts(dataset):
        parts += [f"<h3>Frame {escape(frame.id)}</h3>"]
        for caption, picture in pictures(frame, dataset, cut):
            data = base64.b64encode(picture).decode()
            parts += [f'<p><img alt="" src="data:image/jpeg;base64,{data}"><br>{escape(caption)}</p>']
    return "\n".join(parts)


def write(path, sections, missing=()):
    """Writes the page of some sections to the file `path`. missing: titles of samples that are not there."""
    absent = f"<p>Not there: {escape(', '.join(missing))}.</p>" if missing else ""
    head = f'<meta charset="utf-8"><title>xkd: real frames</title><style>{CSS}{WIDE}</style>'
    body = "\n".join(["<h1>Real frames: where the scan falls on the images</h1>", absent, *sections])
    with atomic(path) as temporary:
        temporary.write_text(
            f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body class="wide">\n{body}\n</body></html>\n'
        )


def known(folder):
    """The numbers that a run left in its folder, None where none did."""
    path = folder / "out" / "real.json"
    return kept.facts(path, distilled=dict, superpixels=dict) if path.exists() else None


def plain(value):
    """A value of numpy as JSON takes it, NaN as null."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and np.isnan(value) else value
