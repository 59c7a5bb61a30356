"""Pickled tables against what pandas reads from the same files, and pickles that are programs."""

import copyreg
import gzip
import os
import pickle
import re

import numpy as np
import pandas as pd
import pytest
from pandas.core.internals.managers import BlockManager

from xkd import XkdError
from xkd.pickles import read_table

FRAME = pd.DataFrame(
    {
        "x": [1.5, -2.0, 3.25],
        "d": [0, 1, 1],
        "y": [0.0, 4.0, 1e300],
        "good": [True, False, True],
        "name": ["a", "b", "c"],
    }
)
NUMBERS = ["x", "d", "y", "good"]


def write(path, value, protocol=3):
    path.write_bytes(gzip.compress(pickle.dumps(value, protocol=protocol)))
    return path


class Old(pickle._Pickler):
    """Writes a frame as pandas 1.0 did: every value under the frame's `_data`, and the manager's as a state, not as arguments."""

    def reducer_override(self, value):
        if isinstance(value, pd.DataFrame):
            return copyreg.__newobj__, (pd.DataFrame,), {"_data": value._mgr, "_typ": "dataframe", "attrs": {}}
        if isinstance(value, BlockManager):
            axes = [pd.Index(value.axes[0].to_numpy(object), dtype=object), value.axes[1]]
            blocks = [
                {"values": np.asarray(block.values), "mgr_locs": block.mgr_locs.indexer} for block in value.blocks
            ]
            values, items = [block["values"] for block in blocks], [axes[0][block["mgr_locs"]] for block in blocks]
            state = (axes, values, items, {"0.14.1": {"axes": axes, "blocks": blocks}})
            return copyreg.__newobj__, (BlockManager,), state
        return NotImplemented


def write_old(path, frame):
    with gzip.open(path, "wb") as file:
        Old(file, protocol=3).dump(frame)
    data = gzip.decompress(path.read_bytes())
    for now, then in {"numpy._core.": "numpy.core.", "pandas\nDataFrame": "pandas.core.frame\nDataFrame"}.items():
        assert f"c{now}".encode() in data
        data = data.replace(f"c{now}".encode(), f"c{then}".encode())
    path.write_bytes(gzip.compress(data))
    return path


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("index", [None, [7, 3, 5]])
def test_tables_of_this_pandas(tmp_path, protocol, index):
    frame = FRAME if index is None else FRAME.set_axis(index)
    path = write(tmp_path / "t.pkl.gz", frame, protocol)
    for name, column in zip(NUMBERS, read_table(path, NUMBERS), strict=True):
        assert column.dtype == FRAME[name].dtype and column.tolist() == FRAME[name].tolist()


def test_tables_of_an_old_pandas(tmp_path):
    path = write_old(tmp_path / "t.pkl.gz", FRAME[NUMBERS])
    for name, column in zip(NUMBERS, read_table(path, NUMBERS), strict=True):
        assert column.dtype == FRAME[name].dtype and column.tolist() == FRAME[name].tolist()


def test_both_byte_orders_and_small_numbers(tmp_path):
    frame = pd.DataFrame(
        {"a": np.array([1, -2], ">i4"), "b": np.array([3, 250], np.uint8), "c": np.array([0.5, 2], "f4")}
    )
    a, b, c = read_table(write(tmp_path / "t.pkl.gz", frame), ["a", "b", "c"])
    assert a.tolist() == [1, -2] and b.tolist() == [3, 250] and c.tolist() == [0.5, 2]


class Call:
    """Asks whoever opens it to call a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("function", "name"),
    [(os.system, f"{os.system.__module__}.system"), (eval, "builtins.eval"), (pd.eval, f"{pd.eval.__module__}.eval")],
)
@pytest.mark.parametrize("protocol", [0, 2, 3, 4, 5])
def test_nothing_that_a_pickle_asks_for_is_run(tmp_path, function, name, protocol):
    mark = tmp_path / "ran"
    text = f"touch {mark}" if function is os.system else f"open({str(mark)!r}, 'w')"
    inside = FRAME[NUMBERS].copy()
    inside.attrs["extra"] = Call(function, text)
    for value in (Call(function, text), [1, Call(function, text)], inside):
        path = write(tmp_path / "evil.pkl.gz", value, protocol)
        with pytest.raises(
            XkdError, match=r"evil.pkl.gz: asks for \S+, which is no part of a table, so it was not opened.$"
        ) as told:
            read_table(path, NUMBERS)
        assert not mark.exists()
        if protocol >= 3:  # older ones have other names for modules, and need a function for bytes
            assert name in str(told.value)
    pickle.loads(pickle.dumps(Call(os.system, f"touch {mark}")))
    assert mark.exists()  # so the mark would have told


def test_names_are_taken_whole(tmp_path):
    """Protocol 4 lets a pickle ask for an attribute of what it may name, and for what a stand-in is made of."""
    for module, name in [
        ("pandas", "DataFrame.eval"),
        ("pandas", "DataFrame.__class__"),
        ("builtins", "slice.__init__"),
    ]:
        path = tmp_path / "t.pkl.gz"
        ask = (
            b"\x80\x04" + b"".join(b"\x8c" + bytes([len(part)]) + part.encode() for part in (module, name)) + b"\x93)R."
        )
        path.write_bytes(gzip.compress(ask))
        with pytest.raises(XkdError, match=re.escape(f"asks for {module}.{name}, which")):
            read_table(path, ["x"])


@pytest.mark.parametrize("value", [[1, 2], {"x": 3}, None, "text", np.zeros(3), pd.RangeIndex(3), 7, pd.Index([1.5])])
def test_pickles_of_something_else(tmp_path, value):
    with pytest.raises(XkdError, match=r"t.pkl.gz: does not hold one whole pickled data frame .*\.$"):
        read_table(write(tmp_path / "t.pkl.gz", value), ["x"])


def test_types_that_no_scan_has(tmp_path):
    times = pd.DataFrame({"x": pd.to_datetime(["2019-05-11"])})
    with pytest.raises(XkdError, match="t.pkl.gz: asks for pandas.*Datetime.*not opened"):
        read_table(write(tmp_path / "t.pkl.gz", times), ["x"])


def test_columns(tmp_path):
    path = write(tmp_path / "t.pkl.gz", FRAME)
    with pytest.raises(XkdError, match="t.pkl.gz: has no column 'z'; its columns are x, y, d, good, name.$"):
        read_table(path, ["x", "z"])
    with pytest.raises(XkdError, match="the column 'name' does not hold numbers"):
        read_table(path, ["name"])
    with pytest.raises(XkdError, match="its columns are none"):
        read_table(write(path, FRAME[[]]), ["x"])


def test_files_that_are_damaged(tmp_path):
    path = write(tmp_path / "t.pkl.gz", FRAME)
    whole = path.read_bytes()
    for data in (
        whole[:-1],
        whole[:-9],
        whole[: len(whole) // 2],
        whole[:12],
        b"no gzip",
        pickle.dumps(FRAME),
        whole + b"more",
    ):
        path.write_bytes(data)
        with pytest.raises(XkdError, match=r"t.pkl.gz: is not a whole gzip file \(.*\)\.$"):
            read_table(path, ["x"])
    many = b"\x80\x04}r\xff\xff\xff\x7f."  # an object to be kept in place 2**31 - 1: room for all before it is 16 GiB
    for data in (b"", gzip.compress(b""), gzip.compress(b"\x80\x04 no pickle"), gzip.compress(many)):
        path.write_bytes(data)
        with pytest.raises(XkdError, match="t.pkl.gz: does not hold one whole pickled data frame"):
            read_table(path, ["x"])
    path.unlink()
    with pytest.raises(XkdError, match="t.pkl.gz: no such file"):
        read_table(path, ["x"])


@pytest.mark.parametrize("old", [False, True])
def test_damaged_pickles_end_in_one_sentence(tmp_path, old):
    """Cuts everywhere, and two hundred changed bytes: a table of the same shape, or one error; never another."""
    path = tmp_path / "t.pkl.gz"
    data = gzip.decompress((write_old if old else write)(path, FRAME[NUMBERS]).read_bytes())
    rng = np.random.default_rng(0)
    changed = [data[:length] for length in range(0, len(data), 7)]
    for _ in range(200):
        one = bytearray(data)
        one[rng.integers(len(one))] = rng.integers(256)
        changed.append(bytes(one))
    for one in changed:
        path.write_bytes(gzip.compress(one, 1))
        try:
            assert {len(column) for column in read_table(path, NUMBERS)} == {3}
        except XkdError as error:
            assert str(path) in str(error)
