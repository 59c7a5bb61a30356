"""One cell of `xmodel`: what it writes is a cell of the sweep, and what another process did before is taken up."""

import json

import numpy as np
import pytest

from xkd import ROOT, XkdError, companion, finetune, params, taught, unlabelled
from xkd.metrics import miou
from xkd.unlabelled import Place


@pytest.fixture
def sections():
    return params.profile("smoke")


@pytest.fixture
def place(made, stages, gathered, sections):
    return Place(stages / "prepared", gathered, sections["data"] | {"root": str(made / "nuscenes")})


@pytest.fixture
def inits(place, sections, tmp_path):
    """Folder with a start for each of two seeds."""
    classes = place.split(place.data["train"]).classes
    for seed in (0, 1):
        finetune.scratch(sections["student"], classes, seed, tmp_path / "init" / f"distilled-{seed}")
    return tmp_path / "init"


def run(place, sections, inits, out, fraction=0.5, seed=0):
    start, settings = inits / f"distilled-{seed}", sections["finetune"]
    return taught.cell(settings, sections, fraction, seed, place, start, out / "cell", out / "metrics.json")


def left():
    return {path for path in (ROOT / "out" / "resume").glob("*/*") if path.name != companion.DONE}


def test_a_cell_is_one_of_the_sweep(place, sections, inits, tmp_path):
    before, file = left(), inits / "distilled-0" / "network.json"
    about = json.loads(file.read_text())
    about["facts"]["teacher"] = "5e" * 32  # as a distilled one has it
    file.write_text(json.dumps(about))
    result, losses, first = run(place, sections, inits, tmp_path)
    plain, settings = tmp_path / "plain", sections["finetune"]
    arguments = (place.data, sections["student"], settings | {"lr": {"distilled": 0.01}}, 0.5, "distilled", 0)
    other, _ = finetune.cell(*arguments, place.prepared, inits / "distilled-0", plain / "cell", plain / "metrics.json")
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert written == result and set(written) == set(other) | {"start", "fused_steps", "pseudo_labelled_frames"}
    for name in ("frames", "labelled_frames", "classes_seen", "steps", "streets", "teacher"):
        assert written[name] == other[name], name
    assert written["teacher"] == about["facts"]["teacher"]
    assert (written["init"], written["objective"], written["lr"]) == ("xmodel", "xmodel", settings["lr"]["xmodel"][1])
    assert (
        len(losses) == written["steps"] and len(first) == written["fused_steps"] == sections["fused"]["steps"]["base"]
    )
    everything = sum(len(place.split(name)) for name in (place.data["train"], *place.data["unlabelled"]))
    assert written["pseudo_labelled_frames"] == everything - written["frames"] and written["start"] == "none"
    assert miou(np.load(tmp_path / "cell" / "confusion.npy").sum(0)) == pytest.approx(written["miou"], abs=1e-3)
    assert {path.name for path in (tmp_path / "cell").iterdir()} == {path.name for path in (plain / "cell").iterdir()}
    assert left() == before


def test_what_a_companion_did_is_taken_up(place, sections, inits, tmp_path, monkeypatch):
    """The same numbers, and no step trained again."""
    alone, *_ = run(place, sections, inits, tmp_path / "alone")
    train_set = place.split(place.data["train"])
    frames = finetune.chosen(train_set, finetune.labelled(train_set, place.data["tuning"]), 0.5, 0, "spread")
    settings = sections["finetune"]
    unlabelled.teach(
        place,
        frames,
        inits / "distilled-0",
        sections["student"],
        settings,
        sections,
        finetune.rate(settings, "xmodel", 0.5),
        0,
        "beside",
    )
    monkeypatch.setattr(unlabelled.mixed, "loss", lambda *given: pytest.fail("a step was trained again"))
    again, *_ = run(place, sections, inits, tmp_path / "again")
    assert again == alone


def test_the_next_cell_is_trained_beside_this_one(place, sections, inits, monkeypatch):
    train_set, arguments = (
        place.split(place.data["train"]),
        (sections["student"], sections["finetune"] | {"lr": {"xmodel": 0.01}}, sections),
    )
    own = finetune.labelled(train_set, place.data["tuning"])
    monkeypatch.setattr(companion, "idle", lambda settings: True)
    sweep = {"fractions": [0.5, 1], "inits": ["scratch"], "seeds": [0, 1, 2]}
    monkeypatch.setattr(params, "profile", lambda: {"sweep": sweep})

    def following(fraction, seed):
        job = taught.ahead(place, train_set, own, inits / f"distilled-{seed}", arguments, fraction, seed)
        return job and (job[0], len(job[2]), job[3].name, job[-1])

    few, all_ = len(finetune.chosen(train_set, own, 0.5, 1, "spread")), len(own)
    assert following(0.5, 0) == (unlabelled.teach, few, "distilled-1", "xmodel-0.5-1")
    # those of the same size come first; of the third seed there is no start yet
    assert following(0.5, 1) == (unlabelled.teach, few, "distilled-0", "xmodel-0.5-0")
    assert following(1, 1) == (unlabelled.teach, all_, "distilled-0", "xmodel-1-0")
    assert following(0.25, 0) is None
    monkeypatch.setattr(companion, "idle", lambda settings: False)
    assert following(0.5, 0) is None


def test_where_all_is_labelled_the_labelled_frames_are_predicted(place):
    place.data["unlabelled"] = []
    everything = list(range(len(place.split(place.data["train"]))))
    assert place.unlabelled(everything) == [] and place.predicted(everything, 99) == [(place.data["train"], everything)]
    assert place.predicted(everything[:1], 99) == [(place.data["train"], everything[1:])]


class Streets:
    """A split by its streets alone."""

    def __init__(self, scenes):
        self.scenes = list(scenes)

    def __len__(self):
        return len(self.scenes)


@pytest.mark.parametrize(("tuning", "rest"), [(["t?"], [1, 4]), (["t1", "b"], [1, 3]), ([], [1, 2, 3, 4])])
def test_tuning_streets_get_no_pseudo_labels(monkeypatch, tuning, rest):
    """Of the streets a, a, t1, t2, b the first frame is labelled; what judges a training is not learnt from either."""
    scenes = {"train": ["a", "a", "t1", "t2", "b"], "more": ["t1", "c"]}
    monkeypatch.setattr(Place, "split", lambda self, name: Streets(scenes[name]))
    place = Place(None, None, {"train": "train", "tuning": tuning, "unlabelled": ["more"]})
    assert place.unlabelled([0]) == place.predicted([0], 99) == [("train", rest), ("more", [0, 1])]


def test_of_many_frames_some_are_chosen_evenly(place):
    train, (more,) = place.data["train"], place.data["unlabelled"]
    rest = [(train, i) for i in range(1, len(place.split(train)))] + [(more, i) for i in range(len(place.split(more)))]
    found = place.predicted([0], 3)
    assert [(name, i) for name, own in found for i in own] == [rest[0], rest[(len(rest) - 1) // 2], rest[-1]]


def test_a_wrong_parameter_is_named_before_anything_is_trained(sections):
    with pytest.raises(XkdError, match="params.yaml: mixing.share is 1.5"):
        params.sections(fused=sections["fused"], mixing=sections["mixing"] | {"share": 1.5})
