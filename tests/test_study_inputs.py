"""What rows of the study learn from instead: shuffled pairs, fewer views, hard labels, a teacher without labels; by hand."""

import numpy as np
import torch

from xkd import mini_unsupervised, params, study_cell, study_inputs
from xkd.gathered import Gathered
from xkd.mini import load_mini
from xkd.prepared import TeacherFeatures


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
        least = min(len(point), len(own.pairs(j)[0]))
        assert np.array_equal(features[:least], own.pairs(j)[2][:least])
        least = min(len(own.superpixels(i)), len(own.superpixels(j)))
        assert np.array_equal(mixed.superpixels(i)[:least], own.superpixels(j)[:least])
    assert mixed.digest != own.digest


def test_views_of_the_own_sweep_of_one_camera_and_none(gathered, tmp_path):
    whole = Gathered(gathered, "train")
    for kind in ("own", "camera", "none"):
        study_inputs.fewer(gathered / "train", kind, tmp_path / kind / "train")
        few = Gathered(tmp_path / kind, "train")
        for i in range(6):
            if kind == "own":
                expected = whole.views(i, reach=0)
            else:
                expected = whole.views(i, dark=range(1 if kind == "camera" else 0, 6))
            for a, b in zip(few.views(i), expected, strict=True):
                assert np.array_equal(a, b), (kind, i)
        assert few.digest != whole.digest


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
