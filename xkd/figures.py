"""The report's figures as PNG files for a README about 800 pixels wide: drawn with matplotlib, which needs no browser.

The same numbers and colours as the interactive ones (`xkd.plots`). Equal input gives equal bytes: no date, no version.
"""

import io

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from xkd import metrics
from xkd.files import atomic
from xkd.palette import DIVERGING, FAINT, INK, SEQUENTIAL, class_rgb, css, share, styles
from xkd.summary import alone, compared, main, summed, sure

WIDTH, DPI = 8.0, 160
STYLE = {
    "font.family": "DejaVu Sans", "font.size": 10, "axes.spines.top": False, "axes.spines.right": False,
    "axes.edgecolor": INK, "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.titlesize": 10, "legend.frameon": False,
}  # fmt: skip


def save(cells, summary, shown, out):
    """Writes curve.png, gains.png, confusion.png, coverage.png and, where frames are shown, frames.png to folder
    `out`."""
    from matplotlib import rc_context

    with rc_context(STYLE):
        figures = {"curve": curve(summary), "confusion": confusion(cells), "coverage": coverage(summary, cells.colours)}
        if summary["differences"]:
            figures["gains"] = gains(summary, cells.colours)
        if shown:
            figures["frames"] = frames(shown, cells.classes, cells.colours)
        for name, figure in figures.items():
            with atomic(out / f"{name}.png") as path:
                path.write_bytes(png(figure, cells.colours if name == "frames" else None))


def png(figure, colours=None):
    """Figure -> bytes of a PNG; with `colours` (C, 3), of these, their tints and greys alone, for drawings of many dots."""
    raw = io.BytesIO()
    figure.savefig(raw, format="png", dpi=DPI, metadata={"Software": None})
    if colours is not None:
        away = 255.0 - class_rgb(np.arange(-1, len(colours)), colours)
        tints = np.concatenate([255 - strength * away for strength in (1, 0.75, 0.5, 0.25)])
        greys = np.repeat(np.linspace(0, 255, 33), 3)
        palette = Image.new("P", (1, 1))
        palette.putpalette(np.concatenate([tints.ravel(), greys]).round().astype(np.uint8).tolist())
        flat = Image.open(raw).convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE)
        raw = io.BytesIO()
        flat.save(raw, "png", optimize=True)
    return raw.getvalue()


def curve(summary):
    """Above: mIoU over the labelled share, mean and one standard deviation over seeds; below: the paired gain."""
    rows = 2 if summary["differences"] else 1
    figure = Figure(figsize=(WIDTH, 3.4 + 2.2 * (rows - 1)), layout="constrained")
    axes = figure.subplots(rows, 1, sharex=True, squeeze=False, height_ratios=[3, 2][:rows])[:, 0]
    looks = styles(summary["inits"])
    place = {fraction: i for i, fraction in enumerate(summary["fractions"])}
    for k, (init, look) in enumerate(looks.items()):
        points = [row for row in summary["scores"] if row["init"] == init]
        beside = 0.06 * (k - (len(looks) - 1) / 2)  # or the runs of two inits hide each other
        x = np.array([place[row["fraction"]] for row in points]) + beside
        mean, sd = (np.array([row[key] or 0.0 for row in points]) for key in ("mean", "sd"))
        axes[0].fill_between(x, mean - sd, mean + sd, color=look.colour, alpha=0.15, linewidth=0)
        line = {"marker": look.marker[0], "linestyle": look.dash[0], "markersize": 5}
        axes[0].plot(x, mean, color=look.colour, label=look.name, **line)
        runs = [cell for cell in summary["cells"] if cell["init"] == init]
        at = [place[cell["fraction"]] + beside for cell in runs]
        scores = [cell["miou"] for cell in runs]
        axes[0].scatter(at, scores, s=20, facecolors="white", edgecolors=look.colour, linewidths=1, zorder=3)
    spread = "Mean (line), ± 1 standard deviation over seeds (band), each run (circles)"
    axes[0].set(ylabel="mIoU on validation (%)", title="The run of one seed" if alone(summary) else spread)
    axes[0].legend(loc="lower right")
    for k, (init, points) in enumerate(summary["differences"].items()):
        x = np.array([place[row["fraction"]] for row in points]) + 0.08 * (k - (len(summary["differences"]) - 1) / 2)
        look = looks[init]
        mean = [row["mean"] for row in points]
        if all(row["low"] is not None for row in points):
            axes[1].vlines(x, [r["low"] for r in points], [r["high"] for r in points], color=look.colour, linewidth=2)
        axes[1].scatter(x, mean, color=look.colour, marker=look.marker[0], zorder=3)
        # Beside the marker, on the side where no other row's is.
        where = {"textcoords": "offset points", "va": "center"}
        # On white, or the line of zero strikes it through.
        where |= {"bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.5}}
        last = k == len(summary["differences"]) - 1
        where |= {"xytext": (9, 0)} if last else {"xytext": (-9, 0), "ha": "right"}
        for at, row in zip(x, points, strict=True):
            axes[1].annotate(f"{row['mean']:+.2f}", (at, row["mean"]), **where)
    if rows == 2:
        axes[1].axhline(0, color=INK, linewidth=0.8)
        lines = ", 95 % interval" if sure(compared(summary)) else ""
        axes[1].set(ylabel="gain (points)", title=f"Paired difference to training from scratch{lines}")
        axes[1].margins(y=0.15)
    axes[-1].set_xticks(list(place.values()), [tick(summary, fraction) for fraction in place])
    axes[-1].set(xlabel="labelled share of the training frames (number of frames)", xlim=(-0.45, len(place) - 0.55))
    for axis in axes:
        axis.grid(axis="y", color=FAINT, linewidth=0.6)
        axis.set_axisbelow(True)
    return figure


def tick(summary, fraction):
    """'1 %' and below it the number of labelled frames."""
    counts = sorted({n for row in summary["scores"] if row["fraction"] == fraction for n in row["frames"]})
    return f"{share(fraction)}\n({' or '.join(str(n) for n in counts)})"


def gains(summary, colours):
    """Per class and fraction: the paired difference in IoU with its interval; bars in the data set's own colours."""
    init = main(summary)
    fractions, classes = summary["fractions"], summary["classes"]
    figure = Figure(figsize=(WIDTH, 1.2 + 0.27 * len(classes)), layout="constrained")
    panels = figure.subplots(1, len(fractions), sharey=True, sharex=True, squeeze=False)[0]
    for fraction, axis in zip(fractions, panels, strict=True):
        for k, row in enumerate(classes):
            found = [d for d in row["difference"][init] if d["fraction"] == fraction]
            for d in found:
                axis.barh(k, d["mean"], color=css(colours[k]), edgecolor=INK, linewidth=0.5, height=0.7)
                if d["low"] is not None:
                    axis.plot([d["low"], d["high"]], [k, k], color="white", linewidth=3.2)
                    axis.plot([d["low"], d["high"]], [k, k], color=INK, linewidth=1.2)
            if not found:
                axis.text(0, k, " no points", va="center", fontsize=8, color="#777777")
        axis.axvline(0, color=INK, linewidth=0.8)
        axis.grid(axis="x", color=FAINT, linewidth=0.6)
        axis.set_axisbelow(True)
        axis.set_title(f"{share(fraction)} of the labels")
    panels[0].set_yticks(range(len(classes)), [row["name"].replace("_", " ") for row in classes])
    panels[0].invert_yaxis()
    lines = "; line = 95 % interval" if any(sure(row["difference"][init]) for row in classes) else ""
    figure.supxlabel(f"IoU, {styles([init])[init].name} minus from scratch (points{lines})", fontsize=10)
    return figure


def confusion(cells):
    """Smallest fraction, all seeds summed: share of each true class by prediction, and the change against scratch."""
    fraction, (first, *others) = cells.fractions[0], cells.inits
    init = others[-1] if others else first
    ours, base = (metrics.shares(summed(cells, fraction, which)) for which in (init, first))
    count = len(cells.classes)
    figure = Figure(figsize=(WIDTH, 1.9 + 0.2 * count), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    name = styles([init])[init].name
    # Limits that make both panels readable: a change of 30 % of a class is already large.
    for axis, values, scale, limits, title in (
        (panels[0], ours, SEQUENTIAL, (0, 100), f"{name}, {share(fraction)} of the labels"),
        (panels[1], ours - base, DIVERGING, (-30, 30), f"{name} minus {styles([first])[first].name}"),
    ):
        axis.set_facecolor("#eeeeee")
        picture = axis.imshow(100 * values, cmap=scale, vmin=limits[0], vmax=limits[1], aspect="auto")
        axis.set_xticks(range(count), [c.replace("_", " ") for c in cells.classes], rotation=90, fontsize=8)
        axis.set(title=title, xlabel="predicted class")
        unit = "share of the true class's points (%)" if axis is panels[0] else "difference (points)"
        figure.colorbar(picture, ax=axis, orientation="horizontal", shrink=0.9, label=unit, aspect=30)
    panels[0].set_yticks(range(count), [c.replace("_", " ") for c in cells.classes], fontsize=8)
    panels[0].set_ylabel("true class")
    return figure


def coverage(summary, colours):
    """Share of the classes that each label subset has points of, by class: which classes few labels leave out."""
    fractions, names = summary["fractions"], [row["name"] for row in summary["classes"]]
    figure = Figure(figsize=(WIDTH, 1.3 + 0.27 * len(names)), layout="constrained")
    axis = figure.subplots()
    rows = [[r for r in summary["coverage"] if r["fraction"] == f] for f in fractions]
    columns = [row for group in rows for row in group]
    counts = np.array([[row["points"][name] for row in columns] for name in names], dtype=np.float64)
    picture = axis.imshow(
        np.where(counts, np.log10(np.maximum(counts, 1)), np.nan), cmap=SEQUENTIAL, aspect="auto", vmin=-1
    )
    for k, i in np.argwhere(counts == 0):
        axis.text(i, k, "0", ha="center", va="center", fontsize=8, color=INK)
    axis.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    edges = np.cumsum([0, *(len(group) for group in rows)])
    for edge in edges[1:-1]:
        axis.axvline(edge - 0.5, color="white", linewidth=4)
    ticks = [f"{share(f)}\n{group[0]['frames']} frames" for f, group in zip(fractions, rows, strict=True)]
    axis.set_xticks((edges[:-1] + edges[1:] - 1) / 2, ticks)
    axis.set_xlabel("label subsets, one column a seed")
    top = int(np.ceil(np.log10(max(counts.max(), 10))))
    bar = figure.colorbar(picture, ax=axis, label="labelled points", aspect=25)
    bar.set_ticks(range(top), labels=[f"{10**k:,}" for k in range(top)])
    bar.ax.set_ylim(0, None)
    return figure


def frames(shown, classes, colours, reach=30.0):
    """Top views, one row a scan: truth and each init's prediction in the data set's colours, x forward is up; all of one label subset."""
    columns = ["truth", *shown[0].predictions]
    looks = styles(columns[1:])
    figure = Figure(figsize=(WIDTH, 0.75 + (WIDTH / len(columns)) * len(shown)), layout="constrained")
    panels = figure.subplots(len(shown), len(columns), sharex=True, sharey=True, squeeze=False)
    present = set()
    for example, row in zip(shown, panels, strict=True):
        near = (np.abs(example.points[:, :2]) < reach).all(1)
        for axis, column in zip(row, columns, strict=True):
            ids = example.true if column == "truth" else np.where(example.true < 0, -1, example.predictions[column])
            present |= set(np.unique(ids[near]).tolist())
            rgb = class_rgb(ids[near], colours) / 255
            axis.scatter(-example.points[near, 1], example.points[near, 0], s=1.1, c=rgb, linewidths=0)
            name = "truth" if column == "truth" else f"{looks[column].name}: {example.right(column):.0f} % right"
            axis.set(title=name, aspect="equal")
    for axis in panels[-1]:
        axis.set(xlabel="to the right (m)", xlim=(-reach, reach), ylim=(-reach, reach))
    for axis in panels[:, 0]:
        axis.set_ylabel("forward (m)")
    marks = [(css(colours[k]), classes[k].replace("_", " ")) for k in sorted(present - {-1})]
    marks += [(css(class_rgb([-1], colours)[0]), "not scored")] if -1 in present else []
    handles = [Line2D([], [], color=c, marker="o", linestyle="", label=name) for c, name in marks]
    figure.suptitle(f"{share(shown[0].fraction)} of the labels, seed {shown[0].seed}", fontsize=10)
    figure.get_layout_engine().set(h_pad=0.08)
    figure.legend(
        handles=handles, loc="outside lower center", ncols=min(6, len(handles)), fontsize=9, handletextpad=0.1
    )
    return figure
