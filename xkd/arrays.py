"""Arrays in .npy, .npz and bare files, whose headers and sizes are looked at before they are believed (format: numpy.lib.format, versions
1.0 and 2.0)."""

import io
import math
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from xkd.errors import XkdError, why
from xkd.files import read_bytes

HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_npy(path):
    """The array of numbers in a .npy file. Errors: missing, damaged, another size than its header says, objects or records."""
    return _array(path, read_bytes(path))


def map_npy(path, mode="r"):
    """The same, mapped into memory: nothing of it is read before it is used."""
    try:
        with Path(path).open("rb") as file:
            _header(path, file, Path(path).stat().st_size)
        return np.load(path, mode)
    except OSError as error:
        raise XkdError(f"{path}: {_unread(error)}.") from None


def map_bare(path, dtype, shape):
    """The array of a file that holds its numbers and nothing else, mapped. Errors: missing, of another size."""
    try:
        there, size = Path(path).stat().st_size, math.prod(shape) * np.dtype(dtype).itemsize
        if there != size:
            raise XkdError(f"{path}: is damaged: {np.dtype(dtype)} {shape} take {size} bytes, and {there} are there.")
        return np.memmap(path, dtype, "r", shape=shape) if size else np.empty(shape, dtype)
    except OSError as error:
        raise XkdError(f"{path}: {_unread(error)}.") from None


def _unread(error):
    return "no such file" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror or error})"


def read_npz(path, name):
    """The array `name` of a .npz file. Errors: as of `read_npy`; no such array."""
    from zipfile import ZipFile

    data = read_bytes(path)
    try:
        with ZipFile(io.BytesIO(data)) as file:
            names = [member.removesuffix(".npy") for member in file.namelist()]
            found = file.read(f"{name}.npy") if name in names else None
    except Exception as error:  # zipfile and zlib have an error for every byte that can be damaged
        raise XkdError(f"{path}: cannot be read as a .npz file, it is damaged or cut short ({why(error)}).") from None
    if found is None:
        raise XkdError(f"{path}: holds no array {name!r}; it holds {', '.join(names) or 'none'}.")
    return _array(path, found)


def _array(path, data):
    file = io.BytesIO(data)
    shape, by_columns, dtype = _header(path, file, len(data))
    values = np.frombuffer(data, dtype, math.prod(shape), file.tell())
    return values.reshape(shape, order="F" if by_columns else "C")


def _header(path, file, size):
    """Shape, whether columns follow each other, and type, of an opened .npy file of so many bytes; the file then stands at its numbers."""
    try:
        shape, by_columns, dtype = HEADERS[npy.read_magic(file)](file)
        said = math.prod(shape) * dtype.itemsize
    except Exception as error:  # the header is Python's notation, and is parsed as such
        raise XkdError(f"{path}: cannot be read as a .npy file, it is damaged or cut short ({why(error)}).") from None
    if dtype.hasobject or dtype.names or dtype.kind not in "biufc" or min(shape, default=0) < 0:
        raise XkdError(f"{path}: is no array of numbers but of {dtype} in the shape {shape}.")
    there = size - file.tell()
    if said != there:
        raise XkdError(
            f"{path}: is a damaged .npy file: its header says {said} bytes of {dtype} {shape}, and {there} are there."
        )
    return shape, by_columns, dtype
