"""Pickles that say much in few bytes, and every name that one may ask for or might be asked for."""

import gzip
import pickle
import resource
import zlib

import numpy as np
import pandas as pd
import pytest
from complaints import complains

from xkd import pickles
from xkd.pickles import ALLOWED, Kept, read_table

LEVELS = 60
"""Each holds the one below twice: written out or hashed, the highest takes 2**60 steps."""


def asked(module, name, arguments=b")"):
    """A pickle that asks for a name and calls it with what a pickled tuple holds."""
    text = b"".join(b"\x8c" + bytes([len(part)]) + part.encode() for part in (module, name))
    return b"\x80\x04" + text + b"\x93" + arguments + b"R."


def nested(kind):
    """Instructions for tuples or lists of `LEVELS` levels, each kept in a place of its own, the highest in the last."""
    code, pair = {"tuple": (b")\x94", b"h%ch%c\x86\x94"), "list": (b"]\x94", b"(h%ch%cl\x94")}[kind]
    return code + b"".join(pair % (level, level) for level in range(LEVELS))


def packed(path, data):
    path.write_bytes(gzip.compress(data, 1))
    return path


REFUSED = """
builtins.eval builtins.exec builtins.open builtins.compile builtins.__import__ builtins.getattr builtins.setattr builtins.type
builtins.object builtins.bytearray builtins.print builtins.input builtins.map builtins.dict builtins.set builtins.globals
builtins.memoryview os.system posix.system posix.unlink os.remove subprocess.Popen shutil.rmtree pathlib.PosixPath socket.socket
importlib.import_module copyreg._reconstructor copyreg.__newobj__ _codecs.encode codecs.open operator.attrgetter operator.methodcaller
functools.partial types.FunctionType types.CodeType pickle.loads pickle.Unpickler io.open io.FileIO code.interact pdb.run runpy.run_path
ctypes.CDLL webbrowser.open numpy.load numpy.fromfile numpy.memmap numpy.save numpy.frombuffer numpy.array numpy.core.multiarray.scalar
numpy._core.multiarray.scalar numpy.core.multiarray.fromfile numpy._core.multiarray._vec_string numpy.ctypeslib.load_library
numpy.testing.runstring numpy.record numpy.rec.array pandas.eval pandas.read_pickle pandas.read_csv pandas.Series
pandas.core.series.Series pandas.MultiIndex pandas.core.indexes.multi.MultiIndex pandas.core.indexes.datetimes.DatetimeIndex
pandas._libs.internals.BlockPlacement pandas.core.internals.blocks.new_block pandas.Categorical
pandas.core.internals.managers.SingleBlockManager pandas.core.frame.DataFrame.eval pandas.DataFrame.to_pickle
pandas.io.pickle.read_pickle pandas.core.computation.eval.eval pandas.Timestamp pandas._libs.tslibs.timestamps._unpickle_timestamp
datetime.datetime collections.OrderedDict xkd.files.write_json xkd.pickles.read_table xkd.pickles.Kept numpy.dtype.__new__
numpy.ndarray.tofile pandas.Index.map builtins.slice.__class__
""".split()


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_table_needs_is_refused(tmp_path, name):
    """However the name is cut into a module and what is asked of it."""
    parts = name.split(".")
    for k in range(1, len(parts)):
        module, rest = ".".join(parts[:k]), ".".join(parts[k:])
        for data in (asked(module, rest), f"c{module}\n{rest}\n.".encode(), f"(i{module}\n{rest}\n.".encode()):
            with complains(f"asks for {name}, which is no part of a table, so it was not opened"):
                read_table(packed(tmp_path / "t.pkl.gz", data), ["x"])


def test_extensions_are_names_too(tmp_path):
    """An instruction can stand for a name that other code has registered; none is."""
    for code in (b"\x82\x01", b"\x83\x01\x00", b"\x84\x01\x00\x00\x00"):
        with complains("t.pkl.gz: does not hold one whole pickled data frame", "unregistered extension code 1"):
            read_table(packed(tmp_path / "t.pkl.gz", b"\x80\x04" + code + b"."), ["x"])
    with complains("t.pkl.gz: does not hold one whole pickled data frame", "persistent"):
        read_table(packed(tmp_path / "t.pkl.gz", b"Pname\n."), ["x"])


@pytest.mark.parametrize("name", ALLOWED)
def test_what_a_table_needs_does_nothing(tmp_path, monkeypatch, name):
    """Every allowed name is a stand-in that keeps what it gets, or a slice: called with a file's name or a program's text, and given a
    state, it leaves no trace, and what comes of it is no table."""
    monkeypatch.chdir(tmp_path)
    stand_in, (module, _, word), path = ALLOWED[name], name.rpartition("."), tmp_path / "t.pkl.gz"
    if stand_in is not slice:
        assert issubclass(stand_in, Kept) and stand_in("made", "w").arguments == ("made", "w")
    for state in (b"", b"}\x8c\x05state\x8c\x04madesb", b")b", b"N}\x8c\x08__call__\x8c\x04mades\x86b"):
        call = asked(module, word, b"\x8c\x04made\x8c\x01w\x86")[:-1]
        with complains("t.pkl.gz: does not hold one whole pickled data frame"):
            read_table(packed(path, call + state + b"."), ["x"])
    # A state for the stand-in itself, which all later ones would share.
    with complains("t.pkl.gz: does not hold one whole pickled data frame"):
        ask = asked(module, word)[:-3]
        read_table(packed(path, ask + b"}\x8c\x05state\x8c\x04madesb."), ["x"])
    assert Kept.state is None and [file.name for file in tmp_path.iterdir()] == ["t.pkl.gz"]


def test_a_gzip_bomb(tmp_path, monkeypatch):
    """A kilobyte of zeros a megabyte, in several members too; of 200 MB no more is unpacked than what a table may take."""
    monkeypatch.setattr(pickles, "MOST", 1 << 20)
    member = gzip.compress(bytes(1 << 20))
    path, before = tmp_path / "t.pkl.gz", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    path.write_bytes(member * 200)
    with complains("t.pkl.gz: unpacks to more than 1,048,576 bytes, which no scan does"):
        read_table(path, ["x"])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000
    path.write_bytes(member)  # as many as there may be, and then it is no pickle
    with complains("t.pkl.gz: does not hold one whole pickled data frame"):
        read_table(path, ["x"])
    path.write_bytes(member[:-8] + (zlib.crc32(b"") ^ 1).to_bytes(4, "little") + member[-4:])
    with complains("t.pkl.gz: is not a whole gzip file"):
        read_table(path, ["x"])


def test_the_most_is_far_more_than_a_scan(tmp_path):
    """A scan of both LiDARs has about 170,000 points of five float64 and an int64."""
    assert pickles.MOST > 20 * 170_000 * 6 * 8
    table = pd.DataFrame({"x": np.arange(1000.0)})
    assert read_table(packed(tmp_path / "t.pkl.gz", pickle.dumps(table)), ["x"])[0].tolist() == list(range(1000))


@pytest.mark.parametrize("kind", ["tuple", "list"])
@pytest.mark.parametrize("where", ["alone", "a key", "a set", "frozen", "an argument", "a state", "a name"])
def test_what_nests_in_itself_ends_at_once(tmp_path, kind, where):
    top, at = nested(kind), b"h%c" % LEVELS
    data = {
        "alone": b"",
        "a key": b"}" + at + b"Ns",
        "a set": b"\x8f(" + at + b"\x90",
        "frozen": b"(" + at + b"\x91",
        "an argument": b"cnumpy\ndtype\n" + at + b"\x85R",
        "a state": b"cpandas\nDataFrame\n)R" + at + b"b",
        "a name": at + b"\x8c\x01x\x93",
    }[where]
    with complains("t.pkl.gz: does not hold one whole pickled data frame") as told:
        read_table(packed(tmp_path / "t.pkl.gz", b"\x80\x04" + top + data + b"."), ["x"])
    assert len(str(told.value)) < 500


@pytest.mark.parametrize("place", ["name", "type", "value"])
@pytest.mark.parametrize("kind", [tuple, list])
def test_tables_of_what_nests_in_itself(tmp_path, monkeypatch, kind, place):
    """Where a table has a column's name, a type or a text, there are tuples of tuples."""
    bomb = kind()
    for _ in range(LEVELS):
        bomb = kind([bomb, bomb])

    def array(data, code):
        dtype = pickles.Kept(code)
        dtype.state = (3, "<")
        made = pickles.Kept()
        made.state = (1, (len(data),) if code == "O8" else (1,), dtype, False, data)
        return made

    names = pickles.Kept(None, {"data": array([bomb if place == "name" else "x"], "O8")})
    values = array([bomb], "O8") if place == "value" else array(bytes(8), bomb if place == "type" else "f8")
    table = pickles.Table()
    table.state = {"_mgr": pickles.Kept((pickles.Kept(values, slice(0, 1)),), [names])}
    monkeypatch.setattr(pickles._Unpickler, "load", lambda self: table)
    words = "the column 'x' does not hold numbers" if place == "value" else "does not hold one whole pickled data frame"
    with complains(f"t.pkl.gz: {words}"):
        read_table(packed(tmp_path / "t.pkl.gz", b""), ["x"])


def test_more_bytes_than_there_are(tmp_path):
    """A length of 2**40 bytes, of a text, of bytes, of an array's bytes and of a frame: nothing is taken for them."""
    size, before = (1 << 40).to_bytes(8, "little"), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for code in (b"\x8d", b"\x8e", b"\x96", b"\x95"):
        with complains("t.pkl.gz: does not hold one whole pickled data frame"):
            read_table(packed(tmp_path / "t.pkl.gz", b"\x80\x05" + code + size + b"abc."), ["x"])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000
