"""Point clouds of three points as bytes, put together by hand from the formats' own descriptions."""

import numpy as np

XYZ = np.array([[1, 10, 0.25], [-2, 8, -1], [0, -6, 0.5]], np.float32)
INTENSITY = np.array([0, 51, 255], np.uint8)
RING = np.array([3, 0, 300], np.uint16)
KINDS = [("x", "f4"), ("y", "f4"), ("z", "f4"), ("Intensity", "u1"), ("ring", "u2")]


def rows(order, kinds=KINDS):
    """The points as one record each."""
    table = np.empty(len(XYZ), [(name, order + kind) for name, kind in kinds])
    for (name, _), values in zip(kinds, [*XYZ.T, INTENSITY, RING], strict=False):
        table[name] = values
    return table


def text(table):
    return "".join(" ".join(f"{value:g}" for value in row) + "\n" for row in table.tolist())


def lzf(data):
    """LibLZF without any reference: literal runs of up to 32 bytes, each after its length less one."""
    runs = [data[k : k + 32] for k in range(0, len(data), 32)]
    return b"".join(bytes([len(run) - 1]) + run for run in runs)


def pcd(form, table=None, height=1):
    table = rows("<") if table is None else table
    kinds = [table.dtype[name] for name in table.dtype.names]
    header = "# .PCD v0.7 - Point Cloud Data file format\nVERSION 0.7\n"
    header += f"FIELDS {' '.join(table.dtype.names)}\nSIZE {' '.join(str(kind.itemsize) for kind in kinds)}\n"
    header += f"TYPE {' '.join(kind.kind.upper() for kind in kinds)}\nCOUNT {' '.join('1' for _ in kinds)}\n"
    header += (
        f"WIDTH {len(table) // height}\nHEIGHT {height}\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {len(table)}\nDATA {form}\n"
    )
    if form == "binary_compressed":
        body = b"".join(table[name].tobytes() for name in table.dtype.names)
        packed = lzf(body)
        return header.encode() + np.array([len(packed), len(body)], "<u4").tobytes() + packed
    return header.encode() + (text(table).encode() if form == "ascii" else table.tobytes())


def ply(form, faces=True, names=("float", "float32", "float", "uchar", "uint16")):
    header = f"ply\nformat {form} 1.0\ncomment three points\nelement vertex {len(XYZ)}\n"
    header += "".join(f"property {kind} {name}\n" for kind, (name, _) in zip(names, KINDS, strict=True))
    header += "element face 1\nproperty list uchar int vertex_indices\n" if faces else ""
    order = ">" if form == "binary_big_endian" else "<"
    body = text(rows(order)).encode() if form == "ascii" else rows(order).tobytes()
    face = b"3 0 1 2\n" if form == "ascii" else b"\3" + np.array([0, 1, 2], order + "i4").tobytes()
    return header.encode() + b"end_header\n" + body + face * faces
