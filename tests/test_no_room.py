"""A checkout that takes no file, and a disk that is full: commands work or end in one sentence, and nothing is left half-written."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from complaints import complains

import xkd
from xkd import columns, families, linked, looks
from xkd.__main__ import main
from xkd.datasets import nuscenes as reader
from xkd.datasets import open_dataset
from xkd.errors import of_disk
from xkd.progress import progress


@pytest.fixture
def nowhere(tmp_path):
    """A folder that cannot be made, for anybody: what should hold it is a file."""
    (tmp_path / "file").write_text("here")
    return tmp_path / "file" / "below"


def test_which_folders_take_files(tmp_path, nowhere, monkeypatch):
    assert xkd.takes(tmp_path) and xkd.takes(tmp_path / "new" / "one")
    assert not xkd.takes(nowhere) and not xkd.takes(tmp_path / "file")
    (tmp_path / "lost").symlink_to(tmp_path / "gone")
    assert not xkd.takes(tmp_path / "lost" / "below")
    disk = os.statvfs_result(
        (4096, 4096, 100, 5000, 4095, 0, 0, 0, 0, 255)
    )  # 4095 blocks of 4 KiB are free, and 16 MiB are 4096
    monkeypatch.setattr(os, "statvfs", lambda path: disk)
    assert not xkd.takes(tmp_path)
    monkeypatch.setattr(os, "access", lambda *given: False)
    assert not xkd.takes(tmp_path)


@pytest.mark.parametrize("room", ["both", "user", "none"])
def test_where_kernels_are_kept(tmp_path, monkeypatch, room):
    """Beside the package, as numba would; else in the user's cache; else in a new folder that nobody else can have put anything in."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    user = tmp_path / "cache" / "numba"
    monkeypatch.setattr(xkd, "takes", lambda folder: room == "both" or (room == "user" and folder == user))
    xkd._kernels()
    found = os.environ.get("NUMBA_CACHE_DIR")
    if room == "none":
        assert Path(found).parent == tmp_path and Path(found).stat().st_mode & 0o777 == 0o700
    else:
        assert found == {"both": None, "user": str(user)}[room]
    monkeypatch.setenv("NUMBA_CACHE_DIR", "chosen")
    xkd._kernels()
    assert os.environ["NUMBA_CACHE_DIR"] == "chosen"


def test_progress_without_a_log(tmp_path, nowhere, monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)  # in a notebook nothing but the log is written
    monkeypatch.setattr(xkd, "ROOT", nowhere)
    assert list(progress([1, 2], "counted")) == [1, 2] and "counted: [####" in capsys.readouterr().err
    monkeypatch.setattr(xkd, "ROOT", tmp_path)
    log = tmp_path / "out" / "log" / "counted.log"
    log.parent.mkdir(parents=True)
    log.symlink_to("/dev/full")
    assert list(progress([1, 2], "counted")) == [1, 2] and "2/2" in capsys.readouterr().err
    log.unlink()
    assert list(progress([1, 2], "counted")) == [1, 2] and "2/2" in log.read_text()


def files(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.parametrize("what", ["checkout", "cache"])
def test_check_writes_nothing(nuscenes, tmp_path, nowhere, monkeypatch, capsys, what):
    before = files(nuscenes)
    assert main(["check", str(nuscenes)]) == 0
    said = capsys.readouterr().out
    monkeypatch.setattr(reader, "LARGE", 0)  # so that an index would be kept
    monkeypatch.setenv("XKD_CACHE", str(nowhere if what == "cache" else tmp_path / "cache"))
    if what == "checkout":
        monkeypatch.setattr(xkd, "ROOT", nowhere)
    assert main(["check", str(nuscenes)]) == 0
    assert capsys.readouterr() == (said, "") and files(nuscenes) == before


def test_an_index_that_a_full_disk_does_not_take(nuscenes, tmp_path, monkeypatch, full_disk):
    monkeypatch.setattr(reader, "LARGE", 0)
    monkeypatch.setenv("XKD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(columns, "ALIGNED", 1 << 14)  # an index of more bytes than a file may have here
    for _ in range(2):
        assert len(open_dataset("nuscenes", nuscenes)) == 5
    assert not list((tmp_path / "cache").iterdir())


def test_a_page_that_cannot_be_written(tmp_path, nowhere, monkeypatch, full_disk):
    monkeypatch.setattr(linked, "html", lambda scene: "x" * 20_000)
    with complains(f"{nowhere / 'page.html'}: cannot be written (Not a directory); what was there before is untouched"):
        linked.write({}, nowhere / "page.html")
    page = tmp_path / "pages" / "page.html"
    with complains(f"{page}: cannot be written (File too large); what was there before is untouched"):
        linked.write({}, page)
    page.write_text("before")
    with complains(f"{page}: cannot be written"):
        linked.write({}, page)
    assert page.read_text() == "before" and list(page.parent.iterdir()) == [page]


@pytest.mark.parametrize("name", [None, "/a/b.npy"])
def test_what_a_disk_says_is_one_sentence(monkeypatch, capsys, name):
    """Wherever in a command it says it."""

    def fails(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)

    sentence = f"{name or 'A file'}: cannot be read or written (No space left on device)."
    assert of_disk(OSError("odd")) == "A file: cannot be read or written (odd)."
    monkeypatch.setattr("xkd.__main__.check", fails)
    monkeypatch.setattr("xkd.__main__.opened", fails)
    monkeypatch.setattr(families, "report", fails)
    monkeypatch.setattr(looks, "open_frames", fails)
    for command in (["check", "x"], ["teachers"]):
        assert main(command) == 1 and capsys.readouterr().err.endswith(f"xkd: {sentence}\n")
    assert looks.main(["page.html"]) == 1 and capsys.readouterr().err == f"xkd.looks: {sentence}\n"


READ_ONLY = """
set -e
mount --bind {root} {root} && mount -o remount,ro,bind {root} || exit 77
cd {root}/checkout
! touch new 2> /dev/null || exit 77
exec {python} -m xkd check {root}/data
"""


def test_check_on_a_read_only_disk(nuscenes, tmp_path):
    """The checkout, the data, the user's home and the cache, none of which takes a file."""
    root, home = tmp_path / "disk", tmp_path / "disk" / "home"
    home.mkdir(parents=True)
    nuscenes.rename(root / "data")
    code = xkd.ROOT / "xkd"
    for path in code.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            copy = root / "checkout" / path.relative_to(xkd.ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    given = {"HOME": home, "XKD_CACHE": home / "cache", "PYTHONPATH": root / "checkout", "TMPDIR": tmp_path}
    environment = {
        name: value for name, value in os.environ.items() if name not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")
    }
    script = READ_ONLY.format(root=root, python=sys.executable)
    try:
        ran = subprocess.run(
            ["unshare", "-rm", "bash", "-c", script],
            env=environment | {n: str(v) for n, v in given.items()},
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    if ran.returncode == 77 or ran.stderr.startswith("unshare:"):
        pytest.skip("nothing can be mounted here")
    assert ran.returncode == 0, ran.stderr
    assert "0 bad" in ran.stdout and "Traceback" not in ran.stderr
    assert not list(tmp_path.glob("xkd-numba-*")) and not list(root.rglob("*.nbi"))
