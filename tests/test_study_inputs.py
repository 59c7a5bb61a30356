"""What rows of the study learn from instead: shuffled pairs, fewer views, hard labels, a teacher without labels; by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import xkd
from xkd import XkdError, mini_unsupervised, params, study, study_cell, study_inputs, study_start
from xkd.extract import choose
from xkd.gathered import Gathered
from xkd.mini import load_mini
from xkd.params import overlay
from xkd.prepared import Prepared, TeacherFeatures


def test_nothing_stays_in_its_place():
    for count in (2, 3, 50):
        other = study_inputs.derangement(count, 0)
        assert sorted(other) == list(range(count)) and (other != np.arange(count)).all()
    assert study_inputs.derangement(1, 0).tolist() == [0]


def test_shuffled_pairs_have_the_features_of_another_frame(stages, tmp_path):
    study_inputs.shuffled(stages / "teacher" / "train", tmp_path / "train", 0)
    own, mixed = TeacherFeatures(stages / "teacher", "train"), TeacherFeatures(tmp_path, "train")
    other = study_inputs.derangement(6, 0)  # the smoke profile's training frames
    for i, j in enumerate(other):
        point, superpixel, features = mixed.pairs(i)
        assert point.tolist() == own.pairs(i)[0].tolist() and superpixel.tolist() == own.pairs(i)[1].tolist()
        for found, theirs in ((features, own.pairs(j)[2]), (mixed.superpixels(i), own.superpixels(j))):
            # Each of the other frame's once where there are as many, and not in their order, which says where in the image each is.
            least = min(len(found), len(theirs))
            rows = {tuple(row) for row in theirs}
            assert all(tuple(row) in rows for row in found)
            assert len(found) != len(theirs) or np.array_equal(rowsorted(found), rowsorted(theirs))
            assert not np.array_equal(found[:least], theirs[:least])
    assert mixed.digest != own.digest


def rowsorted(values):
    return values[np.lexsort(values.T)]


def test_pairs_of_the_first_camera_alone(stages, tmp_path):
    settings = params.profile("smoke")["teacher"]
    prepared = Prepared(stages / "prepared", "train")
    study_inputs.of_camera(stages / "teacher" / "train", prepared, settings, tmp_path / "train")
    own, few = TeacherFeatures(stages / "teacher", "train"), TeacherFeatures(tmp_path, "train")
    for i in range(6):
        chosen, pairs = choose(prepared, i, settings), prepared.pairs(i)
        point, superpixel, features = own.pairs(i)
        assert np.array_equal(point, pairs.point[chosen])  # so that the cameras below are those of the features
        first = pairs.camera[chosen] == 0
        assert 0 < first.sum() < len(first)
        for found, expected in zip(few.pairs(i), (point[first], superpixel[first], features[first]), strict=True):
            assert np.array_equal(found, expected)
        assert np.array_equal(few.superpixels(i), own.superpixels(i))
    assert few.digest != own.digest


def test_one_camera_learns_from_no_other(smoke, out, tmp_path):
    """Its pairs have the feature at their own pixel, and not the mean over images of others that the pipeline's have."""
    made = {}
    for row in ("own-images", "one-camera"):
        cell = study.Cell("ablation", row, 1, 0, tmp_path)
        study_inputs.make(smoke, cell, out)
        made[row] = study_inputs.inputs(smoke, cell, out)
    prepared, whole = (
        Prepared(made["one-camera"].prepared, "train"),
        TeacherFeatures(xkd.ROOT / out / "teacher", "train"),
    )
    own, one = (TeacherFeatures(made[row].teacher, "train") for row in ("own-images", "one-camera"))
    for i in range(6):
        first = prepared.pairs(i).camera[choose(prepared, i, smoke["teacher"])] == 0
        for found, expected in zip(one.pairs(i), own.pairs(i), strict=True):
            assert np.array_equal(found, expected[first])
        assert not np.array_equal(one.pairs(i)[2], whole.pairs(i)[2][first])
    assert not (made["one-camera"].teacher.parent / "all").exists()
    views = [Gathered(made[row].views, "train") for row in ("own-images", "one-camera")]
    for a, b in zip(views[0].views(0, dark=range(1, 6)), views[1].views(0), strict=True):
        assert np.array_equal(a, b)


def test_views_of_the_own_sweep_of_one_camera_and_none(gathered, tmp_path):
    whole = Gathered(gathered, "train")
    for kind in ("own", "camera", "none"):
        study_inputs.fewer(gathered / "train", kind, tmp_path / kind / "train")
        few = Gathered(tmp_path / kind, "train")
        for i in range(6):
            dark = {"own": (), "camera": range(1, 6), "none": range(6)}[kind]
            expected = whole.views(i, dark=dark, reach=None if kind == "none" else 0)
            for a, b in zip(few.views(i), expected, strict=True):
                assert np.array_equal(a, b), (kind, i)
        assert few.digest != whole.digest


def test_a_teacher_that_came_out_otherwise_makes_other_inits_and_the_same_cells(smoke, out, monkeypatch, tmp_path):
    """Its training ends in other weights on another processor: what is kept here is of the very features, what git keeps of the recipe."""
    for row, views in (("cosine", 2), ("xmodel", 4), ("lidar-ssl", 0), ("scratch", 0)):
        cell = study.Cell("pretraining", row, 1, 0, tmp_path)
        name, path = study_start.init_name(smoke, cell, out), study_start.init_path(smoke, cell, out)
        made = study_cell.made_of(smoke, cell, out)
        assert len(study_inputs.features(smoke, out, row == "xmodel")) == max(views, 2)  # of two splits
        with monkeypatch.context() as patch:
            for module in (study_start, study_inputs):
                patch.setattr(module, "features", lambda *given: ["other"])
            assert study_start.init_name(smoke, cell, out) == name and study_cell.made_of(smoke, cell, out) == made
            assert (study_start.init_path(smoke, cell, out) == path) == (views == 0)
        settings = overlay(smoke, {"teacher": {"seed": 7}})
        assert (study_cell.made_of(settings, cell, out) == made) == (views == 0)


def test_no_views_has_the_init_of_xmodel_and_a_network_of_its_own_that_sees_no_image(smoke, out, tmp_path):
    whole, blind, own = (
        study.Cell(block, row, 1, 0, tmp_path)
        for block, row in (("unlabelled", "xmodel"), ("ablation", "no-views"), ("ablation", "own-images"))
    )
    assert study_start.init_path(smoke, blind, out) == study_start.init_path(smoke, whole, out)
    assert study_start.init_path(smoke, own, out) != study_start.init_path(smoke, whole, out)
    assert study_cell.made_of(smoke, blind, out) != study_cell.made_of(smoke, whole, out)
    study_inputs.make(smoke, blind, out)
    views = study_start.place_of(smoke, out, blind).gathered("train")
    assert all(len(views.views(i)[0]) == 0 for i in range(6))


def test_what_a_cell_with_other_features_hangs_on(smoke, out, monkeypatch, tmp_path):
    rows = [
        ("teachers", "cosine-shuffled"),
        ("ablation", "one-camera"),
        ("images", "fused"),
        ("images", "teacher-probe"),
    ]
    for block, row in [*rows, ("unlabelled", "xmodel")]:
        cell = study.Cell(block, row, 1, 0, tmp_path)
        made, found = study_cell.made_of(smoke, cell, out), study_inputs.inputs(smoke, cell, out)
        with monkeypatch.context() as patch:
            for module in (study_start, study_inputs):
                patch.setattr(module, "features", lambda *given: ["other"])
            assert study_cell.made_of(smoke, cell, out) == made
            other = study_inputs.inputs(smoke, cell, out)
            assert other.recipe == found.recipe and (other.name == found.name) == (found.name is None)
        for change in ({"teacher": {"seed": 7}}, {"teacher": {"mini": {"dim": 16}}}):
            assert study_cell.made_of(overlay(smoke, change), cell, out) != made, (row, change)
        with monkeypatch.context() as patch:  # a teacher that came trained: its very features count
            patch.setattr(study_inputs, "TeacherFeatures", lambda *given: SimpleNamespace(teacher="0" * 64))
            patch.setattr(study_inputs, "features", lambda *given: ["one"])
            one = study_inputs.learnt_from(smoke, out, True)
            assert one == ["one"] and study_cell.made_of(smoke, cell, out) != made


def test_a_recipe_holds_the_corpus_and_all_that_makes_features(smoke, out, tmp_path):
    from xkd import extract, mini

    assert {*extract.CODE, *mini.CODE, "gather.py", "teachers/base.py"} <= set(study_inputs.TEACHER)
    assert all((xkd.ROOT / "xkd" / name).is_file() for name in study_inputs.TEACHER)
    with pytest.raises(XkdError, match="nowhere: no such folder, so what the teacher learnt from cannot be told"):
        study_inputs.learnt_from(overlay(smoke, {"teacher": {"source": str(tmp_path / "nowhere")}}), out, True)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "image.png").write_bytes(name.encode())  # as long, of the same name
    first, second = (
        study_inputs.learnt_from(overlay(smoke, {"teacher": {"source": str(tmp_path / name)}}), out, True)
        for name in "ab"
    )
    assert first != second


def test_the_head_of_lidar_ssl_is_as_wide_as_the_teacher(smoke, out, monkeypatch, tmp_path):
    cell = study.Cell("pretraining", "lidar-ssl", 1, 0, tmp_path)
    name, wide = study_start.init_name(smoke, cell, out), study_start.distill.Pool

    def wider(*given):
        pool = wide(*given)
        pool.dim += 1
        return pool

    monkeypatch.setattr(study_start.distill, "Pool", wider)
    assert study_start.init_name(smoke, cell, out) != name


def test_hard_labels_by_hand(tmp_path):
    (tmp_path / "soft").mkdir()
    np.save(tmp_path / "soft" / "train.npy", np.array([[0.6, 0.3, 0.1], [0, 0, 0], [0.2, 0.3, 0.5]], np.float16))
    study_cell.harden(tmp_path / "soft", tmp_path / "hard")
    assert np.load(tmp_path / "hard" / "train.npy").tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 1]]


def test_two_looks_show_the_same_place(monkeypatch):
    """Images whose colour is the place itself: what lies at a place of one look lies at the other place of the other."""
    rows, columns = torch.meshgrid(torch.linspace(40, 215, 96), torch.linspace(40, 215, 128), indexing="ij")
    images = [torch.stack([rows, columns, torch.full_like(rows, 128)]).round().byte()] * 3
    p = {"crop": [64, 64], "zoom": [1.0, 1.2]}
    monkeypatch.setattr(mini_unsupervised, "recolour", lambda x, generator: x)
    first, second, place, other, both = mini_unsupervised.looks(images, p, torch.Generator().manual_seed(1))
    a, b = (mini_unsupervised.at(look, where)[both] for look, where in ((first, place), (second, other)))
    assert first.shape == second.shape == (3, 3, 64, 64) and both.float().mean() > 0.4
    # At a place that the first look does not reach the border is repeated.
    assert (a - b).abs().median() < 0.01


def test_a_teacher_without_labels_learns_and_is_a_mini(made, tmp_path):
    settings = params.profile("smoke")["teacher"]["mini"] | {"steps": 30, "batch": 4}
    losses = mini_unsupervised.train_unsupervised(made / "cityscapes", settings, 0, tmp_path / "mini")
    assert len(losses) == 30 and np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.2
    network = load_mini(tmp_path / "mini")
    assert not network.training and torch.isfinite(network.features(torch.rand(1, 3, 64, 64))).all()
