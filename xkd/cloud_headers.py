"""Headers of point clouds, looked at before a library believes them: what they say is there has to be there, and to fit together.

Formats: "The PCD (Point Cloud Data) file format" 0.7 of PCL; LAS 1.4 of ASPRS, tables 3, 4 and 7 to 17.
"""

import struct
from contextlib import contextmanager

from xkd.errors import XkdError, why

PCD_HEADER = ("VERSION", "FIELDS", "SIZE", "TYPE", "COUNT", "WIDTH", "HEIGHT", "POINTS")
MOST_NUMBERS = 10_000
"""Of one point in a PCD file; descriptors of a point's neighbourhood have hundreds."""
LZF = 88
"""Times that LZF can make data smaller: its longest reference is 264 bytes in 3."""
LAS_RECORDS = (20, 28, 26, 34, 57, 63, 30, 36, 38, 59, 67)
"""Bytes of a point by its format, 0 to 10."""
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
    with readable(path, "PCD"):
        points, width, height = (int(about[name][0]) for name in ("POINTS", "WIDTH", "HEIGHT"))
        size = record(path, *(about[name] for name in ("FIELDS", "SIZE", "TYPE", "COUNT")))
        counted(path, points, pcd_points(path, b" ".join(about["DATA"]), data[end + 1 :], size))
    if width * height != points:
        raise XkdError(f"{path}: its header says {points} points and {width} x {height} of width and height.")
    return points


def record(path, names, sizes, types, counts):
    """Bytes of one point by the lines of a PCD header. Errors: lines of other lengths, a name twice, numbers that cannot be meant."""
    if len({len(words) for words in (names, sizes, types, counts)}) > 1:
        lengths = ", ".join(str(len(words)) for words in (names, sizes, types, counts))
        raise XkdError(
            f"{path}: its header has {lengths} words of FIELDS, SIZE, TYPE and COUNT, which have to be as many."
        )
    named = [name for name in names if name != b"_"]
    for name in named:
        if named.count(name) > 1:
            raise XkdError(f"{path}: its header has the field {name.decode('latin')} twice.")
    sizes, counts = [int(size) for size in sizes], [int(count) for count in counts]
    if not set(sizes) <= {1, 2, 4, 8} or min(counts) < 1 or sum(counts) > MOST_NUMBERS:
        raise XkdError(
            f"{path}: its header says sizes {sizes} and counts {counts}, which are none of a point's fields."
        )
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
    """Errors: a header that says more than there is, or points shorter than their format."""
    if not data.startswith(b"LASF") or len(data) < 227:
        raise XkdError(f"{path}: cannot be read as a LAS file, its {len(data)} bytes do not begin with a header.")
    (size, start, extras, form, length, count), minor = struct.unpack_from("<HIIBHI", data, 94), data[25]
    if minor >= 4 and len(data) >= 375:
        (count,) = struct.unpack_from("<Q", data, 247)
    packed, form = form >= 128, form & 63
    if form >= len(LAS_RECORDS) or length < LAS_RECORDS[form]:
        raise XkdError(
            f"{path}: cannot be read as a LAS file: its header says points of format {form} in {length} bytes, which no LAS file has."
        )
    if not 227 <= size <= start <= len(data) or extras * 54 > start - size:
        raise XkdError(
            f"{path}: cannot be read as a LAS file: its header says {size} bytes of header, {extras} records after it and points from "
            f"byte {start} on, and there are {len(data)}, so it is damaged or cut short."
        )
    most = (len(data) - start) * (LAZ if packed else 1) / length
    if count > most:
        raise XkdError(
            f"{path}: cannot be read as a LAS file: its header says {count} points of {length} bytes, and there are {most:g} at most, "
            "so it is damaged or cut short."
        )
