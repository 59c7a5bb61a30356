"""Every training that has an init starts from its weights, the classifier's left out, and the fused network from its fusion encoder too."""

from types import SimpleNamespace

import marked
import pytest
import torch

from xkd import fused, study_start
from xkd import student as students
from xkd.fusion import Fusion
from xkd.params import profile
from xkd.study import Cell


@pytest.mark.parametrize("training", ["labels", "fused", "taught", "self"])
def test_a_training_starts_from_its_init(tmp_path, monkeypatch, training):
    place = marked.made(tmp_path)
    trainings, handed = marked.trainings(place, tmp_path), marked.handed(monkeypatch)
    fusion = Fusion(students.load(tmp_path / "init").dim, images=1, width=8, heads=2)
    fused.save_fusion(fusion, tmp_path / "init")
    returned = trainings[training]()[0]
    starts = [handed[0].student, handed[0].average] if training == "self" else [handed[0]]
    assert returned is starts[0]
    if training == "fused":
        for name, weights in handed[0].fusion.cpu().state_dict().items():
            assert torch.equal(weights, fusion.state_dict()[name]), name
        starts = [handed[0].student]
    init = students.load(tmp_path / "init").state_dict()
    for start in starts:
        for name, weights in start.cpu().state_dict().items():
            if name.startswith("head."):
                assert not torch.equal(weights, init[name])
            elif name == "stem.0.weight":  # the fused network's has further inputs, which begin with nothing
                own = init[name].shape[-1]
                assert torch.equal(weights[..., :own], init[name]) and not weights[..., own:].any()
            else:
                assert torch.equal(weights, init[name]), name


def test_the_fusion_encoder_of_a_pretraining_is_kept_for_the_fused_network(tmp_path, monkeypatch):
    """`initial` leaves it beside the student, where `fused.start_from` looks for it."""
    network = students.build(marked.STUDENT | {"classes": marked.CLASSES}, 0)
    (tmp_path / "state").touch()
    fusion = Fusion(network.dim, images=1, width=8, heads=2)
    ended = (network, SimpleNamespace(fusion=fusion, pixel=None), [1.0], tmp_path / "state")
    monkeypatch.setattr(study_start.xmodel, "pretrain", lambda *_: ended)
    monkeypatch.setattr(study_start, "init_path", lambda *_: tmp_path / "init")
    monkeypatch.setattr(study_start, "place_of", lambda *_: marked.made(tmp_path))
    monkeypatch.setattr(study_start, "inputs", lambda *_: SimpleNamespace(prepared=None, teacher=None))
    monkeypatch.setattr(study_start.distill, "Pool", lambda *_: SimpleNamespace(facts={}))
    monkeypatch.setattr(study_start, "retrieval", lambda *_: {})
    init = study_start.initial(profile("smoke"), Cell("unlabelled", "xmodel", 1, 0, tmp_path), "out")
    started = fused.build(marked.STUDENT | {"classes": marked.CLASSES}, 1, 7, width=8, heads=2)
    fused.start_from(started, init)
    assert torch.equal(started.fusion.key.weight, fusion.key.weight)
    assert torch.equal(started.student.encoder[0][0].weight, network.encoder[0][0].weight)
