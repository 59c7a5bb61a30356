"""The study's figures as PNG files, drawn with matplotlib, which needs no browser; equal input gives equal bytes."""

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from xkd import study_origin
from xkd.figures import STYLE, WIDTH, png
from xkd.palette import INK, share
from xkd.study_plots import OTHERS, style
from xkd.study_words import OURS, TARGETS, named, strong


def gains(blocks, titles):
    """Bytes of a PNG: a panel a block with its rows' gains over the strongest row that saw no image, and their 95 % intervals, all on one
    scale; that row itself, where it is of the block, at 0; grey dashes are the targets of `xmodel`. blocks: {block: lines as
    `xkd.study_page.lines` gives them}; titles: {block: of its panel}, of which those without lines are left out.
    A gain of one seed has no interval."""
    shown = {block: _drawn(block, blocks[block]) for block in titles}
    shown = {block: rows for block, rows in shown.items() if rows} or {next(iter(titles)): []}
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.9 + 2.4 * len(shown)), layout="constrained")
        panels, known = figure.subplots(len(shown), 1, squeeze=False, sharey=True)[:, 0], {}
        for axes, (block, rows) in zip(panels, shown.items(), strict=True):
            fractions = sorted({row["fraction"] for row in rows})
            _panel(axes, block, rows, fractions, known)
            axes.set_title(titles[block].replace("`", ""))
            axes.set_xlim(-0.5, max(len(fractions), 1) - 0.5)
            names = [strong(rows, f).replace("`", "").replace(" (", "\n(") for f in fractions]
            labels = [f"{share(f)} of the labels,\nover {name}" for f, name in zip(fractions, names, strict=True)]
            axes.set_xticks(range(len(fractions)), labels)
        figure.supylabel("mIoU gained over the strongest row without images (points)", fontsize=10)
        labels = [row if named("unlabelled", row) == row else f"{row} (+ self-training)" for row in known]
        figure.legend(known.values(), labels, loc="outside lower center", ncols=4, fontsize=8)
        return png(figure)


def _drawn(block, rows):
    """The rows of a block that have a gain, and the block's own that these are compared with, at 0."""
    gained = [row for row in rows if row["difference"] is not None]
    bases = {(row["baseline"], row["fraction"]) for row in gained}
    zero = {"difference": 0.0, "low": None, "high": None}
    own = [row | zero for row in rows if (f"{block} {row['row']}", row["fraction"]) in bases and row not in gained]
    return sorted(gained + own, key=lambda row: [r["row"] for r in rows].index(row["row"]))


def _panel(axes, block, rows, fractions, known):
    """Draws one block and adds its rows to `known` {row: handle}."""
    names = list(dict.fromkeys(row["row"] for row in rows))
    for k, name in enumerate(names):
        own = [row for row in rows if row["row"] == name]
        x = [fractions.index(row["fraction"]) + 0.7 * ((k + 0.5) / len(names) - 0.5) for row in own]
        y = np.array([row["difference"] for row in own])
        ends = [(row["low"], row["high"]) if row["low"] is not None else (row["difference"],) * 2 for row in own]
        look = style(name)
        known[name] = axes.errorbar(
            x, y, np.abs(y - np.array(ends).T), linestyle="", marker=look.marker[0], color=look.colour, markersize=5,
            markerfacecolor="white" if name in OTHERS else look.colour, elinewidth=1.2,
        )  # fmt: skip
    axes.axhline(0, color=INK, linewidth=0.8)
    if any(name in OURS for name in names):
        for i, fraction in enumerate(fractions):
            if fraction in TARGETS:
                axes.plot([i - 0.42, i + 0.42], [TARGETS[fraction]] * 2, "--", color="#9a9a9a", linewidth=1, zorder=0)


def origin(study, row, baselines):
    """Bytes of a PNG: where the gain of a row (block, row) comes from, a panel each for distance, whether an image shows the point, and
    class, the rarest first; a bar a share of the labels. baselines: {fraction: (block, row)} that it is compared with there."""
    kinds = {"distance": "by distance", "coverage": "by what shows the point", "class": "by class, the rarest first"}
    found = {kind: {f: _parts(study, row, base, f, kind) for f, base in baselines.items()} for kind in kinds}
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 6.4), layout="constrained")
        grid = figure.add_gridspec(2, 2, width_ratios=[1, 1.15])
        panels = [figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[1, 0]), figure.add_subplot(grid[:, 1])]
        tints = [str(grey) for grey in np.linspace(0.75, 0.15, len(baselines))]
        for axes, (kind, title) in zip(panels, kinds.items(), strict=True):
            for k, (fraction, values) in enumerate(found[kind].items()):
                height = 0.8 / len(baselines)
                places = np.arange(len(values)) + (k + 0.5) * height - 0.4
                axes.barh(places, values.to_numpy(), height, color=tints[k], label=f"{share(fraction)} of the labels")
            axes.set_yticks(range(len(values)), [str(name).replace("_", " ") for name in values.index])
            axes.invert_yaxis()
            axes.axvline(0, color=INK, linewidth=0.8)
            axes.set(title=title, xlabel=f"{'IoU' if kind == 'class' else 'mIoU'} gained (points)")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)
        return png(figure)


def _parts(study, row, base, fraction, kind):
    if kind == "class":
        return study_origin.by_class(study, row, base, fraction).gain
    return study_origin.where(study, row, base, fraction, kind)
