"""The report's figures for notebooks and the HTML page: interactive, drawn with plotly, the same numbers as
`xkd.figures`.

Each function takes the summary (report.json) or the cells and returns a figure; none reads or writes a file.
"""

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from xkd import metrics
from xkd.palette import DIVERGING, FAINT, FONT_PIXELS, IGNORED, INK, SEQUENTIAL, css, share, styles
from xkd.summary import alone, compared, main, summed, sure

WIDTH = 960


def look(figure, height, **layout):
    """The common look: white, one font, room for the axis names."""
    figure.update_layout(
        template="simple_white",
        font={"family": "DejaVu Sans, Verdana, sans-serif", "size": FONT_PIXELS, "color": INK},
        width=WIDTH,
        height=height,
        margin={"l": 70, "r": 20, "t": 60, "b": 60},
        hoverlabel={"font": {"size": FONT_PIXELS}},
    )
    figure.update_layout(**layout)
    figure.update_annotations(font_size=FONT_PIXELS)
    return figure


def curve(summary):
    """Label efficiency: mIoU over the labelled share with its spread over seeds, and the paired gain with its
    interval."""
    rows = 2 if summary["differences"] else 1
    spread, lines = "mean (line), ± 1 standard deviation over seeds (band), each run (dots)", ", 95 % interval"
    titles = ["the run of one seed" if alone(summary) else spread]
    titles += ["paired difference to training from scratch" + lines * sure(compared(summary))] * (rows - 1)
    figure = make_subplots(
        rows, 1, shared_xaxes=True, row_heights=[3, 2][:rows], vertical_spacing=0.1, subplot_titles=titles
    )
    looks = styles(summary["inits"])
    place = {fraction: i for i, fraction in enumerate(summary["fractions"])}
    for k, (init, style) in enumerate(looks.items()):
        points = [row for row in summary["scores"] if row["init"] == init]
        x = [place[row["fraction"]] for row in points]
        mean, sd = (np.array([row[key] or 0.0 for row in points]) for key in ("mean", "sd"))
        band = {"x": x + x[::-1], "y": [*(mean + sd), *(mean - sd)[::-1]], "fill": "toself", "opacity": 0.15}
        figure.add_scatter(
            **band, fillcolor=style.colour, line_width=0, mode="lines", showlegend=False, hoverinfo="skip"
        )
        text = [
            f"{r['mean']:.2f} ± {r['sd'] or 0:.2f} (n = {r['n']}); one run over streets ± {r['street_error']}"
            for r in points
        ]
        figure.add_scatter(
            x=x, y=mean, mode="lines+markers", name=style.name, hovertext=text, hoverinfo="name+text",
            line_color=style.colour,
            line_dash=style.dash[1], marker={"symbol": style.marker[1], "size": 9},
        )  # fmt: skip
        runs = [cell for cell in summary["cells"] if cell["init"] == init]
        figure.add_scatter(
            x=[place[cell["fraction"]] + 0.07 + 0.04 * k for cell in runs], y=[cell["miou"] for cell in runs],
            mode="markers",
            marker={"color": style.colour, "size": 5}, showlegend=False, name=style.name,
            hovertext=[f"seed {cell['seed']}: {cell['miou']:.2f}" for cell in runs], hoverinfo="name+text",
        )  # fmt: skip
    count = len(summary["differences"])
    for k, (init, points) in enumerate(summary["differences"].items()):
        style, known = looks[init], [row for row in points if row["low"] is not None]
        bars = {"array": [r["high"] - r["mean"] for r in known], "arrayminus": [r["mean"] - r["low"] for r in known]}
        figure.add_scatter(
            x=[place[row["fraction"]] + 0.08 * (k - (count - 1) / 2) for row in points],
            y=[row["mean"] for row in points],
            mode="markers+text", text=[f"  {row['mean']:+.2f}  " for row in points],
            textposition="middle right" if k == count - 1 else "middle left",
            error_y={**bars, "thickness": 2, "width": 0} if known else None,
            marker={"symbol": style.marker[1], "size": 9},
            marker_color=style.colour, name=style.name, showlegend=False, row=2, col=1,
        )  # fmt: skip
    if rows == 2:
        figure.add_hline(0, line_color=INK, line_width=1, row=2, col=1)
        figure.update_yaxes(title="gain (points)", row=2, col=1)
    figure.update_yaxes(showgrid=True, gridcolor=FAINT)
    figure.update_yaxes(title="mIoU on validation (%)", row=1, col=1)
    figure.update_xaxes(
        tickvals=list(place.values()), ticktext=[tick(summary, f) for f in place], range=[-0.45, len(place) - 0.5]
    )
    figure.update_xaxes(title="labelled share of the training frames (number of frames)", row=rows, col=1)
    return look(figure, 380 + 250 * (rows - 1), legend={"x": 0.99, "xanchor": "right", "y": 0.62, "yanchor": "bottom"})


def tick(summary, fraction):
    """'1 % (5)': the share and its number of frames."""
    counts = sorted({n for row in summary["scores"] if row["fraction"] == fraction for n in row["frames"]})
    return f"{share(fraction)}<br>({' or '.join(str(n) for n in counts)})"


def gains(summary, colours):
    """Per class and fraction: the paired difference in IoU with its 95 % interval, bars in the data set's colours."""
    init, fractions = main(summary), summary["fractions"]
    names = [row["name"].replace("_", " ") for row in summary["classes"]]
    titles = [f"{share(fraction)} of the labels" for fraction in fractions]
    figure = make_subplots(1, len(fractions), shared_yaxes=True, shared_xaxes="all", subplot_titles=titles)
    for column, fraction in enumerate(fractions, 1):
        found = [[d for d in row["difference"][init] if d["fraction"] == fraction] for row in summary["classes"]]
        rows = [(name, css(colours[k]), d[0]) for k, (name, d) in enumerate(zip(names, found, strict=True)) if d]
        known = all(d["low"] is not None for _, _, d in rows)
        bars = {"array": [d["high"] - d["mean"] for *_, d in rows] if known else None, "symmetric": not known}
        bars |= {"arrayminus": [d["mean"] - d["low"] for *_, d in rows] if known else None, "color": "#777777"}
        figure.add_bar(
            x=[d["mean"] for *_, d in rows], y=[name for name, *_ in rows], orientation="h", error_x=bars,
            marker={"color": [colour for _, colour, _ in rows], "line": {"color": INK, "width": 0.5}}, showlegend=False,
            hovertemplate="%{y}: %{x:+.2f} points<extra></extra>", row=1, col=column,
        )  # fmt: skip
        figure.add_vline(0, line_color=INK, line_width=1, row=1, col=column)
    figure.update_yaxes(categoryorder="array", categoryarray=names[::-1])
    figure.update_xaxes(showgrid=True, gridcolor=FAINT, title="points")
    title = f"IoU by class: {styles([init])[init].name} minus from scratch"
    title += ", lines are 95 % intervals" * any(sure(row["difference"][init]) for row in summary["classes"])
    return look(figure, 160 + 28 * len(names), title=title, margin={"l": 150, "r": 20, "t": 90, "b": 60})


def confusion(cells):
    """Row-normalised confusion, all seeds and streets summed; a menu chooses the fraction, the init, or the
    difference."""
    names, choices = [name.replace("_", " ") for name in cells.classes], []
    looks, first = styles(cells.inits), cells.inits[0]
    for fraction in cells.fractions:
        shares = {i: 100 * metrics.shares(summed(cells, fraction, i)) for i in cells.inits if cells.seeds(fraction, i)}
        for init, values in shares.items():
            if init != first and first in shares:
                text = f"{share(fraction)}: {looks[init].name} minus {looks[first].name}"
                choices.append((text, values - shares[first], True))
            choices.append((f"{share(fraction)}: {looks[init].name}", values, False))
    choices.sort(key=lambda choice: not choice[2])
    figure = go.Figure()
    for k, (_, values, change) in enumerate(choices):
        scale = (
            {"colorscale": DIVERGING, "zmin": -30, "zmax": 30}
            if change
            else {"colorscale": SEQUENTIAL, "zmin": 0, "zmax": 100}
        )
        hover = "true %{y}, predicted %{x}: %{z:.1f}<extra></extra>"
        title = "points" if change else "% of true class"
        figure.add_heatmap(
            z=values.round(1).astype(np.float32), x=names, y=names, visible=k == 0, hovertemplate=hover, xgap=1, ygap=1,
            colorbar_title=title, **scale,
        )  # fmt: skip
    figure.update_yaxes(autorange="reversed", title="true class")
    figure.update_xaxes(title="predicted class", tickangle=-90)
    size = 240 + 26 * len(names)
    return look(
        figure, size, updatemenus=[menu([text for text, *_ in choices])], margin={"l": 150, "r": 20, "t": 70, "b": 150}
    )


def menu(labels, groups=None, **where):
    """A drop-down that shows one group of traces at a time; `groups` names each trace's label, default one trace a
    label."""
    groups = groups or labels
    buttons = [
        {"label": text, "method": "update", "args": [{"visible": [g in (text, None) for g in groups]}]}
        for text in labels
    ]
    place = {"x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom", "pad": {"b": 6}}
    return {"buttons": buttons, "showactive": True, **place, **where}


def coverage(summary, colours=None):
    """Labelled points by class in every label subset, on a log scale; empty cells are classes a subset has none of."""
    names = [row["name"] for row in summary["classes"]]
    columns = summary["coverage"]
    counts = np.array([[row["points"][name] for row in columns] for name in names], dtype=np.float64)
    at = [f"{share(row['fraction'])}, seed {row['seed']}" for row in columns]
    figure = go.Figure(
        go.Heatmap(
            z=np.where(counts > 0, np.log10(np.maximum(counts, 1)), np.nan),
            x=at,
            y=[n.replace("_", " ") for n in names],
            colorscale=SEQUENTIAL,
            zmin=-1,
            zmax=np.log10(max(counts.max(), 10)),
            text=np.where(counts > 0, "", "0"),
            texttemplate="%{text}",
            xgap=1,
            ygap=1,
            customdata=counts,
            hovertemplate="%{y}: %{customdata:,.0f} points<extra>%{x}</extra>",
            colorbar={
                "title": "labelled<br>points",
                "tickvals": list(range(8)),
                "ticktext": [f"{10**k:,}" for k in range(8)],
            },
        )  # fmt: skip
    )
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(title="label subset (share of the labels, seed)", tickangle=-60)
    return look(figure, 220 + 26 * len(names), margin={"l": 150, "r": 20, "t": 30, "b": 130})


def frames(shown, classes, colours, most=6000):
    """Top views of validation scans: truth and each init's prediction side by side, `most` points of a scan at most."""
    columns = ["truth", *shown[0].predictions]
    looks = styles(columns[1:])
    titles = [
        "truth" if column == "truth" else f"{looks[column].name}: {example.right(column):.0f} % right"
        for example in shown
        for column in columns
    ]
    figure = make_subplots(
        len(shown), len(columns), subplot_titles=titles, shared_xaxes="all", shared_yaxes="all",
        horizontal_spacing=0.02,
        vertical_spacing=0.08,
    )  # fmt: skip
    scale = [css(colour) for colour in colours] + [IGNORED]
    edges = np.linspace(0, 1, len(scale) + 1)
    steps = [[edge, colour] for k, colour in enumerate(scale) for edge in (edges[k], edges[k + 1])]
    names = [name.replace("_", " ") for name in classes] + ["not scored"]
    for line, example in enumerate(shown, 1):
        kept = np.linspace(0, len(example.points) - 1, min(most, len(example.points))).astype(int)
        points = example.points[kept].astype(np.float32).round(2)
        for column, name in enumerate(columns, 1):
            ids = example.true if name == "truth" else np.where(example.true < 0, -1, example.predictions[name])
            # The last colour is for what is not scored, -1.
            ids = (ids[kept] % len(scale)).astype(np.uint8)
            figure.add_scattergl(
                x=-points[:, 1], y=points[:, 0], mode="markers", showlegend=False, hoverinfo="skip",
                marker={"size": 2.5, "color": ids, "colorscale": steps, "cmin": -0.5, "cmax": len(scale) - 0.5},
                row=line, col=column,
            )  # fmt: skip
    present = [set(np.unique([e.true, *e.predictions.values()]) % len(scale)) for e in shown]
    for k, (name, colour) in enumerate(zip(names, scale, strict=True)):
        if any(k in used for used in present):
            figure.add_scatter(x=[None], y=[None], mode="markers", name=name, marker={"size": 10, "color": colour})
    figure.update_xaxes(range=[-30, 30], constrain="domain")
    figure.update_yaxes(range=[-30, 30], scaleanchor="x", constrain="domain")
    figure.update_xaxes(title="to the right (m)", row=len(shown))
    figure.update_yaxes(title="forward (m)", col=1)
    return look(figure, 140 + 320 * len(shown), legend={"orientation": "h", "y": -0.12, "yanchor": "top"})
