"""Headers of point clouds, looked at before a library believes them: what they say is there has to be there, and to fit together.

Formats: "The PCD (Point Cloud Data) file format" 0.7 of PCL; LAS 1.4 of ASPRS, tables 3, 4 and 7 to 17.
"""

import math
import struct
from contextlib import contextmanager

from xkd.errors import XkdError, why

PCD_HEADER = ("VERSION", "FIELDS", "SIZE", "TYPE", "COUNT", "WIDTH", "HEIGHT", "POINTS")
PCD_VERSIONS = (b"0.7", b".7")
PCD_SIZES = {b"F": (4, 8), b"U": (1, 2, 4, 8), b"I": (1, 2, 4, 8)}
"""Bytes of a field of each type."""
MOST_NUMBERS = 10_000
"""Of one point in a PCD file; descriptors of a point's neighbourhood have hundreds."""
LZF = 88
"""Times that LZF can make data smaller: its longest reference is 264 bytes in 3."""
LAS_RECORDS = (20, 28, 26, 34, 57, 63, 30, 36, 38, 59, 67)
"""Bytes of a point by its format, 0 to 10."""
LAS_HEADERS = (227, 227, 227, 235, 375)
"""Bytes at least of a header of version 1.0 to 1.4."""
LAZ = 1000
"""Times that LASzip can make points smaller; as a rule it is ten."""


@contextmanager
def readable(path, form):
    """What a format's library raises about a damaged file, in one sentence."""
    try:
        yield
    except XkdError:
        raise
    except (
        ArithmeticError,
        EOFError,
        LookupError,
        OSError,
        RuntimeError,
        TypeError,
        ValueError,
        struct.error,
    ) as error:
        raise XkdError(
            f"{path}: cannot be read as a {form} file, it is damaged or cut short ({why(error)})."
        ) from error
    except MemoryError:
        raise XkdError(f"{path}: is a damaged {form} file: its header asks for more memory than there is.") from None


def counted(path, said, found):
    """Errors: another number of points than a header says."""
    if said != found:
        raise XkdError(f"{path}: its header says {said} points and there are {found:g}, so it is damaged or cut short.")


def pcd_header(path, data):
    """How many points a PCD file says it has. Errors: a header that is not whole, lines that do not fit together, another count."""
    start = data.find(b"\nDATA ")
    end = data.find(b"\n", start + 1)
    if start < 0 or end < 0:
        raise XkdError(f"{path}: is no PCD file; it has no header that ends in a line DATA.")
    about = {words[0].decode("latin"): words[1:] for words in map(bytes.split, data[:end].splitlines()) if words}
    for name in PCD_HEADER:
        if not about.get(name):
            raise XkdError(f"{path}: is no whole PCD file; its header has no line {name}.")
    if about["VERSION"][0] not in PCD_VERSIONS:
        raise XkdError(f"{path}: its header says VERSION {_said(about['VERSION'])}; 0.7 can be read.")
    viewpoint = _numbers(path, about, "VIEWPOINT", float) if about.get("VIEWPOINT") else [0.0] * 7
    if len(viewpoint) != 7 or not all(map(math.isfinite, viewpoint)):
        raise XkdError(f"{path}: its header says VIEWPOINT {_said(about['VIEWPOINT'])}, which are not seven numbers.")
    points, width, height = (_numbers(path, about, name)[0] for name in ("POINTS", "WIDTH", "HEIGHT"))
    sizes, counts = (_numbers(path, about, name) for name in ("SIZE", "COUNT"))
    size = record(path, about["FIELDS"], sizes, about["TYPE"], counts)
    with readable(path, "PCD"):
        counted(path, points, pcd_points(path, b" ".join(about["DATA"]), data[end + 1 :], size))
    if width * height != points or width < 0:
        raise XkdError(f"{path}: its header says {points} points and {width} x {height} of width and height.")
    return points


def _said(words):
    """The words of a header's line as they stand there, the first of them."""
    return repr(b" ".join(words)[:60].decode("latin"))


def _numbers(path, about, name, kind=int):
    """The numbers of a line of a PCD header. Errors: a word that is none."""
    try:
        return [kind(word) for word in about[name]]
    except ValueError:
        what = "whole numbers" if kind is int else "numbers"
        raise XkdError(f"{path}: its header says {name} {_said(about[name])}, which are not {what}.") from None


def record(path, names, sizes, types, counts):
    """Bytes of one point by a PCD header: names and types as they stand there, sizes and counts as numbers. Errors: lists of other
    lengths, a name twice, numbers and types that cannot be meant."""
    if len({len(words) for words in (names, sizes, types, counts)}) > 1:
        lengths = ", ".join(str(len(words)) for words in (names, sizes, types, counts))
        raise XkdError(
            f"{path}: its header has {lengths} words of FIELDS, SIZE, TYPE and COUNT, which have to be as many."
        )
    named = [name for name in names if name != b"_"]
    for name in named:
        if named.count(name) > 1:
            raise XkdError(f"{path}: its header has the field {name.decode('latin')} twice.")
    for name, size, kind in zip(names, sizes, types, strict=True):
        if size not in PCD_SIZES.get(kind, ()):
            raise XkdError(
                f"{path}: its header says that the field {name.decode('latin')} is of TYPE {_said([kind])} and SIZE {size}; F of 4 or 8 "
                "bytes, and U and I of 1, 2, 4 or 8 can be read."
            )
    if min(counts) < 1 or sum(counts) > MOST_NUMBERS:
        raise XkdError(f"{path}: its header says counts {counts}, which are none of a point's fields.")
    return sum(size * count for size, count in zip(sizes, counts, strict=True))


def pcd_points(path, form, body, size):
    """How many points of `size` bytes a PCD file has after its header. Errors: an unknown form, sizes that cannot be."""
    if form == b"ascii":
        return sum(1 for line in body.splitlines() if line.strip())
    if form == b"binary":
        return len(body) / size
    if form != b"binary_compressed":
        raise XkdError(
            f"{path}: its data are {form.decode('latin')!r}; ascii, binary and binary_compressed can be read."
        )
    packed, unpacked = struct.unpack_from("<II", body)
    if packed > len(body) - 8 or unpacked > LZF * packed:
        raise XkdError(
            f"{path}: its header says that {packed} bytes are {unpacked} compressed ones, and {len(body) - 8} are there, so it is "
            "damaged or cut short."
        )
    # Fields follow each other whole: with another count every one of them would begin at the wrong place.
    return unpacked / size


def las_header(path, data):
    """Errors: a version that is none, a header that says more than there is, points shorter than their format, or packed where nothing says
    how, a scale or offset that gives no coordinate."""
    if not data.startswith(b"LASF") or len(data) < 227:
        raise XkdError(f"{path}: cannot be read as a LAS file, its {len(data)} bytes do not begin with a header.")
    (size, start, extras, form, length, count), (major, minor) = struct.unpack_from("<HIIBHI", data, 94), data[24:26]
    if major != 1 or minor >= len(LAS_HEADERS):
        raise XkdError(
            f"{path}: cannot be read as a LAS file: its header says version {major}.{minor}; 1.0 to 1.4 can be read."
        )
    if minor >= 4 and len(data) >= 375:
        (count,) = struct.unpack_from("<Q", data, 247)
    packed, form = form >= 128, form & 63
    if form >= len(LAS_RECORDS) or length < LAS_RECORDS[form]:
        raise XkdError(
            f"{path}: cannot be read as a LAS file: its header says points of format {form} in {length} bytes, which no LAS file has."
        )
    if not LAS_HEADERS[minor] <= size <= start <= len(data) or extras * 54 > start - size:
        raise XkdError(
            f"{path}: cannot be read as a LAS file: its header says {size} bytes of header, {extras} records after it and points from "
            f"byte {start} on, and there are {len(data)}, so it is damaged or cut short."
        )
    if packed != (b"laszip encoded" in data[size:start]):
        what = ("packed", "none says how") if packed else ("not packed", "one says how they are")
        raise XkdError(
            f"{path}: cannot be read as a LAS file: its header says that its points are {what[0]}, and of the records after it {what[1]}."
        )
    scales, offsets = struct.unpack_from("<3d", data, 131), struct.unpack_from("<3d", data, 155)
    if not all(scale and math.isfinite(scale) for scale in scales) or not all(map(math.isfinite, offsets)):
        raise XkdError(
            f"{path}: cannot be read as a LAS file: its header says scales {scales} and offsets {offsets}, which give no coordinates."
        )
    most = (len(data) - start) * (LAZ if packed else 1) / length
    if count > most:
        raise XkdError(
            f"{path}: cannot be read as a LAS file: its header says {count} points of {length} bytes, and there are {most:g} at most, "
            "so it is damaged or cut short."
        )
