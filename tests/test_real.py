"""Samples of real frames: what is laid out for their readers, what is counted of a run, and pictures that show where points fall."""

import io
import json
import shutil
from types import SimpleNamespace

import layout_pandaset
import numpy as np
import pytest
from PIL import Image
from test_frames import REAL, real
from wall import Wall

import xkd
from xkd import XkdError, params, profiles
from xkd.datasets import Camera
from xkd.geometry import pair
from xkd.prepared import Prepared
from xkd.real import maps, numbers, page, pictures, samples
from xkd.real.__main__ import main
from xkd.segments import open_method

T = "0 -1 0 0  0 0 -1 0  1 0 0 0"


@pytest.fixture
def data(tmp_path):
    """A folder of samples with one scan of `opencalib`: points 4 and 8 m ahead of a camera of 40 x 20 pixels; one mask, its left half."""
    scene = tmp_path / "data" / "opencalib" / "7"
    (scene / "masks").mkdir(parents=True)
    np.array([[4, 1, 0, 0.5], [8, -2, 0, 1], [8, -2, 1, 1]], np.float32).tofile(scene / "calib.bin")
    Image.new("RGB", (40, 20), (10, 20, 30)).save(scene / "calib.png")
    mask = np.zeros((20, 40), np.uint8)
    mask[:, :20] = 255
    Image.fromarray(mask).save(scene / "masks" / "000.png")
    (scene / "calib.txt").write_text(f"K: 20 0 20 0 20 10 0 0 1\nD: 0 0 0 0\nT: {T}\n")
    return tmp_path / "data"


def test_a_scan_of_opencalib_becomes_a_scene_with_its_masks(data, tmp_path):
    root, masks = samples.place("opencalib", data, tmp_path / "laid")
    for _ in range(2):  # again: nothing is in the way
        root, masks = samples.place("opencalib", data, tmp_path / "laid")
    (frame,) = samples.opened("opencalib", root)
    (camera,) = frame.cameras
    assert frame.scene == "7" and frame.split == "train" and frame.points[0].tolist() == [4, 1, 0]
    assert camera.K[0].tolist() == [20, 0, 20] and camera.size == (20, 40)
    # By hand: 1 m to the left at 4 m is 20 / 4 pixels left of column 20; 2 m to the right at 8 m as far to its right.
    assert [p.tolist() for p in pair(frame).pixel] == [[10, 15], [10, 25], [8, 25]]
    settings = profiles.overlaid("real-opencalib", samples.settings("opencalib", root, masks))["prepare"]
    ids = open_method(settings | {"superpixels": 2})(camera)
    assert len(np.unique(ids[:, :20])) == 1 and not np.isin(ids[:, :20], ids[:, 20:]).any()
    assert numbers.covered(masks) == {"masks": 1, "images": 1, "share": 0.5}
    assert (
        sorted(path.name for path in (data / "opencalib" / "7").iterdir())
        == "calib.bin calib.png calib.txt masks".split()
    )


def test_a_sample_that_is_not_there_or_lacks_a_line_is_named(data, tmp_path, capsys):
    with pytest.raises(XkdError, match="kitti_raw: no such folder, so there is no sample of KITTI raw"):
        samples.place("kitti_raw", data, tmp_path / "laid")
    assert main(["pandaset", "--data", str(data)]) == 1
    assert "there is no sample of PandaSet" in capsys.readouterr().err
    assert main(["gallery", "--data", str(tmp_path)]) == 1
    (data / "opencalib" / "7" / "calib.txt").write_text("K: 1\nT: 2\n")
    with pytest.raises(XkdError, match="calib.txt: has no line D."):
        samples.place("opencalib", data, tmp_path / "laid")


def test_the_published_example_gets_a_list_of_its_scan(tmp_path):
    source = tmp_path / "data" / "rellis3d_example"
    source.mkdir(parents=True)
    for name in ("000104.bin", "vel000104.bin"):
        (source / name).touch()
    root, masks = samples.place("rellis3d", tmp_path / "data", tmp_path / "laid")
    assert masks is None and (root / "pt_train.lst").read_text() == "example/os1_cloud_node_kitti_bin/000104.bin\n"
    (source / "pt_train.lst").touch()  # one that has lists lies as its reader wants it
    assert samples.place("rellis3d", tmp_path / "data", tmp_path / "laid")[0] == source


def test_a_sample_without_maps_asks_for_a_teacher_before_anything_is_made(data, tmp_path, capsys, monkeypatch):
    copied = []
    monkeypatch.setattr(profiles, "copy", lambda *given: copied.append(given))
    nobody = str(tmp_path / "nobody")
    assert main(["opencalib", "--data", str(data), "--teacher", nobody]) == 1
    said = capsys.readouterr().err
    assert f"OpenCalib has no feature maps (none come with it), and {nobody} holds no trained teacher" in said
    assert f"`make demo` trains one in some minutes, then named by --teacher {maps.DEMO}" in said
    assert main(["opencalib", "--data", str(data), "--features", nobody]) == 1
    assert f"{nobody}: no such folder of feature maps." in capsys.readouterr().err
    assert not copied


def test_the_first_line_says_that_a_teacher_makes_the_maps(tmp_path, capsys):
    (tmp_path / "network.json").touch()
    sample, own = samples.SAMPLES["semantickitti"], tmp_path / "features" / "espnetv2" / "semantickitti"
    assert maps.chosen(sample, tmp_path, None, tmp_path) is None
    said = capsys.readouterr().out
    assert said.startswith(
        f"xkd: SemanticKITTI has no feature maps ({own} is not there), so the embedded teacher in {tmp_path}"
    )
    assert maps.chosen(sample, tmp_path, tmp_path, tmp_path / "nobody") == tmp_path
    own.mkdir(parents=True)
    assert maps.chosen(sample, tmp_path, None, tmp_path / "nobody") == own and not capsys.readouterr().out


def test_the_demo_leaves_its_teacher_where_it_is_said_to():
    """The profile's checkout lies in out/demo (Makefile), and stage 2 writes out/teacher there, its own network in mini."""
    makefile, stages = (xkd.ROOT / "Makefile").read_text(), (xkd.ROOT / "dvc.yaml").read_text()
    assert "xkd.profiles demo out/demo\n" in makefile and "- out/teacher\n" in stages
    assert maps.DEMO == xkd.ROOT / "out/demo" / "out/teacher" / "mini"


def test_every_sample_has_a_profile():
    assert {f"real-{name}" for name in samples.SAMPLES} == {
        n for n in params.read()["profiles"] if n.startswith("real-")
    }
    for name, sample in samples.SAMPLES.items():
        sections = profiles.overlaid(f"real-{name}")
        assert sections["data"]["kind"] == sample.kind and sections["teacher"]["name"] == "features"
        assert all(params.check(key, value) == value for key, value in sections.items() if key != "profiles")


def test_maps_lie_under_the_images_own_paths(tmp_path, stages):
    dataset = Wall(tmp_path)
    assert maps.write([dataset[0]], stages / "teacher" / "mini", tmp_path / "maps", tmp_path) == 3
    found = np.load(tmp_path / "maps" / "fisheye.npy")
    assert found.dtype == np.float16 and found.shape[1:] == (24, 40)  # a quarter of 96 x 160
    with pytest.raises(XkdError, match="holds no trained teacher"):
        maps.write([dataset[0]], tmp_path, tmp_path / "maps", tmp_path)
    assert maps.shrunk(np.zeros((1200, 1920, 3), np.uint8)).shape == (400, 640, 3)


def test_neighbours_over_a_jump_in_depth_should_be_parted():
    """Three points in a row at 1, 1 and 2 m, at columns 2, 3 and 5: the third's neighbour is the second, over a jump; the first two are
    each other's. A cut at column 4 parts the jump alone, a cut at column 3 the other two alone."""
    K, image = np.array([[10.0, 0, 5], [0, 10, 5], [0, 0, 1]]), np.zeros((10, 10, 3), np.uint8)
    T_rig_cam = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]], np.float64)
    camera = Camera("c", None, (10, 10), K, T_rig_cam, np.eye(4), np.eye(4))
    object.__setattr__(camera, "image", lambda: image)
    points = np.array([[1, 0.3, 0], [1, 0.2, 0], [2, 0, 0]], np.float32)
    frame = SimpleNamespace(id="f", points=points, cameras=[camera])
    assert pair(frame).pixel[:, 1].tolist() == [2, 3, 5]
    columns = np.repeat(np.arange(10)[None], 10, 0)
    assert numbers.jumps([frame], lambda _: (columns >= 4).astype(np.int32))["own"] == [1, 0]
    assert numbers.jumps([frame], lambda _: (columns >= 3).astype(np.int32))["own"] == [0, 1]


def test_a_run_in_words(stages, made, tmp_path):
    """Counted on the made data: what is said is what prepared frames hold, and a probe of two networks is scored on validation streets."""
    from xkd import student

    data = params.profile("smoke")["data"]
    (tmp_path / "out" / "metrics").mkdir(parents=True)
    (tmp_path / "out" / "prepared").symlink_to(stages / "prepared")
    about = {"objective": "cosine", "loss": [0.9, 0.5], "hit": 0.25, "among": 50.0, "frames": 2, "held": False}
    (tmp_path / "out" / "metrics" / "distill-0.json").write_text(json.dumps(about))
    train = Prepared(stages / "prepared", data["train"])
    network = student.build({"voxel": 0.5, "widths": [8, 8], "classes": train.classes}, 0)
    student.save(network, tmp_path / "out" / "init" / "distilled-0", init="distilled", seed=0)
    found = page.plain(numbers.numbers(tmp_path / "out", data))
    assert found["frames"] == len(train) and found["pairs"] == sum(len(train.pairs(i).point) for i in range(len(train)))
    # The same weights before and after.
    assert found["probe"]["before"] == found["probe"]["after"] and all(
        0 < v <= 100 for v in found["probe"]["after"].values()
    )
    said = dict(numbers.lines(found))
    assert said["loss of the distillation (cosine)"] == "0.900 -> 0.500"
    assert said["superpixels of the scan"] == "25.0% find their own among 50 (chance 2.0%), on frames it learnt from"
    alone = page.plain(numbers.numbers(tmp_path / "out", data | {"validation": None}))
    assert "same street" in str(numbers.lines(alone))


def test_pictures_show_points_labels_and_segments(tmp_path):
    dataset = Wall(tmp_path)
    drawn = pictures.pictures(dataset[0], dataset, open_method(params.profile()["prepare"] | {"superpixels": 20}))
    assert len(drawn) == 4
    for _, picture in drawn:
        colours = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).reshape(-1, 3)
        assert len(np.unique(colours, axis=0)) > 500
    assert drawn[0] == pictures.pictures(dataset[0], dataset, lambda camera: np.zeros((96, 160), np.int32))[0]


@real
def test_real_samples_are_found_and_lie_as_their_readers_want_them(tmp_path):
    """Frames, streets, and the share of the points that fall into an image, as shared/data/README.md has them."""
    expected = {
        "semantickitti": (24, 11),
        "pandaset": (12, 1),
        "kitti_raw": (8, 1),
        "rellis3d": (1, 1),
        "opencalib": (3, 3),
    }
    for name, (frames, streets) in expected.items():
        root, _ = samples.place(name, REAL, tmp_path / name)
        dataset = samples.opened(name, root)
        assert (len(dataset), len(set(dataset.scenes))) == (frames, streets)
        assert len(xkd.open_dataset(dataset.kind, root, "train")) == (20 if name == "semantickitti" else frames)
        assert len(page.firsts(dataset)) == min(streets, 3)


def test_one_street_becomes_two_scenes_one_to_learn_from_and_one_to_be_scored_on(tmp_path, capsys):
    root = layout_pandaset.layout(tmp_path).rename(tmp_path / "pandaset")
    assert main(["halves", "--data", str(tmp_path), "--out", str(tmp_path / "halves")]) == 1
    assert "has 2 scans of 3 streets; it takes one street of two at least" in capsys.readouterr().err
    (tmp_path / "empty" / "pandaset").mkdir(parents=True)
    assert (
        main(["halves", "--data", str(tmp_path / "empty")]) == 1 and "0 scans of 0 streets" in capsys.readouterr().err
    )
    assert main(["halves", "--data", str(tmp_path), "--out", str(root)]) == 1 and (root / "002").is_dir()
    for scene in ("004", "101"):
        shutil.rmtree(root / scene)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").touch()
    assert main(["halves", "--data", str(tmp_path), "--out", str(tmp_path / "notes")]) == 1
    assert "holds mine.txt; name a folder that is empty or not there" in capsys.readouterr().err
    assert main(["halves", "--data", str(tmp_path), "--out", str(tmp_path / "notes" / "mine.txt")]) == 1
    assert "mine.txt: is no folder" in capsys.readouterr().err
    for _ in range(2):  # again: nothing is in the way
        assert main(["halves", "--data", str(tmp_path), "--out", str(tmp_path / "halves")]) == 0
    first, last = (xkd.open_dataset("pandaset", tmp_path / "halves", split) for split in ("train", "val"))
    whole = xkd.open_dataset("pandaset", root)
    assert [frame.id for frame in (*first, *last)] == ["002-first/00", "002-last/02"]
    for frame, own in zip((*first, *last), whole, strict=True):
        assert np.array_equal(frame.points, own.points) and np.array_equal(frame.labels, own.labels)
        assert len(frame.cameras) == 2 and np.allclose(frame.cameras[0].T_rig_cam, own.cameras[0].T_rig_cam)
    assert json.loads((root / "002" / "meta" / "gps.json").read_text())[0]["lat"] == layout_pandaset.LATITUDES["002"]
