"""Copies of the checkout and the profiles that lie over params.yaml: a copy runs on its own, and a wrong word is named."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import xkd
from xkd import XkdError, params, profiles


@pytest.fixture
def origin(tmp_path):
    """A small checkout without git."""
    root = tmp_path / "origin"
    names = "xkd/a.py xkd/__pycache__/a.pyc data.dvc dvc.lock dvc.yaml study/dvc.yaml study/metrics/a.json out/old data/x .venv/y"
    names += " study/tuning.json study/tuning/a.json"
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
    own |= {"study/metrics/b.json", "study/dvc.lock", "study/tuning.json", "study/tuning/b.json"}
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


@pytest.fixture
def large(origin):
    """A file of the checkout that the full disk does not take."""
    (origin / "xkd" / "large.py").write_text("x" * 20_000)
    return origin


def test_a_full_disk_is_one_sentence(tmp_path, large, full_disk, monkeypatch, capsys):
    monkeypatch.setattr(xkd, "ROOT", large)
    monkeypatch.setattr(profiles, "overlaid", lambda name, given: {})
    dest = tmp_path / "copy"
    assert profiles.main(["demo", str(dest)]) == 1
    said = f"xkd.profiles: {dest / 'xkd' / 'large.py'}: cannot be read or written (File too large).\n"
    assert capsys.readouterr() == ("", said)
