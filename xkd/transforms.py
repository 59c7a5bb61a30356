"""Numbers, rotations and rigid transforms; `T_a_b` (4, 4) maps points of frame b, metres, into frame a."""

import math

import numpy as np

from xkd.errors import XkdError

ROUNDED = 2e-3
"""How far the rows of a rotation may be from unit length and right angles: three decimals keep within it."""
UNIT = 0.02
"""How far from 1 the length of a quaternion may be: two decimals keep within it."""


def numeric(values):
    """Nested lists -> float64 array, of no elements where they are not numbers in rows of one length; None becomes NaN.

    Texts and truth values are no numbers, though numpy takes them for some, and neither is a whole number beyond any float."""
    if isinstance(values, np.ndarray) and values.dtype == np.float64:
        return values
    try:
        return np.asarray(values, np.float64) if _counts(values) else np.empty(0)
    except (OverflowError, TypeError, ValueError):
        return np.empty(0)


def _counts(values):
    """Whether nested lists hold numbers and None alone."""
    if isinstance(values, list | tuple):
        return set(map(type, values)) <= {int, float, type(None)} or all(map(_counts, values))
    return np.asarray(values).dtype.kind in "iufO"


def quaternion_matrix(wxyz):
    """(w, x, y, z), whose length is 1 but for `UNIT` -> (3, 3) rotation. Errors: anything else."""
    parts = numeric(wxyz)
    length = math.sqrt(parts @ parts) if parts.shape == (4,) else math.nan
    if not abs(length - 1) <= UNIT:
        what = f" of length 1, but of length {length:g}" if math.isfinite(length) else ""
        raise XkdError(f"{wxyz} is not a quaternion (w, x, y, z){what}.")
    w, x, y, z = parts / length
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + 2 * (w * cross + cross @ cross)


def check_rotations(R, where):
    """Errors: one of (M, 3, 3) that is no rotation, by the one rule of all readers (`ROUNDED`); where(k) says where number k stands."""
    error = np.abs(R @ R.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2))
    turned = np.linalg.det(R)
    for k in np.flatnonzero(~(error <= ROUNDED) | ~(turned > 0))[:1]:
        what = f"mirrors (its determinant is {turned[k]:g})" if error[k] <= ROUNDED else "is not orthonormal"
        raise XkdError(f"{where(k)}: its 3 x 3 part {what}, so it is no rotation: {R[k].round(4).tolist()}.")


def rigid(rotation, translation):
    """(3, 3) or quaternion (w, x, y, z), and (3,) metres -> (4, 4). Errors: other shapes, no numbers, not finite, no rotation."""
    matrix, offset = numeric(rotation), numeric(translation)
    if offset.shape != (3,) or not np.isfinite(offset).all():
        raise XkdError(f"{translation} is not a translation of three finite numbers.")
    T, whole = np.eye(4), matrix.shape == (3, 3) and np.isfinite(matrix).all()
    if whole:
        check_rotations(matrix[None], lambda _: "A rigid transform")
    T[:3, :3] = matrix if whole else quaternion_matrix(rotation)
    T[:3, 3] = offset
    return T


def four(matrix):
    """(3, 4) -> (4, 4)."""
    return np.vstack([matrix, [0.0, 0.0, 0.0, 1.0]])


def invert(T):
    """(4, 4) -> (4, 4). The full inverse: published rotations are rounded, and a transpose would keep that error."""
    return np.linalg.inv(T)


def transform(T, points):
    """(4, 4), (N, 3) -> (N, 3) float64."""
    return np.asarray(points, np.float64) @ T[:3, :3].T + T[:3, 3]
