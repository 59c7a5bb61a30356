"""The teacher stage's files: taken up where a killed extraction left them, announced, refused where there is no room, checked."""

import errno
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from teacher_models import Mean

import xkd
from xkd import XkdError, distill, extract, feature_cache, files, finetune, params
from xkd.prepared import Prepared, TeacherFeatures
from xkd.teachers import open_teacher

pytestmark = pytest.mark.usefixtures("one_thread")


CHECKOUT = xkd.ROOT
SETTINGS = {"pairs_per_frame": 50, "seed": 0, "reach": 0}
SMOKE = params.profile("smoke")


@pytest.fixture
def given(made, stages, tmp_path, monkeypatch):
    """What `extract` takes but for the teacher; settings and out come last. Its state is kept in the test's own folder."""
    monkeypatch.setattr(xkd, "ROOT", tmp_path)
    data = SMOKE["data"] | {"root": str(made / "nuscenes")}
    return data, stages / "prepared", SETTINGS, tmp_path / "teacher"


def resumes(folder):
    return list(folder.glob("out/resume/*"))


def log(folder):
    return folder / "out" / "log" / "teacher-size.log"


KILLED = """
import os, signal, sys
from pathlib import Path
import xkd
from xkd import extract, feature_cache, params
from xkd.teachers import open_teacher

root, made, stages = map(Path, sys.argv[1:])
settings = params.profile("smoke")
xkd.ROOT, feature_cache.EVERY = root, 0
frame = extract._frame

def dies(maps_of, dataset, prepared, i, *rest):
    if prepared.split == "train" and i == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return frame(maps_of, dataset, prepared, i, *rest)

extract._frame, extract.cores = dies, lambda: 1
teacher = open_teacher({"name": "mini", "path": stages / "teacher" / "mini"})
data = settings["data"] | {"root": str(made / "nuscenes")}
extract.extract(teacher, data, stages / "prepared", settings["teacher"], root / "teacher")
"""


def test_a_killed_extraction_goes_on_and_leaves_the_same_bytes(made, stages, given, tmp_path, monkeypatch):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", KILLED, tmp_path, made, stages]
    ended = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True)
    assert ended.returncode == -9, ended.stderr
    (left,) = [folder for folder in resumes(tmp_path) if (folder / "done.json").exists()]
    done = files.read_json(left / "done.json")
    assert 0 < done <= 5 and not (tmp_path / "teacher" / "train").exists()
    asked, frame = [], extract._frame

    def counts(maps_of, dataset, prepared, i, *rest):
        asked.append((prepared.split, i))
        return frame(maps_of, dataset, prepared, i, *rest)

    monkeypatch.setattr(extract, "_frame", counts)
    data, prepared, _, out = given
    teacher = open_teacher({"name": "mini", "path": stages / "teacher" / "mini"})
    extract.extract(teacher, data, prepared, SMOKE["teacher"], out)
    assert f"train goes on at frame {done}" in log(tmp_path).read_text()
    assert sorted(i for split, i in asked if split == "train") == list(range(done, len(Prepared(prepared, "train"))))
    for split in (data["train"], *data["unlabelled"]):
        whole = sorted((stages / "teacher" / split).iterdir())
        assert [path.name for path in whole] == sorted(path.name for path in (out / split).iterdir())
        assert all(path.read_bytes() == (out / split / path.name).read_bytes() for path in whole)
    assert not resumes(tmp_path) and not list(out.glob(".*"))


class Killed(Exception):
    pass


@pytest.fixture
def half(given, monkeypatch):
    """An extraction of `Mean` that ended in its second frame."""
    frame = extract._frame

    def dies(maps_of, dataset, prepared, i, *rest):
        if i == 1:
            raise Killed
        return frame(maps_of, dataset, prepared, i, *rest)

    monkeypatch.setattr(extract, "_frame", dies)
    with pytest.raises(Killed):
        extract.extract(Mean(), *given)
    monkeypatch.setattr(extract, "_frame", frame)
    return given


@pytest.mark.parametrize("change", ["nothing", "weights", "settings", "image", "pairs", "maps", "cut"])
def test_only_the_very_same_extraction_is_gone_on_with(change, half, made, tmp_path):
    data, prepared, settings, out = half
    (left,) = resumes(tmp_path)
    assert files.read_json(left / "done.json") == 1
    if change == "settings":
        settings = settings | {"seed": 1}
    if change in ("image", "pairs"):
        shutil.copytree(made / "nuscenes", tmp_path / "data", copy_function=shutil.copy2)
        image = next(iter((tmp_path / "data").rglob("*.jpg")))
        image.touch() if change == "image" else shutil.copytree(prepared, tmp_path / "prepared")
        data = data | {"root": str(tmp_path / "data")}
    if change == "maps":
        (left / "features.npy").unlink()
    if change == "cut":
        os.truncate(left / "features.npy", 200)
    log(tmp_path).unlink()
    extract.extract(Mean(2.0 if change == "weights" else 1.0), data, prepared, settings, out)
    told = log(tmp_path).read_text()
    assert ("train goes on at frame 1" in told) == (change == "nothing")
    assert ("MiB more that extractions with other settings or code have left" in told) == left.exists()
    assert feature_cache.verify(out / "train")["dim"] == 3


def test_the_size_is_told_before_and_more_than_the_disk_takes_is_refused(given, tmp_path, monkeypatch):
    """50 pairs a frame of 3 channels in two bytes, and each superpixel."""
    data, prepared, _, out = given
    splits = [Prepared(prepared, name) for name in (data["train"], *data["unlabelled"])]
    pairs = 50 * sum(map(len, splits))
    superpixels = sum(split.superpixels(len(split) - 1)[1] for split in splits)
    size = 6 * (pairs + superpixels)
    extract.extract(Mean(), *given)
    words = (
        f"teacher: {pairs:,} pairs and {superpixels:,} superpixels of 3 channels in fp16 take {size / 2**20:,.1f} MiB"
    )
    assert log(tmp_path).read_text().startswith(words)
    before = {path: path.read_bytes() for path in out.rglob("*.*")}
    usage = shutil.disk_usage(tmp_path)
    for room, enough in ((size, True), (size - 1, False)):
        monkeypatch.setattr(shutil, "disk_usage", lambda path, room=room: usage._replace(free=room))
        if enough:
            extract.extract(Mean(), *given)
            continue
        with pytest.raises(XkdError, match=f"{out}: features take .* MiB more, and the disk of .* MiB free") as error:
            extract.extract(Mean(2.0), *given)
        assert len(str(error.value).splitlines()) == 1
    assert {path: path.read_bytes() for path in out.rglob("*.*")} == before and not resumes(tmp_path)


def test_a_disk_that_fills_up_on_the_way_is_one_sentence(given, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(XkdError, match="teacher/train: cannot be written .No space left on device.; what was there"):
        extract.extract(Mean(), *given)
    assert not (given[-1] / "train").exists()


def test_features_that_half_precision_does_not_hold_are_named_by_their_frame(given):
    frame = xkd.open_dataset("nuscenes", given[0]["root"], "train")[0].id
    with pytest.raises(XkdError, match=f"{frame}: the teacher gave features that are not finite in half precision"):
        extract.extract(Mean(1e6), *given)
    assert not list(given[-1].parent.glob("out/resume/*"))  # nothing was done, so nothing is kept


def test_bytes_that_changed_are_found(given):
    extract.extract(Mean(), *given)
    folder = given[-1] / "train"
    about = feature_cache.verify(folder)
    whole = sorted(path for path in folder.iterdir() if path.name != "features.json")
    assert about["digest"] == files.digest(*whole, {k: v for k, v in about.items() if k != "digest"})
    for path in (*whole, folder / "features.json"):
        kept = path.read_bytes()
        flipped = (
            kept.replace(b'"dim": 3', b'"dim": 4') if path.suffix == ".json" else kept[:-1] + bytes([kept[-1] ^ 1])
        )
        path.write_bytes(flipped)
        with pytest.raises(XkdError, match=f"{folder}: its files have the SHA-256"):
            feature_cache.verify(folder)
        path.write_bytes(kept)
    (folder / "features.npy").unlink()
    with pytest.raises(XkdError, match="its files have the SHA-256"):
        feature_cache.verify(folder)


def test_whose_weights_the_features_are_of(given, stages):
    """The file tells, but of our own network: its weights lie beside the features."""
    extract.extract(Mean(), *given)
    about = files.read_json(given[-1] / "train" / "features.json")
    assert about["fingerprint"] == Mean().fingerprint != Mean(2.0).fingerprint
    assert TeacherFeatures(given[-1], "train").teacher == about["fingerprint"]
    assert set(files.read_json(stages / "teacher" / "train" / "features.json")) == {"dim", "mean", "std", "digest"}
    assert TeacherFeatures(stages / "teacher", "train").teacher is None
    assert len(open_teacher({"name": "mini", "path": stages / "teacher" / "mini"}).fingerprint) == 64


def test_the_metrics_tell_whose_features_were_learnt_from(given, stages, tmp_path, monkeypatch):
    """The SHA-256 of the teacher's weights goes with the distilled student into the metrics of both stages; of our own there is none."""
    data, prepared, settings, out = given
    extract.extract(Mean(), *given)
    monkeypatch.setattr(xkd, "ROOT", CHECKOUT)  # a training looks at its own code
    student, made, metrics = SMOKE["student"], tmp_path / "distilled", tmp_path / "metrics.json"
    for teacher, told in ((out, {"teacher": Mean().fingerprint}), (stages / "teacher", {})):
        distill.distill(data, student, SMOKE["distill"] | {"steps": 1}, 7, prepared, teacher, made, metrics)
        assert files.read_json(metrics).get("teacher") == told.get("teacher")
        assert finetune.origin(made) == {"objective": "cosine"} | told
    # One split of another teacher, as a stopped change of teachers may leave it.
    shutil.copytree(out / "train", tmp_path / "both" / "train")
    for split in data["unlabelled"]:
        shutil.copytree(stages / "teacher" / split, tmp_path / "both" / split)
    with pytest.raises(XkdError, match="both: its splits hold features of 2 teachers"):
        distill.Pool(data, SMOKE["distill"], prepared, tmp_path / "both")


def test_what_is_kept_is_the_pixel_s_own_colour(given):
    """Half precision, mapped, at the pair's own pixel: colours lie within 0..1 and are those of the cell's mean image."""
    extract.extract(Mean(), *given)
    kept = np.load(given[-1] / "train" / "features.npy", mmap_mode="r")
    assert kept.dtype == np.float16 and isinstance(kept, np.memmap) and 0 <= kept.min() < kept.max() <= 1
