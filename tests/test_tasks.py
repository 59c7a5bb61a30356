"""A sweep's task: the commands of one stage, on whatever machine, and how they end."""

import subprocess
import sys
import time

import psutil
import pytest

from xkd.tasks import work


def task(folder, *commands, **more):
    """A job of these commands in `folder`, whose token and deps are there."""
    (folder / "token").touch()
    paths = {"folder": str(folder), "token": str(folder / "token"), "log": str(folder / "log.txt"), "deps": []}
    return {"commands": list(commands), "environment": {"SHELL": "/bin/sh"}, "frames": False} | paths | more


def test_a_task_runs_its_commands_until_one_fails(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    job = task(tmp_path, 'echo "${OMP_NUM_THREADS-unset} $WORD"; echo why >&2; exit 4', "touch never")
    job["environment"] |= {"OMP_NUM_THREADS": None, "WORD": "here"}
    sentence, killed = work(job)
    assert (
        not killed
        and sentence.startswith("exit status 4 on ")
        and f": why (all it said: {tmp_path / 'log.txt'})" in sentence
    )
    assert (tmp_path / "log.txt").read_text().splitlines()[1:] == ["unset here", "why"]
    assert not (tmp_path / "never").exists()
    assert work(task(tmp_path, "touch one", "touch two")) == (None, False)
    assert (tmp_path / "one").exists() and (tmp_path / "two").exists()


@pytest.mark.parametrize("command", ["kill -9 $$", "sh -c 'kill -9 $$' && true"])
def test_a_command_that_was_killed_may_start_again(tmp_path, command):
    (tmp_path / "log.txt").write_text("")
    sentence, killed = work(task(tmp_path, command))
    assert killed and sentence.startswith("exit status ")


@pytest.mark.parametrize("lost", ["token", "deps"])
def test_a_machine_that_does_not_share_the_checkout_says_so(tmp_path, monkeypatch, lost):
    monkeypatch.setattr("xkd.tasks.missing.__defaults__", (0.0,))
    path = str(tmp_path / "elsewhere")
    sentence, killed = work(task(tmp_path, "touch never", **{lost: path if lost == "token" else [path]}))
    assert f"does not see {path}: every machine needs the checkout" in sentence and not (tmp_path / "never").exists()


def test_a_command_ends_with_what_started_it(tmp_path):
    """With all of its group, and however that was killed."""
    code = f"from xkd.tasks import guarded; guarded(['sh', '-c', 'sleep 60 & echo $! > own; sleep 60'], {str(tmp_path)!r}, None, None)"
    parent = subprocess.Popen([sys.executable, "-c", code])
    wait(lambda: (tmp_path / "own").exists() and (tmp_path / "own").read_text())
    sleeper = int((tmp_path / "own").read_text())
    assert psutil.pid_exists(sleeper)
    parent.kill()
    parent.wait()
    wait(lambda: ended(sleeper))


def ended(process):
    """Also one that ends while it is asked."""
    try:
        return psutil.Process(process).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait(until, seconds=60):
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end
        time.sleep(0.05)
