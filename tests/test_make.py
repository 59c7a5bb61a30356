"""`make` and the profiles: what is missing is said before anything is installed, and a copy runs on its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

import xkd
from xkd import XkdError, estimate, params, profiles, teachers

TOOLS = "sh cat cksum cut grep test printf echo env find".split()


@pytest.fixture
def bare(tmp_path):
    """(checkout, folder of programs): the checkout holds what `make install` reads, the folder few programs."""
    for name in ("Makefile", "requirements.txt", "requirements-test.txt", "pyproject.toml"):
        shutil.copy(xkd.ROOT / name, tmp_path / name)
    programs = tmp_path / "bin"
    programs.mkdir()
    for tool in TOOLS:
        if shutil.which(tool):
            (programs / tool).symlink_to(shutil.which(tool))
    return tmp_path, programs


def make(checkout, path, *words):
    """`make words` with nothing but the folder `path` to find programs in, and no active environment."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("VIRTUAL_ENV", "CONDA", "MAKE", "MFLAGS"))}
    return subprocess.run(
        [shutil.which("make"), *words],
        cwd=checkout,
        capture_output=True,
        text=True,
        env=environment | {"PATH": str(path)},
    )


def refused(done, checkout):
    """The one sentence that `make` stopped with; nothing was installed."""
    assert done.returncode != 0 and not (checkout / ".venv").exists() and "installing" not in done.stdout
    said = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert len(said) == 1, done.stderr
    return said[0]


def program(path, answer):
    path.write_text(f"#!{shutil.which('sh')}\n{answer}\n")
    path.chmod(0o755)


def test_python_that_is_missing_or_of_another_version(bare):
    checkout, programs = bare
    assert "no python3.11 was found" in refused(make(checkout, programs, "repro"), checkout)
    done = make(checkout, programs, "repro", "PYTHON=/nonexistent")
    assert "/nonexistent is not there" in refused(done, checkout)
    program(programs / "python3", "echo 3.9")
    for target in ("repro", "test", "demo", "install"):
        sentence = refused(make(checkout, programs, target), checkout)
        assert "Python 3.11 is needed" in sentence and "python3 is 3.9" in sentence
        assert f"make {target} PYTHON=" in sentence


def test_compiler_and_git_that_are_missing(bare):
    checkout, programs = bare
    program(programs / "python3.11", f'exec "{sys.executable}" "$@"')
    assert "C++ compiler" in refused(make(checkout, programs, "repro"), checkout)
    program(programs / "g++", "exit 0")
    assert "git is needed" in refused(make(checkout, programs, "repro"), checkout)


def test_an_environment_that_is_up_to_date_is_left_alone(bare):
    """The stamp that `make install` leaves: a second run does nothing, a changed requirement does."""
    checkout, programs = bare
    asked = make(checkout, programs, "--eval", "stamp:\n\t@echo '$(STAMP)'", "stamp").stdout
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / ".xkd").write_text(asked)
    assert make(checkout, programs, "install").returncode == 0
    with (checkout / "requirements.txt").open("a") as file:
        file.write("another==1.0\n")
    assert "no python3.11 was found" in make(checkout, programs, "install").stderr


def test_a_python_that_is_named_is_looked_at_also_where_nothing_is_left_to_install(bare):
    checkout, programs = bare
    asked = make(checkout, programs, "--eval", "stamp:\n\t@echo '$(STAMP)'", "stamp").stdout
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / ".xkd").write_text(asked)
    assert "/nonexistent is not there" in make(checkout, programs, "install", "PYTHON=/nonexistent").stderr
    program(programs / "old", "echo 3.9")
    assert "old is 3.9" in make(checkout, programs, "install", f"PYTHON={programs / 'old'}").stderr
    program(programs / "new", f'exec "{sys.executable}" "$@"')
    for tool in ("g++", "git"):
        program(programs / tool, "exit 0")
    done = make(checkout, programs, "install", f"PYTHON={programs / 'new'}")
    assert (done.returncode, done.stdout) == (0, "")


def test_install_says_what_it_does_before_each_part(bare):
    """Its recipe, with a pip that does nothing: four lines, and the environment is stamped."""
    checkout, programs = bare
    for tool in ("g++", "git"):
        program(programs / tool, "exit 0")
    program(programs / "python3.11", f'case "$1 $2" in "-c "*) exec "{sys.executable}" "$@";; esac')
    (checkout / ".venv" / "bin").mkdir(parents=True)
    program(checkout / ".venv" / "bin" / "python", "exit 0")
    said = make(checkout, programs, "install").stdout.splitlines()
    assert [line.partition(":")[0] for line in said] == ["xkd"] * 4
    starts = ("installing into", "torch is there", "the other packages.", "installed;")
    assert all(line.startswith(f"xkd: {start}") for line, start in zip(said, starts, strict=True))
    assert (checkout / ".venv" / ".xkd").exists()


def test_the_help_says_what_set_takes(bare):
    assert "values in SET hold no blanks" in make(*bare).stdout


@pytest.mark.parametrize("target", ["real", "real-study"])
def test_real_needs_folders(bare, tmp_path, target):
    checkout, programs = bare
    asked = make(checkout, programs, "--eval", "stamp:\n\t@echo '$(STAMP)'", "stamp").stdout
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / ".xkd").write_text(asked)
    done = make(checkout, programs, target)
    assert done.returncode != 0 and "make real DATA=folder" in done.stderr
    done = make(checkout, programs, target, f"DATA={checkout}", f"FEATURES={programs}")
    assert done.returncode != 0 and f'FEATURES="{programs}" holds no .npy file' in done.stderr


def test_requirements_are_exact_and_are_what_is_imported():
    pins = [line for line in (xkd.ROOT / "requirements.txt").read_text().splitlines() if line and line[0] != "#"]
    assert all(pin.count("==") == 1 for pin in pins)
    from importlib.metadata import version

    for pin in pins:
        name, _, wanted = pin.partition("==")
        assert version(name).partition("+")[0] == wanted, pin


@pytest.fixture
def origin(tmp_path):
    """A small checkout without git."""
    root = tmp_path / "origin"
    names = "xkd/a.py xkd/__pycache__/a.pyc data.dvc dvc.lock dvc.yaml study/dvc.yaml study/metrics/a.json out/old data/x .venv/y"
    for name in names.split():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def tracked(root):
    """Makes the folder a git repository that tracks what it does not ignore."""
    (root / ".gitignore").write_text("/out/\n/data/\n.venv/\n__pycache__/\n")
    for command in ("init --quiet", "add ."):
        subprocess.run(["git", *command.split()], cwd=root, check=True)


def there(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("git", [False, True])
def test_a_copy_holds_the_code_and_keeps_its_own_results(tmp_path, origin, git):
    if git:
        tracked(origin)
    code = {"xkd/a.py", "dvc.yaml", "study/dvc.yaml"} | ({".gitignore"} if git else set())
    own = {".xkd-profile", "params.yaml", ".dvc/config"}
    dest = tmp_path / "copy"
    profiles.copy(dest, {"a": {"b": 1}}, origin)
    assert there(dest) == code | own
    assert yaml.safe_load((dest / "params.yaml").read_text()) == {"a": {"b": 1}}

    own |= {"out/result", "data/scan", "docs/results/table.md", "docs/tuning.json", "dvc.lock", ".dvc/cache/1"}
    own |= {"study/metrics/b.json", "study/dvc.lock"}
    for name in own - there(dest):
        (dest / name).parent.mkdir(parents=True, exist_ok=True)
        (dest / name).write_text("mine")
    (dest / "xkd" / "gone.py").touch()
    (origin / "docs").mkdir(exist_ok=True)
    (origin / "docs" / "tuning.json").write_text("the origin's")
    profiles.copy(dest, {}, origin)
    assert there(dest) == code | own
    assert (dest / "dvc.lock").read_text() == (dest / "docs" / "tuning.json").read_text() == "mine"


@pytest.mark.parametrize("git", [False, True])
def test_a_copy_leaves_what_is_not_the_projects(origin, git):
    """Data, pages and the copy itself, all in the checkout; a module that is not tracked yet is the project's, data beside it are not."""
    if git:
        tracked(origin)
    for name in ("drives/a.bin", "xkd/new.py", "xkd/samples/b.bin", "first/mine.html", "first/.xkd-profile"):
        (origin / name).parent.mkdir(exist_ok=True)
        (origin / name).touch()
    sections = {"data": {"root": str(origin / "xkd" / "samples")}}
    dest = origin / "first"
    for _ in range(2):
        profiles.copy(dest, sections, origin)
        code = {"xkd/a.py", "xkd/new.py", "dvc.yaml", "study/dvc.yaml"} | ({".gitignore"} if git else set())
        assert there(dest) == code | {".xkd-profile", "params.yaml", ".dvc/config"}
        (dest / "xkd" / "gone.py").touch()


def test_a_renewed_copy_keeps_the_data_set_inside_it(tmp_path, origin):
    dest = tmp_path / "copy"
    for folder in ("drives", "xkd/samples"):
        sections = {"data": {"root": str(dest / folder)}}
        profiles.copy(dest, sections, origin)
        (dest / folder).mkdir(exist_ok=True)
        (dest / folder / "scan.bin").touch()
        profiles.copy(dest, sections, origin)
        assert (dest / folder / "scan.bin").exists()


def test_a_checkouts_folders_are_known():
    listed = profiles.listed(xkd.ROOT, "--cached")
    if not listed:
        pytest.skip("no git checkout")
    folders = {Path(name).parts[0] for name in listed if "/" in name}
    assert folders <= {*profiles.FOLDERS, *profiles.OWN}


def test_a_copy_can_run_the_study(tmp_path):
    profiles.copy(tmp_path / "copy", profiles.overlaid("real", []))
    command = [sys.executable, "-m", "dvc", "stage", "list", "study/dvc.yaml"]
    done = subprocess.run(command, cwd=tmp_path / "copy", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {"study/dvc.yaml:views", "study/dvc.yaml:cells@row0", "study/dvc.yaml:report"} <= set(done.stdout.split())


def test_a_copy_knows_what_its_stages_write():
    for stage in yaml.safe_load((xkd.ROOT / "dvc.yaml").read_text())["stages"].values():
        for out in stage["outs"]:
            assert profiles.below(out if isinstance(out, str) else next(iter(out)), profiles.OWN)


def test_a_folder_that_is_no_copy_is_left_alone(tmp_path, origin):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis.tex").touch()
    with pytest.raises(XkdError, match="work: is something else already"):
        profiles.copy(tmp_path / "work", {}, origin)
    with pytest.raises(XkdError, match="holds the checkout itself"):
        profiles.copy(tmp_path, {}, origin)
    assert there(tmp_path / "work") == {"thesis.tex"}


def test_every_profile_lies_over_params_yaml():
    base = params.read()
    for name, changes in base["profiles"].items():
        laid = profiles.overlaid(name)
        assert set(laid) == set(base) and laid["profiles"] == base["profiles"]
        for section in set(base) - {"profiles"} - set(changes):
            assert laid[section] == base[section]
    laid = profiles.overlaid("real", ["data.root=/somewhere", "finetune.lr={scratch: 0.5}", "sweep.seeds=[7]"])
    assert laid["data"]["root"] == "/somewhere" and laid["sweep"]["seeds"] == [7]
    for odd in ("/a #b", "/a: b", "[a]", "7"):  # names of folders
        assert profiles.overlaid("real", [f"data.root={odd}"])["data"]["root"] == odd
    assert laid["finetune"]["lr"] == base["profiles"]["real"]["finetune"]["lr"] | {"scratch": 0.5}


@pytest.mark.parametrize(
    "name, given, words",
    [
        ("demi", [], "unknown profile 'demi'"),
        ("demo", ["data.rot=x"], "unknown parameter 'rot'"),
        ("demo", ["dato={}"], "unknown parameter 'dato'"),
        ("demo", ["data.root"], "should be key=value"),
        ("demo", ["distill.lr=1e-3"], "write 0.001"),
        ("demo", ["data.unlabelled=2026-99-99"], "is not YAML"),
    ],
)
def test_an_unknown_profile_or_key_is_named(name, given, words):
    with pytest.raises(XkdError, match=words):
        profiles.overlaid(name, given)


def test_estimate_counts_what_is_left_and_what_hangs_on_it(tmp_path):
    """Three stages in a row, and one apart: a change at the second leaves the second and the third to do. Another pipeline, in a folder of
    its own, is not what plain `dvc repro` runs."""
    stages = {
        "one": {"cmd": "cp a b", "deps": ["a"], "outs": ["b"]},
        "two": {"cmd": "cp b c", "deps": ["b", "code"], "outs": ["c"]},
        "three": {"cmd": "cp c d", "deps": ["c"], "outs": ["d"]},
        "apart": {"cmd": "cp a e", "deps": ["a"], "outs": ["e"]},
    }
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    (tmp_path / "study").mkdir()
    other = {"more": {"wdir": "..", "cmd": "cp d f", "deps": ["d"], "outs": ["f"]}}
    (tmp_path / "study" / "dvc.yaml").write_text(yaml.safe_dump({"stages": other}))
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    (tmp_path / "a").write_text("a")
    (tmp_path / "code").write_text("1")
    assert estimate.stages_left(tmp_path) == ["apart", "one", "three", "two"]
    subprocess.run([sys.executable, "-m", "dvc", "repro", "--quiet"], cwd=tmp_path, check=True)
    assert estimate.stages_left(tmp_path) == []
    (tmp_path / "code").write_text("2")
    assert estimate.stages_left(tmp_path) == ["three", "two"]


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
        ("distill", {"objective": "cosin"}, "distill.objective 'cosin' is unknown"),
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


def test_estimate_counts_the_frames_that_are_there(kitti):
    """Of three frames each in sequences 00 (train), 08 (val) and 11 (test): training and unlabelled ones have images; labels are drawn
    from training ones that are not held out. How many seeds there are says nothing of that."""
    sections = params.profile("real")
    sections["data"] |= {"root": str(kitti), "unlabelled": ["test"]}
    sections["sweep"]["seeds"] = [0]
    assert estimate.counted(sections) == (6, 3)
    assert estimate.counted(sections | {"data": sections["data"] | {"tuning": ["00"]}}) == (6, 0)
    assert estimate.counted(sections | {"data": sections["data"] | {"unlabelled": []}}) == (3, 3)
    with pytest.raises(XkdError, match="semantickitti has no split 'tets'"):
        estimate.counted(sections | {"data": sections["data"] | {"unlabelled": ["tets"]}})


def test_estimate_knows_the_frames_that_are_to_be_made(monkeypatch, tmp_path):
    full, demo = params.profile(), params.profile("demo")
    shutil.copy(xkd.ROOT / "params.yaml", tmp_path)
    monkeypatch.setattr(xkd, "ROOT", tmp_path)
    full["sweep"]["seeds"] = [0]
    # docs/data.md: 400 and 124 of train and 450 of test; without the 124 for tuning.
    assert estimate.counted(full) == (974, 400)
    assert estimate.counted(demo) == (20, 20)


def test_a_data_set_of_many_frames_takes_long():
    """By hand, of 19130 frames: at 77 a second 248 s to prepare, at 17 a second 1125 s to look at, at 12 a second 1594 s to gather."""
    sections, frames = params.profile("real"), (19130, 19130)
    for stage, seconds in (("prepare", 248.4), ("teacher", 1125.3), ("views", 1594.2)):
        own = estimate.cost(stage, sections, frames) - estimate.OVERHEAD[stage]
        assert own == pytest.approx(seconds, abs=0.1)
    # A quarter of the labels: 40 steps for each of 4782.5 frames, but 7800 at most.
    sections["finetune"] |= {"batch": 2, "crop": 6144}
    assert estimate.cost("finetune@0.25-scratch-0", sections, frames) == pytest.approx(
        7800 * (0.004 + 0.00577536) + estimate.OVERHEAD["finetune"]
    )


def test_estimate_knows_every_stage():
    stages = yaml.safe_load(Path(xkd.ROOT / "dvc.yaml").read_text())["stages"]
    assert set(estimate.OVERHEAD) == set(stages)
    sections = params.profile()
    # By hand: 60 steps of 2 scans of 6144 points, 4 ms a step and 0.47 microseconds a point, and what a cell costs besides.
    sections["finetune"] |= {"steps": {"base": 40, "per_frame": 1, "most": 60}, "batch": 2, "crop": 6144}
    assert estimate.cost("finetune@1-scratch-0", sections) == pytest.approx(
        60 * (0.004 + 0.00577536) + estimate.OVERHEAD["finetune"]
    )
    # 90 steps of the network with images cost 2 of the student's each.
    sections["fused"] = {"steps": {"base": 50, "per_frame": 0.1, "most": 100}}
    assert estimate.cost("xmodel@1-0", sections) == pytest.approx(
        (60 + 2 * 90) * (0.004 + 0.00577536) + estimate.OVERHEAD["xmodel"]
    )
    assert (
        estimate.words(50) == "about a minute"
        and estimate.words(600) == "about 10 minutes"
        and estimate.words(9000) == "about 2 hours"
    )
