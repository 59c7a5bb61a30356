"""The study's gains as a PNG file, drawn with matplotlib, which needs no browser; equal input gives equal bytes."""

from matplotlib import rc_context
from matplotlib.figure import Figure

from xkd.figures import STYLE, WIDTH, png
from xkd.palette import INK, share
from xkd.study_plots import OTHERS, STYLES


def gains(blocks, titles):
    """Bytes of a PNG: a panel a block with its rows' gains over the strongest row that saw no image, and their 95 % intervals. blocks:
    {block: lines as `xkd.study_page.lines` gives them}; titles: {block: of its panel}, of which those without lines are left out. A gain
    of one seed has no interval."""
    shown = {block: [row for row in blocks[block] if row["difference"] is not None] for block in titles}
    shown = {block: rows for block, rows in shown.items() if rows} or {next(iter(titles)): []}
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.6 + 2.6 * len(shown)), layout="constrained")
        panels, known = figure.subplots(len(shown), 1, squeeze=False)[:, 0], {}
        for axes, (block, rows) in zip(panels, shown.items(), strict=True):
            names, fractions = (
                list(dict.fromkeys(row["row"] for row in rows)),
                sorted({row["fraction"] for row in rows}),
            )
            for k, name in enumerate(names):
                own = [row for row in rows if row["row"] == name]
                x = [fractions.index(row["fraction"]) + 0.7 * ((k + 0.5) / len(names) - 0.5) for row in own]
                y = [row["difference"] for row in own]
                ends = [
                    (row["low"], row["high"]) if row["low"] is not None else (row["difference"],) * 2 for row in own
                ]
                bars = [[abs(y[i] - end[side]) for i, end in enumerate(ends)] for side in (0, 1)]
                style = STYLES[name]
                known[style.name] = axes.errorbar(
                    x, y, bars, linestyle="", marker=style.marker[0], color=style.colour, markersize=5,
                    markerfacecolor="white" if name in OTHERS else style.colour, elinewidth=1.2,
                )  # fmt: skip
            axes.axhline(0, color=INK, linewidth=0.8)
            axes.set(title=titles[block].replace("`", ""), ylabel="mIoU gained (points)")
            axes.set_xlim(-0.5, max(len(fractions), 1) - 0.5)
            axes.set_xticks(range(len(fractions)), [f"{share(f)} of the labels" for f in fractions])
        figure.legend(known.values(), known.keys(), loc="outside lower center", ncols=5, fontsize=8)
        return png(figure)
