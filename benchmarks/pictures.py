"""The pictures of docs/benchmarks.md, drawn as the report's are (`xkd.figures`): of one machine's results, nothing else."""

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from xkd.figures import STYLE, WIDTH, png
from xkd.files import atomic
from xkd.palette import FAINT, INK

COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
MARKERS = ["o", "s", "D", "^", "v", "P", "X"]
REACHED, MISSED = "#0072B2", "#D55E00"


def save(results, targets, folder):
    """Writes targets.png, growth.png and step.png, of what there is; returns the names."""
    drawn = {}
    with rc_context(STYLE):
        if any(target["unit"] == "x" for target in targets):
            drawn["targets"] = ratios([target for target in targets if target["unit"] == "x"])
        if results.get("growth", {}).get("rows"):
            drawn["growth"] = growth(results["growth"]["rows"])
        if results.get("step", {}).get("rows"):
            drawn["step"] = step(results["step"]["rows"])
        for name, figure in drawn.items():
            with atomic(folder / f"{name}.png") as path:
                path.write_bytes(png(figure))
    return list(drawn)


def ratios(targets):
    """How many times as fast as the peer, with quartiles, and what was aimed at."""
    figure = Figure(figsize=(WIDTH, 0.9 + 0.38 * len(targets)), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(targets))[::-1]
    for place, target in zip(places, targets, strict=True):
        low, middle, high = target["low"], target["value"], target["high"]
        axes.barh(place, middle, 0.55, color=REACHED if target["reached"] else MISSED)
        axes.hlines(place, low, high, color=INK, linewidth=1.2)
        axes.plot([target["target"]] * 2, [place - 0.38, place + 0.38], color=INK, linewidth=2)
        axes.annotate(
            f"{middle:.1f}", (max(high, target["target"]), place), (5, 0), textcoords="offset points", va="center"
        )
    axes.set_yticks(places, [target["name"] for target in targets])
    axes.set(
        xscale="log", xlabel="times as fast as the peer (thin line: quartiles; thick mark: target; orange: missed)"
    )
    axes.axvline(1, color=FAINT, linewidth=0.8, zorder=0)
    axes.margins(x=0.12)
    axes.xaxis.set_major_formatter("{x:g}")
    return figure


def growth(rows):
    """A panel for each thing that grows: milliseconds against it, and a straight line of what a linear cost would be."""
    kinds = list(dict.fromkeys(row["against"] for row in rows))
    figure = Figure(figsize=(WIDTH, 3.2 * -(-len(kinds) // 2)), layout="constrained")
    panels = figure.subplots(-(-len(kinds) // 2), 2, squeeze=False).ravel()
    for kind, axes in zip(kinds, panels, strict=False):
        own = [row for row in rows if row["against"] == kind]
        for k, row in enumerate(own):
            axes.plot(row["x"], row["ms"], MARKERS[k] + "-", color=COLOURS[k], markersize=4, label=row["path"])
            axes.fill_between(row["x"], row["low"], row["high"], color=COLOURS[k], alpha=0.15, linewidth=0)
        x = np.array(own[0]["x"], float)
        slope = -1 if kind == "workers" else 1
        start = np.exp(np.mean([np.log(row["ms"][0]) for row in own]))
        axes.plot(x, start * (x / x[0]) ** slope, ":", color=INK, linewidth=1, label="linear" if slope > 0 else "ideal")
        ticks = sorted({value for row in own for value in row["x"]})
        ticks = ticks if len(ticks) < 6 else ticks[::2]
        axes.set(xscale="log", yscale="log", xlabel=kind, ylabel="ms a frame" if kind == "workers" else "ms")
        axes.set_xticks(ticks, [f"{int(v / 1000)} k" if v >= 1000 and v % 1000 == 0 else f"{int(v)}" for v in ticks])
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_locator(LogLocator(numticks=6))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.grid(axis="y", color=FAINT, linewidth=0.6)
        axes.legend(fontsize=7.5, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, columnspacing=1)
    for axes in panels[len(kinds) :]:
        axes.set_axis_off()
    return figure


def step(rows):
    """The parts of a step, one process, for each kind of loops."""
    from step import PARTS

    own = [row for row in rows if row["processes"] == 1]
    figure = Figure(figsize=(WIDTH, 1.4 + 0.42 * len(own)), layout="constrained")
    axes, places = figure.subplots(), np.arange(len(own))[::-1]
    left = np.zeros(len(own))
    for part, colour in zip(PARTS, COLOURS, strict=True):
        wide = np.array([row[part] for row in own])
        axes.barh(places, wide, 0.62, left, color=colour, label=part)
        left += wide
    axes.set_yticks(places, [f"{row['what']}, {row['loops']}" for row in own])
    axes.set(xlabel="ms a step, one process; a second thread does the first three parts ahead")
    figure.legend(loc="outside upper center", ncols=len(PARTS), fontsize=8.5, handlelength=1, columnspacing=1)
    return figure
