"""What a late stage would refuse of params.yaml is refused before the first one starts."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import xkd
from xkd import XkdError, beforehand, estimate, params, profiles, teachers
from xkd.objectives import OBJECTIVES


@pytest.mark.parametrize(
    ("section", "change", "words"),
    [
        ("student", {"voxle": 0.5}, "student.voxle is an unknown parameter"),
        (
            "student",
            {"backbone": "spunet", "widths": [8, 8]},
            "student.widths is [8, 8]; spunet takes one for the stem",
        ),
        ("student", {"backbone": "resnet"}, "student.backbone 'resnet' is unknown"),
        ("data", {"root": "data/nuscene"}, "data.root is data/nuscene, and there is no such folder"),
        ("teacher", {"source": None}, "teacher.source is None; it has to be a folder"),
        ("mixing", {"share": 5}, "mixing.share is 5"),
        ("finetune", {"lr": {"scratch": [0.1]}}, "finetune.lr.scratch is [0.1]; it has to be one rate, or two"),
        ("data", {"kind": "kitti"}, "data.kind 'kitti' is unknown; there are folder, kitti_raw, nuscenes"),
        ("data", {"root": "/nowhere"}, "data.root is /nowhere, and there is no such folder"),
        ("teacher", {"source": "nowhere"}, "teacher.source is nowhere, and there is no such folder"),
        ("prepare", {"method": "sam"}, "prepare.method 'sam' is unknown; there are "),
        (
            "distill",
            {"objective": "cosin"},
            "'cosin' is unknown; there are cosine, ppkt, superpixel, tolerant, relational, xmodel.",
        ),
        ("sweep", {"seeds": 0}, "sweep.seeds is 0; it has to be a list"),
        ("sweep", {"seeds": [0, 0.5]}, "sweep.seeds is 0.5; it has to be a whole number of 0 at least"),
        ("sweep", {"seeds": [-1]}, "sweep.seeds is -1; it has to be a whole number of 0 at least"),
        ("sweep", {"seeds": ["0"]}, "sweep.seeds is '0'; it has to be a whole number of 0 at least"),
        ("sweep", {"seeds": [1, 0, 1]}, "sweep.seeds is [1, 0, 1]; it has to name one at least, and none twice"),
        ("sweep", {"fractions": []}, "sweep.fractions is []; it has to name one at least"),
        ("sweep", {"fractions": [0.5, 1.0]}, "sweep.fractions has 1.0; it names files, so write 1 instead"),
        ("sweep", {"fractions": [0.3333333]}, "sweep.fractions has 0.3333333; it names files, so write 0.333333"),
        ("sweep", {"fractions": [0]}, "sweep.fractions has 0; it has to be a number above 0 and 1 at most"),
        ("sweep", {"fractions": [1.5]}, "sweep.fractions has 1.5; it has to be a number above 0 and 1 at most"),
        ("sweep", {"fractions": ["1e-2"]}, "sweep.fractions has '1e-2'; it has to be a number above 0"),
        ("sweep", {"fractions": [True]}, "sweep.fractions has True; it has to be a number above 0"),
        ("sweep", {"fractions": [0.00001]}, "sweep.fractions has 1e-05, and 0.0001 is the least"),
        ("sweep", {"inits": ["scratch", "xmodel"]}, "sweep.inits 'xmodel' is unknown; there are scratch, distilled"),
        ("finetune", {"lr": {"scratch": 0.1, "xmodel": 0.1}}, "finetune.lr.distilled is missing; there are scratch"),
        ("finetune", {"lr": {"scratch": 0.1, "distilled": 0.1}}, "finetune.lr.xmodel is missing"),
        ("finetune", {"lr": 0.1}, "finetune.lr is 0.1; it has to be a section"),
        ("finetune", {"optimiser": "adam"}, "finetune.optimiser 'adam' is unknown; there are muon, adamw, sgd"),
        ("distill", {"optimiser": "mun"}, "distill.optimiser 'mun' is unknown; there are muon, adamw, sgd"),
        ("finetune", {"subset": "scene"}, "finetune.subset 'scene' is unknown; there are spread, scenes, scans"),
        ("distill", {"steps": 2.5}, "distill.steps is 2.5; it has to be a whole number of 1 at least"),
        ("distill", {"steps": [100]}, "distill.steps is [100]; it has to be one number"),
        ("finetune", {"batch": 1.5}, "finetune.batch is 1.5; it has to be a whole number of 1 at least"),
        ("finetune", {"batch": 2, "processes": 3}, "finetune.batch is 2, which finetune.processes, 3, cannot share"),
        ("finetune", {"crop": 100.5}, "finetune.crop is 100.5; it has to be a whole number of 2 at least"),
        ("finetune", {"lovasz_points": 9.5}, "finetune.lovasz_points is 9.5; it has to be a whole number"),
        (
            "fused",
            {"steps": {"base": 0.5, "per_frame": 0.5, "most": 9}},
            "fused.steps.base is 0.5; it has to be a whole",
        ),
        ("student", {"widths": [24.5, 32]}, "student.widths is 24.5; it has to be a whole number of 1 at least"),
        ("student", {"widths": []}, "student.widths is []; it has to name one level at least"),
        ("student", {"voxel": [0.1, 1]}, "student.voxel is [0.1, 1]; it has to be one number, or three"),
        ("prepare", {"superpixels": 99.5}, "prepare.superpixels is 99.5; it has to be a whole number"),
        ("report", {"draws": 0}, "report.draws is 0; it has to be a whole number of 1 at least"),
        ("data", {"unlabelled": ["test", "train"]}, "data.unlabelled names 'train', the training split"),
        ("data", {"unlabelled": ["val"]}, "data.validation 'val' is also used for training"),
        ("data", {"unlabelled": ["test", "test"]}, "data.unlabelled names 'test' twice"),
        ("teacher", {"name": "minni"}, "teacher.name 'minni' is unknown; there are features, mini"),
        ("teacher", {"scale": 2.0}, "teacher.scale is an unknown parameter of mini; there are mini, name, pairs_per_"),
        ("teacher", {"pairs_per_frame": 8.5}, "teacher.pairs_per_frame is 8.5; it has to be a whole number"),
        ("teacher", {"mini": {"stepps": 9}}, "mini teacher: unknown parameter 'stepps'"),
        ("teacher", {"mini": {"steps": 9.5}}, "teacher.mini.steps is 9.5; it has to be a whole number of 3 at least"),
    ],
)
def test_what_a_late_stage_would_refuse_is_refused_at_the_start(monkeypatch, capsys, section, change, words):
    sections = params.profile()
    sections[section] |= change
    monkeypatch.setattr(params, "profile", lambda: sections)
    assert estimate.main([]) == 1
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1


@pytest.mark.parametrize("name", sorted(set(teachers.names()) - {"mini"}))
def test_a_key_that_a_teacher_does_not_take_is_refused_at_the_start(monkeypatch, tmp_path, name):
    sections, weights = params.profile(), tmp_path / "weights.pth"
    monkeypatch.setattr(params, "profile", lambda: sections)
    monkeypatch.setattr("xkd.beforehand.check_first_map", lambda data, teacher: None)
    weights.touch()
    sections["teacher"] |= {"name": name, "source": str(weights if name == "resnet" else tmp_path)}
    assert estimate.checked() == sections
    sections["teacher"]["pairs_per_fram"] = 8
    with pytest.raises(XkdError, match=f"teacher.pairs_per_fram is an unknown parameter of {name}; there are .*reach"):
        estimate.checked()
    del sections["teacher"]["pairs_per_fram"], sections["teacher"]["reach"]
    with pytest.raises(XkdError, match="teacher.reach is missing; there are mini, name, pairs_per_frame, seed, source"):
        estimate.checked()


def test_the_sections_of_every_profile_come_to_their_end(monkeypatch, tmp_path):
    """All that its stages would refuse, but for the folders, which are each user's own."""
    monkeypatch.setattr("xkd.beforehand.check_folders", lambda data, teacher: None)
    given = {name: params.profile(name) for name in params.read()["profiles"]}
    for sections in given.values():
        monkeypatch.setattr(params, "profile", lambda sections=sections: sections)
        assert estimate.checked() == sections


def test_feature_maps_of_other_images_are_refused_at_the_start(monkeypatch, capsys, tmp_path, kitti):
    data = {
        "kind": "semantickitti",
        "root": str(kitti),
        "train": "train",
        "validation": "val",
        "unlabelled": [],
        "tuning": [],
    }
    image = next(iter(xkd.open_dataset("semantickitti", kitti, "train"))).cameras[0].path
    place = tmp_path / "maps" / Path(*image.with_suffix(".npy").parts[-3:])
    place.parent.mkdir(parents=True)
    np.save(place, np.zeros((4, 2, 3), np.float32))
    sections = params.profile()
    monkeypatch.setattr(params, "profile", lambda: sections)
    own = {"seed": 0, "reach": 1}
    sections["data"] |= data
    sections["teacher"] = {"name": "features", "source": str(tmp_path / "maps"), "pairs_per_frame": 8} | own
    assert estimate.checked() == sections
    # The default of a copy that no teacher was named for: a folder that `xkd.sim` would make, of images and not of maps.
    sections["teacher"]["source"] = "data/cityscapes"
    (tmp_path / "copy").mkdir()
    shutil.copy(xkd.ROOT / "params.yaml", tmp_path / "copy")
    with monkeypatch.context() as copied:
        copied.setattr(xkd, "ROOT", tmp_path / "copy")
        assert estimate.main([]) == 1
    said = capsys.readouterr().err
    assert said == "xkd: params.yaml: teacher.source is data/cityscapes, and there is no such folder.\n"
    sections["teacher"]["source"] = str(tmp_path)
    assert estimate.main([]) == 1
    said = capsys.readouterr().err
    assert f"{image}: no feature map below {tmp_path}" in said and said.count("\n") == 1


def test_the_committed_parameters_are_what_stages_take():
    assert estimate.checked() == params.profile()


@pytest.mark.parametrize("found", ["section", "missing"])
def test_a_section_of_another_name_is_a_sentence(found):
    sections = params.profile("smoke")
    sections["distil" if found == "section" else "distill"] = sections.pop("distill")
    if found == "missing":
        del sections["distill"]
    with pytest.raises(
        XkdError, match="params.yaml: distil is an unknown" if found == "section" else "distill is missing"
    ):
        beforehand.numbers(sections)


def test_a_copy_is_not_made_of_a_value_that_is_none():
    with pytest.raises(XkdError, match="distill.steps is -3; it has to be a whole number of 1 at least"):
        profiles.overlaid("demo", ["distill.steps=-3"])


@pytest.mark.parametrize("word", [*OBJECTIVES, "xmodel"])
def test_every_objective_that_the_stage_knows_passes(monkeypatch, word):
    sections = params.profile()
    sections["distill"]["objective"] = word
    monkeypatch.setattr(params, "profile", lambda: sections)
    monkeypatch.setattr("xkd.beforehand.check_folders", lambda data, teacher: None)
    assert beforehand.checked()["distill"]["objective"] == word
