"""Figures show the numbers they were given, in the colours they should have, at a size that can be read."""

import io

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from xkd import figures, palette, plots, report
from xkd.made_cells import made_cells
from xkd.summary import summarise


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    return report.collect(
        made_cells(tmp_path_factory.mktemp("made") / "out", fractions=(0.01, 1.0), seeds=2, streets=3)
    )


@pytest.fixture(scope="module")
def summary(cells):
    return summarise(cells, draws=30)


@pytest.fixture(scope="module")
def shown(cells):
    return report.choose(cells, 1)


# The report's figures


def test_a_thing_keeps_its_colour_whatever_else_is_shown():
    many = palette.styles(["scratch", "distilled", "cosine", "superpixel"])
    assert many["scratch"] == palette.styles(["scratch"])["scratch"]
    assert len({style.colour for style in many.values()}) == len({style.marker for style in many.values()}) == 4


def test_labels_without_a_class_are_grey():
    rgb = palette.class_rgb([0, -1, 1], [[255, 0, 0], [0, 0, 255]])
    assert rgb.tolist() == [[255, 0, 0], [200, 200, 200], [0, 0, 255]] and palette.css(rgb[0]) == "#ff0000"


@pytest.mark.parametrize(("fraction", "text"), [(0.01, "1 %"), (0.005, "0.5 %"), (1.0, "100 %"), (0.125, "12.5 %")])
def test_shares_are_written_in_per_cent(fraction, text):
    assert palette.share(fraction) == text


def test_the_curve_shows_means_runs_and_intervals(summary):
    figure = plots.curve(summary)
    lines = {trace.name: trace for trace in figure.data if trace.mode == "lines+markers"}
    for init, name in (("scratch", "from scratch"), ("distilled", "distilled")):
        assert list(lines[name].y) == [row["mean"] for row in summary["scores"] if row["init"] == init]
        assert lines[name].line.color == palette.NAMED[init].colour
    gain = next(trace for trace in figure.data if trace.mode == "markers+text")
    rows = summary["differences"]["distilled"]
    assert np.add(gain.y, gain.error_y.array) == pytest.approx([row["high"] for row in rows])
    assert np.subtract(gain.y, gain.error_y.arrayminus) == pytest.approx([row["low"] for row in rows])
    assert figure.layout.yaxis.title.text == "mIoU on validation (%)" and "points" in figure.layout.yaxis2.title.text


def test_the_static_curve_shows_the_same(summary):
    upper, lower = figures.curve(summary).axes
    looks = palette.styles(summary["inits"]).values()
    assert list(looks)[:2] == [palette.SCRATCH, palette.DISTILLED]
    for line, style, init in zip(upper.lines, looks, summary["inits"], strict=True):
        assert line.get_ydata().tolist() == [row["mean"] for row in summary["scores"] if row["init"] == init]
        assert to_hex(line.get_color()).upper() == style.colour and line.get_label() == style.name
    assert [text.get_text() for text in lower.texts] == [
        f"{r['mean']:+.2f}" for rows in summary["differences"].values() for r in rows
    ]
    assert all(axis.get_ylabel() for axis in (upper, lower)) and "frames" in lower.get_xlabel()


def test_bars_by_class_have_the_data_sets_colours_and_are_of_our_method(cells, summary):
    figure = plots.gains(summary, cells.colours)
    assert list(figure.data[0].marker.color) == [palette.css(colour) for colour in cells.colours]
    first = [row["difference"]["xmodel"][0]["mean"] for row in summary["classes"]]
    assert list(figure.data[0].x) == first and len(figure.data) == len(cells.fractions)


def test_a_menu_shows_one_confusion_at_a_time(cells):
    figure = plots.confusion(cells)
    buttons = figure.layout.updatemenus[0].buttons
    assert len(buttons) == len(figure.data) == 10  # three rows and two differences at two fractions
    assert all(sum(button.args[0]["visible"]) == 1 for button in buttons)
    values = {button.label: trace.z for button, trace in zip(buttons, figure.data, strict=True)}
    assert values["1 %: distilled"].sum(1) == pytest.approx(100, abs=0.5)
    change = values["1 %: distilled minus from scratch"]
    assert change == pytest.approx(values["1 %: distilled"] - values["1 %: from scratch"], abs=0.11)


def test_top_views_colour_each_class_as_the_data_set_does(cells, shown):
    figure = plots.frames(shown, cells.classes, cells.colours)
    truth, *predictions = (trace for trace in figure.data if trace.type == "scattergl")
    assert len(predictions) == 3
    assert truth.x == pytest.approx(-shown[0].points[:, 1], abs=0.01) and truth.y[0] == pytest.approx(
        shown[0].points[0, 0], abs=0.01
    )
    scale, span = truth.marker.colorscale, truth.marker.cmax - truth.marker.cmin
    for k, colour in [*enumerate(cells.colours), (len(cells.colours), None)]:
        at = (k - truth.marker.cmin) / span
        below = [step[1] for step in scale if step[0] < at][-1]
        assert below == (palette.IGNORED if colour is None else palette.css(colour))
    assert (np.asarray(truth.marker.color) == np.where(shown[0].true < 0, len(cells.classes), shown[0].true)).all()
    assert f"{shown[0].right('scratch'):.0f} % right" in figure.layout.annotations[1].text


def test_a_subset_without_a_class_is_marked(summary):
    row = summary["coverage"][0]
    changed = summary | {"coverage": [row | {"points": row["points"] | {"car": 0}}, *summary["coverage"][1:]]}
    k = [r["name"] for r in summary["classes"]].index("car")
    trace = plots.coverage(changed).data[0]
    assert np.isnan(trace.z[k][0]) and trace.text[k][0] == "0" and trace.z[k][1] > 0
    axis = figures.coverage(changed, None).axes[0]
    assert [text.get_position() for text in axis.texts] == [(0, k)]


def test_pictures_are_readable_at_the_width_of_a_readme_and_the_same_every_time(cells, summary, shown, tmp_path):
    figures.save(cells, summary, shown, tmp_path)
    for name in ("curve", "gains", "confusion", "coverage", "frames"):
        picture = Image.open(tmp_path / f"{name}.png")
        assert picture.width == 1280 and not picture.info.keys() & {"Software", "Creation Time", "date"}
    rgb = {tuple(c) for c in np.asarray(Image.open(tmp_path / "frames.png").convert("RGB")).reshape(-1, 3).tolist()}
    seen = np.unique(np.concatenate([example.true for example in shown]))
    assert {tuple(cells.colours[k].tolist()) for k in seen if k >= 0} <= rgb  # in the legend at least, as they are
    again = figures.png(figures.curve(summary))
    assert again == figures.png(figures.curve(summary)) and Image.open(io.BytesIO(again)).format == "PNG"
