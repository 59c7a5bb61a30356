"""Point clouds in files: .bin, .npy, .pcd, .ply, .las and .laz -> named fields with one value a return, and what a scan is made of.

PCD is read by pypcd4, LAS and LAZ by laspy with lazrs; each is imported when such a file is opened. The library kept for PLY is under the
GPL, which does not go with this project's licence, so the vertices of a PLY file are read here. Formats: "The PCD (Point Cloud Data) file
format" 0.7 of PCL; "The PLY Polygon File Format", Turk 1994; LAS 1.4 of ASPRS.
"""

import io

import numpy as np

from xkd import arrays
from xkd.cloud_headers import counted, las_header, pcd_header, readable
from xkd.datasets.frame import FARTHEST, refuse
from xkd.errors import XkdError
from xkd.files import read_bytes

COLUMNS = ("x", "y", "z", "intensity")
NAMES = {
    "intensity": ("intensity", "reflectivity", "i"),
    "ring": ("ring", "channel"),
    "time": ("t", "time", "timestamp"),
}
"""Which fields hold an attribute, in any case of letters; the first that a file has counts."""
TIME_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
LONGEST = 3600.0
"""Seconds from a frame's time that a return may be; a field that says more holds another unit, or absolute times."""


def read_cloud(path, columns=None):
    """{name in lower case: (N,) array} of one file, in the file's own number types, with x, y and z among them.

    columns: names of the columns of a .bin (float32, x, y, z, intensity if it is None) or .npy file (the first three or four of these).
    Every return is there, a lost one too. Errors: missing, of no such format, damaged or cut short, another count than its header's, empty.
    """
    if path.suffix.lower() not in FORMATS:
        raise XkdError(f"{path}: is no point cloud that can be read; it has to end in {', '.join(FORMATS)}.")
    fields = FORMATS[path.suffix.lower()](path, read_bytes(path), columns)
    named = {name.lower(): values for name, values in fields.items()}
    absent = [name for name in "xyz" if name not in named]
    if absent or len(named) < len(fields):
        what = f"no field {absent[0]}" if absent else "fields that differ in upper and lower case alone"
        raise XkdError(f"{path}: has {what}; its fields are {', '.join(fields)}.")
    if not len(named["x"]):
        raise XkdError(f"{path}: is an empty scan, of no point at all.")
    return named


def returns(path, fields, drop_zeros=False):
    """(N, 3) float64 of a file's x, y, z, and which returns are kept, (N,) bool: not those that are NaN, nor, with `drop_zeros`, those
    at exactly 0, 0, 0. Errors: infinite, further than `FARTHEST` along an axis, none kept."""
    xyz = np.stack([np.asarray(fields[name], np.float64) for name in "xyz"], axis=1)
    refuse(path, np.isinf(xyz).any(axis=1), "are infinite", xyz)
    refuse(path, (np.abs(xyz) > FARTHEST).any(axis=1), f"are more than {FARTHEST:.0f} m away along an axis", xyz)
    lost = np.isnan(xyz).any(axis=1)
    if drop_zeros:
        lost |= (xyz == 0).all(axis=1)
    if lost.all():
        what = "NaN or zero" if drop_zeros else "NaN"
        raise XkdError(f"{path}: is an empty scan: each of its {len(lost)} returns is {what}.")
    return xyz, ~lost


def attribute(fields, what, name=None, path=None):
    """The values of attribute `what` of `NAMES`, or None where a file has no such field.

    name: the field that holds it instead, of the file `path`. Errors: the file has not that field."""
    if name is None:
        return next((fields[name] for name in NAMES[what] if name in fields), None)
    return field(path, fields, name, what)


def field(path, fields, name, what):
    """The values of the field that xkd.yaml names as the scans' `what`. Errors: the file has not that field."""
    if name.lower() not in fields:
        raise XkdError(f"{path}: has no field {name} for its {what}; its fields are {', '.join(fields)}.")
    return fields[name.lower()]


def intensities(path, values, most=None):
    """(N,) values, 0..most -> (N,) float32, 0..1; without `most` an integer type's whole range counts.

    Errors: floating-point numbers whose maximum nobody said, NaN, values outside 0..most."""
    if most is None:
        if not np.issubdtype(values.dtype, np.integer):
            raise XkdError(
                f"{path}: its intensity is {values.dtype} of up to {np.nanmax(values, initial=0):g}, and nothing says what the maximum is; "
                "name it as scans.intensity_max in xkd.yaml (1 where values are 0..1 already, often 255)."
            )
        most = np.iinfo(values.dtype).max
    outside = ~((values >= 0) & (values <= most))
    refuse(path, outside, f"have an intensity outside 0..{most:g}", values[:, None])
    return (values / most).astype(np.float32)


def seconds(path, values, unit=None, origin=0.0):
    """(N,) times of returns -> (N,) float32 seconds after `origin` (seconds); without a unit, whole numbers are ns and others s.

    Errors: not finite, or more than `LONGEST` away from it."""
    unit = unit or ("ns" if np.issubdtype(values.dtype, np.integer) else "s")
    after = values * TIME_UNITS[unit] - origin
    far = ~(np.abs(after) <= LONGEST)
    if far.any():
        raise XkdError(
            f"{path}: {far.sum()} points have a time further than {LONGEST:g} s from the scan's, the first {values[far][0]} {unit}; say "
            "in xkd.yaml what they are: scans.point_time: {unit: s, ms, us or ns, from: frame, or epoch for absolute times}."
        )
    return after.astype(np.float32)


def _bin(path, data, columns):
    columns = columns or COLUMNS
    if len(data) % (4 * len(columns)):
        raise XkdError(
            f"{path}: {len(data)} bytes are not a whole number of points of {len(columns)} float32 ({', '.join(columns)})."
        )
    return dict(zip(columns, np.frombuffer(data, "<f4").reshape(-1, len(columns)).T, strict=True))


def _npy(path, data, columns):
    values = arrays.read_npy(path)
    if values.ndim != 2 or values.dtype.kind not in "fiu" or values.shape[1] < 3:
        raise XkdError(f"{path}: is no array of (N, 3 or more) numbers but {values.dtype} of shape {values.shape}.")
    width = values.shape[1]
    columns = columns or COLUMNS[:width]
    if len(columns) != width:
        raise XkdError(
            f"{path}: has {width} columns, and {len(columns)} are named ({', '.join(columns)}); name all in scans.columns of xkd.yaml."
        )
    return dict(zip(columns, values.T, strict=True))


def _pcd(path, data, _):
    from pypcd4 import PointCloud

    points = pcd_header(path, data)
    with readable(path, "PCD"):
        values = np.atleast_1d(PointCloud.from_fileobj(io.BytesIO(data)).pc_data)
        counted(path, points, len(values))
    return {name: values[name] for name in values.dtype.names}


def _las(path, data, _):
    import laspy
    import lazrs

    las_header(path, data)

    with readable(path, "LAS"):
        try:
            # Several threads trust the table of chunks, and end the process where it asks for more memory than there is.
            with laspy.open(io.BytesIO(data), laz_backend=laspy.LazBackend.Lazrs) as reader:
                cloud = reader.read()
                said = reader.header.point_count
        except BaseException as error:
            # At some damaged files lazrs panics, and a panic is no Exception.
            if isinstance(error, laspy.errors.LaspyException | lazrs.LazrsError) or "Panic" in type(error).__name__:
                raise ValueError(error) from error
            raise
        fields = {name: np.array(cloud[name]) for name in cloud.point_format.dimension_names if name not in "XYZ"}
        fields = {name: values for name, values in fields.items() if values.ndim == 1}
        counted(path, said, len(cloud.points))
        return fields | {name: np.array(cloud[name]) for name in "xyz"}


PLY_TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4", "double": "f8",
    "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4", "float32": "f4", "float64": "f8",
}  # fmt: skip
PLY_ORDERS = {"ascii": "=", "binary_little_endian": "<", "binary_big_endian": ">"}


def _ply(path, data, _):
    """The vertices, whose properties have to be single numbers; they come before all other elements, such as faces, which are left out."""
    mark = data.find(b"\nend_header")
    body = data.find(b"\n", mark + 1) + 1
    if not data.startswith(b"ply") or mark < 0 or not body:
        raise XkdError(f"{path}: is no PLY file; it has no header from ply to end_header.")
    with readable(path, "PLY"):
        lines = [line.split() for line in data[:mark].decode("ascii").splitlines()]
        order = PLY_ORDERS[next((line[1] for line in lines if line[:1] == ["format"]), "no format")]
        elements = [k for k, line in enumerate(lines) if line[:1] == ["element"]]
        first, *others = elements + [len(lines)]
        if lines[first][1] != "vertex":
            raise XkdError(f"{path}: its first element is {lines[first][1]}; only points that come first can be read.")
        properties = [line[1:] for line in lines[first + 1 : others[0]] if line[:1] == ["property"]]
        if any(words[0] == "list" for words in properties):
            raise XkdError(f"{path}: its vertices have a property that is a list; only single numbers can be read.")
        count, kind = int(lines[first][2]), np.dtype([(name, order + PLY_TYPES[t]) for t, name in properties])
    if count < 1 or not properties:
        raise XkdError(f"{path}: is an empty scan: its header says {count} points of {len(properties)} properties.")
    with readable(path, "PLY"):
        if order == "=":
            rows = data[body:].decode("ascii").splitlines()
            rows = [row for row in rows[: count if len(elements) > 1 else None] if row.strip()]
            counted(path, count, len(rows))
            values = np.loadtxt(rows, kind, comments=None, ndmin=1)
        else:
            found = (len(data) - body) / kind.itemsize
            counted(path, count, min(found, count) if len(elements) > 1 else found)
            values = np.frombuffer(data, kind, count, body)
    return {name: values[name] for name in kind.names}


FORMATS = {".bin": _bin, ".npy": _npy, ".pcd": _pcd, ".ply": _ply, ".las": _las, ".laz": _las}
