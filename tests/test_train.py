"""The training loop: batches, schedule, stopping and going on; distillation and evaluation on a tiny prepared set."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from torch import nn

import xkd
import xkd.prepared
from xkd import distill, train
from xkd.gathered import Seen
from xkd.objectives import objective
from xkd.prepared import TeacherFeatures

FIT = {
    "steps": 12,
    "lr": 0.05,
    "warmup": 0.25,
    "optimiser": "muon",
    "weight_decay": 0.0,
    "clip": 5.0,
    "save_every": 0.0,
}


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


def test_a_batch_is_pinned_whatever_holds_its_tensors(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self + 1)  # there is none without a GPU
    seen = Seen(*(torch.zeros(2) for _ in fields(Seen)))
    voxels, pairs, held, nothing = train.pinned((seen, {"point": torch.zeros(1)}, [torch.zeros(3)], None))
    assert nothing is None and isinstance(voxels, Seen) and isinstance(held, list)
    assert all((own == 1).all() for own in [*vars(voxels).values(), pairs["point"], *held])
    assert (seen.point == 0).all()


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


def test_a_state_goes_on_with_the_optimiser_of_its_device(tmp_path, monkeypatch):
    """Saved where AdamW is fused, as on a GPU, and gone on with where it is not."""
    settings, steps, seen = FIT | {"optimiser": "adamw"}, torch.optim.AdamW.step, []
    network, loss = network_and_loss()
    train.fit(network, make, loss, settings | {"steps": 3}, tmp_path / "state.pt", "test-fit")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    for group in state["optimisers"][0]["param_groups"]:
        group["fused"] = True
    torch.save(state, tmp_path / "state.pt")

    def step(self, *given):
        seen.append([group["fused"] for group in self.param_groups])
        return steps(self, *given)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    network, loss = network_and_loss()
    train.fit(network, make, loss, settings, tmp_path / "state.pt", "test-fit")
    assert seen == [[None]] * 9


def test_loss_that_is_not_finite_is_refused(tmp_path):
    network, _ = network_and_loss()
    with pytest.raises(xkd.XkdError, match="loss at step 0 is nan"):
        train.fit(
            network, make, lambda batch: network(batch[0]).mean() * float("nan"), FIT, tmp_path / "s.pt", "test-fit"
        )
    assert all(torch.isfinite(p).all() for p in network.parameters())


def test_unknown_objective_is_refused():
    with pytest.raises(
        xkd.XkdError, match="'magic' is unknown; there are cosine, ppkt, relational, superpixel, tolerant"
    ):
        objective("magic")


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
