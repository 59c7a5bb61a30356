"""The linked views in a real browser: what the page computes is what the package computes, and what is picked shows everywhere."""

from dataclasses import replace

import numpy as np
import pytest
from linked_page import distilled, kept, looked, opened, slide
from PIL import Image
from wall import MODELS, Stripes, Wall

from xkd import XkdError, alignment, linked
from xkd.geometry import project
from xkd.views import views


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return Wall(tmp_path_factory.mktemp("wall"))


@pytest.fixture(scope="module")
def students(tmp_path_factory):
    return distilled(tmp_path_factory.mktemp("student"))


@pytest.fixture(scope="module")
def scene(dataset, students):
    return linked.scene(dataset, 1, (Stripes(), "stripes"), students, most=1500, superpixels=20)


@pytest.fixture(scope="module")
def page(scene, tmp_path_factory):
    """Each test leaves it wherever it likes."""
    with opened(scene, tmp_path_factory.mktemp("page")) as tab:
        yield tab


def test_the_count_is_honest(scene, dataset):
    words = scene["frames"][1]["words"]
    assert words.startswith("showing 1,500 of 1,900 points") and scene["frames"][1]["points"]["shape"] == [1500, 3]
    assert [one["steps"] for one in scene["frames"]] == [-1, 0, 1]
    assert [one["seconds"] for one in scene["frames"]] == [-0.5, 0, 0.5]


def test_equal_scenes_give_equal_pages_and_names_stay_names(scene, dataset, students):
    page = linked.html(scene)
    assert page == linked.html(linked.scene(dataset, 1, (Stripes(), "stripes"), students, most=1500, superpixels=20))
    assert page.count("</script>") == 3 and "\\u003c/script>" in page


def test_what_cannot_be_picked_is_refused(dataset):
    with pytest.raises(XkdError, match="point 5000: frame f1 has 1900 points"):
        linked.scene(dataset, 1, (Stripes(), "stripes"), point=5000)


def test_the_page_projects_as_the_package_does(page, dataset):
    points = dataset[1].points[kept(dataset, 1)]
    for k, camera in enumerate(dataset[1].cameras):
        found = page.run(f"projectAll(points(), frame().cameras[{k}], into(frame().cameras[{k}], 1))")
        pixels, depth, seen = project(points, camera)
        assert found["index"] == np.flatnonzero(seen).tolist() and seen.sum() > 300
        assert np.stack([found["row"], found["column"]], 1) == pytest.approx(pixels[seen], abs=1e-3)
        assert found["depth"] == pytest.approx(depth[seen], abs=1e-4)


def test_a_skewed_camera_and_the_border_of_its_rows(page):
    """Row 100 y / z + 45 and column (100 x + 50 y) / z + 80 of an image of 90 rows, which reach half a pixel to either side."""
    camera = "{K: [100, 50, 80, 0, 100, 45, 0, 0, 1], distortion: [0, 0, 0, 0, 0, 0, 0, 0], model: 0, limit: null, height: 90, width: 160}"
    points = "[1, 2, 10, 0, 4.44, 10, 0, 4.46, 10, 0, -4.54, 10, 0, -4.56, 10]"
    found = page.run(f"projectAll({points}, {camera}, [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1])")
    assert found["index"] == [0, 1, 3] and found["depth"] == [10, 10, 10]
    assert found["row"] == pytest.approx([65, 89.4, -0.4]) and found["column"] == pytest.approx([100, 102.2, 57.3])


def pooled(dataset, name, change):
    """The score of one camera over the three frames, each weighted by its edge points."""
    scores = []
    for i in range(3):
        frame, rows = dataset[i], kept(dataset, i)
        (camera,) = (camera for camera in frame.cameras if camera.name == name)
        edges = alignment.range_edges(frame.points)[rows]
        scores.append(alignment.score(frame.points[rows], edges, change(camera), alignment.image_edges(camera.image())))
    values, counts = np.array(scores).T
    return (values * counts).sum() / counts.sum(), counts.sum()


def test_sliders_nudge_one_camera_and_its_score_is_the_packages(page, dataset):
    page.run("document.getElementById('reset').click()")
    page.run("(s => { s.value = 'opencv'; s.dispatchEvent(new Event('change')) })(document.getElementById('camera'))")
    before = page.run("[document.getElementById('nudged').toDataURL(), document.getElementById('scores').innerText]")
    slide(page, turn1=1.5, shift0=0.2, time=250)
    motion = alignment.motion([camera for i in range(3) for camera in dataset[i].cameras])
    assert motion["speed"] == pytest.approx([1 / 0.5, 0, 0], abs=0.05)

    def change(camera):
        turned = alignment.nudged(camera, (0, np.radians(1.5), 0), (0.2, 0, 0))
        return alignment.later(turned, motion, 0.25)

    for name in MODELS:
        found = page.run(f"looks.scores['{name}']")
        assert found["first"] == pytest.approx(pooled(dataset, name, lambda camera: camera)[0], abs=0.005)
        value, edges = pooled(dataset, name, change if name == "opencv" else lambda camera: camera)
        assert (found["now"], found["edges"]) == (pytest.approx(value, abs=0.005), edges)
    after = page.run("[document.getElementById('nudged').toDataURL(), document.getElementById('scores').innerText]")
    assert before[0] != after[0] and before[1] != after[1]
    assert "nudged" in page.run("document.getElementById('images').innerText")
    page.wait(lambda: page.run("document.getElementById('curves').data?.length === 14"))
    page.run("document.getElementById('reset').click()")
    assert page.run("looks.scores.opencv.now === looks.scores.opencv.first")


SHOWN = "[...document.querySelectorAll('#images canvas, #networks canvas, #views canvas')].map(c => c.toDataURL())"


def test_a_click_on_an_image_shows_everywhere(page, dataset, scene):
    page.run("show(1), pickPoint(0)")
    page.run("document.getElementById('reset').click()")
    before = page.run(SHOWN)
    rows = kept(dataset, 1)
    target = int(np.flatnonzero(rows >= 1800)[50])  # of the post, which nothing hides
    pixels, _, _ = project(dataset[1].points[rows[[target]]], dataset[1].cameras[0])
    page.run("document.querySelector('#images canvas').scrollIntoView()")
    left, top, scale = page.run(
        "(c => { const b = c.getBoundingClientRect(); return [b.left, b.top, c.clientWidth / 160] })"
        "(document.querySelector('#images canvas'))"
    )
    page.click(left + (pixels[0, 1] + 0.5) * scale, top + (pixels[0, 0] + 0.5) * scale)
    page.wait(lambda: page.run("looks.state.pick.point") == target)
    # A view for each image that shows it, of all frames
    found = views(linked.Together(dataset, 1, 1, 1500, None), 1, only=rows[[target]])
    assert page.run("document.querySelectorAll('#views canvas').length") == len(found) >= 6
    assert f"which {len(found)} images show" in page.run("document.getElementById('picked').textContent")
    # How alike all else is: the cosines of what the page was given
    for key, network in (("before", 0), ("after", 1)):
        values = looked(scene, 1, key)
        cosine = values @ values[target] / np.linalg.norm(values, axis=1) / np.linalg.norm(values[target])
        given = page.run(f"[...looks.alike.{key}]")
        assert np.array(given) / 127 - 1 == pytest.approx(cosine, abs=0.01), network
    after = page.run(SHOWN)
    assert all(a != b for a, b in zip(before[:9], after[:9], strict=True)), (
        "three images, three networks with two views"
    )
    # The ring in 3D
    page.wait(lambda: page.run("document.getElementById('cloud').data[1].x[0]") == pytest.approx(7 - 1, abs=0.1))
    assert page.run("document.getElementById('cloud').data[0].x.length") == 1500
    picture = page.screenshot(page.folder / "page.png")
    colours = np.asarray(Image.open(picture).convert("RGB")).reshape(-1, 3)
    assert len(np.unique(colours, axis=0)) > 1000


def test_a_click_on_the_scan_picks_its_point(page, dataset, scene):
    """From above, and in 3D, where the click comes through Plotly's own event."""
    page.run("show(1), pickPoint(0)")
    points = dataset[1].points[kept(dataset, 1)]
    target = int(np.flatnonzero(np.abs(points[:, 1]) < 6)[400])
    scan = "document.querySelectorAll('#networks canvas')[5]"
    page.run(f"{scan}.scrollIntoView()")
    left, top, x, y = page.run(
        f"(({{ left, top }}, v, p) => [left, top, v.x(p[0], p[1]) / v.ratio, v.y(p[0]) / v.ratio])"
        f"({scan}.getBoundingClientRect(), {scan}.view, points().subarray(3 * {target}))"
    )
    page.click(left + x, top + y)
    page.wait(lambda: page.run("looks.state.pick.point") != 0)
    # The nearest to the mouse, which stands on whole pixels of 0.15 m
    found = points[page.run("looks.state.pick.point")]
    assert np.abs(found - points[target])[:2] == pytest.approx(0, abs=0.3)
    page.wait(lambda: page.run("document.getElementById('cloud').data[1].x[0]") == pytest.approx(found[0], abs=1e-3))
    page.run(
        "document.getElementById('cloud').emit('plotly_click', { points: [{ curveNumber: 0, pointNumber: 700 }] })"
    )
    assert page.run("[looks.state.pick.frame, looks.state.pick.point]") == [1, 700]


def test_a_point_hidden_from_an_image_is_not_shown_in_it(page, dataset):
    rows = kept(dataset, 1)
    found = views(linked.Together(dataset, 1, 1, 1500, None), 1, only=rows)
    shown = np.bincount(found.point, minlength=len(dataset[1].points))[rows]
    into = np.zeros(len(rows), int)
    for i in range(3):
        for camera in dataset[i].cameras:
            into += project(dataset[1].points[rows], replace(camera, T_world_lidar=dataset.pose(1)))[2]
    target = int(np.flatnonzero((shown < into) & (shown > 0))[0])
    page.run(f"show(1), pickPoint({target})")
    assert page.run("document.querySelectorAll('#views canvas').length") == shown[target]


def test_another_frame_keeps_the_pick(page, dataset):
    page.run("show(1), pickPoint(1400)")
    alike = page.run("[...looks.alike.after]")
    slide(page, frame=2)
    assert page.run("document.getElementById('when').textContent") == "frame +1, +0.50 s"
    assert page.run("document.getElementById('count').textContent").startswith("Frame f2: showing 1,500 of 1,900")
    assert page.run("[...looks.alike.after]") != alike and page.run("looks.state.pick.frame") == 1
    (world,) = dataset[1].points[kept(dataset, 1)[[1400]]] @ dataset.pose(1)[:3, :3].T + dataset.pose(1)[:3, 3]
    here = dataset.pose(2)[:3, :3].T @ (world - dataset.pose(2)[:3, 3])
    assert page.run("pickedHere()") == pytest.approx(here, abs=1e-4)
    page.wait(lambda: page.run("document.getElementById('cloud').shown") == 2)


def test_a_pixel_without_a_point_asks_the_teacher_alone(page):
    page.run("show(1), choose({ frame: 1, point: null, camera: 0, row: 2, column: 3 })")
    assert page.run("Object.keys(looks.alike)") == ["teacher"]
    assert "only the teacher" in page.run("document.getElementById('picked').textContent")
    assert page.run("document.querySelectorAll('#views canvas').length") == 1


@pytest.mark.parametrize(
    "name", ["label", "image colour", "superpixel", "features: teacher", "alike teacher", "alike after"]
)
def test_every_colouring_colours_images_and_scan(page, name):
    page.run("show(1), pickPoint(700)")
    page.wait(lambda: page.run("document.getElementById('cloud').data?.[0].marker.color.length === 1500"))
    before = page.run("document.querySelector('#images canvas').toDataURL()")
    page.run(
        f"(s => {{ s.value = '{name}'; s.dispatchEvent(new Event('change')) }})(document.getElementById('colour'))"
    )
    assert page.run("document.querySelector('#images canvas').toDataURL()") != before
    page.wait(lambda: page.run("document.getElementById('cloud').value === colouring(looks.state.colour).value"))
    assert page.run("document.getElementById('legend').children.length") > 0
    # A colour and its name stand in one box, which no line can cut.
    alone = "[...document.querySelectorAll('#legend span i, #scale span i')].filter(i => i.parentNode.getClientRects().length !== 1)"
    assert page.run(f"{alone}.length") == 0 and page.run("document.querySelectorAll('#scale span i').length") == 1
    page.run("(s => { s.value = 'distance'; s.dispatchEvent(new Event('change')) })(document.getElementById('colour'))")


def test_an_image_that_is_taken_later_lies_further_along(dataset):
    camera = dataset[1].cameras[0]  # 0.1 m before the rig's origin
    moved = alignment.later(camera, {"speed": [2.0, 0, 0], "turn": [0, 0, np.pi]}, 0.5)
    _, depth, _ = project(np.array([[5.0, 0, 0], [1.0, 3.0, 0]]), moved)
    # A metre on and a quarter turn to the left: one point lies to the rig's right, one straight ahead of it.
    assert depth == pytest.approx([-0.1, 2.9])
