"""One look for every figure: the same colour for the same thing, safe for colour-blind readers (Okabe & Ito 2008).

Semantic classes keep their data set's own colours, because that is how people know them; figures that use them name the
classes as well.
"""

from dataclasses import dataclass

import numpy as np

BASELINE = "scratch"
INK, FAINT, IGNORED = "#222222", "#d9d9d9", "#c8c8c8"
FONT_PIXELS = 14
SEQUENTIAL, DIVERGING = "Blues", "PuOr_r"


@dataclass(frozen=True)
class Style:
    """How one way of starting the student is drawn: its name for people, colour, marker (matplotlib, plotly) and
    line."""

    name: str
    colour: str
    marker: tuple[str, str]
    dash: tuple[str, str]


SCRATCH = Style("from scratch", "#D55E00", ("o", "circle"), ("--", "dash"))
DISTILLED = Style("distilled", "#56B4E9", ("s", "square"), ("-.", "dashdot"))
XMODEL = Style("xmodel", "#0072B2", ("D", "diamond"), ("-", "solid"))
NAMED = {
    "scratch": SCRATCH,
    "distilled": DISTILLED,
    "xmodel": XMODEL,
    "scratch-long": Style("from scratch, longer", "#E69F00", ("v", "triangle-down"), (":", "dot")),
    "lidar-ssl": Style("LiDAR-only pre-training", "#009E73", ("^", "triangle-up"), ("-.", "dashdot")),
    "self-training": Style("self-training", "#CC79A7", ("p", "pentagon"), ("-.", "dashdot")),
    "fused": Style("fused with images", "#F0E442", ("P", "cross"), (":", "dot")),
    "teacher-probe": Style("teacher, probed", "#000000", ("X", "x"), (":", "dot")),
}
SPARE = ["#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000"]


def styles(inits):
    """{init: Style}; a name that is not known takes a spare colour by its place in the alphabet."""
    unknown = sorted(set(inits) - set(NAMED))
    taken = {NAMED[init].colour for init in inits if init in NAMED}
    free = [colour for colour in SPARE if colour not in taken] or SPARE
    markers = [("D", "diamond"), ("^", "triangle-up"), ("P", "cross")]
    extra = {init: Style(init, free[i % len(free)], markers[i % 3], ("-", "solid")) for i, init in enumerate(unknown)}
    return {init: NAMED.get(init) or extra[init] for init in inits}


def css(colour):
    """(3,) uint8 RGB -> '#rrggbb'."""
    return "#{:02x}{:02x}{:02x}".format(*(int(value) for value in colour))


def class_rgb(labels, colours):
    """(N,) class ids and (C, 3) uint8 colours -> (N, 3) uint8; -1 is light grey."""
    grey = np.array([[int(IGNORED[i : i + 2], 16) for i in (1, 3, 5)]], dtype=np.uint8)
    table = np.concatenate([np.asarray(colours, dtype=np.uint8), grey])
    return table[np.asarray(labels, dtype=np.int64)]


def share(fraction):
    """0.01 -> '1 %'; as many digits as the number has, three at most."""
    return f"{100 * fraction:.3g} %"
