"""What is looked at: which points are kept and how that is said, what is picked, whose networks, and their features."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from test_frames import REAL, real

import xkd
from xkd import XkdError, linked, looks, palette, picks, shades, student
from xkd.alignment import range_edges
from xkd.geometry import Pairs


@pytest.fixture
def frame():
    """Three points; two 4 x 6 images: point 0 in both, point 1 in the second, point 2 in none."""
    cameras = [SimpleNamespace(name=name, size=(4, 6)) for name in ("left", "right")]
    points = np.array([[5, 1, 0], [6, -1, 0], [-3, 0, 0]], np.float32)
    return SimpleNamespace(id="f", points=points, labels=np.array([0, 1, -1]), cameras=cameras, attributes={})


NONE = Pairs(np.empty(0, np.int32), np.empty(0, np.int16), np.empty((0, 2), np.int16), np.empty(0, np.float32))
"""Where it does not matter what is around a point in an image."""


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
    assert picks.overlap(frame, pairs).tolist() == [2, 1, 0]
    assert picks.image_colours(frame, pairs, images).tolist() == [[150, 0, 25], [7, 8, 9], [200, 200, 200]]


def test_thinning_out_is_said_and_begins_with_what_no_image_shows():
    seen = np.arange(120_001) < 40_000
    kept, words = picks.thin(seen, 10)
    assert kept.tolist() == [0, 5714, 11428, 17142, 22856, 28570, 34284, 39999, 40_000, 120_000]
    assert words == "showing 10 of 120,001 points, among these 8 of the 40,000 that are in images"
    assert 777 in picks.thin(seen, 10, asked=777)[0]
    kept, words = picks.thin(seen, 100_000)
    assert len(kept) == 100_000 and words.endswith("among these 40,000 of the 40,000 that are in images")
    kept, words = picks.thin(seen[:5], 10)
    assert kept.tolist() == [0, 1, 2, 3, 4] and words == "showing all 5 points, 5 of them in images"


def test_what_is_picked_first_is_of_the_frame(frame):
    assert picks.picked(frame, 2) == {"point": 2, "camera": None, "row": None, "column": None}
    assert picks.picked(frame, None, ["right", 2, 3]) == {"point": None, "camera": 1, "row": 2, "column": 3}
    with pytest.raises(XkdError, match="point 3: frame f has 3 points"):
        picks.picked(frame, 3)
    with pytest.raises(XkdError, match="'back' is no camera of frame f; it has left, right"):
        picks.picked(frame, None, ["back", 2, 3])
    with pytest.raises(XkdError, match=r"pixel \(4, 0\) lies outside right, 4 x 6"):
        picks.picked(frame, None, ["right", 4, 0])


def test_places_are_of_the_commonest_classes_or_near_and_far(frame, pairs):
    assert picks.places(frame, pairs, ["road", "parked_car"], np.arange(3)) == {"road": 0, "parked car": 1}
    assert picks.places(frame, pairs, ["road", "parked_car"], np.array([1, 2])) == {"parked car": 1}
    frame.labels = None
    assert picks.places(frame, pairs, [], np.arange(3)) == {"near": 0, "middle": 0, "far": 0}


def test_the_first_pick_stands_free_off_the_road_and_well_inside_its_images():
    """One image of 100 x 100 that shows all of: the road at 12 m; at 12 m a post's two points, 1 m above the road, whose outline is at a
    jump; the same at the image's border; a post at 40 m; another at 13 m, which is no jump."""
    road, post = [12, 0, -1.8], [[12, 0, -0.8], [12, 0.2, -0.8]]
    points = np.array(
        [road, *post, [12, 8, -1.8], [12, 8, -0.8], [40, 0, -1.8], [40, 0, -0.8], [13, 4, -1.8], [13, 4, -0.8]]
    )
    frame = SimpleNamespace(index=3, points=points.astype(np.float32), cameras=[SimpleNamespace(size=(100, 100))])
    n = len(points)
    pixel = np.full((n, 2), 50)
    pixel[4] = 50, 90  # in the outer 15 %
    found = SimpleNamespace(point=np.arange(n), frame=np.full(n, 3), camera=np.zeros(n, int), pixel=pixel)
    edges = np.zeros(n, bool)
    edges[[0, 1, 2, 4, 6]] = True
    assert picks.raised(frame.points).tolist() == [False, True, True, False, True, False, True, False, True]
    assert picks.first_pick(found, frame, NONE, edges) in (1, 2)
    pixel[[1, 2]] = 2  # now only the far one is inside and at a jump, but nearness is asked before that
    assert picks.first_pick(found, frame, NONE, edges) == 8
    pixel[:] = 2  # none is inside
    assert picks.first_pick(found, frame, NONE, edges) in (1, 2)


def test_a_stray_return_over_the_road_is_no_thing():
    """One point over the road at 12 m, at a jump; a post of 21 points at 20 m, whose outermost is at one: the post, off its outline."""
    post = [[20, 0.01 * k, -0.8] for k in range(21)]
    points = np.array([[12, 0, -1.8], [12, 0, -0.8], [20, 0, -1.8], *post], np.float32)
    frame, n = SimpleNamespace(index=0, points=points, cameras=[SimpleNamespace(size=(100, 100))]), len(points)
    pixel, edges = np.full((n, 2), 50), np.zeros(n, bool)
    edges[[1, 3]] = True
    found = SimpleNamespace(point=np.arange(n), frame=np.zeros(n, int), camera=np.zeros(n, int), pixel=pixel)
    # Without the outermost the post's points are 0.01 to 0.20 m to the left: its middle is at 0.105.
    assert picks.first_pick(found, frame, NONE, edges) in (13, 14)


def test_the_first_pick_has_the_same_thing_all_around_it_in_the_image():
    """A board 2 m wide and high, 12 m ahead, off the road, with a point every 0.1 m, and a wall 8 m behind it; a camera with 1000 pixels to
    the unit, an image of 1000 x 1000. A ring of 30 pixels is 0.36 m there: inside it all is of the board up to 0.6 m from its middle."""
    steps = np.round(np.arange(-10, 11) * 0.1, 1)
    board = [[12, y, z] for y in steps for z in steps + 0.6]
    wall = [[20, y, z] for y in np.arange(-40, 41) * 0.1 for z in np.arange(-14, 27) * 0.1 if abs(y) > 1.65]
    road = [[12, 0, -1.4], [20, -3, -1.4], [20, 3, -1.4]] + [
        [x, y, -1.4] for x in (12, 20) for y in np.arange(-40, 41) * 0.1
    ]
    points = np.array(board + wall + road, np.float32)
    pixel = np.round([500 - 1000 * (points[:, 2] - 0.6) / points[:, 0], 500 - 1000 * points[:, 1] / points[:, 0]]).T
    n, edges = len(points), np.zeros(len(points), bool)
    edges[: len(board)] = np.abs(np.array(board)[:, 1]) > 0.95
    frame = SimpleNamespace(index=0, points=points, cameras=[SimpleNamespace(size=(1000, 1000))])
    own = Pairs(np.arange(n), np.zeros(n, int), pixel.astype(int), points[:, 0])
    found = SimpleNamespace(point=own.point, frame=np.zeros(n, int), camera=own.camera, pixel=own.pixel)
    whole = picks.surrounded(frame, own, np.ones(n, bool), picks.raised(points))[: len(board)] == 1
    assert whole.sum() and np.abs(points[: len(board)][whole][:, 1]).max() == pytest.approx(0.6)
    x, y, _ = points[picks.first_pick(found, frame, own, edges)]
    assert x == 12 and abs(y) < 0.65


@real
@pytest.mark.parametrize("index", [0, 4, 20])
def test_around_the_first_pick_of_a_real_frame_all_is_of_one_thing(index):
    """By the labels, which the pick does not read: within three hundredths of the image's width nearly all points have that of the pick."""
    dataset = xkd.open_dataset("semantickitti", REAL / "semantickitti")
    together = linked.Together(dataset, index, 0, 30_000, None)
    frame, own = together.centre, together.pairs[index]
    point = picks.first_pick(together.views[index], frame, own, range_edges(frame.points))
    ((row, column),) = own.pixel[own.point == point]
    near = np.hypot(own.pixel[:, 0] - row, own.pixel[:, 1] - column) < 0.03 * frame.cameras[0].size[1]
    assert near.sum() > 20 and np.mean(frame.labels[own.point[near]] == frame.labels[point]) > 0.9


def test_points_take_the_colour_of_their_superpixel_in_the_first_image_that_shows_them(frame, pairs):
    """Superpixel 5 of the left image for point 0, which the right one shows too; 2 of the right one, whose colours begin 7 later, for 1."""
    left, right = np.full((4, 6), 5), np.full((4, 6), 2)
    assert shades.superpixel(frame, pairs, [left, right]).tolist() == [5, 2 + 7, shades.NONE]
    assert len({tuple(rgb) for rgb in shades.HUES}) == len(shades.HUES)


def test_image_features_come_from_the_maps_that_are_named(tmp_path):
    np.save(tmp_path / "one.npy", np.ones((5, 2, 3), np.float32))
    source, name = looks.teacher(tmp_path / "nothing", tmp_path)
    assert source.dim == 5 and name == f"maps of {tmp_path.parent.name}/{tmp_path.name}"
    assert looks.teacher(None)[1] == looks.teacher(tmp_path / "nothing")[1] == looks.Texture.name
    assert "teacher" not in looks.Texture.title
    with pytest.raises(XkdError, match="no .npy feature map"):
        looks.teacher(None, tmp_path / "nowhere")


def test_texture_stands_in_for_a_teacher():
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, 255, (2, 40, 60, 3)).astype(np.uint8)
    maps = looks.Texture().dense([None, None], drawn).numpy()
    assert maps.shape == (2, looks.Texture.dim, 10, 15)
    assert maps.mean((0, 2, 3)) == pytest.approx(0, abs=1e-5) and maps.std((0, 2, 3)) == pytest.approx(1, abs=1e-4)


def test_a_student_stands_beside_itself_as_it_began(tmp_path):
    config = {"voxel": 0.5, "widths": [4, 8], "classes": ["road", "car"]}
    began = student.build(config, 7)
    student.save(student.build(config, 8), tmp_path / "init" / "distilled-0", init="distilled", seed=7)
    before, after = looks.students(tmp_path)
    assert [one[0] for one in (before, after)] == ["before", "after"] and not looks.students(None)
    assert before[2:4] == ("from scratch, seed 7", palette.SCRATCH.colour) and after[3] == palette.DISTILLED.colour
    weights = before[4].state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in began.state_dict().items())
    with pytest.raises(XkdError, match="no such file"):
        looks.students(None, tmp_path)


class Together(SimpleNamespace):
    def __getitem__(self, i):
        return self.frames[i]


class RowsAndColumns:
    """A teacher whose two channels are the column and the row."""

    def dense(self, cameras, images):
        one = torch.stack([torch.arange(6.0).expand(4, 6), torch.arange(4.0)[:, None].expand(4, 6)])
        return one.expand(len(cameras), 2, 4, 6)


def test_features_are_means_over_the_images_that_show_a_point(frame, pairs, images):
    views = SimpleNamespace(point=pairs.point, frame=np.zeros(3, np.int32), camera=pairs.camera, pixel=pairs.pixel)
    together = Together(frames={0: frame}, images={0: images}, views={0: views}, kept={0: np.arange(3)})
    networks, values, cells = shades.features(together, (RowsAndColumns(), "columns"), [])
    # (column, row): point 0 is the mean of (5, 1) and (0, 1), point 1 has (2, 3); centred they are opposite
    first, second, unseen = values["teacher"][0].astype(int)
    assert (first == -second).all() and np.linalg.norm(first) == pytest.approx(127, abs=1) and not unseen.any()
    assert networks[0]["name"] == "columns (2 channels)" and [cell.shape for cell in cells[0]] == [(4, 6, 2)] * 2


@pytest.mark.parametrize(
    "name, value, least", [("points", 0, 1), ("points", -5, 1), ("reach", -1, 0), ("superpixels", -1, 0)]
)
def test_counts_that_cannot_be_are_refused(tmp_path, capsys, name, value, least):
    assert looks.main([str(tmp_path / "out.html"), f"--{name}", str(value)]) == 1
    assert capsys.readouterr().err == f"xkd.looks: --{name} {value}: has to be {least} or more.\n"


def test_a_folder_that_is_typed_hangs_on_where_one_stands(tmp_path, monkeypatch, capsys):
    (tmp_path / "drives").mkdir()
    monkeypatch.chdir(tmp_path)
    assert looks.main(["page.html", "--root", "drives"]) == 1
    assert f"{tmp_path / 'drives'}" in capsys.readouterr().err
    monkeypatch.setattr(looks, "open_frames", lambda *given: ([None], None))
    assert looks.main(["page.html", "--features", "drives"]) == 1
    assert f"{tmp_path / 'drives'}: no .npy feature map" in capsys.readouterr().err
    np.save(tmp_path / "drives" / "one.npy", np.ones((5, 2, 3), np.float32))
    assert looks.main(["page.html", "--features", "drives", "--student", "learnt"]) == 1
    assert f"{tmp_path / 'learnt'}" in capsys.readouterr().err
