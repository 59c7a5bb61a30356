"""The search for the study's learning rates: every row gets the same, on the tuning streets alone, and goes on where it was."""

import json
from dataclasses import replace

import numpy as np
import pytest

from xkd import ROOT, XkdError, finetune, study, study_tune, study_tuning, tune
from xkd.files import read_json, write_json
from xkd.params import read
from xkd.prepared import Prepared
from xkd.study import Cell
from xkd.study_cell import made_of
from xkd.study_start import init_name, rate, settings_of


@pytest.fixture
def params(smoke):
    smoke["data"]["tuning"] = ["scene-*1"]
    return smoke


@pytest.fixture
def place(stages, gathered, tmp_path, monkeypatch):
    """A folder whose `out` has the smoke data's `prepared`, `teacher` and `views`, and where the search keeps what it found."""
    (tmp_path / "out").mkdir()
    for name in ("prepared", "teacher"):
        (tmp_path / "out" / name).symlink_to(stages / name)
    (tmp_path / "out" / "views").symlink_to(gathered.with_name("views"))
    monkeypatch.setattr(study_tune, "OUT", str(tmp_path / "out"))
    monkeypatch.setattr(study_tune, "TRAININGS", str(tmp_path / "study"))
    monkeypatch.setattr(study_tune, "RESULT", str(tmp_path / "tuning.json"))
    return tmp_path


def test_every_row_gets_the_same_search(monkeypatch, params, place):
    asked, made, starts = [], [], set()
    monkeypatch.setattr(study_tune, "steps_of", lambda params, share: 9)

    def scores(params, jobs, run, make, start):
        asked.extend(jobs)
        starts.update(start(job[0]) for job in jobs)
        best = {"ppkt": tune.RATES[0]}
        steps = {"fused": 7}  # the network with images has its own
        return {
            j: {"miou": 50 - abs(np.log(j[3] / best.get(j[0], tune.RATES[1]))), "steps": steps.get(j[0], 9)}
            for j in jobs
        }

    monkeypatch.setattr(tune, "scores", scores)
    monkeypatch.setattr(study_tune, "make", lambda params, cell, out: made.append(cell.row))
    found = study_tune.search(params)
    assert set(made) == set(study.RATED) and starts == set(study.RATED) - {"fused", "self-training"}
    shares, all_rates = ["0.01", "0.05", "1"], {tune.RATES[0] / 4, *tune.RATES}
    assert found["lr"] == {
        row: dict.fromkeys(shares, tune.RATES[0 if row == "ppkt" else 1]) for row in params["study"]["lr"]
    }
    rates = {row: {job[3] for job in asked if job[0] == row} for row in params["study"]["lr"]}
    assert set(map(frozenset, rates.values())) == {frozenset(all_rates)}
    assert {job[2] for job in asked if job[1] == 0.01} == set(study_tune.LEAST) == set(found["seeds"]["0.01"])
    assert {job[2] for job in asked if job[1] != 0.01} == set(tune.SEEDS) == set(found["seeds"]["0.05"])
    assert found["steps"] == dict.fromkeys(shares, 9)

    write_json(place / "tuning.json", found)
    for names, fractions in (["ppkt"], []), (["fused"], [1]), (["cosine", "fused"], [0.01, 1]), ([], [0.05]):
        asked.clear()  # at the rates that the others had, which stay as they are
        assert study_tune.search(params, names, fractions) == found
        assert {job[0] for job in asked} == set(names or study.RATED) and {job[3] for job in asked} <= all_rates
        assert {job[1] for job in asked} == set(fractions or [0.01, 0.05, 1])
        assert not names or {job[3] for job in asked} == all_rates

    asked.clear()
    write_json(place / "tuning.json", found | {"steps": {"0.01": 9, "0.05": 9, "1": 7}})
    with pytest.raises(
        XkdError, match="tuning.json: at 1 of the labels rates were searched with steps 7, now it is 9; sea"
    ):
        study_tune.search(params, ["ppkt"])
    write_json(place / "tuning.json", found | {"seeds": found["seeds"] | {"0.05": [7]}})
    with pytest.raises(
        XkdError, match=r"at 0.05 of the labels rates were searched with label subsets \[7\], now it is"
    ):
        study_tune.search(params, ["ppkt"])
    with pytest.raises(XkdError, match="No rate is searched at 0.5 of the labels, but at 0.01, 0.05, 1."):
        study_tune.search(params, ["ppkt"], [0.5])
    with pytest.raises(XkdError, match="study.lr has no rate 'nothing'; it has scratch, lidar-ssl, "):
        study_tune.search(params, ["ppkt", "nothing"])
    (place / "out" / "views").unlink()
    with pytest.raises(XkdError, match="views: no such folder; run dvc repro views first"):
        study_tune.search(params)
    params["data"]["tuning"] = []
    with pytest.raises(XkdError, match="data.tuning names no street"):
        study_tune.search(params)
    assert not asked  # nothing is trained before what is wrong is said


def test_steps_are_those_of_a_training(params, place):
    split = Prepared(place / "out" / "prepared", params["data"]["train"])
    own = finetune.labelled(split, params["data"]["tuning"])
    params["finetune"]["steps"] = {"base": 10, "per_frame": 4, "most": 100}
    params["study"] |= {"steps": 1, "search": 0.5}
    assert study_tune.steps_of(params, 1) == 5 + 2 * len(own)
    assert study_tune.steps_of(params, 0.01) == 7


def test_rates_are_the_winners_of_the_search_and_its_means_those_of_the_trainings():
    found, sections = study_tuning.read(ROOT / "study" / "tuning.json"), read()
    assert set(study.RATED) == set(found["search"])
    assert study_tuning.merged(found, {}, {}, {}) == found
    shares = study_tune.subsets(sections)
    assert found["seeds"] == {f"{share:g}": list(own) for share, own in shares.items()}
    for share in shares:
        tried = study_tuning.tried(found["search"], f"{share:g}")
        assert set(tried) >= {name for name in found["search"] if not name.startswith("cosine-")}
        assert study_tuning.uneven(found["search"], f"{share:g}") is None, "every row has the same budget"
        for name, rates in tried.items():
            best = found["lr"][name][f"{share:g}"]
            assert min(rates) < best < max(rates), "an edge extends the search"
            assert best == rate(sections, name, share), name
    for row, rates in found["search"].items():
        block, name = study.RATED[row]
        for lr, scores in rates.items():
            for fraction, score in scores.items():
                files = [f"{lr}/{block}/{name}-{fraction}-{seed}.json" for seed in found["seeds"][fraction]]
                trained = [read_json(ROOT / "study" / "tuning" / file) for file in files]
                assert score == pytest.approx(np.mean([one["miou"] for one in trained]), abs=6e-4), files
                settings = sections["fused"] if row == "fused" else settings_of(sections)
                assert {one["steps"] for one in trained} == {finetune.steps(trained[0]["frames"], settings)}
                if row != "fused":
                    assert trained[0]["steps"] == found["steps"][fraction]


def test_a_training_of_the_search_is_cut_short_and_has_its_own_rate(params):
    params["finetune"]["steps"] = {"base": 10, "per_frame": 200, "most": 7800}
    params["study"] |= {"steps": 0.5, "search": 0.2}
    tried = study_tune.searched(params, "cosine", 0.5)
    assert tried["study"]["lr"] == params["study"]["lr"] | {"cosine": 0.5}
    assert [finetune.steps(frames, settings_of(params)) for frames in (20, 400)] == [2005, 3900]
    assert [finetune.steps(frames, settings_of(tried)) for frames in (20, 400)] == [401, 780]


@pytest.mark.parametrize("init", ["scratch", "fused", "self-training"])
def test_a_row_is_judged_on_the_tuning_streets_alone_and_once(params, place, monkeypatch, init):
    split = Prepared(place / "out" / "prepared", params["data"]["train"])
    held = [i for i, scene in enumerate(split.scenes) if scene.endswith("1")]
    assert held and len(held) < len(split)
    guesses = {i: np.zeros(len(split.labels(i)), np.int64) for i in held}
    looked = []

    def predict(network, prepared, frames):
        looked.append(list(frames))
        return guesses.items()

    def whole(network, seen, i):
        looked.append(i)
        return np.eye(len(split.classes))[guesses[i]].argmax(1)

    monkeypatch.setattr(study_tune, "predict", predict)
    monkeypatch.setattr(study_tune.mixed, "whole", lambda *a: Guess(whole(*a)))
    found = study_tune.run(params, init, 1, 100, 0.5)
    # All is taken for the first class: its IoU is its share of the labelled points, that of every other class there is 0.
    counts = sum(np.bincount(split.labels(i)[split.labels(i) >= 0], minlength=len(split.classes)) for i in held)
    expected = counts[0] / counts.sum() / np.count_nonzero(counts) * 100 if counts[0] else 0
    assert found["miou"] == pytest.approx(expected, abs=1e-3)
    assert looked == (held if init == "fused" else [held])
    kept = list((place / "study").rglob("*.json"))
    assert [path.name for path in kept] == [f"{init}-1-100.json"] and json.loads(kept[0].read_text()) == found
    again = study_tune.run(params, init, 1, 100, 0.5)
    assert again == found and len(looked) == (len(held) if init == "fused" else 1)


class Guess:
    """What `mixed.whole` gives, as far as it is asked here: classes behind `argmax(1).numpy()`."""

    def __init__(self, classes):
        self.classes = classes

    def argmax(self, axis):
        return self

    def numpy(self):
        return self.classes


def test_a_score_of_other_parameters_does_not_count(params, place):
    cell = study_tune.cell_of(params, "scratch", 1, 100, 0.5)
    assert cell == Cell("pretraining", "scratch", 1, 100, place / "study" / "0.5")
    cell.file.parent.mkdir(parents=True)
    cell.file.write_text(json.dumps({"miou": 99.0, "made_of": "something else"}))
    assert not study.done(study_tune.searched(params, "scratch", 0.5), cell, study_tune.OUT)


def test_at_the_least_share_a_training_begins_with_an_init_of_the_study_s(params, place):
    """Its labels are of a subset that no row of the study has; elsewhere labels and init have one seed, as in the study."""
    params["study"]["seeds"] = [3, 5]  # where there are too few of them, with one of its own
    cells = [study_tune.cell_of(params, "scratch", 0.01, seed) for seed in study_tune.LEAST]
    assert [(cell.seed, cell.init_seed) for cell in cells] == [(200, 3), (201, 5), (202, 202), (203, 203), (204, 204)]
    other = study_tune.cell_of(params, "scratch", 1, 100)
    assert other.init_seed == other.seed == 100
    study_s = replace(cells[1], seed=5, init=None)
    assert init_name(params, cells[1], study_tune.OUT) == init_name(params, study_s, study_tune.OUT)
    digests = {made_of(params, cell, study_tune.OUT) for cell in (*cells, study_s, replace(cells[0], init=5))}
    assert len(digests) == len(cells) + 2


def test_three_rates_hold_up_to_the_least_share_for_few_labels_and_for_many(params):
    params["study"]["lr"] |= {"scratch": [1, 2, 3], "cosine": [4, 5], "ppkt": 6}
    for fraction, expected in (
        (0.01, (1, 4, 6)),
        (0.02, (2, 4, 6)),
        (0.05, (2, 4, 6)),
        (0.06, (3, 5, 6)),
        (1, (3, 5, 6)),
    ):
        assert tuple(rate(params, name, fraction) for name in ("scratch", "cosine", "ppkt")) == expected


def test_a_rate_of_the_least_share_is_none_of_the_others(params, place):
    """Cells above it do not become stale when the network with images gets a rate of its own there."""
    found = []
    for fused in [0.1, 0.2], [0.3, 0.1, 0.2]:
        params["study"]["lr"]["fused"] = fused
        cells = [Cell("unlabelled", "xmodel", fraction, 0, place) for fraction in (0.01, 0.5, 1)]
        found.append([made_of(params, cell, study_tune.OUT) for cell in cells])
    assert [one == other for one, other in zip(*found, strict=True)] == [False, True, True]


def test_help_begins_no_search(monkeypatch, capsys):
    monkeypatch.setattr(study_tune, "search", lambda *given: pytest.fail("a search of hours"))
    for words, status in (["--help"], 0), (["--check"], 2):
        with pytest.raises(SystemExit) as ended:
            study_tune.main(words)
        assert ended.value.code == status
    assert "Learning rates of the study's rows" in capsys.readouterr().out
