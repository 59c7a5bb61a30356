"""The search for learning rates and the check of convergence, on scores that are given; a score by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from xkd import XkdError, finetune, train, tune
from xkd.files import read_json, write_json


def scored(best, asked):
    """A stand-in for `tune.scores`: mIoU falls with the distance, in steps of the grid, from the best rate of an init."""
    from math import log

    def scores(params, jobs):
        asked.append(sorted({job[3] for job in jobs}))
        ratio = log(tune.RATES[1] / tune.RATES[0])
        return {
            job: {"miou": 60 - abs(log(job[3] / best[job[0]])) / ratio + job[2] % 2, "steps": 10 * job[4]}
            for job in jobs
        }

    return scores


PARAMS = {"finetune": {"few": 0.05}}


def test_a_winner_within_the_grid_ends_the_search(monkeypatch):
    asked = []
    monkeypatch.setattr(tune, "scores", scored({"scratch": tune.RATES[1], "distilled": tune.RATES[1]}, asked))
    table, best, steps = tune.search(PARAMS, ["scratch", "distilled"])
    assert best == {"scratch": [tune.RATES[1]] * 2, "distilled": [tune.RATES[1]] * 2}
    assert asked == [list(tune.RATES)] * 2 and steps == {"0.05": 10, "1": 10}
    assert table["scratch"][f"{tune.RATES[1]:g}"] == {"0.05": 60.5, "1": 60.5}  # of the seeds 100 and 101


@pytest.mark.parametrize("step", [-1, 1])
def test_a_winner_at_the_edge_extends_the_grid_of_both_inits(monkeypatch, step):
    ratio, asked = tune.RATES[1] / tune.RATES[0], []
    beyond = (max(tune.RATES) if step > 0 else min(tune.RATES)) * ratio**step
    monkeypatch.setattr(tune, "scores", scored({"scratch": beyond, "distilled": tune.RATES[1]}, asked))
    table, best, _ = tune.search(PARAMS, ["scratch", "distilled"])
    assert best["scratch"] == pytest.approx([beyond] * 2) and best["distilled"] == [tune.RATES[1]] * 2
    # the grid, the new edge, and one beyond it that shows the edge to be the best; at few labels and at all
    assert [len(rates) for rates in asked] == [len(tune.RATES) + k for k in range(3)] * 2
    assert table["scratch"].keys() == table["distilled"].keys() and len(table["scratch"]) == len(tune.RATES) + 2


def test_a_search_that_ends_at_its_edge_says_so(monkeypatch, capsys):
    asked, beyond = [], max(tune.RATES) * (tune.RATES[1] / tune.RATES[0]) ** 99
    monkeypatch.setattr(tune, "scores", scored({"scratch": tune.RATES[1], "distilled": beyond}, asked))
    _, best, _ = tune.search(PARAMS, ["scratch", "distilled"])
    assert [len(rates) for rates in asked] == [*range(len(tune.RATES), tune.MOST + 1)] * 2
    assert best["distilled"] == [max(asked[-1])] * 2
    said = "of the labels the best of 9 rates is the last one of distilled; the search ends there."
    assert capsys.readouterr().err.splitlines() == [f"xkd: at {fraction} {said}" for fraction in (0.05, 1)]


def test_the_check_compares_each_seed_with_itself(monkeypatch):
    def scores(params, jobs):
        assert all(job[0] == "scratch" and job[3] == 0.01 for job in jobs)
        return {
            job: {"miou": job[2] + (0.3 if job[2] % 2 else 0.1) * (job[4] - 1), "steps": 7 * job[4]} for job in jobs
        }

    monkeypatch.setattr(tune, "scores", scores)
    row = tune.convergence(PARAMS, 0.01, 0.25, (5, 2))
    assert row == {"steps": 7, "miou": 100.5, "miou_double": 100.7, "seeds": 2, "differences": [0.1, 0.3]}
    for fraction, seeds in (0.05, 12), (0.06, 4):  # more subsets where labels are few
        assert len(tune.convergence(PARAMS, 0.01, fraction)["differences"]) == seeds


def test_the_check_writes_what_it_has_after_each_fraction(monkeypatch, tmp_path):
    params = PARAMS | {"data": {"tuning": ["s"]}, "sweep": {"fractions": [1, 0.1, 0.05]}}
    (tmp_path / "views").mkdir()
    monkeypatch.setattr(tune, "OUT", tmp_path)
    monkeypatch.setattr(tune, "tuned", lambda params: {})

    def convergence(params, rate, fraction):
        if fraction == 1:
            raise KeyboardInterrupt
        return {"miou": rate}

    monkeypatch.setattr(tune, "convergence", convergence)
    old = {"sections": {}, "lr": {"scratch": [0.25, 0.5]}, "convergence": {"0.1": {"miou": 1}, "1": {"miou": 1}}}
    with pytest.raises(KeyboardInterrupt):
        tune.tune(params, tmp_path / "tuning.json", old)
    assert read_json(tmp_path / "tuning.json")["convergence"] == {"0.05": {"miou": 0.25}, "0.1": {"miou": 0.5}}
    kept = {"sections": {}, "lr": {"scratch": [0.25, 0.5]}, "convergence": {"0.05": {"miou": 1}, "1": {"miou": 1}}}
    tune.tune(params, tmp_path / "tuning.json", kept, [0.05])
    assert read_json(tmp_path / "tuning.json")["convergence"] == {"0.05": {"miou": 0.25}, "1": {"miou": 1}}
    with pytest.raises(XkdError, match=r"sweep.fractions is \[1, 0.1, 0.05\]; 0.2 is not among them"):
        tune.tune(params, tmp_path / "tuning.json", kept, [0.2])


def test_a_rate_is_judged_on_the_tuning_streets_alone(monkeypatch, tmp_path):
    """Frames 0, 1 and 4 are learnt from, and there the network is right; of 2 and 3, which judge, it takes a road for a car."""
    labels = np.array([0, 0, 1, 1])
    guesses = {i: labels for i in (0, 1, 3, 4)} | {2: np.array([0, 1, 1, 1])}
    split = SimpleNamespace(scenes=["a", "a", "t1", "t2", "b"], classes=["road", "car"], labels=lambda i: labels)
    split.frames, split.labelled = [{"labelled": True}] * 5, True
    settings = {"subset": "spread", "steps": {"base": 10, "per_frame": 2, "most": 99}, "lr": {"scratch": 0.5}}
    trained, state = [], tmp_path / "resume" / "0123" / "finetune.pt"

    def training(prepared, frames, start, student, settings, lr, seed, label):
        trained.append((list(frames), finetune.steps(len(frames), settings), lr, seed))
        return "network", [], state

    monkeypatch.setattr(tune, "OUT", tmp_path)
    monkeypatch.setattr(tune, "Prepared", lambda path, name: split)
    monkeypatch.setattr(tune, "initial", lambda params, init, seed: tmp_path / "init")
    monkeypatch.setattr(finetune, "state_file", lambda *_: state)
    monkeypatch.setattr(finetune, "train", training)
    monkeypatch.setattr(train, "predict", lambda network, prepared, frames: ((i, guesses[i]) for i in frames))
    params = {"data": {"train": "train", "tuning": ["t?"]}, "finetune": settings, "student": {}}
    # Road is found 3 times of 4, car 4 times of 5: (75 + 80) / 2. Twice 10 + 2 * 3 steps.
    for _ in range(2):
        found = tune.run(params, "scratch", 1, 100, 0.02, 2)
        assert found == {"miou": 77.5, "steps": 32, "frames": 3}
    assert trained == [([0, 1, 4], 32, 0.02, 100)]  # once: the score is kept
    path = tmp_path / "tune" / "0123.json"
    write_json(path, {"steps": 32})
    with pytest.raises(XkdError, match=f"{path}: has no key miou."):
        tune.run(params, "scratch", 1, 100, 0.02, 2)
