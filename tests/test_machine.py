"""What this machine has: cores that are ours, an instruction that its processor names, and processes that end with their parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import xkd
from xkd.machine import bfloat16, cores, end_with


def test_cores_are_those_left_to_this_process():
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system pins no process")
    before = os.sched_getaffinity(0)
    assert cores() == len(before)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert cores() == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    ("flags", "has"), [("fma avx512_bf16 avx2", True), ("amx_bf16", True), ("avx512_bf16x avx2", False), ("", False)]
)
def test_bfloat16_is_read_from_the_flags(tmp_path, flags, has):
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags : {flags}\nbogomips : 1\n")
    assert bfloat16(tmp_path / "cpuinfo") == has


def test_bfloat16_is_not_assumed(tmp_path):
    assert not bfloat16(tmp_path / "none")
    (tmp_path / "cpuinfo").write_text("processor : 0\n")
    assert not bfloat16(tmp_path / "cpuinfo")


def started(code):
    """Runs Python code that starts processes and is then killed -> what it printed: their numbers, one a line."""
    done = subprocess.run([sys.executable, "-c", code], cwd=xkd.ROOT, stdout=subprocess.PIPE, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL
    return [int(line) for line in done.stdout.split()]


def assert_over(pids):
    assert pids
    for _ in range(100):
        if not any(map(running, pids)):
            return
        time.sleep(0.1)
    for pid in filter(running, pids):
        os.kill(pid, signal.SIGKILL)
    pytest.fail("a process went on without its parent")


def test_what_is_started_ends_with_a_parent_that_was_killed(tmp_path):
    code = f"""
import multiprocessing, os, signal
from tests.test_machine import stay
child = multiprocessing.get_context("spawn").Process(target=stay, args=(os.getpid(), {str(tmp_path)!r}))
child.start()
while not os.path.exists({str(tmp_path / "ready")!r}): pass
print(child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert_over(started(code))


def test_a_killed_build_of_the_data_leaves_no_process(tmp_path):
    code = f"""
import multiprocessing, os, signal, threading, time
from pathlib import Path
from xkd.sim import write
root = Path({str(tmp_path)!r})
streets = write.plan("kitti", "smoke")
threading.Thread(target=write.make, args=(streets, root, 2), daemon=True).start()
while not any(root.rglob("*.bin")): time.sleep(0.05)
print(*(child.pid for child in multiprocessing.active_children()), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert_over(started(code))


def stay(parent, folder):
    end_with(parent)
    Path(folder, "ready").touch()
    time.sleep(120)


def running(pid):
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]
    except OSError:
        return False
