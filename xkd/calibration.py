"""Numbers that people write down about their sensors -> matrices of the contract; what cannot be meant is said in one sentence.

`where` opens every sentence: the file and the entry, such as "xkd.yaml: cameras.front". `T_a_b` (4, 4) maps points of frame b into frame a.
"""

import numpy as np

from xkd.errors import XkdError
from xkd.geometry import check_rotations, invert, numeric, quaternion_matrix

DIRECTIONS = {
    "forward": (1, 0, 0), "backward": (-1, 0, 0), "left": (0, 1, 0), "right": (0, -1, 0), "up": (0, 0, 1), "down": (0, 0, -1),
}  # fmt: skip
COEFFICIENTS = {"pinhole": (0,), "opencv": (0, 4, 5, 8), "fisheye": (0, 4)}
"""How many each camera model takes: opencv k1, k2, p1, p2[, k3[, k4, k5, k6]], fisheye k1 .. k4; none is a lens without distortion."""
LONGEST = 100.0
"""Metres between two sensors of one vehicle; more are millimetres, or a place in the world."""


def numbers(value):
    """Nested lists, or a text of numbers as calibration files have them -> float64 array, of no elements where they are none."""
    try:
        return numeric(_read(value.replace(",", " ").split() if isinstance(value, str) else value))
    except ValueError:
        return np.empty(0)


def _read(value):
    """The same nested lists with numbers in place of texts: YAML takes 1e-5 for a text. Errors: ValueError."""
    if isinstance(value, list):
        return [_read(part) for part in value]
    return float(value) if isinstance(value, str) else value


def intrinsics(where, section):
    """K (3, 3) from `K` (three rows, or nine numbers), or from `fx`, `fy`, `cx`, `cy`, in pixels."""
    four = [name for name in ("fx", "fy", "cx", "cy") if name in section]
    if ("K" in section) == (len(four) == 4) or len(four) not in (0, 4):
        raise XkdError(f"{where}: needs either K or all of fx, fy, cx, cy.")
    if four:
        fx, fy, cx, cy = (section[name] for name in four)
        K = numbers([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    else:
        K = numbers(section["K"])
    if K.size != 9 or not np.isfinite(K).all():
        given = {name: section[name] for name in four} if four else section["K"]
        raise XkdError(f"{where}: K is {given}; it has to be 3 x 3 finite numbers.")
    return camera_matrix(where, K.reshape(3, 3))


def camera_matrix(where, K):
    """K (3, 3) as it is. Errors: not upper triangular with a last 1; a focal length that is not above 0."""
    if (K[[1, 2, 2], [0, 0, 1]] != 0).any() or K[2, 2] != 1:
        raise XkdError(f"{where}: K has {K[1, 0]:g}, {K[2].tolist()} below its diagonal, where 0, [0, 0, 1] belong.")
    if not (K[0, 0] > 0 and K[1, 1] > 0):
        raise XkdError(f"{where}: has focal lengths {K[0, 0]:g} and {K[1, 1]:g}; both have to be larger than 0.")
    return K


def check_centre(where, K, size):
    """Errors: a principal point outside an image of `size` (H, W): the calibration is then of images of another size."""
    if not (0 <= K[0, 2] < size[1] and 0 <= K[1, 2] < size[0]):
        raise XkdError(
            f"{where}: has its centre at column {K[0, 2]:g}, row {K[1, 2]:g}, which is no calibration of images of {size[1]} x {size[0]}."
        )


def distortion(where, section):
    """The camera model and its coefficients, from `model` and `distortion`."""
    model, given = section["model"], section.get("distortion", [])
    values = numbers(given).ravel()
    unread = given != [] and not len(values)
    if unread or len(values) not in COEFFICIENTS[model] or not np.isfinite(values).all():
        counts = " or ".join(map(str, COEFFICIENTS[model]))
        raise XkdError(f"{where}: distortion is {given}; the model {model} takes {counts} finite numbers.")
    return model, tuple(values.tolist())


def extrinsic(where, section, a, b):
    """T_a_b from the key `T_<a>_<b>`, or turned about from `T_<b>_<a>`. Errors: neither or both of them, no rigid transform."""
    there, back = f"T_{a}_{b}", f"T_{b}_{a}"
    if (there in section) == (back in section):
        what = "both" if there in section else "neither"
        raise XkdError(
            f"{where}: has {what} {there} (takes points of the {b} to the {a}) {'and' if what == 'both' else 'nor'} {back} "
            "(the other way); exactly one of them has to be there."
        )
    key = there if there in section else back
    T = transform(f"{where}.{key}", section[key])
    return T if key == there else invert(T)


def transform(where, value):
    """(4, 4) from 4 x 4 or 3 x 4 numbers in rows or on one line, or from a translation (metres) with a quaternion (w, x, y, z) or a
    rotation of 3 x 3. Errors: other shapes, no numbers, no rotation, a quaternion of another length, a translation beyond `LONGEST`."""
    if isinstance(value, dict):
        turn = sorted(set(value) - {"translation"})
        if turn not in (["quaternion"], ["rotation"]) or "translation" not in value:
            raise XkdError(
                f"{where}: has the keys {', '.join(map(str, value)) or 'none'}; it takes translation, and quaternion or rotation."
            )
        rotation, offset = numbers(value[turn[0]]), numbers(value["translation"])
        if turn == ["quaternion"]:
            try:
                rotation = quaternion_matrix(rotation.tolist() if rotation.size else value["quaternion"])
            except XkdError as error:
                raise XkdError(f"{where}: {error}") from None
        whole = rotation.size == 9 and offset.shape == (3,)
        rows = np.column_stack([rotation.reshape(3, 3), offset]) if whole else np.empty(0)
    else:
        rows = numbers(value)
        if rows.size == 16 and (rows.ravel()[12:] != [0, 0, 0, 1]).any():
            raise XkdError(f"{where}: has {rows.ravel()[12:].tolist()} as its last row, where [0, 0, 0, 1] belongs.")
    if rows.shape not in ((12,), (16,), (3, 4), (4, 4)) or not np.isfinite(rows).all():
        raise XkdError(f"{where}: is {value}, and not a rigid transform of 3 x 4 or 4 x 4 finite numbers.")
    T = np.vstack([rows.ravel()[:12].reshape(3, 4), [0.0, 0.0, 0.0, 1.0]])
    check_rotations(T[None, :3, :3], lambda _: where)
    length = np.linalg.norm(T[:3, 3])
    if length > LONGEST:
        raise XkdError(f"{where}: puts {length:g} m between the two; translations are in metres.")
    return T


def axes(where, text):
    """T_disk_lidar (4, 4): points in the contract's axes to those on disk, which `text` names, such as "x right, y forward, z up".

    Errors: another form, a direction twice, left-handed axes."""
    words = [part.split() for part in text.split(",")]
    if [word[0] if len(word) == 2 else "" for word in words] != ["x", "y", "z"] or any(
        word[1] not in DIRECTIONS for word in words
    ):
        raise XkdError(
            f"{where} is {text!r}; it has to be such as 'x forward, y left, z up', of {', '.join(DIRECTIONS)}."
        )
    T = np.eye(4)
    T[:3, :3] = [DIRECTIONS[word[1]] for word in words]
    turned = round(np.linalg.det(T))
    if turned != 1:
        what = (
            "names a direction twice" if turned == 0 else "is left-handed: one of its axes has to point the other way"
        )
        raise XkdError(f"{where} is {text!r}, which {what}.")
    return T
