"""`make`: what is missing is said before anything is installed, what it installs is pinned, and what it does is said before it is done."""

import os
import shutil
import subprocess
import sys

import pytest

import xkd

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


def test_an_active_environment_of_another_checkout_is_not_taken_over_unasked(bare, tmp_path_factory):
    checkout, programs = bare
    other, active = tmp_path_factory.mktemp("other"), tmp_path_factory.mktemp("active")
    (other / "xkd").mkdir()
    (active / ".xkd").write_text(f"1 {other}\n")
    for target in ("repro", "test", "study"):
        sentence = refused(make(checkout, programs, target, f"VIRTUAL_ENV={active}"), checkout)
        assert f"the active environment {active} has xkd of {other}" in sentence and "make install" in sentence
    (active / "bin").mkdir()
    program(active / "bin" / "python", "echo 3.9")
    assert "is 3.9" in refused(make(checkout, programs, "install", f"VIRTUAL_ENV={active}"), checkout)
    (other / "xkd").rmdir()  # a checkout that was moved or removed
    assert "is 3.9" in refused(make(checkout, programs, "repro", f"VIRTUAL_ENV={active}"), checkout)


def test_clean_where_nothing_was_made(bare):
    done = make(bare[0], os.environ["PATH"], "clean")
    assert (done.returncode, done.stderr) == (0, "")


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


@pytest.mark.parametrize(("words", "full"), [((), ""), (("FULL=1",), "--full"), (("FULL=0",), "")])
@pytest.mark.parametrize("failed", [False, True])
def test_study_runs_every_row_and_reports_also_where_one_failed(bare, words, full, failed):
    """Its recipe, with a Python that names two stages and a DVC that says what it was asked for."""
    checkout, programs = bare
    asked = make(checkout, programs, "--eval", "stamp:\n\t@echo '$(STAMP)'", "stamp").stdout
    (checkout / ".venv" / "bin").mkdir(parents=True)
    (checkout / ".venv" / ".xkd").write_text(asked)
    program(programs / "python", 'case "$*" in *--stages*) echo one two;; *) echo "python $*";; esac')
    program(programs / "dvc", f'echo "dvc $*"; case "$*" in *one*) exit {int(failed)};; esac')
    done = make(checkout, programs, "study", *words)
    lines = [line for line in done.stdout.splitlines() if not line.startswith("make")]
    assert lines[0] == f"python -m xkd.study_plan {full}".strip()
    assert lines[1:4] == [
        "python -m xkd.sim data",
        "dvc repro --keep-going one two",
        "dvc repro --single-item study/dvc.yaml:report",
    ]
    assert (done.returncode != 0) == failed == ("06_study.ipynb" not in done.stdout)


def test_requirements_are_exact_and_are_what_is_imported():
    pins = [line for line in (xkd.ROOT / "requirements.txt").read_text().splitlines() if line and line[0] != "#"]
    assert all(pin.count("==") == 1 for pin in pins)
    from importlib.metadata import version

    for pin in pins:
        name, _, wanted = pin.partition("==")
        assert version(name).partition("+")[0] == wanted, pin
