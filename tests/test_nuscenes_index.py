"""Large tables of nuScenes are read another way and kept; both must give what the plain way gives, or let it speak."""

import json
import os
from pathlib import Path

import layouts
import numpy as np
import pytest

import xkd
from xkd import columns, nuscenes_index, nuscenes_scan
from xkd.columns import Strings, column
from xkd.datasets import nuscenes as reader
from xkd.datasets import open_dataset
from xkd.json_scan import Unusual, pieces

REAL = xkd.ROOT.parent / "shared" / "data" / "nuscenes_one_sample"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The folder where indexes are kept."""
    monkeypatch.setenv("XKD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def scanned(monkeypatch):
    """Every table is large. A list of what came of each scan: "read", or "unusual"."""
    said, scan = [], nuscenes_scan.sensor_rows

    def told(*arguments):
        said.append("unusual")
        found = scan(*arguments)
        said[-1] = "read"
        return found

    monkeypatch.setattr(nuscenes_index, "sensor_rows", told)
    monkeypatch.setattr(nuscenes_index, "LARGE", 0)
    return said


@pytest.fixture
def kept(scanned, monkeypatch):
    """Indexes are kept of small tables too."""
    monkeypatch.setattr(reader, "LARGE", 0)
    return scanned


def written(root, split=None, version=None):
    """All that frames and cameras say of themselves without a scan or an image."""
    data, said = open_dataset("nuscenes", root, split, version=version), []
    for frame in data:
        said.append([frame.id, frame.scene, frame.split, frame.index, frame.timestamp, frame.T_world_lidar.tobytes()])
        said[-1].append([frame.source._rows[task][frame.index] for task in ("lidarseg", "panoptic")])
        for c in frame.cameras:
            said.append([c.name, str(c.path), c.size, c.timestamp, c.K.flags.writeable])
            said[-1] += [T.tobytes() for T in (c.K, c.T_rig_cam, c.T_world_rig, c.T_cam_lidar)]
    return data.camera_names, data.scenes, data._training, said


def plain(monkeypatch, *arguments):
    with monkeypatch.context() as patch:
        patch.setattr(nuscenes_index, "LARGE", 1 << 62)
        patch.setattr(reader, "LARGE", 1 << 62)
        return written(*arguments)


def rewrite(root, table, text):
    """text: function from the rows of a table to what is written in their place."""
    path = root / "v1.0-mini" / f"{table}.json"
    path.write_text(text(json.loads(path.read_text())))


FORMS = {
    "compact": lambda rows: json.dumps(rows, separators=(",", ":")),
    "indented": lambda rows: json.dumps(rows, indent="\t").replace("\n", "\r\n"),
    "other order": lambda rows: json.dumps([dict(reversed(row.items())) for row in rows], indent=4),
    "fields within fields": lambda rows: json.dumps(
        [{"more": {"is_key_frame": 1, "token": [{"token": "}]"}]}} | row | {"other": [[], {}]} for row in rows]
    ),
    "a field twice": lambda rows: json.dumps(rows).replace('{"token"', '{"is_key_frame": false, "token": "x", "token"'),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("table", ["sample_data", "ego_pose"])
def test_other_forms_of_the_same_json_are_read(nuscenes, scanned, monkeypatch, table, form):
    rewrite(nuscenes, table, FORMS[form])
    expected = plain(monkeypatch, nuscenes)
    assert len(expected[3]) == 5 * 3 and written(nuscenes) == expected and scanned == ["read"]


def test_a_row_across_pieces(nuscenes, scanned, monkeypatch):
    expected = plain(monkeypatch, nuscenes)
    for size in (450, 700):
        monkeypatch.setattr("xkd.json_scan.PIECE", size)
        monkeypatch.setattr(nuscenes_scan, "PIECE", size)
        monkeypatch.setattr("xkd.json_scan.ROWS", 2)
        assert written(nuscenes) == expected
    monkeypatch.setattr("xkd.json_scan.PIECE", 100)
    assert written(nuscenes) == expected and scanned == ["read", "read", "unusual"]


STRANGE = {
    "escaped": lambda rows: json.dumps(rows).replace("samples/CAM_BACK", "samples\\/CAM_BACK"),
    "escaped name": lambda rows: json.dumps(rows).replace("sample_token", "sample\\u005ftoken"),
    "not ASCII": lambda rows: json.dumps([row | {"note": "é"} for row in rows], ensure_ascii=False),
    "no NaN in JSON": lambda rows: json.dumps([row | {"note": float("nan")} for row in rows]),
    "long number": lambda rows: json.dumps([row | {"note": 10**30} for row in rows]),
    "true as 1": lambda rows: json.dumps([row | {"is_key_frame": int(row["is_key_frame"])} for row in rows]),
    "no height": lambda rows: json.dumps([{k: v for k, v in r.items() if k != "height" or r["height"]} for r in rows]),
}


@pytest.mark.parametrize("form", STRANGE)
def test_what_is_not_understood_is_read_the_plain_way(nuscenes, kept, monkeypatch, form):
    rewrite(nuscenes, "sample_data", STRANGE[form])
    expected = plain(monkeypatch, nuscenes)
    assert written(nuscenes) == expected and kept == ["unusual"]


@pytest.mark.parametrize(
    "text",
    ["", "[", "[{]", "[{}", '[{"a" 1}]', '[{"a": 1,}]', '[{"a": 01}]', '[{"a": 1.}]', '[{"a": .5}]', '[{"a": 1e}]', '[{"a": -}]', "[{}{}]",
     '[{"a": tru}]', '[{"a": nulL}]', '[{"a": [1}]}]', '[{"a": [1,]}]', '[{"a": {]}]', "[{},]", "[{}]]", "[1]", '[{"a": "\n"}]', '[{a: 1}]',
     '{"a": 1}', "[{}] x", '[{"a": "}]'],
)  # fmt: skip
def test_what_is_no_table(tmp_path, text):
    path = tmp_path / "table.json"
    path.write_text(text)
    with pytest.raises(Unusual):
        list(pieces(path, ["a"]))


@pytest.mark.parametrize(
    "value", ['"x"', "0", "-0", "-1.5e-07", "12E+3", "true", "false", "null", "[]", "{}", '[{"a": [1, "{"]}, 2]']
)
def test_places_of_values(tmp_path, value):
    path = tmp_path / "table.json"
    path.write_text(f' [ {{"b": 1, "a" : {value} }} ,\n{{"b":2}}]\n')
    ((text, found, offset),) = [(bytes(t), f.copy(), o) for t, f, o in pieces(path, ["a", "b"])]
    assert offset == 0 and found.shape == (2, 3, 2) and found[1, 0].tolist() == [-1, -1]
    parts = [text[slice(*span)].decode() for span in (*found[0], *found[1, 1:])]
    assert parts == [value, "1", f'{{"b": 1, "a" : {value} }}', "2", '{"b":2}']


def test_frames_are_the_same_when_kept(nuscenes, kept, cache, monkeypatch):
    layouts.nuscenes(nuscenes, version="v1.0-trainval")
    for version, split in (("v1.0-mini", None), (None, "mini_val"), (None, "train")):
        expected = plain(monkeypatch, nuscenes, split, version)
        assert [written(nuscenes, split, version) for _ in range(3)] == [expected] * 3
    assert kept == ["read"] * 3 and len(list(cache.iterdir())) == 3
    data = open_dataset("nuscenes", nuscenes, "train")
    assert data[0].labels.tolist() == [10, 3, -1, 6] and isinstance(data._rows["ego_rotation"].base, np.ndarray)


def test_made_and_real_frames_are_the_same(made, kept, monkeypatch):
    roots = [(Path(made) / "nuscenes", split) for split in ("train", "val", "test")] + [(REAL, None)] * REAL.is_dir()
    for root, split in roots:
        expected = plain(monkeypatch, root, split)
        assert [written(root, split) for _ in range(2)] == [expected] * 2
    assert kept == ["read"] * len(roots)


def test_small_tables_are_not_kept(nuscenes, cache):
    open_dataset("nuscenes", nuscenes)
    assert not cache.exists()


def test_a_table_that_changed(nuscenes, kept, cache):
    open_dataset("nuscenes", nuscenes)
    path = nuscenes / "v1.0-mini" / "scene.json"
    before = path.stat()
    path.write_text(path.read_text().replace('"name": "scene-0103', '"name": "scene-0916'))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert open_dataset("nuscenes", nuscenes).scenes[-1] == "scene-0916"
    assert kept == ["read"] * 2 and len(list(cache.iterdir())) == 1


def test_code_that_changed(nuscenes, kept, cache, monkeypatch):
    open_dataset("nuscenes", nuscenes)
    monkeypatch.setattr(reader, "MADE_BY", reader.MADE_BY[1:])
    open_dataset("nuscenes", nuscenes)
    assert kept == ["read"] * 2 and len(list(cache.iterdir())) == 1


def test_damage_to_what_is_kept(nuscenes, kept, cache):
    expected = written(nuscenes)
    (path,) = cache.iterdir()
    whole = path.read_bytes()
    places = (0, 33, 41, len(whole) // 2, len(whole) - 1)
    broken = [whole[:k] + bytes([whole[k] ^ 1]) + whole[k + 1 :] for k in places]
    for damaged in (b"", b"x", whole[:40], whole[:-1], whole + b"x", *broken):
        path.write_bytes(damaged)
        assert written(nuscenes) == expected and path.read_bytes() == whole
    path.unlink()
    path.mkdir()
    assert written(nuscenes) == expected


@pytest.mark.parametrize("place", ["a file", "a file/below", "/proc/nothing"])
def test_nowhere_to_keep_it(nuscenes, kept, tmp_path, monkeypatch, place):
    (tmp_path / "a file").touch()
    monkeypatch.setenv("XKD_CACHE", str(tmp_path / place))
    assert written(nuscenes) == written(nuscenes) and kept == ["read"] * 2


def test_where_it_is_kept(tmp_path, monkeypatch):
    def folder():
        return columns.place("name", "key").parent

    assert folder() == tmp_path / "cache"
    monkeypatch.delenv("XKD_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert folder() == tmp_path / "xdg" / "xkd"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert folder() == tmp_path / ".cache" / "xkd"


def test_columns():
    texts = Strings.of(["a", "", "é\0", "\ud800"])
    assert list(texts) == ["a", "", "é\0", "\ud800"] and list(texts[np.array([2, 0, 0])]) == ["é\0", "a", "a"]
    assert column([1, -(2**63)]).tolist() == [1, -(2**63)] and column([2**63]) == [2**63] and column([True]) == [True]
    assert column([1, None]) == [1, None] and column(["a", 1]) == ["a", 1] and list(column(["a"])) == ["a"]
    assert column([[1, 2.5]], (2,)).tolist() == [[1, 2.5]] and column([[1, None]], (2,)) == [[1, None]]
    assert column([[1], [1, 2]], (2,)) == [[1], [1, 2]]
    assert nuscenes_scan.turns([[0, 0, 0, 0]]) == [[0, 0, 0, 0]]
