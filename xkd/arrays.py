"""Arrays in .npy and .npz files, whose headers are looked at before they are believed (format: numpy.lib.format, versions 1.0 and 2.0)."""

import io
import math

import numpy as np
from numpy.lib import format as npy

from xkd.errors import XkdError, why
from xkd.files import read_bytes

HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_npy(path):
    """The array of numbers in a .npy file. Errors: missing, damaged, another size than its header says, objects or records."""
    return _array(path, read_bytes(path))


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
    try:
        shape, by_columns, dtype = HEADERS[npy.read_magic(file)](file)
        size = math.prod(shape) * dtype.itemsize
    except Exception as error:  # the header is Python's notation, and is parsed as such
        raise XkdError(f"{path}: cannot be read as a .npy file, it is damaged or cut short ({why(error)}).") from None
    if dtype.hasobject or dtype.names or dtype.kind not in "biufc" or min(shape, default=0) < 0:
        raise XkdError(f"{path}: is no array of numbers but of {dtype} in the shape {shape}.")
    there = len(data) - file.tell()
    if size != there:
        raise XkdError(
            f"{path}: is a damaged .npy file: its header says {size} bytes of {dtype} {shape}, and {there} are there."
        )
    values = np.frombuffer(data, dtype, math.prod(shape), file.tell())
    return values.reshape(shape, order="F" if by_columns else "C")
