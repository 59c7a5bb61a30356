"""Training on labelled and unlabelled frames, with and without images: the batches and the loss by hand, each training on smoke data."""

import numpy as np
import pytest
import torch

from xkd import XkdError, finetune, fused, gather, mixed, self_training, unlabelled
from xkd import student as students
from xkd.fusion import facts_of
from xkd.gathered import Seen
from xkd.mixed import Draw, Source
from xkd.params import profile
from xkd.sparse import collate
from xkd.teachers import open_teacher
from xkd.views import views

SECTIONS = {
    "views": {"channels": 5, "whiten": 0.2, "reach": 1},
    "fused": {
        "width": 16,
        "heads": 2,
        "dark": 0.1,
        "early": True,
        "late": True,
        "steps": {"base": 3, "per_frame": 2, "most": 9},
    },
    "mixing": {"share": 0.5, "frames": 1000},
    "study": {"momentum": 0.99},
}


@pytest.fixture(scope="module")
def place(made, stages, tmp_path_factory):
    """The smoke data with what is gathered of their views."""
    data = profile("smoke")["data"] | {"root": str(made / "nuscenes")}
    out = tmp_path_factory.mktemp("views")
    teacher = open_teacher({"name": "mini", "path": stages / "teacher" / "mini"})
    arguments = (teacher, data, stages / "prepared", stages / "teacher", SECTIONS["views"])
    rows = gather.gather(*arguments, out / "views") + gather.gather(*arguments, out / "views-validation", True)
    assert [row["split"] for row in rows] == [data["train"], *data["unlabelled"], data["validation"]]
    assert all(row["views"] > 0 for row in rows)
    return unlabelled.Place(stages / "prepared", out / "views", data)


@pytest.fixture
def settings():
    params = profile("smoke")
    return params["student"], params["finetune"] | {"lr": {"scratch": 0.01}, "save_every": 0.0}


@pytest.fixture
def init(place, settings, tmp_path):
    classes = place.split(place.data["train"]).classes
    finetune.scratch(settings[0], classes, 0, tmp_path / "init")
    return tmp_path / "init"


def test_the_stage_says_what_it_wrote_in_a_sentence(monkeypatch, capsys):
    monkeypatch.setattr(gather, "opened", lambda *_: None)
    monkeypatch.setattr(gather, "gather", lambda *_: [{"split": "train", "views": 30742, "MiB": 2}])
    assert gather.main([]) == 0
    told = "holds 30,742 times a point is seen in an image, with the image's feature there, 2 MiB"
    assert capsys.readouterr().out.endswith(f"/out/views/train {told}\n")


def test_what_is_gathered_is_what_the_views_show(place, stages, made):
    from xkd.prepare import open_split

    found = views(open_split(place.data, "train"), 0, 1)
    point, values, facts = place.gathered("train").views(0)
    assert point.tolist() == found.point.tolist() and values.shape == (len(found), 5)
    expected = facts_of(torch.from_numpy(found.depth), torch.from_numpy(found.frame - 0))
    np.testing.assert_allclose(facts, expected.numpy(), atol=2e-3)  # depth is kept in half precision
    own, _, own_facts = place.gathered("train").views(0, reach=0)
    assert (own_facts[:, 1] == 1).all() and len(own) == np.count_nonzero(found.frame == 0)
    cameras = range(len(place.split("train").cameras))
    assert len(place.gathered("train").views(0, dark=cameras)[0]) == 0


def test_the_fused_network_is_at_first_the_student_it_starts_from(place, settings, init):
    source = Source(place.split("train"), place.gathered("train"))
    network = fused.build(
        settings[0] | {"classes": source.prepared.classes}, source.views.channels, 7, width=16, heads=2
    )
    fused.start_from(network, init)
    student = students.load(init)
    network.eval()
    points, intensity = source.prepared.points(0), source.prepared.intensity(0)
    voxels = collate([(points, intensity)], settings[0]["voxel"], len(settings[0]["widths"]))
    point, values, facts = (torch.from_numpy(a) for a in source.views.views(0))
    seen = Seen(point, values, facts)
    with torch.inference_mode():
        own, unified = network.features(*mixed.look(voxels, np.arange(len(points)), seen))
        torch.testing.assert_close(own, student.features(voxels))
    assert unified.shape == (len(points), 16)


def test_no_hidden_label_reaches_a_batch(place, settings):
    train = place.split("train")
    parts = place.unlabelled([0])
    assert all(0 not in own for name, own in parts if name == "train")
    hidden = Source(train, hidden=True)
    assert (hidden.classes(0) == -1).all() and not Draw([hidden], [(0, 0)]).holders
    targets, weight = hidden.targets(0)
    assert not targets.any() and not weight.any()
    draws = [Draw([Source(train)], [(0, 0)]), Draw([hidden], [(0, 1)])]
    for step in range(6):
        pair = self_training.batch(draws, 0.5, *settings, np.random.default_rng(step))
        unknown = torch.zeros(len(pair.batch.weight), dtype=torch.bool)
        unknown[pair.row] = True
        assert torch.equal(pair.batch.weight > 0, ~unknown)
        assert pair.other is None or len(pair.other.inverse) == len(pair.row)


def test_the_average_by_hand(settings, place):
    student = students.build(settings[0] | {"classes": ["a", "b"]}, 0)
    both = self_training.Averaged(student, 0.5)
    with torch.no_grad():
        student.head.bias.fill_(1.0)
        both.average.head.bias.fill_(0.0)
    both.update()  # 1 / 11 of the old is kept
    assert both.average.head.bias.tolist() == pytest.approx([10 / 11] * 2)
    for _ in range(20):
        both.update()
    before = both.average.head.bias.clone()
    with torch.no_grad():
        student.head.bias.fill_(3.0)
    both.update()  # half of it, from the eleventh on
    torch.testing.assert_close(both.average.head.bias, (before + 3) / 2)
    assert not any(p.requires_grad for p in both.average.parameters())
    assert both.train().training and not both.average.training


def test_fused_predictions_teach_the_student(place, settings, init, tmp_path):
    student, training = settings
    arguments = (student, training, SECTIONS, 0.01, 0)
    network, history, resume = unlabelled.train_fused(place, [0], init, *arguments, "test-fused")
    assert len(history) == 5 and np.isfinite(history).all() and resume.exists()
    unlabelled.predict(network, place, [0], 1000, tmp_path / "said", "test")
    for name, own in place.unlabelled([0]):
        array, source = np.load(tmp_path / "said" / f"{name}.npy"), Source(place.split(name))
        assert array[source.rows(own[0])].sum(1) == pytest.approx(1, abs=0.01)
        if name == "train":
            assert not array[source.rows(0)].any()  # labelled: not asked for
    taught, history, resume = unlabelled.train_student(place, [0], tmp_path / "said", init, *arguments, "test-taught")
    assert np.isfinite(history).all()
    again = unlabelled.train_student(place, [0], tmp_path / "said", init, *arguments, "test-taught")[0]
    for (name, a), b in zip(taught.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert not torch.equal(taught.head.weight, students.load(init).head.weight)
    resume.unlink()


class Killed(Exception):
    pass


@pytest.mark.parametrize("kind", ["self", "fused"])
def test_a_killed_training_goes_on_to_the_same_weights(place, settings, init, monkeypatch, kind):
    student, training = settings
    function = self_training.train if kind == "self" else unlabelled.train_fused
    arguments = (place, [0], init, student, training, SECTIONS, 0.01, 0)
    whole, history, resume = function(*arguments, "test-whole")
    assert np.isfinite(history).all()
    resume.unlink()
    steps, real = [], mixed.loss

    def dies(*given):
        steps.append(1)
        if len(steps) == 3:
            raise Killed
        return real(*given)

    monkeypatch.setattr(mixed, "loss", dies)
    with pytest.raises(Killed):
        function(*arguments, "test-killed")
    monkeypatch.setattr(mixed, "loss", real)
    assert len(torch.load(resume, weights_only=True)["losses"]) == 2
    again, _, resume = function(*arguments, "test-killed")
    for (name, a), b in zip(whole.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    resume.unlink()


def test_a_fused_checkpoint_is_the_network(place, settings, init, tmp_path):
    source = Source(place.split("val"), place.gathered("val"))
    network = fused.build(
        settings[0] | {"classes": source.prepared.classes}, source.views.channels, 7, width=16, heads=2
    ).eval()
    fused.save(network, tmp_path / "fused", seed=7)
    again = fused.load(tmp_path / "fused")
    assert torch.equal(mixed.whole(network, source, 0), mixed.whole(again, source, 0))
    with pytest.raises(XkdError, match="network.json: kind is 'xkd student 1'"):
        fused.load(init)
    fused.save_fusion(network.fusion, init)
    other = fused.build(settings[0] | {"classes": source.prepared.classes}, source.views.channels, 8, width=16, heads=2)
    fused.start_from(other, init)
    assert torch.equal(other.fusion.key.weight, network.fusion.key.weight)


def test_either_way_in_can_be_closed(place, settings):
    """With both closed images change nothing; with one, they do."""
    source = Source(place.split("val"), place.gathered("val"))
    config, cameras = settings[0] | {"classes": source.prepared.classes}, range(len(source.prepared.cameras))
    for early, late in ((True, False), (False, True), (False, False)):
        network = fused.build(config, source.views.channels, 7, width=16, heads=2, early=early, late=late).eval()
        assert network.sizes["early"] == early and network.sizes["late"] == late
        seen, dark = mixed.whole(network, source, 0), mixed.whole(network, source, 0, dark=cameras)
        assert torch.equal(seen, dark) == (not early and not late)


def test_no_camera_at_all(place, settings, init):
    """A scan whose cameras are all dark is segmented from the scan alone."""
    source = Source(place.split("val"), place.gathered("val"))
    network = fused.build(
        settings[0] | {"classes": source.prepared.classes}, source.views.channels, 7, width=16, heads=2
    )
    network.eval()
    logits = mixed.whole(network, source, 0, dark=range(len(source.prepared.cameras)))
    assert torch.isfinite(logits).all() and logits.shape == (
        len(source.prepared.points(0)),
        len(source.prepared.classes),
    )
    assert not torch.equal(logits, mixed.whole(network, source, 0))


def test_crops_are_drawn_around_labels_alone(place):
    """Neither what a network predicts nor a hidden label says where a crop is taken."""
    train = place.split("train")
    said = np.full((int(Source(train).offsets[-1]), len(train.classes)), 1.0, np.float16)
    for source in (Source(train, predicted=said), Source(train, hidden=True)):
        assert {Draw([source], [(0, 1)])(1.0, np.random.default_rng(k))[2] for k in range(4)} == {None}
    labelled = Draw([Source(train)], [(0, 1)])(1.0, np.random.default_rng(0))
    assert len(set(train.labels(1)[labelled[2]])) == 1
