"""Tables of numbers in pickle files, read without running what a pickle can ask for.

A pickle is a program: it names functions and has them called, so that one of unknown origin can do anything (manual of Python's `pickle`).
Here it can name only what pandas 1 to 3 write for a table, and reaches neither pandas nor numpy with it: every name stands for an
object that keeps what it is given, and the arrays are made of the kept bytes afterwards. Few bytes can also say very much: a table that
is packed unpacks to so much at most, and what nests in itself over and over is neither hashed nor written out.
"""

import gzip
import io
import pickle
import zlib

import numpy as np

from xkd.errors import XkdError, why
from xkd.files import read_bytes


class Kept:
    """An object of a pickle: the arguments and the state that it was given, and nothing done with them."""

    state = None

    def __new__(cls, *arguments):
        kept = super().__new__(cls)
        kept.arguments = arguments
        return kept

    def __setstate__(self, state):
        self.state = state


class Table(Kept):
    """A data frame; its state holds the manager of its blocks, as `_data` or, since pandas 1.1, `_mgr`."""


class Buffer(Kept):
    """An array since pickle protocol 5: bytes, dtype, shape, order. Before, it is (version, shape, dtype, by columns, bytes)."""


class Text(Kept):
    """The strings of pandas 3; its state is their dtype and an array."""


NAMES = {
    Table: "pandas.core.frame.DataFrame pandas.DataFrame",
    Buffer: "numpy.core.numeric._frombuffer numpy._core.numeric._frombuffer",
    Text: "pandas._libs.arrays.__pyx_unpickle_NDArrayBacked",
    Kept: "numpy.dtype numpy.ndarray numpy.core.multiarray._reconstruct numpy._core.multiarray._reconstruct "
    "pandas.core.internals.managers.BlockManager pandas._libs.internals._unpickle_block "
    "pandas.core.indexes.base._new_Index pandas.core.indexes.base.Index pandas.core.indexes.range.RangeIndex "
    "pandas.core.indexes.numeric.Int64Index pandas.Index pandas.RangeIndex pandas.StringDtype pandas.arrays.StringArray",
    slice: "builtins.slice",
}
ALLOWED = {name: stand_in for stand_in, names in NAMES.items() for name in names.split()}
MOST = 1 << 28
"""Bytes that a table unpacks to at most; a scan of 170,000 points takes 8 million."""
PLAIN = {str, bytes, int, float, bool, type(None)}
"""What a key of a dictionary may be: the hash of tuples of tuples can take for ever."""
SETS = {pickle.EMPTY_SET, pickle.ADDITEMS, pickle.FROZENSET}
KEYS = {
    pickle.SETITEM: lambda stack: stack[-2:-1],
    pickle.SETITEMS: lambda stack: stack[::2],
    pickle.DICT: lambda stack: stack[::2],
}
"""Where the instructions that fill a dictionary find its keys."""
NUMBERS = {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"}


def read_table(path, columns):
    """[(N,) array of numbers] of the named columns of a data frame in a gzipped pickle, in the order of its rows.

    Errors: a missing, cut off or damaged file, one of more than `MOST` bytes, a pickle that names anything but the parts of a table, one
    of something else than a table, a column that it has not or has twice, or that holds no numbers.
    """
    try:
        data = gzip.GzipFile(fileobj=io.BytesIO(read_bytes(path))).read(MOST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise XkdError(f"{path}: is not a whole gzip file ({error}).") from None
    if len(data) > MOST:
        raise XkdError(f"{path}: unpacks to more than {MOST:,} bytes, which no scan does, so it was not opened.")
    try:
        found = list(_columns(_Unpickler(path, data).load()))
        table = dict(found)
    except XkdError:
        raise
    except Exception as error:  # damaged bytes are another program, which can fail in every way
        raise XkdError(
            f"{path}: does not hold one whole pickled data frame ({type(error).__name__}: {why(error)})."
        ) from None
    for column in columns:
        if [name for name, _ in found].count(column) > 1:
            raise XkdError(f"{path}: has the column {column!r} twice.")
        if column not in table:
            raise XkdError(f"{path}: has no column {column!r}; its columns are {', '.join(map(str, table)) or 'none'}.")
        if table[column].dtype == object:
            raise XkdError(f"{path}: the column {column!r} does not hold numbers.")
    return [table[column] for column in columns]


def _plain(load, keys):
    """The instruction `load`, which puts `keys(stack)` into a dictionary. Errors: one that is not of `PLAIN`."""

    def checked(unpickler):
        if wrong := [key for key in keys(unpickler.stack) if type(key) not in PLAIN]:
            raise TypeError(f"a {type(wrong[0]).__name__} as a key")
        load(unpickler)

    return checked


class _Unpickler(pickle._Unpickler):
    """The one that is written in Python, whose instructions can be told apart; a table has some hundreds. It has none for sets."""

    dispatch = {code: load for code, load in pickle._Unpickler.dispatch.items() if bytes([code]) not in SETS}
    dispatch |= {code[0]: _plain(pickle._Unpickler.dispatch[code[0]], keys) for code, keys in KEYS.items()}

    def __init__(self, path, data):
        super().__init__(io.BytesIO(data))
        self.path = path

    def find_class(self, module, name):
        if f"{module}.{name}" not in ALLOWED:
            raise XkdError(f"{self.path}: asks for {module}.{name}, which is no part of a table, so it was not opened.")
        return ALLOWED[f"{module}.{name}"]

    def load_bytearray8(self):
        """Python takes as much memory as a number says before it looks whether so many bytes follow."""
        size = int.from_bytes(self.read(8), "little")
        data = self.read(size)
        if len(data) < size:
            raise EOFError(f"{size} bytes, and {len(data)} are there")
        self.append(data)

    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8


def _columns(table):
    """Yields (name, (N,) array) of each column. A block holds the values (k, N) of k columns, and their places among all columns."""
    if not isinstance(table, Table):
        raise TypeError(f"it holds a {type(table).__name__}")
    manager = table.state["_mgr" if "_mgr" in table.state else "_data"]
    if manager.arguments:  # since pandas 1.3
        blocks, axes = manager.arguments
        blocks = [block.arguments[:2] for block in blocks]
    else:
        state = manager.state[3]["0.14.1"]
        blocks, axes = [(block["values"], block["mgr_locs"]) for block in state["blocks"]], state["axes"]
    names, rows = _array(axes[0].arguments[1]["data"]), set()
    if {type(name) for name in names} - {str}:
        raise TypeError("columns whose names are no texts")
    for values, places in blocks:
        values = np.atleast_2d(_array(values))
        rows.add(values.shape[1])
        yield from zip(names[places if isinstance(places, slice) else _array(places)], values, strict=True)
    if len(rows) > 1:
        raise ValueError(f"columns of {' and '.join(map(str, sorted(rows)))} rows")


def _array(kept):
    """The array that a kept one stands for; object arrays are those of strings."""
    if isinstance(kept, Text):
        return _array(kept.state[1])
    if isinstance(kept, Buffer):
        data, dtype, shape, order = kept.arguments
    else:
        _, shape, dtype, by_columns, data = kept.state
        order = "F" if by_columns else "C"
    code = dtype.arguments[0]
    if type(code) is not str:
        raise TypeError(f"an array of a type that is a {type(code).__name__}")
    if code == "O8":
        array = np.empty(len(data), object)
        for k, value in enumerate(data):  # at once, numpy would look for rows in what nests
            array[k] = value
    elif code in NUMBERS:
        array = np.frombuffer(data, np.dtype(code).newbyteorder(dtype.state[1]))
    else:
        raise TypeError(f"an array of type {code}")
    return array.reshape(shape, order=order)
