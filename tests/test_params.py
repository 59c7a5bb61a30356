"""params.yaml: unknown and missing keys by name, profiles laid over it, streets kept apart."""

import pytest

from xkd import XkdError, params, stage_plots
from xkd.prepare import check_streets, prepare, splits
from xkd.prepared import Prepared


@pytest.mark.parametrize("profile", [None, *params.read()["profiles"]])
def test_every_profile_has_the_keys_that_the_code_reads(profile):
    for name, section in params.profile(profile).items():
        params.check(name, section)


@pytest.mark.parametrize(
    "name, change, words",
    [
        ("distill", {"temprature": 0.1}, "distill.temprature is an unknown parameter"),
        ("finetune", {"augment": {"turn": 1}}, "finetune.augment.flip is missing"),
        ("finetune", {"augment": {"turns": 1}}, "finetune.augment.turns is an unknown parameter; there are flip, gain"),
        ("student", {"depth": 3}, "student.depth is an unknown parameter"),
    ],
)
def test_a_wrong_key_is_refused_by_name(name, change, words):
    with pytest.raises(XkdError, match=words):
        params.sections(**{name: params.read()[name] | change})


@pytest.mark.parametrize(
    "name, change, words",
    [
        ("distill", {"batch": 0}, "distill.batch is 0; it has to be a whole number of 1 at least"),
        ("distill", {"lr": -1}, "distill.lr is -1; it has to be a number of 0 at least"),
        ("finetune", {"lr": {"scratch": "fast"}}, "finetune.lr.scratch is 'fast'"),
        ("finetune", {"lr": {"scratch": [0.1, -1]}}, "finetune.lr.scratch is -1"),
        ("finetune", {"steps": {"base": -5, "per_frame": 1, "most": 9}}, "finetune.steps.base is -5"),
        ("finetune", {"warmup": 1.0}, "finetune.warmup is 1.0; it has to be a number of 0 at least and 0.99 at most"),
        ("finetune", {"crop": True}, "finetune.crop is True"),
        ("student", {"voxel": 0}, "student.voxel is 0"),
        ("student", {"widths": [8, 0]}, "student.widths is 0"),
        ("student", {"widths": 8}, "student.widths is 8; it has to be a list"),
        ("data", {"unlabelled": "test"}, "data.unlabelled is 'test'; it has to be a list"),
        ("distill", {"objective": ["cosine"]}, "distill.objective is \\['cosine'\\]; it has to be a word"),
    ],
)
def test_a_wrong_value_is_refused_by_name(name, change, words):
    with pytest.raises(XkdError, match=words):
        params.sections(**{name: params.read()[name] | change})


def test_a_section_stays_one_and_a_value_too(tmp_path):
    with pytest.raises(XkdError, match="a is 1; it has to be a section"):
        params.overlay({"a": {"c": 1}}, {"a": 1})
    with pytest.raises(XkdError, match="x.a: c is {'d': 2}; it has to be one value"):
        params.overlay({"a": {"c": 1}}, {"a": {"c": {"d": 2}}}, "x")
    with pytest.raises(XkdError, match="distill is 1; it has to be a section"):
        params.check("distill", 1)
    (tmp_path / "params.yaml").touch()
    with pytest.raises(XkdError, match="params.yaml: holds no sections"):
        params.read(tmp_path / "params.yaml")


def test_unknown_profile_and_key_in_a_profile():
    with pytest.raises(XkdError, match="unknown profile 'none'"):
        params.profile("none")
    with pytest.raises(XkdError, match="x: unknown parameter 'b'; there are a"):
        params.overlay({"a": {"c": 1}}, {"b": 2}, "x")
    assert params.overlay({"a": {"c": 1, "d": 2}}, {"a": {"c": 3}}) == {"a": {"c": 3, "d": 2}}


DATA = {"root": "r", "train": "train", "validation": "val", "unlabelled": ["test"], "tuning": []}


def test_no_street_is_learnt_from_and_validated_on():
    streets = {"train": {"a"}, "test": {"b"}, "val": {"c"}}
    check_streets(DATA, streets)
    with pytest.raises(XkdError, match="c is in split 'test' and in the validation split 'val'"):
        check_streets(DATA, streets | {"test": {"b", "c"}})
    check_streets(DATA | {"tuning": ["?"]}, streets)
    with pytest.raises(XkdError, match="data.tuning: z\\* is no scene"):
        check_streets(DATA | {"tuning": ["z*"]}, streets)
    with pytest.raises(XkdError, match="also used for training"):
        splits(DATA | {"unlabelled": ["val"]})


def test_without_validation_streets_everything_but_a_score_is_made(made, tmp_path):
    data = params.profile("smoke")["data"] | {"root": str(made / "nuscenes"), "validation": None}
    assert splits(data) == {"train": True, "test": True}
    assert [
        row["split"] for row in prepare(params.check("data", data), params.profile("smoke")["prepare"], tmp_path)
    ] == ["train", "test"]
    train = Prepared(tmp_path, "train")
    assert len(stage_plots.class_histogram(train).data) == 1
    with pytest.raises(XkdError, match="data.validation is null, so that there is no frame to evaluate on"):
        Prepared(tmp_path, data["validation"])
    with pytest.raises(XkdError, match="data.validation is 3; it has to be a word or null"):
        params.check("data", data | {"validation": 3})


def test_fractions_are_written_as_their_cells_are_named():
    for sections in (params.profile(), params.profile("demo"), params.profile("real")):
        assert all(f"{fraction:g}" == str(fraction) for fraction in sections["sweep"]["fractions"])
