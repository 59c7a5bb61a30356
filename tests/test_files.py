"""Files are whole or not there: full disks, killed processes, folders that take another's place."""

import errno
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from xkd import XkdError
from xkd.files import Rows, atomic, digest, overwritten, read_bytes, read_json, write_json


def test_full_disk_leaves_the_old_file(tmp_path, full_disk):
    write_json(tmp_path / "a.json", {"old": 1})
    with pytest.raises(XkdError, match="a.json: cannot be written .*untouched"):
        write_json(tmp_path / "a.json", {"new": "x" * 20_000})
    assert read_json(tmp_path / "a.json") == {"old": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_full_disk_leaves_the_old_checkpoint(tmp_path, full_disk):
    from xkd import student

    config = {"voxel": 0.5, "widths": [2, 2], "classes": ["a"]}
    student.save(student.build(config, 0), tmp_path / "net")
    before = digest(tmp_path / "net")
    with pytest.raises(XkdError, match="net: cannot be written"):
        student.save(student.build(config | {"widths": [32, 32]}, 0), tmp_path / "net")
    assert digest(tmp_path / "net") == before


@pytest.mark.parametrize(
    "write",
    [
        lambda folder: np.save(folder / "array.npy", np.zeros(20_000)),
        lambda folder: np.zeros(20_000).tofile(folder / "array.bin"),
        lambda folder: np.savez(folder / "arrays.npz", a=np.zeros(20_000)),
        lambda folder: (folder / "absent" / "a.txt").write_text("x"),
        lambda folder: (folder / "x").replace(folder.parent / "y"),
    ],
)
def test_what_cannot_be_written_into_a_folder(tmp_path, monkeypatch, full_disk, write):
    monkeypatch.chdir(tmp_path)
    for path in (tmp_path / "out", "out"):
        with pytest.raises(XkdError, match="out: cannot be written .*untouched"), atomic(path, folder=True) as folder:
            write(folder)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", ["file/a.json", "file/b/a.json"])
def test_a_place_that_cannot_be_written(tmp_path, path):
    (tmp_path / "file").touch()
    with pytest.raises(XkdError, match="a.json: cannot be written"):
        write_json(tmp_path / path, 1)


def test_other_errors_are_not_of_the_file_that_is_written(tmp_path):
    (tmp_path / "other").mkdir()
    wrong = [
        (FileNotFoundError, (tmp_path / "absent").read_text),
        (IsADirectoryError, (tmp_path / "other").read_text),
        (ConnectionRefusedError, lambda: raises(OSError(errno.ECONNREFUSED, "refused"))),
        (OSError, lambda: raises(OSError(errno.EIO, "broken", "/elsewhere"))),
        (OSError, lambda: raises(OSError("image file is truncated"))),
        (OSError, lambda: raises(OSError(errno.EIO, "broken", tmp_path / ".a.json.abcdefgh.part"))),
    ]
    for kind, read in wrong:
        with pytest.raises(kind), atomic(tmp_path / "a.json"):
            read()
    with pytest.raises(XkdError, match="a.json: cannot be written .broken."), atomic(tmp_path / "a.json"):
        raise OSError(errno.EIO, "broken")
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def raises(error):
    raise error


def test_a_folder_takes_the_old_ones_place_whole(tmp_path):
    for number in (1, 2):
        with atomic(tmp_path / "folder", folder=True) as folder:
            (folder / f"{number}.txt").write_text("x")
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["2.txt"]
    with pytest.raises(RuntimeError), atomic(tmp_path / "folder", folder=True) as folder:
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_what_a_killed_process_left_is_cleared(tmp_path):
    (tmp_path / ".a.json.abcdefgh.part").mkdir()
    (tmp_path / ".other.json.abcdefgh.part").mkdir()
    write_json(tmp_path / "a.json", 1)
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", ".other.json.abcdefgh.part"}


def test_missing_and_broken_json(tmp_path):
    with pytest.raises(XkdError, match="a.json: no such file"):
        read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(XkdError, match="a.json: is not JSON"):
        read_json(tmp_path / "a.json")


def test_files_that_grow_end_as_numpy_would_have_left_them(tmp_path):
    parts = [np.arange(3 * n, dtype=np.float32).reshape(n, 3) for n in (0, 2, 4000)]
    with Rows(tmp_path) as rows:
        for part in parts:
            rows.append("grown.npy", part)
            rows.append("flat.npy", part[:, 1].astype(np.int16))
            rows.write("raw.bin", part.tobytes())
    np.save(tmp_path / "whole.npy", np.concatenate(parts))
    np.save(tmp_path / "one.npy", np.concatenate(parts)[:, 1].astype(np.int16))
    assert (tmp_path / "grown.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()
    assert (tmp_path / "flat.npy").read_bytes() == (tmp_path / "one.npy").read_bytes()
    assert (tmp_path / "raw.bin").read_bytes() == np.concatenate(parts).tobytes()
    with pytest.raises(XkdError, match=r"grown.npy: rows of float64"), Rows(tmp_path) as rows:
        rows.append("grown.npy", parts[1])
        rows.append("grown.npy", parts[1].astype(float))


def test_overwritten_memory_holds_what_the_file_does(tmp_path):
    kept = []
    for size in (0, 5, 100_000, 7):
        file = tmp_path / f"{size}.bin"
        file.write_bytes(bytes(range(256)) * (size // 256) + bytes(range(size % 256)))
        found = read_bytes(file, read=overwritten)
        assert bytes(found) == read_bytes(file) and found.readonly
        kept.append(found)
    assert kept[2][:7] == kept[3], "the memory of the file before, which is what spares the time"
    with ThreadPoolExecutor(1) as other:
        other.submit(overwritten, tmp_path / "100000.bin").result()
    assert bytes(kept[3]) == bytes(range(7)), "another thread has memory of its own"
    with pytest.raises(XkdError, match="none.bin: no such scan"):
        read_bytes(tmp_path / "none.bin", "scan", overwritten)
    with pytest.raises(XkdError, match=r"cannot be read \(Is a directory\)"):
        read_bytes(tmp_path, read=overwritten)
