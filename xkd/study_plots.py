"""The figures of the study, for notebooks."""

import pandas as pd
import plotly.graph_objects as go

from xkd import study_origin
from xkd.palette import NAMED, Style, share
from xkd.plots import look

OTHERS = {
    "cosine": ("s", "square-open"),
    "ppkt": ("o", "circle-open"),
    "superpixel": ("D", "diamond-open"),
    "tolerant": ("P", "cross-open"),
    "relational": ("X", "x-open"),
}
LONGER = {
    name: Style(f"{name}, longer", NAMED[name].colour, ("v", "triangle-down"), (":", "dot"))
    for name in ("xmodel", "self-training", "lidar-ssl")
}
STYLES = NAMED | {f"{name}-long": style for name, style in LONGER.items()}
STYLES |= {name: Style(name, "#56606b", marker, ("-", "solid")) for name, marker in OTHERS.items()}
"""The objectives of others share one colour and differ in their markers, so that a row looks the same in every figure."""


def style(row):
    """How a row is drawn; one that has no style of its own (an objective that was added) as a plain one of its name."""
    return STYLES.get(row) or Style(row, "#56606b", ("h", "hexagon-open"), ("-", "solid"))


def gains(table, title):
    """Paired gains of a block's rows over the strongest LiDAR-only row, with their 95 % intervals, by share of the labels."""
    known = table[table.difference.notna()]
    rows, fractions = list(dict.fromkeys(known.row)), sorted(known.fraction.unique())
    figure = go.Figure()
    for k, row in enumerate(rows):
        mine, drawn = known[known.row == row], style(row)
        x = [fractions.index(f) + 0.6 * ((k + 0.5) / len(rows) - 0.5) for f in mine.fraction]
        bars = {"array": mine.high - mine.difference, "arrayminus": mine.difference - mine.low}
        text = [f"{d:+.2f} [{a:+.2f}, {b:+.2f}] over {base}, n = {n}" for d, a, b, base, n in zip(
            mine.difference, mine.low, mine.high, mine.baseline, mine.pairs, strict=True)]  # fmt: skip
        figure.add_scatter(
            x=x, y=mine.difference, mode="markers", name=drawn.name, error_y={**bars, "thickness": 2, "width": 0},
            marker={"symbol": drawn.marker[1], "size": 9, "color": drawn.colour}, hovertext=text, hoverinfo="name+text",
        )  # fmt: skip
    figure.add_hline(y=0, line_color="#222222", line_width=1)
    figure.update_xaxes(
        title="share of the labels", tickvals=list(range(len(fractions))), ticktext=[share(f) for f in fractions]
    )
    figure.update_yaxes(title="mIoU gained (points)")
    return look(figure, 460, title=title)


def origin(study, row, baseline, fraction):
    """Where one row's gain over another comes from: by distance, by whether an image shows the point, by how rare the class is."""
    parts = [study_origin.where(study, row, baseline, fraction, kind) for kind in ("distance", "coverage")]
    classes = study_origin.by_class(study, row, baseline, fraction)
    values = pd.concat([*parts, classes.gain.rename(lambda name: name.replace("_", " "))])
    colours = ["#0072B2"] * len(parts[0]) + ["#009E73"] * len(parts[1]) + ["#E69F00"] * len(classes)
    figure = go.Figure(go.Bar(y=list(values.index), x=values.to_numpy(), orientation="h", marker_color=colours))
    figure.update_xaxes(
        title=f"points gained by {row[1]} over {baseline[1]} at {share(fraction)}: mIoU, and IoU of a class"
    )
    figure.update_yaxes(autorange="reversed", title="distance, coverage, class (rarest first)")
    return look(figure, 640)
