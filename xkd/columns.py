"""Columns of numbers and texts, and one file that keeps them: opened again, it is mapped into memory, and only what is asked for is made.

Such files are a cache: each is named after what it was made of, and one that is missing, damaged or cannot be written only takes time.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numba import njit

from xkd.errors import XkdError
from xkd.files import atomic, digest
from xkd.geometry import numeric

ALIGNED = 64
"""Bytes: each array of a file begins at a multiple."""


class Strings(Sequence):
    """Texts, one after the other in (B,) uint8, and where each of N begins and the last ends, (N + 1,) int64."""

    def __init__(self, text, ends):
        self.text, self.ends = text, ends

    @classmethod
    def of(cls, values):
        encoded = [value.encode("utf-8", "surrogatepass") for value in values]
        return cls(np.array(bytearray(b"".join(encoded))), np.cumsum([0, *map(len, encoded)], dtype=np.int64))

    @classmethod
    def cut(cls, text, spans):
        """The parts of `text`, (B,) uint8, from spans[:, 0] to spans[:, 1]."""
        return cls(gather(text, spans), np.cumsum(np.append(0, spans[:, 1] - spans[:, 0])))

    @classmethod
    def joined(cls, parts):
        """All texts of several Strings."""
        sizes = [np.diff(part.ends) for part in parts]
        text = np.concatenate([np.empty(0, np.uint8), *(part.text for part in parts)])
        return cls(text, np.cumsum(np.concatenate([np.zeros(1, np.int64), *sizes])))

    def __len__(self):
        return len(self.ends) - 1

    def __getitem__(self, i):
        """One text, or those at (K,) places as Strings."""
        if isinstance(i, np.ndarray):
            return Strings.cut(self.text, np.column_stack([self.ends[i], self.ends[i + 1]]))
        return self.text[self.ends[i] : self.ends[i + 1]].tobytes().decode("utf-8", "surrogatepass")


def gather(text, spans, after=b""):
    """(B,) uint8: the parts of `text` at `spans` (N, 2), each with one byte or none after it."""
    sizes = spans[:, 1] - spans[:, 0] + len(after)
    out = np.full(sizes.sum(), after[0] if after else 0, np.uint8)
    _copy(text, spans, np.cumsum(sizes) - sizes, out)
    return out


@njit(cache=True, nogil=True)
def _copy(text, spans, to, out):
    for k in range(len(spans)):
        for i in range(spans[k, 1] - spans[k, 0]):
            out[to[k] + i] = text[spans[k, 0] + i]


def column(values, shape=None):
    """A list of texts as `Strings`, of whole numbers as (N,) int64, and of nested lists of one `shape` of finite numbers as (N, *shape)
    float64; the list itself where it is none of these."""
    kinds = set(map(type, values))
    if shape is not None:
        numbers = numeric(values)
        return numbers if numbers.shape == (len(values), *shape) and np.isfinite(numbers).all() else values
    if kinds <= {str}:
        return Strings.of(values)
    if kinds == {int} and -(2**63) <= min(values) and max(values) < 2**63:
        return np.array(values, np.int64)
    return values


def kept(name, about, make):
    """{name: column} as `make()` gives them, or gave them when about() was what it is now: JSON that says all they depend on.

    Of equal `name` (JSON too) only the last is kept, and only if every column is an array or Strings. Errors: those of `make`.
    """
    key = about()
    with suppress(OSError, ValueError):
        return load(place(name, key))
    columns = make()
    if about() == key and not any(isinstance(values, list) for values in columns.values()):
        with suppress(OSError, RuntimeError, XkdError):
            path = place(name, key)
            save(path, columns)
            for old in path.parent.glob(f"{path.name.partition('-')[0]}-*.index"):
                if old != path:
                    old.unlink()
    return columns


def place(name, key):
    """Below $XKD_CACHE, else `xkd` of $XDG_CACHE_HOME, else ~/.cache/xkd. Errors: ValueError where there is none of them."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        cache = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    except RuntimeError as error:
        raise ValueError("no home") from error
    folder = Path(os.environ.get("XKD_CACHE") or cache / "xkd")
    return folder / f"{digest(name)[:16]}-{digest(name, key)[:32]}.index"


def save(path, columns):
    """One file: the SHA-256 of the rest, the length of the header, the header (JSON: type, shape and place of each array), the arrays."""
    arrays = {}
    for name, values in columns.items():
        parts = (
            {f"{name}.text": values.text, f"{name}.ends": values.ends}
            if isinstance(values, Strings)
            else {name: values}
        )
        arrays |= {key: np.ascontiguousarray(part) for key, part in parts.items()}
    header, at = {}, 0
    for name, array in arrays.items():
        header[name] = [array.dtype.str, array.shape, at]
        at += array.nbytes + -array.nbytes % ALIGNED
    text = json.dumps(header).encode()
    text += b" " * (-(len(text) + 40) % ALIGNED)
    blocks = [len(text).to_bytes(8, "little"), text]
    for array in arrays.values():
        blocks += [array.tobytes(), bytes(-array.nbytes % ALIGNED)]
    data = b"".join(blocks)
    with atomic(path) as temporary:
        temporary.write_bytes(hashlib.sha256(data).digest() + data)


def load(path):
    """{name: column}, mapped. Errors: OSError if there is no such file, ValueError if it is damaged."""
    data = np.asarray(np.memmap(path, np.uint8, "r"))
    if hashlib.sha256(data[32:]).digest() != data[:32].tobytes():
        raise ValueError(f"{path}: is damaged.")
    begin = 40 + int.from_bytes(data[32:40].tobytes(), "little")
    arrays = {}
    for name, (dtype, shape, at) in json.loads(data[40:begin].tobytes()).items():
        size = np.dtype(dtype).itemsize * int(np.prod(shape))
        arrays[name] = data[begin + at : begin + at + size].view(dtype).reshape(shape)
    texts = [name.removesuffix(".text") for name in arrays if name.endswith(".text")]
    return {
        name: Strings(arrays[f"{name}.text"], arrays[f"{name}.ends"]) if name in texts else arrays[name]
        for name in dict.fromkeys(key.removesuffix(".text").removesuffix(".ends") for key in arrays)
    }
