"""The training loop: batches, schedule, stopping and going on; distillation and fine-tuning on a tiny prepared set."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import xkd
import xkd.prepared
from xkd import distill, finetune, train
from xkd.augment import augment, crop
from xkd.objectives import objective
from xkd.prepared import TeacherFeatures
from xkd.sparse import collate

FIT = {
    "steps": 12,
    "lr": 0.05,
    "warmup": 0.25,
    "optimiser": "muon",
    "weight_decay": 0.0,
    "clip": 5.0,
    "save_every": 0.0,
}
AUGMENT = {"turn": 3.1416, "flip": 0.5, "scale": 0.1, "jitter": 0.0, "gain": 0.2}


def test_an_epoch_shows_every_frame_once():
    seen = [i for step in range(5) for i in train.order(10, 0, 4, step)]
    assert sorted(seen[:10]) == list(range(10)) and sorted(seen[10:]) == list(range(10))
    assert train.order(2, 0, 4, 3) == train.order(2, 0, 4, 3)
    assert sorted(train.order(2, 0, 4, 0)) == [0, 0, 1, 1]


def test_schedule_by_hand():
    # Ten steps, warm-up over two: half the peak, the peak, then a cosine that is at half its height at the sixth of eight steps.
    rates = [train.rate(step, 10, 1.0, 0.2) for step in range(10)]
    assert rates[:2] == pytest.approx([0.5, 1.0])
    assert rates[5] == pytest.approx(0.5)
    assert rates[-1] == pytest.approx(0.0)


def network_and_loss():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))
    return network, lambda batch: network(batch[0]).sub(batch[1]).square().mean()


def make(step):
    x = torch.from_numpy(np.random.default_rng(step).normal(size=(16, 3))).float()
    return x, x[:, :1] * 2


class Killed(Exception):
    pass


@pytest.mark.parametrize("at", [1, 7, 11])
def test_resume_is_the_uninterrupted_run(tmp_path, at):
    whole, loss = network_and_loss()
    expected = train.fit(whole, make, loss, FIT, tmp_path / "whole.pt", "test-fit")
    stopped, loss = network_and_loss()

    def dies(step):
        if step == at:
            raise Killed
        return make(step)

    with pytest.raises(Killed):
        train.fit(stopped, dies, loss, FIT, tmp_path / "state.pt", "test-fit")
    resumed, loss = network_and_loss()
    asked = []

    def recorded(step):
        asked.append(step)
        return make(step)

    losses = train.fit(resumed, recorded, loss, FIT, tmp_path / "state.pt", "test-fit")
    assert losses == expected and len(losses) == 12 and sorted(asked) == list(range(at, 12))
    assert all(
        torch.equal(a, b) for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True)
    )


def test_loss_that_is_not_finite_is_refused(tmp_path):
    network, _ = network_and_loss()
    with pytest.raises(xkd.XkdError, match="loss at step 0 is nan"):
        train.fit(
            network, make, lambda batch: network(batch[0]).mean() * float("nan"), FIT, tmp_path / "s.pt", "test-fit"
        )
    assert all(torch.isfinite(p).all() for p in network.parameters())


def test_crop_keeps_a_sector_around_a_chosen_point():
    angles = np.linspace(-np.pi, np.pi, 360, endpoint=False)
    ring = np.stack([np.cos(angles), np.sin(angles), 0 * angles], 1)
    kept = crop(ring, 90, np.random.default_rng(0), around=np.array([0]))
    # Point 0 lies at -180 degrees: the 90 nearest directions are within 45 degrees of it, on both sides of the seam.
    assert len(kept) == 90 and (np.abs(np.abs(np.degrees(angles[kept])) - 180) <= 45).all()
    assert (crop(ring, 360, np.random.default_rng(0)) == np.arange(360)).all()


@pytest.mark.parametrize("seed", range(20))
def test_crop_takes_the_nearest_where_directions_repeat(seed):
    """A spinning sensor's columns: 20 points in each of 101 directions."""
    angles = np.tile(np.linspace(-3, 3, 101), 20)
    points = np.stack([np.cos(angles), np.sin(angles), np.repeat(np.arange(20), 101)], 1)
    centre = np.random.default_rng([seed, 1]).integers(len(points))
    kept = crop(points, 90, np.random.default_rng(seed), around=np.array([centre]))
    away = np.abs((angles - angles[centre] + np.pi) % (2 * np.pi) - np.pi)
    assert len(np.unique(kept)) == 90 and centre in kept and (np.diff(kept) > 0).all()
    assert np.sort(away[kept]) == pytest.approx(np.sort(away)[:90], abs=1e-6)


def test_augment_moves_rigidly_but_for_scale():
    points = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    moved, gain = augment(points, np.full(50, 0.5, np.float32), AUGMENT, np.random.default_rng(1))
    distance = np.linalg.norm(points[:25] - points[25:], axis=1)
    ratio = np.linalg.norm(moved[:25] - moved[25:], axis=1) / distance
    assert ratio == pytest.approx(np.full(25, ratio[0]), abs=1e-4) and abs(ratio[0] - 1) <= 0.1
    assert (0 <= gain).all() and (gain <= 1).all()


def test_labels_are_drawn_from_frames_that_have_them():
    frames = [{"labelled": k != 1} for k in range(4)]
    split = SimpleNamespace(labelled=True, scenes=list("aabc"), frames=frames, path="out/prepared/train")
    assert finetune.labelled(split, skip=["c"]) == [0, 2]
    assert finetune.labelled(split, skip=["[ab]"]) == [3]
    with pytest.raises(xkd.XkdError, match="out/prepared/train: no frame"):
        finetune.labelled(split, skip=["?"])


def test_unknown_objective_is_refused():
    with pytest.raises(
        xkd.XkdError, match="'magic' is unknown; there are cosine, ppkt, relational, superpixel, tolerant"
    ):
        objective("magic")


def test_steps_by_hand():
    settings = {"steps": {"base": 200, "per_frame": 4, "most": 700}}
    assert [finetune.steps(frames, settings) for frames in (1, 100, 1000)] == [204, 600, 700]


def test_the_rate_for_few_labels_holds_up_to_their_share():
    settings = {"lr": {"scratch": [0.5, 0.1], "distilled": 0.2}, "few": 0.05}
    assert [finetune.rate(settings, "scratch", share) for share in (0.01, 0.05, 0.25, 1)] == [0.5, 0.5, 0.1, 0.1]
    assert finetune.rate(settings, "distilled", 0.01) == finetune.rate(settings, "distilled", 1) == 0.2


class Labels:
    """Two frames of a prepared split, their labels alone."""

    def labels(self, i):
        return np.array([[0, 0, 2, -1], [2, 2, 5, 5]][i])


def test_classes_and_the_frames_that_hold_them():
    assert finetune.classes_of(Labels(), [0, 1]) == {0: [0], 2: [0, 1], 5: [1]}
    assert finetune.classes_of(Labels(), [1]) == {2: [1], 5: [1]}


@pytest.fixture(scope="module")
def small(stages):
    """The smoke profile and the folder of its first two stages (conftest)."""
    return xkd.params.profile("smoke") | {"out": stages}


@pytest.mark.parametrize("name", ["cosine", "superpixel"])
def test_distillation_teaches_the_student_alone_and_reproduces(small, tmp_path, name):
    def run(folder):
        settings = small["distill"] | {"objective": name}
        return distill.distill(
            small["data"],
            small["student"],
            settings,
            0,
            small["out"] / "prepared",
            small["out"] / "teacher",
            folder,
            tmp_path / "aligned.json",
            label="test-distill",
        )

    before = xkd.files.digest(small["out"] / "teacher")
    losses = run(tmp_path / "one")
    assert len(losses) == small["distill"]["steps"] and np.isfinite(losses).all()
    assert run(tmp_path / "two") == losses
    assert xkd.files.digest(tmp_path / "one") == xkd.files.digest(tmp_path / "two")
    assert xkd.files.digest(small["out"] / "teacher") == before


def test_whitening_by_its_definition(small):
    teacher = TeacherFeatures(small["out"] / "teacher", "train")
    features = np.concatenate([teacher.pairs(i)[2] for i in range(6)]).astype(float)
    values, vectors = np.linalg.eigh(features.T @ features / len(features))
    assert values.mean() == pytest.approx(1, abs=0.01)
    # Along each eigenvector the features are divided by the root of its eigenvalue, raised by 0.2.
    white = features @ teacher.whitening(0.2)
    expected = (features @ vectors) ** 2
    assert ((white @ vectors) ** 2).mean(0) == pytest.approx(expected.mean(0) / (values + 0.2), rel=0.01)
    assert 1e3 * teacher.whitening(1e6) == pytest.approx(np.eye(teacher.dim), abs=1e-3)


def test_pairs_of_a_batch_point_at_the_right_points(small):
    pool = distill.Pool(small["data"], small["distill"], small["out"] / "prepared", small["out"] / "teacher")
    pool.whitening = torch.eye(pool.dim)
    still = {"turn": 0, "flip": 0, "scale": 0, "jitter": 0, "gain": 0}
    voxels, pairs = pool.batch([0, 1], small["student"], {"crop": 500, "augment": still}, np.random.default_rng(0))
    inputs, scan = voxels.inputs.numpy(), voxels.scan.numpy()
    assert len(inputs) == len(pairs["features"]) == len(pairs["superpixel"]) and set(scan) == {0, 1}
    assert len(voxels.inverse.unique()) == len(voxels.inverse)
    for b in range(2):
        split, i = pool.index[b]
        prepared, teacher = pool.splits[split]
        point, superpixel, features = teacher.pairs(i)
        own = {feature.tobytes(): p for feature, p in zip(features, point, strict=True)}
        for row in np.flatnonzero(scan == b)[:50]:
            x, y, z = prepared.points(i)[own[pairs["features"][row].numpy().tobytes()]]
            assert inputs[row, 1:3] == pytest.approx([z * 0.25, np.hypot(x, y) * 0.04], abs=1e-4)


def test_cell_writes_what_the_report_reads(small, tmp_path):
    init = tmp_path / "init"
    prepared = xkd.prepared.Prepared(small["out"] / "prepared", "train")
    finetune.scratch(small["student"], prepared.classes, 0, init)
    arguments = (small["data"], small["student"], small["finetune"], 0.5, "scratch", 0, small["out"] / "prepared", init)
    result, losses = finetune.cell(*arguments, tmp_path / "cell", tmp_path / "m.json")
    again, _ = finetune.cell(*arguments, tmp_path / "cell2", tmp_path / "m2.json")
    assert (tmp_path / "m.json").read_bytes() == (tmp_path / "m2.json").read_bytes() and result == again
    assert xkd.files.digest(tmp_path / "cell") == xkd.files.digest(tmp_path / "cell2")
    confusion = np.load(tmp_path / "cell" / "confusion.npy")
    assert confusion.shape == (len(result["streets"]), 16, 16)
    validation = xkd.prepared.Prepared(small["out"] / "prepared", "val")
    assert confusion.sum() == sum((validation.labels(i) >= 0).sum() for i in range(len(validation)))
    assert xkd.load(tmp_path / "cell").config["classes"] == validation.classes
    assert len(losses) == result["steps"] == 4 and result["frames"] == round(0.5 * len(prepared))
    assert sum(result["classes_seen"].values()) > 0


def test_a_batch_asks_for_one_labelled_point_of_each_voxel(small):
    prepared = xkd.prepared.Prepared(small["out"] / "prepared", "train")
    settings = small["finetune"] | {
        "balanced": 0.0,
        "crop": 10**6,
        "augment": dict.fromkeys(small["finetune"]["augment"], 0),
    }
    voxels, labels = finetune.batch(prepared, [0, 1], {}, small["student"], settings, np.random.default_rng(0))
    whole = [(prepared.points(i), prepared.intensity(i)) for i in (0, 1)]
    every = collate(whole, small["student"]["voxel"], len(small["student"]["widths"]))
    known = np.concatenate([prepared.labels(i) for i in (0, 1)]) >= 0
    assert len(voxels.inverse.unique()) == len(voxels.inverse) == len(every.inverse[known].unique()) == len(labels)
    asked = {
        (*row, int(scan)): int(label)
        for row, scan, label in zip(voxels.inputs.tolist(), voxels.scan, labels, strict=True)
    }
    own = zip(every.inputs.tolist(), every.scan, np.concatenate([prepared.labels(i) for i in (0, 1)]), strict=True)
    there = {(*row, int(scan)): int(label) for row, scan, label in own}
    assert all(there[place] == label >= 0 for place, label in asked.items())


def test_features_are_asked_for_at_some_points_alone(small):
    prepared = xkd.prepared.Prepared(small["out"] / "prepared", "train")
    network = xkd.student.build(small["student"] | {"classes": prepared.classes}, 0).eval()
    voxels = network.voxels([(prepared.points(0), prepared.intensity(0))])
    chosen = np.array([5, 3, 200])
    with torch.inference_mode():
        assert torch.allclose(network.features(voxels.only(chosen)), network.features(voxels)[chosen], atol=1e-5)


def test_evaluation_does_not_hang_on_the_number_of_threads(small, monkeypatch):
    prepared = xkd.prepared.Prepared(small["out"] / "prepared", "val")
    network = xkd.student.build(small["student"] | {"classes": prepared.classes}, 0)
    results = []
    for threads in (1, 3):
        monkeypatch.setattr(train, "cores", lambda threads=threads: threads)
        results.append(dict(train.predict(network, prepared, batch=1)))
    assert results[0].keys() == results[1].keys() == set(range(len(prepared)))
    assert all(
        (results[0][i] == results[1][i]).all() and len(results[0][i]) == len(prepared.points(i)) for i in results[0]
    )
