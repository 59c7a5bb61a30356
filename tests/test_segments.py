"""How images are cut: methods by their word, masks and features by construction, and the stage as it is told."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import xkd
from xkd import XkdError, merging, params, superpixels
from xkd.prepare import prepare
from xkd.prepared import Prepared
from xkd.segments import METHODS, open_method

REAL = xkd.ROOT.parent / "shared" / "data"
needs_real = pytest.mark.skipif(not (REAL / "opencalib").is_dir(), reason="the real frames (shared/data) are not here")


def opened(method, n=4, compactness=10.0, **options):
    return open_method({"superpixels": n, "compactness": compactness, "method": method, "options": options})


@pytest.fixture
def camera(tmp_path):
    """A 20 x 30 image, dark to the left of column 17 and light from there; SLIC's own grid cuts at column 15."""
    image = np.full((20, 30, 3), 60, np.uint8)
    image[:, 17:] = 190
    path = tmp_path / "images" / "08" / "image_2" / "000003.png"
    path.parent.mkdir(parents=True)
    Image.fromarray(image).save(path)
    return SimpleNamespace(path=path, size=(20, 30), image=lambda: image)


def save(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def mask(rows, columns):
    found = np.zeros((20, 30), np.uint8)
    found[rows, columns] = 255
    return found


def test_the_default_is_slic_and_every_word_opens(camera):
    assert params.read()["prepare"]["method"] == "slic" and params.read()["prepare"]["options"] == {}
    assert (opened("slic")(camera) == superpixels.segment(camera.image(), 4, 10.0)).all()
    assert (opened("ward", 7, 2.0)(camera) == merging.segment(camera.image(), 7, 2.0)).all()
    assert sorted(METHODS) == ["features", "masks", "slic", "ward"]


def test_the_heavy_part_is_imported_by_the_method_that_needs_it():
    code = "import sys, xkd.prepare; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=xkd.ROOT).returncode == 0


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        ("watershed", {}, "prepare.method 'watershed' is unknown; there are slic, ward, masks, features"),
        ("slic", {"folder": "x"}, "prepare.options.folder: method 'slic' has no such option; it takes none"),
        ("masks", {"dir": "x"}, "prepare.options.dir: method 'masks' has no such option; it takes folder"),
        ("masks", {}, "prepare.options.folder is missing"),
        ("masks", {"folder": "no/such"}, "no/such: no such folder of masks"),
        ("features", {"teacher": {"name": "psychic"}}, "teacher 'psychic' is not known"),
    ],
)
def test_a_wrong_word_is_named(method, options, words):
    with pytest.raises(XkdError, match=words):
        opened(method, **options)


def test_a_smaller_mask_lies_over_a_larger_one_and_the_larger_stays_one(camera, tmp_path):
    folder = tmp_path / "masks" / "image_2" / "000003"
    save(folder / "0.png", mask(slice(0, 10), slice(0, 30)))  # 300 pixels, parted by the next
    save(folder / "1.png", mask(slice(0, 12), slice(10, 14)))  # 48
    save(folder / "2.png", mask(slice(0, 0), slice(0, 0)))  # nothing
    save(folder / "3.png", mask(slice(2, 4), slice(11, 13)))  # 4, in the one before
    save(folder / "4.png", mask(slice(2, 4), slice(11, 13)))  # the same once more: the first of its size is kept
    segments = opened("masks", 1, folder=str(tmp_path / "masks"))(camera)
    expected = np.full((20, 30), 3)
    expected[:10], expected[:12, 10:14], expected[2:4, 11:13] = 0, 1, 2
    assert (segments == expected).all() and segments.dtype == np.int32


def test_where_no_mask_is_slic_cuts_and_crumbs_join_what_is_most_alike(camera, tmp_path):
    # The mask leaves one dark column at its left, 20 of the 600 / 4 / 4 = 37 pixels that a piece needs, and the light side at its right.
    save(tmp_path / "masks" / "000003.png", mask(slice(0, 20), slice(1, 17)) // 255 * 7)
    segments = opened("masks", 4, folder=str(tmp_path / "masks"))(camera)
    assert (segments[:, :17] == 0).all() and (segments[:, 17:] > 0).all()
    assert (np.unique(segments) == np.arange(segments.max() + 1)).all()


def test_a_map_of_ids_is_as_good_as_a_folder_and_the_longest_name_wins(camera, tmp_path):
    root = tmp_path / "maps"
    ids = np.zeros((20, 30), np.uint16)
    ids[:, :17], ids[:, 17:] = 40_000, 3
    save(root / "08" / "image_2" / "000003.png", ids)
    save(root / "000003.png", np.ones((20, 30), np.uint8))
    segments = opened("masks", folder=str(root))(camera)
    assert (segments[:, :17] == 1).all() and (segments[:, 17:] == 0).all()  # none is 0 there: no pixel without a mask


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        (
            "000003.png",
            np.ones((20, 31), np.uint8),
            r"000003.png: has 20 x 31 pixels \(height x width\), its image 20 x 30",
        ),
        ("000003/0.png", np.ones((20, 30, 3), np.uint8), "0.png: has 3 channels; a mask has one"),
        ("000003/0.jpg", np.ones((20, 30), np.uint8), "000003: no .png mask in this folder"),
        ("000004.png", np.ones((20, 30), np.uint8), "looked for 08/image_2/000003 and shorter"),
        ("000003/0.png", b"no image", "0.png: cannot be read as a mask"),
    ],
)
def test_wrong_masks_are_named(camera, tmp_path, name, values, words):
    file = tmp_path / "masks" / name
    file.parent.mkdir(parents=True)
    file.write_bytes(values) if isinstance(values, bytes) else save(file, values)
    with pytest.raises(XkdError, match=words):
        opened("masks", folder=str(tmp_path / "masks"))(camera)


@needs_real
@pytest.mark.parametrize(("number", "count"), [("1", 68), ("2", 95), ("3", 98)])
def test_masks_of_segment_anything_are_segments(tmp_path, number, count):
    (path,) = (REAL / "opencalib" / number).glob("calib.*g")
    with Image.open(path) as file:
        image = np.array(file.convert("RGB"))
    (tmp_path / "calib").symlink_to(REAL / "opencalib" / number / "masks")
    segments = opened("masks", 120, folder=str(tmp_path))(
        SimpleNamespace(path=path, size=image.shape[:2], image=lambda: image)
    )
    assert (np.unique(segments) == np.arange(segments.max() + 1)).all() and segments.max() + 1 > count
    files = sorted((tmp_path / "calib").glob("*.png"))
    areas = [np.array(Image.open(file)) > 0 for file in files]
    assert len(files) == count
    covered = np.zeros(image.shape[:2], bool)
    for inside in sorted(
        areas, key=np.sum
    ):  # what a smaller one has left of each lies in one segment, and no two share one
        left = inside & ~covered
        covered |= inside
        assert len(np.unique(segments[left])) == 1
    # Most of what no mask covers is crumbs between them.
    assert segments.max() + 1 < 1.3 * count


def test_features_part_what_colours_do_not(tmp_path):
    image = np.full((32, 48, 3), 120, np.uint8)
    camera = SimpleNamespace(path=tmp_path / "a.png", size=(32, 48), image=lambda: image)
    features = np.zeros((5, 8, 12), np.float32)
    features[3, :, 5:] = 1  # between the centres of cells 4 and 5: half way at column 20
    np.save(tmp_path / "a.npy", features)
    segments = opened("features", 2, 1.0, teacher={"name": "features", "root": str(tmp_path)})(camera)
    assert (
        segments.max() == 1
        and (segments[:, :18] == segments[0, 0]).all()
        and (segments[:, 23:] != segments[0, 0]).all()
    )
    flat = opened("ward", 2, 1.0)(camera)
    assert len(np.unique(flat[:, :18])) == 2 or len(np.unique(flat[:, 23:])) == 2
    with pytest.raises(XkdError, match="no feature map below"):
        opened("features", teacher={"name": "features", "root": str(tmp_path)})(
            SimpleNamespace(**vars(camera) | {"path": tmp_path / "b.png"})
        )


def test_features_that_are_not_finite_are_refused(monkeypatch, camera):
    import torch

    network = torch.nn.Identity()
    network.dense = lambda cameras, images: torch.full((1, 4, 5, 5), torch.nan)
    monkeypatch.setattr("xkd.teachers.open_teacher", lambda teacher: network)
    with pytest.raises(XkdError, match="000003.png: the teacher gave features that are not finite"):
        opened("features", teacher={})(camera)
    network.dense = lambda cameras, images: torch.ones((1, 2, 5, 5))  # one value everywhere, fewer than three channels
    assert (opened("features", 4, teacher={})(camera)[:, :17] == 0).any()


# In the stage


@pytest.fixture
def sections(made):
    sections = params.profile("smoke")
    return sections["data"] | {"root": str(made / "nuscenes")}, sections["prepare"]


def test_the_stage_cuts_as_it_is_told(sections, tmp_path):
    data, settings = sections
    rows = prepare(data, settings | {"method": "ward"}, tmp_path)
    assert rows[0]["superpixels"] == settings["superpixels"] * sum(
        f["images"] for f in Prepared(tmp_path, "train").frames
    )
    with pytest.raises(XkdError, match="prepare.method 'x'"):
        prepare(data, settings | {"method": "x"}, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_more_superpixels_than_a_file_can_name_are_refused(sections, tmp_path, monkeypatch):
    data, settings = sections
    monkeypatch.setattr("xkd.prepare.MOST", 20)
    with pytest.raises(XkdError, match=r"jpg: is cut into \d+ superpixels; a file holds 21 at most"):
        prepare(data, settings, tmp_path)
