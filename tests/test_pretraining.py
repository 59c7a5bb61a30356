"""An init by the word of params.yaml: an objective of pairs, or `xmodel` with all views, whose fusion encoder goes with it."""

import pytest
import torch

from xkd import XkdError, backbones, encoder, fused, params, pretraining, student, taught
from xkd.files import read_json
from xkd.gathered import Gathered
from xkd.unlabelled import Place


@pytest.fixture
def sections(made):
    sections = params.profile("smoke")
    sections["data"] |= {"root": str(made / "nuscenes")}
    return sections


@pytest.fixture
def folders(stages, gathered):
    return stages / "prepared", stages / "teacher", gathered


def run(sections, folders, out, word, seed=0):
    sections["distill"] |= {"objective": word}
    return pretraining.pretrain(sections, seed, *folders, out / f"distilled-{seed}", out / "metrics.json")


def test_xmodel_is_a_word_like_the_others(sections, folders, tmp_path):
    losses = run(sections, folders, tmp_path, "xmodel")
    about, told = read_json(tmp_path / "distilled-0" / "network.json"), read_json(tmp_path / "metrics.json")
    assert len(losses) == sections["distill"]["steps"]
    assert about["facts"]["objective"] == told["objective"] == "xmodel" and about["facts"]["init"] == "distilled"
    assert 0 <= told["hit"] <= 1 and 0 <= told["point"] <= 1 and told["loss"]
    assert {path.name for path in (tmp_path / "distilled-0").iterdir()} == {
        "network.json",
        "weights.safetensors",
        encoder.NAME,
    }
    assert {path.name for path in tmp_path.iterdir()} == {
        "distilled-0",
        "metrics.json",
    }  # nothing beside a stage's outs
    run(sections, folders, tmp_path / "cosine", "cosine")
    keys = read_json(tmp_path / "cosine" / "metrics.json").keys()
    assert keys == told.keys() and not (tmp_path / "cosine" / "distilled-0" / encoder.NAME).exists()
    assert set(read_json(tmp_path / "cosine" / "distilled-0" / "network.json")["facts"]) == set(about["facts"])


def test_the_network_that_sees_images_starts_from_the_encoder_of_its_init(sections, folders, tmp_path):
    run(sections, folders, tmp_path, "xmodel")
    init, beside = tmp_path / "distilled-0", tmp_path / "distilled-0-fusion.safetensors"
    channels = Gathered(folders[2], sections["data"]["train"]).channels
    sizes = {key: sections["fused"][key] for key in ("width", "heads", "early", "late")}
    given = student.load(init)
    found = []
    for lay in (False, True):
        if lay:
            encoder.lay_out(init)
        network = fused.build(given.config, channels, 5, **sizes)
        fused.start_from(network, init)
        found.append({name: value.clone() for name, value in network.fusion.state_dict().items()})
    kept = fused.read_weights(init / encoder.NAME)
    assert all(torch.equal(value, kept[name]) for name, value in found[1].items())
    assert not all(torch.equal(value, kept[name]) for name, value in found[0].items())
    (init / encoder.NAME).unlink()  # another init in its place, which has none
    encoder.lay_out(init)
    assert not beside.exists()


def test_an_unknown_word_is_refused_with_those_there_are(sections, folders, tmp_path):
    with pytest.raises(
        XkdError, match="'magic' is unknown; there are cosine, ppkt, relational, superpixel, tolerant, xmodel"
    ):
        run(sections, folders, tmp_path, "magic")
    assert not list(tmp_path.iterdir())


def test_a_backbone_that_images_cannot_be_given_to_is_named(sections, folders, tmp_path, monkeypatch):
    (tmp_path / "perpoint.py").write_text("from tests.test_backbones import PerPoint as Network\n")
    monkeypatch.setattr(backbones, "__path__", [*backbones.__path__, str(tmp_path)])
    sections["student"] |= {"backbone": "perpoint", "widths": [8]}
    place = Place(folders[0], folders[2], sections["data"])
    classes = place.split(sections["data"]["train"]).classes
    student.save(
        student.build(sections["student"] | {"classes": classes}, 0), tmp_path / "init" / "distilled-0", init="x"
    )
    with pytest.raises(XkdError, match="xmodel: the backbone perpoint names no convolution"):
        taught.cell(
            sections["finetune"],
            sections,
            0.5,
            0,
            place,
            tmp_path / "init" / "distilled-0",
            tmp_path / "cell",
            tmp_path / "m.json",
        )
    assert not (tmp_path / "cell").exists() and not (tmp_path / "m.json").exists()
