"""What this machine has: cores that are ours, and an instruction that its processor names."""

import os

import pytest

from xkd.machine import bfloat16, cores


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
