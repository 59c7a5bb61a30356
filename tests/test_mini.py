"""The embedded teacher: the corpus it learns from, its training, stopped and gone on with, and what is done to its images."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from PIL import Image
from teacher_models import check

import xkd
from xkd import XkdError
from xkd.augment_images import crop, recolour, reduce
from xkd.corpus import FACTS, Corpus
from xkd.mini import Mini, resume_file, train_mini
from xkd.teachers import open_teacher

pytestmark = pytest.mark.usefixtures("one_thread")


ROAD, SKY, CAR = 7, 23, 26  # label ids; training ids 0, 10, 13
COLOURS = {ROAD: (90, 90, 95), SKY: (140, 180, 230), CAR: (170, 30, 30)}


def write_corpus(root, images=6, size=(64, 96)):
    rng = np.random.default_rng(0)
    for split, count in (("train", images), ("val", 2)):
        for i in range(count):
            ids = np.full(size, SKY, np.uint8)
            ids[size[0] // 2 :] = ROAD
            row, column = rng.integers(20, 40), rng.integers(5, 60)
            ids[row : row + 20, column : column + 28] = CAR
            image = np.array([COLOURS.get(k, (0, 0, 0)) for k in range(34)])[ids] + rng.normal(0, 8, (*size, 3))
            for folder, suffix, pixels in (
                ("leftImg8bit", "leftImg8bit", image.clip(0, 255).astype(np.uint8)),
                ("gtFine", "gtFine_labelIds", ids),
            ):
                path = root / folder / split / "town" / f"town_{i:06d}_000019_{suffix}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
    return root


def test_corpus_reads_training_ids(tmp_path):
    corpus = Corpus(write_corpus(tmp_path), "train")
    image, labels = corpus[0]
    assert len(corpus) == 6 and image.shape == (64, 96, 3) and image.dtype == np.uint8
    assert labels.dtype == np.int64 and set(np.unique(labels)) == {0, 10, 13} and labels[0, 0] == 10
    assert len(corpus.classes) == 19 and corpus.colours.shape == (19, 3)
    assert corpus.colours[0].tolist() == [128, 64, 128]
    ids = np.zeros((64, 96), np.uint8)
    ids[0, :6] = [0, 4, 10, 255, 33, 7]  # unlabelled, static, rail track, licence plate; bicycle, road
    Image.fromarray(ids).save(corpus.labels[0])
    assert corpus[0][1][0, :6].tolist() == [-1, -1, -1, -1, 18, 0]


def test_class_facts_are_whole():
    facts = yaml.safe_load(FACTS.read_text())
    ids = [entry["id"] for entry in facts["classes"] + facts["ignored"]]
    assert sorted(ids) == [*range(34), 255]


def test_broken_corpora_are_named(tmp_path):
    with pytest.raises(XkdError, match="leftImg8bit/train: no such folder"):
        Corpus(tmp_path)
    corpus = Corpus(write_corpus(tmp_path), "val")
    Image.fromarray(np.zeros((10, 12), np.uint8)).save(corpus.labels[0])
    with pytest.raises(XkdError, match=r"\(10, 12\), its image is \(64, 96\)"):
        corpus[0]
    Image.fromarray(np.full((64, 96), 77, np.uint8)).save(corpus.labels[0])
    with pytest.raises(XkdError, match="label id 77"):
        corpus[0]
    corpus.images[1].write_bytes(b"not a picture")
    with pytest.raises(XkdError, match="cannot be read as an image"):
        corpus[1]
    corpus.labels[0].unlink()
    with pytest.raises(XkdError, match="has no labels"):
        Corpus(tmp_path, "val")


def silent(items, label, total=None):
    return items


TINY = {"steps": 60, "batch": 4, "crop": [64, 64], "widths": [8, 12, 16, 16], "dim": 16, "lr": 0.01}


def test_mini_learns_saves_and_repeats(tmp_path):
    corpus = write_corpus(tmp_path / "corpus")
    report = train_mini(corpus, TINY, 0, tmp_path / "a", silent)
    assert report["pixel_accuracy"] > 85 and report["iou"]["road"] > 80 and report["iou"]["bus"] is None
    teacher = open_teacher({"name": "mini", "path": tmp_path / "a"})
    assert teacher.network.classes[0] == "road" and (teacher.dim, teacher.stride) == (16, 4)
    check(teacher, 64, 96)
    # Its features are those that the reported accuracy was measured on.
    image, labels = Corpus(corpus, "val")[0]
    logits = teacher.network.classifier(teacher(torch.tensor(image).permute(2, 0, 1)[None] / 255))
    pred = F.interpolate(logits, size=labels.shape, mode="bilinear")[0].argmax(0).numpy()
    assert (pred == labels).mean() > 0.8
    for steps in (3, 4, 5):
        train_mini(corpus, {**TINY, "steps": steps}, 0, tmp_path / "few", silent)
    few = {**TINY, "steps": 3}
    for name, seed in (("b", 0), ("c", 0), ("d", 1)):
        train_mini(corpus, few, seed, tmp_path / name, silent)
    b, c, d = ((tmp_path / name / "weights.safetensors").read_bytes() for name in "bcd")
    assert b == c != d
    assert (tmp_path / "b" / "network.json").read_bytes() == (tmp_path / "c" / "network.json").read_bytes()


class Killed(Exception):
    pass


@pytest.mark.parametrize("at", [1, 4, 6])
def test_mini_resume_is_the_uninterrupted_run(tmp_path, monkeypatch, at):
    """Killed before step `at`; 6 is after the last step, in the validation."""
    monkeypatch.setattr(xkd, "ROOT", tmp_path)
    corpus, few = write_corpus(tmp_path / "corpus"), {**TINY, "steps": 6}
    left = []

    def dies(items, label, total=None):
        if label == "teacher images":
            yield from items
        for step in items if label == "teacher training" else ():
            if step == at:
                raise Killed
            yield step
        if label == "teacher validation":
            raise Killed

    def counts(items, label, total=None):
        left.extend(items if label == "teacher training" else ())
        return items

    train_mini(corpus, few, 0, tmp_path / "whole", silent)
    with pytest.raises(Killed):
        train_mini(corpus, {**few, "save_every": 0.0}, 0, tmp_path / "resumed", dies)
    assert [path.name for path in tmp_path.glob("out/resume/*/*")] == ["mini.pt"]
    train_mini(corpus, few, 0, tmp_path / "resumed", counts)
    assert left == list(range(at, 6)) and not list(tmp_path.glob("out/resume/*/*"))
    for name in ("weights.safetensors", "network.json"):
        assert (tmp_path / "resumed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize("kind", ["images", "labels"])
def test_mini_resumes_on_the_same_bytes_alone(tmp_path, kind):
    corpus, moved = (Corpus(write_corpus(tmp_path / name)) for name in ("corpus", "moved"))
    before = resume_file(corpus, {"seed": 0})
    assert resume_file(moved, {"seed": 0}) == before != resume_file(corpus, {"seed": 1})
    path = getattr(corpus, kind)[-1]
    path.write_bytes(path.read_bytes()[:-1] + b"x")  # of the same size
    assert resume_file(corpus, {"seed": 0}) != before


def test_mini_takes_any_size_and_names_its_mistakes(tmp_path):
    network = Mini(19).eval()
    for height, width in ((125, 414), (1, 1), (33, 64)):
        assert network.features(torch.rand(1, 3, height, width)).shape == (1, 64, -(-height // 4), -(-width // 4))
    with pytest.raises(XkdError, match="unknown parameter 'step'"):
        train_mini(tmp_path, {"step": 3}, 0, tmp_path / "out", silent)
    with pytest.raises(XkdError, match="multiples of 32"):
        train_mini(tmp_path, {"crop": [60, 64]}, 0, tmp_path / "out", silent)
    with pytest.raises(XkdError, match="batch = 3"):
        train_mini(tmp_path, {"batch": 3}, 0, tmp_path / "out", silent)
    facts = '{"kind": "mini", "classes": ["a"], "params": {"dim": 8, "widths": [8, 8, 8, 8]}}'
    (tmp_path / "network.json").write_text(facts)
    with pytest.raises(XkdError, match="weights.safetensors"):
        open_teacher({"name": "mini", "path": tmp_path})


def test_crops_move_image_and_labels_together():
    """Where the picture's red channel is the label, it still is after any crop, away from label edges."""
    labels = torch.arange(8).repeat_interleave(20)[None].expand(100, -1).contiguous()
    image = torch.stack([labels * 30] * 3).byte()
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        x, y = crop(image, labels, (64, 96), generator)
        assert x.shape == (1, 3, 64, 96) and y.shape == (1, 32, 48)
        seen = F.avg_pool2d(x[:, 0], 2) * 255 / 30
        assert ((seen - y)[y >= 0].abs() < 0.7).all()
        assert (y >= 0).float().mean() > 0.2


def test_new_light_stays_a_picture_and_another_seed_is_another_light():
    x = torch.rand(4, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    a, b, c = (recolour(x, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(a, b) and not torch.allclose(a, c) and a.min() >= 0 and a.max() <= 1
    assert torch.corrcoef(torch.stack([a.flatten(), x.flatten()]))[0, 1] > 0.9


def test_large_images_are_reduced_with_their_labels():
    labels = np.repeat(np.repeat(np.array([[-1, 3], [7, 18]]), 100, 0), 150, 1)
    image, small = reduce(np.repeat((labels[..., None] * 10 + 20).astype(np.uint8), 3, 2), labels, 60)
    assert image.shape == (3, 40, 60) and small.shape == (40, 60)
    assert (small[:20, :30] == -1).all() and (small[20:, 30:] == 18).all() and (image == small.long() * 10 + 20).all()
    assert reduce(np.zeros((40, 60, 3), np.uint8), np.zeros((40, 60), int), 60)[0].shape == (3, 40, 60)
