"""The linked views in a real browser: what the page computes is what the package computes, and what is picked shows everywhere."""

import base64
import zlib
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import browser
import numpy as np
import pytest
from PIL import Image
from wall import CLASSES, MODELS, Stripes, Wall

from xkd import XkdError, alignment, linked, looks, picks, student
from xkd.geometry import project
from xkd.views import views


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return Wall(tmp_path_factory.mktemp("wall"))


@pytest.fixture(scope="module")
def students(tmp_path_factory):
    network = student.build({"voxel": 0.5, "widths": [8, 8], "classes": list(CLASSES)}, 1)
    path = tmp_path_factory.mktemp("student") / "distilled-0"
    student.save(network, path, init="distilled", seed=0)
    return looks.students(None, path)


@pytest.fixture(scope="module")
def scene(dataset, students):
    return linked.scene(dataset, 1, (Stripes(), "stripes"), students, most=1500, superpixels=20)


@contextmanager
def opened(scene, folder, *flags):
    """The page of a scene in a browser; at the end: its console said no error, and nothing was asked of the network."""
    browser.needed()
    linked.write(scene, folder / "page.html")
    with browser.Browser(folder / "profile", patience=300, more=flags) as tab:
        tab.open((folder / "page.html").as_uri(), "!!document.body && document.body.dataset.ready === 'yes'")
        tab.folder = folder
        yield tab
        assert not tab.errors
        assert {url.partition(":")[0] for url in tab.requests} <= {"file", "data", "blob"}, "the page asks the network"


@pytest.fixture(scope="module")
def page(scene, tmp_path_factory):
    """Each test leaves it wherever it likes."""
    with opened(scene, tmp_path_factory.mktemp("page")) as tab:
        yield tab


def kept(dataset, i, most=1500):
    frame = dataset[i]
    pairs = linked.pair(frame)
    return picks.thin(picks.overlap(frame, pairs) > 0, most)[0]


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


def slide(page, **values):
    for name, value in values.items():
        page.run(
            f"(s => {{ s.value = {value}; s.dispatchEvent(new Event('input')) }})(document.getElementById('{name}'))"
        )


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


def test_120_000_points_stay_fluid(students, tmp_path):
    """Kept are 30,000, and the page says so. The best of five, for a machine that does other things too."""
    dense = linked.scene(Wall(tmp_path, dense=64), 1, (Stripes(), "stripes"), students, reach=0, superpixels=0)
    with opened(dense, tmp_path) as tab:
        assert "showing 30,000 of 121,600 points" in tab.run("document.getElementById('count').textContent")
        for work in ("pickPoint(700 + {k})", "nudge({{ turn: [0, 0.1 * {k}, 0] }})"):
            name = work.partition("(")[0].removesuffix("Point")
            tab.run("performance.clearMeasures()")
            for k in range(5):
                tab.run(work.format(k=k))
            took = tab.run(f"performance.getEntriesByName('{name}').map(m => m.duration)")
            assert len(took) == 5 and min(took) < 300, name


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


def test_without_webgl_a_sentence_stands_in_the_place_of_the_scan_in_3d(dataset, students, tmp_path):
    small = linked.scene(dataset, 1, (Stripes(), "stripes"), students, reach=0, most=300, superpixels=0)
    with opened(small, tmp_path, "--disable-3d-apis") as tab:
        tab.wait(lambda: "has no WebGL" in tab.run("document.getElementById('cloud').textContent"))
        tab.run("pickPoint(100)")
        assert tab.run("looks.state.pick.point") == 100
        assert tab.run("document.querySelectorAll('#views canvas').length") > 0
        # A lone frame has no slider, and says why.
        assert tab.run("document.getElementById('frames').offsetParent") is None
        assert "It stands alone: no frames before" in tab.run("document.getElementById('count').textContent")


class OneCamera(Wall):
    def read_cameras(self, i):
        return super().read_cameras(i)[:1]


def test_few_views_are_large_and_raw_colours_are_no_teacher(tmp_path):
    """One camera, one frame, no student, no teacher: the piece of the image is as wide as its panel, and nothing is called a teacher's."""
    one = linked.scene(OneCamera(tmp_path), 1, looks.teacher(None), reach=0, most=300, superpixels=0)
    with opened(one, tmp_path, "--disable-3d-apis") as tab:
        width = "document.querySelector('#views {}').clientWidth"
        assert tab.run("document.querySelectorAll('#views canvas').length") == 1
        assert tab.run(width.format("canvas")) == tab.run("document.getElementById('views').clientWidth") > 300
        titles = tab.run("document.getElementById('networks').innerText + document.getElementById('colour').innerText")
        assert "raw colours" in titles and "features: teacher" not in titles and "alike: teacher" not in titles
        assert "stand in for a teacher" in tab.run("document.getElementById('likeness').textContent")
        assert "one image: no motion" in tab.run("document.getElementById('sliders').textContent")


class Unposed(Wall):
    """No time of any image, and a reader that says why neighbours are of no use, as that of KITTI raw does."""

    def read_cameras(self, i):
        return [replace(camera, timestamp=None) for camera in super().read_cameras(i)]

    def neighbours(self, i, k):
        raise XkdError("drive: has no oxts; without them (teacher.reach: 0, views.reach: 0) the drive can be used.")


def test_a_page_says_why_a_frame_stands_alone_and_not_how_to_train_on_it(tmp_path):
    found = linked.scene(Unposed(tmp_path), 1, looks.teacher(None), most=300, superpixels=0)
    assert (found["alone"], found["still"]) == ("drive: has no oxts", "the images have no times")
    assert len(found["frames"]) == 1


class Odd(Wall):
    """Images of one colour, a fisheye that looks backward, and a last frame with the first camera alone."""

    def __init__(self, root):
        super().__init__(root)
        for name in MODELS:
            Image.new("RGB", (160, 96), (90, 120, 60)).save(self.root / f"{name}.png")

    def read_cameras(self, i):
        first, second, third = super().read_cameras(i)
        back = replace(third, T_rig_cam=np.diag([-1, -1, 1, 1.0]) @ third.T_rig_cam)
        return [first] if i == 2 else [first, second, back]


def choose(page, name):
    page.run(
        f"(s => {{ s.value = '{name}'; s.dispatchEvent(new Event('change')) }})(document.getElementById('camera'))"
    )


def test_images_of_one_colour_cameras_without_points_and_frames_with_one_image(tmp_path):
    """The page is made, and says of each what there is to see."""
    odd = linked.scene(Odd(tmp_path), 1, looks.teacher(None), reach=1, most=400, superpixels=5)
    (network,) = odd["networks"]
    assert network["name"] == "they stand in for a teacher: none is here (16 channels, the same everywhere)"
    assert "features: raw colours" not in odd["colourings"] and not looked(odd, 1, "teacher").any()
    assert [len(frame["cameras"]) for frame in odd["frames"]] == [3, 3, 1] and odd["camera"] in ("pinhole", "opencv")
    with opened(odd, tmp_path, "--disable-3d-apis") as tab:
        said = "document.getElementById('{}').innerText"
        captions = tab.run("[...document.querySelectorAll('#images figcaption')].map(c => c.textContent)")
        assert (
            captions[2] == "fisheye: no point of the scan falls into it" and "no point" not in captions[0] + captions[1]
        )
        assert "nothing to compare: all features are the same" in tab.run(said.format("networks"))
        assert tab.run("Math.abs(looks.scores.pinhole.first)") == 0 and tab.run("looks.scores.pinhole.edges") > 0
        choose(tab, "fisheye")
        tab.wait(lambda: "No edge of the scan lies in fisheye" in tab.run(said.format("curves")))
        slide(tab, frame=2)
        assert tab.run("document.querySelectorAll('#images canvas').length") == 1
        assert tab.run(said.format("without")) == "Frame f2 has no image of fisheye."
        choose(tab, "pinhole")
        assert not tab.run(said.format("without")) and tab.run("document.getElementById('nudged').clientWidth") > 0


def looked(scene, i, key):
    given = scene["frames"][i]["features"][key]["vectors"]
    data = zlib.decompress(base64.b64decode(given["data"]))
    return np.frombuffer(data, np.int8).reshape(given["shape"]).astype(np.float64)


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


def test_the_command_says_what_is_wrong(nuscenes, tmp_path, capsys):
    given = [str(tmp_path / "page.html"), "--root", str(nuscenes), "--split", "mini_train", "--superpixels", "0"]
    assert looks.main([*given, "--index", "3"]) == 1
    assert "index 3: " in capsys.readouterr().err and not Path(given[0]).exists()
    assert looks.main([*given, "--root", str(tmp_path / "nothing")]) == 1
    assert "nothing: no such folder." in capsys.readouterr().err


def test_an_image_that_is_taken_later_lies_further_along(dataset):
    camera = dataset[1].cameras[0]  # 0.1 m before the rig's origin
    moved = alignment.later(camera, {"speed": [2.0, 0, 0], "turn": [0, 0, np.pi]}, 0.5)
    _, depth, _ = project(np.array([[5.0, 0, 0], [1.0, 3.0, 0]]), moved)
    # A metre on and a quarter turn to the left: one point lies to the rig's right, one straight ahead of it.
    assert depth == pytest.approx([-0.1, 2.9])
