"""The report as one HTML file that needs nothing else: words, tables, figures and plotly's own script, once."""

import html as escape
import json

from plotly.offline import get_plotlyjs

from xkd import plots, words
from xkd.summary import compared, sure

CSS = """body{font:15px/1.5 'DejaVu Sans',Verdana,sans-serif;color:#222;max-width:960px;margin:2em auto;padding:0 1em}
table{border-collapse:collapse;margin:1em 0;font-size:13px}
td,th{padding:.25em .6em;border-bottom:1px solid #ddd;text-align:right;white-space:nowrap}
td:first-child,th:first-child{text-align:left}th{border-bottom:2px solid #222}.warn{background:#fff3cd;padding:.6em 1em}
.plot,.table{overflow-x:auto}h2{margin-top:2em}code{background:#f4f4f4}"""

CAPTIONS = {
    "curve": "How far a share of the labels goes. Higher is better; where the lower panel's interval does not touch zero, other seeds and "
    "other streets are not expected to undo the difference.",
    "gains": "Which classes the gain comes from. A bar to the right is a class that the student named in the title labels better.",
    "confusion": "What is taken for what. Orange cells are shares that grew, violet ones shares that shrank: on "
    "the diagonal "
    "orange is good, elsewhere it is a mistake made more often.",
    "frames": "The first stored validation frames of the first seed at the smallest share of the labels, chosen "
    "by that rule and "
    "not by hand; grey points have no label and are not scored.",
    "coverage": "What each label subset contains. A class without a labelled point cannot be learnt, whoever learns from it.",
}

UNSURE = "How far a share of the labels goes. Higher is better; without an interval nothing says what other seeds and other streets would "
UNSURE += "make of a difference."
"""The caption of the curve where there are no intervals."""


def html(cells, summary, shown):
    """The whole page as a string; equal input gives an equal string."""
    drawn = figures(cells, summary, shown)
    parts = [
        "<h1>How many labels does distillation save?</h1>",
        *[f'<p class="warn">{escape.escape(sentence)}</p>' for sentence in words.banners(summary)],
        bullets(words.headline(summary)),
        html_table(*words.main_table(summary)),
        drawn["curve"],
        "<h2>By class</h2>",
        drawn.get("gains", ""),
        html_table(*words.class_table(summary)),
        drawn["confusion"],
        "<h2>Frames</h2>" + drawn["frames"] if "frames" in drawn else "",
        "<h2>What the label subsets contain</h2>",
        drawn["coverage"],
        html_table(*words.coverage_table(summary)),
        "<h2>How the numbers came about</h2>",
        bullets(words.method(summary)),
        "<h2>Numbers of the other stages and parameters</h2>",
        details("other stages", summary.get("stages", {})),
        details("parameters", summary.get("setting", {}).get("parameters", {})),
    ]
    head = f'<meta charset="utf-8"><title>xkd report</title><style>{CSS}</style><script>{get_plotlyjs()}</script>'
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>\n' + "\n".join(parts) + "\n</body></html>\n"


def figures(cells, summary, shown):
    """{name: HTML of the figure and the sentence that reads it}; a figure with nothing to show is left out."""
    drawn = {"curve": plots.curve(summary), "confusion": plots.confusion(cells), "coverage": plots.coverage(summary)}
    if summary["differences"]:
        drawn["gains"] = plots.gains(summary, cells.colours)
    if shown:
        drawn["frames"] = plots.frames(shown, cells.classes, cells.colours)
    captions = CAPTIONS if sure(compared(summary)) else CAPTIONS | {"curve": UNSURE}
    result = {}
    for name, figure in drawn.items():
        # A fixed id: by default each is random and no two pages would be equal.
        body = figure.to_html(full_html=False, include_plotlyjs=False, div_id=name, config={"displaylogo": False})
        result[name] = f'<div class="plot">{body}</div><p>{captions[name]}</p>'
    return result


def bullets(sentences):
    return "<ul>" + "\n".join(f"<li>{escape.escape(sentence)}</li>" for sentence in sentences) + "</ul>"


def details(name, value):
    """A JSON value folded away under its name; nothing for an empty one."""
    text = escape.escape(json.dumps(value, indent=1, sort_keys=True))
    return f"<details><summary>{name}</summary><pre>{text}</pre></details>" if value else ""


def html_table(header, rows):
    head = "".join(f"<th>{escape.escape(cell)}</th>" for cell in header)
    body = "\n".join("<tr>" + "".join(f"<td>{escape.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="table"><table><tr>{head}</tr>\n{body}</table></div>'
