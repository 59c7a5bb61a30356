"""Figures show the numbers they were given, in the colours they should have, at a size that can be read."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from xkd import XkdError, figures, looks, palette, plots, report, scene_plots
from xkd.geometry import Pairs
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
        f"{r['mean']:+.1f}" for rows in summary["differences"].values() for r in rows
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


# One frame shown well


@pytest.fixture
def frame():
    """Three points; two 4 x 6 images: point 0 in both, point 1 in the second, point 2 in none."""
    cameras = [SimpleNamespace(name=name, size=(4, 6)) for name in ("left", "right")]
    points = np.array([[5, 1, 0], [6, -1, 0], [-3, 0, 0]], np.float32)
    return SimpleNamespace(id="f", points=points, labels=np.array([0, 1, -1]), cameras=cameras)


@pytest.fixture
def pairs():
    pixel = np.array([[1, 5], [1, 0], [3, 2]], np.int16)
    return Pairs(np.array([0, 0, 1], np.int32), np.array([0, 1, 1], np.int16), pixel, np.array([5, 5, 6], np.float32))


@pytest.fixture
def images():
    left, right = np.zeros((2, 4, 6, 3), np.uint8)
    left[1, 5], right[1, 0], right[3, 2] = (100, 0, 0), (200, 0, 50), (7, 8, 9)
    return [left, right]


def test_points_take_the_mean_colour_of_the_images_that_see_them(frame, pairs, images):
    assert looks.overlap(frame, pairs).tolist() == [2, 1, 0]
    assert looks.image_colours(frame, pairs, images).tolist() == [[150, 0, 25], [7, 8, 9], [200, 200, 200]]


def test_similarity_by_hand(frame, pairs):
    import torch

    values = np.array([[1, 0], [0, 2], [-3, 0]], np.float32)
    maps = [torch.zeros(2, 4, 6), torch.tensor([3.0, 0.0])[:, None, None].expand(2, 4, 6)]
    # the query lies along the first axis; point 0 has a cosine of 1 in one image, 0 in the other, and takes the better
    found = looks.similarity(frame, pairs, values, maps, 1, (2, 2))
    assert found == pytest.approx([1, -1, np.nan], nan_ok=True)
    with pytest.raises(XkdError, match=r"pixel \(4, 0\) lies outside right, 4 x 6"):
        looks.similarity(frame, pairs, values, maps, 1, (4, 0))


def test_features_are_read_at_the_pixels(frame, pairs, images):
    import torch

    class Columns:
        def dense(self, cameras, images):
            return torch.arange(6.0).expand(len(cameras), 1, 4, 6)

    values, _ = looks.features(frame, pairs, images, Columns())
    assert values[:, 0] == pytest.approx(np.array([5, 0, 2]) - 7 / 3)


def test_features_come_from_the_maps_that_are_named(tmp_path):
    np.save(tmp_path / "one.npy", np.ones((5, 2, 3), np.float32))
    source, name = looks.teacher(tmp_path / "nothing", tmp_path)
    assert source.dim == 5 and name == f"the maps in {tmp_path}"
    assert looks.teacher(tmp_path / "nothing")[1] == looks.Texture.name
    with pytest.raises(XkdError, match="no .npy feature map"):
        looks.teacher(tmp_path, tmp_path / "nowhere")


def test_texture_stands_in_for_a_teacher():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (2, 40, 60, 3)).astype(np.uint8)
    maps = looks.Texture().dense([None, None], images).numpy()
    assert maps.shape == (2, looks.Texture.dim, 10, 15)
    assert maps.mean((0, 2, 3)) == pytest.approx(0, abs=1e-5) and maps.std((0, 2, 3)) == pytest.approx(1, abs=1e-4)


def test_thinning_out_is_said():
    assert looks.decimate(5, 10)[0].tolist() == [0, 1, 2, 3, 4]
    kept, words = looks.decimate(120_001, 4)
    assert kept.tolist() == [0, 40000, 80000, 120000] and words == "4 of 120,001 points"


def test_places_are_picked_from_the_labels_or_given(frame, pairs):
    assert looks.picks(frame, pairs, ["road", "car"]) == [("road", 1, (1, 0)), ("car", 1, (3, 2))]
    assert looks.picks(frame, pairs, ["road", "car"], ["left", 2, 3])[0][1:] == (0, (2, 3))
    with pytest.raises(XkdError, match="'back' is no camera of frame f; it has left, right"):
        looks.picks(frame, pairs, ["road", "car"], ["back", 2, 3])
    frame.labels = None
    assert [name for name, *_ in looks.picks(frame, pairs, [])] == ["near", "middle", "far"]


def test_points_lie_on_their_pixels_in_every_mode(frame, pairs, images):
    segments = [np.arange(24).reshape(4, 6) // 12] * 2
    colours = np.array([[255, 0, 0], [0, 0, 255]])
    figure = scene_plots.cameras(frame, pairs, images, segments, ["road", "car"], colours)
    right = [trace for trace in figure.data if trace.type == "scatter" and trace.x is not None and len(trace.x) == 2]
    assert len(right) == 4
    assert all(trace.x.tolist() == [0, 2] and trace.y.tolist() == [1, 3] for trace in right)
    by_label, shared = right[1], right[3]
    assert list(by_label.marker.color) == ["#ff0000", "#0000ff"] and list(by_label.hovertext) == ["road", "car"]
    assert list(shared.marker.color) == [scene_plots.SHARED[2], scene_plots.SHARED[1]]
    assert [button.label for button in figure.layout.updatemenus[0].buttons] == [
        "depth",
        "label",
        "superpixel",
        "cameras in common",
    ]
    assert figure.layout.annotations[1].text == "right: 2 points"
    # rows count downwards
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]
    frame.labels = None
    assert len(scene_plots.cameras(frame, pairs, images, segments, [], []).layout.updatemenus[0].buttons) == 3


def test_a_wide_image_is_shrunk_and_stays_on_its_pixels():
    trace = scene_plots.picture(np.zeros((40, 1300, 3), np.uint8))
    # three pixels become one, centred on the middle one
    assert (trace.dx, trace.x0) == (3, 1) and trace.source.startswith("data:image/jpeg;base64,")


def test_the_scan_in_3d_offers_each_colouring(frame, pairs, images):
    colourings = {"image colour": looks.image_colours(frame, pairs, images), "label": np.zeros((3, 3), np.uint8)}
    figure = scene_plots.scan(frame, colourings, most=2)
    assert [trace.visible for trace in figure.data] == [True, False]
    assert (
        list(figure.data[0].marker.color) == ["#960019", "#c8c8c8"] and figure.layout.title.text == "f: 2 of 3 points"
    )


def test_unseen_points_are_grey_and_not_alike(frame, pairs, images):
    figure = scene_plots.similar(frame, pairs, images[1], [("road", (1, 0), np.array([1.0, -0.5, np.nan]))])
    _, ring, unseen, known = figure.data
    assert (ring.x[0], ring.y[0]) == (0, 1) and unseen.x.tolist() == [-3] and known.x.tolist() == [5, 6]
    assert known.marker.color == pytest.approx([1, -0.5]) and unseen.marker.color == palette.IGNORED
