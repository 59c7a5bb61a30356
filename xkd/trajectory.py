"""Times and poses in text files: one line a scan or image, or a line a pose with its own time; between two lines see `xkd.motion`.

Poses: twelve numbers (the rows of a 3 x 4 matrix, as in KITTI odometry), or eight (t x y z qx qy qz qw, as in the TUM RGB-D benchmark);
lines that begin with # are left out. Times are whole microseconds inside, read as decimals so that none is rounded.
"""

import re
from decimal import Decimal

import numpy as np
from scipy.spatial.transform import Rotation

from xkd.errors import XkdError
from xkd.files import read_text
from xkd.geometry import UNIT, check_rotations
from xkd.motion import Motion

DIGITS = {"s": 6, "ms": 3, "us": 0, "ns": -3}
"""Powers of ten from each unit to microseconds."""
LATEST = 1 << 62
"""Microseconds from zero on; more do not fit in 64 bits."""


class Trajectory(Motion):
    """Poses of one body along a drive: `poses` (M, 4, 4) T_world_body at `times` (M,) int64 microseconds, rising; None: unknown times.

    of_scans: pose i is that of scan i, and need not be looked for by time."""

    def __init__(self, path, poses, times, of_scans):
        super().__init__(path, times, poses.__getitem__)
        self.poses, self.of_scans = poses, of_scans


def read_lines(path):
    """[(line's number, its words)] of a text of numbers, without empty lines and those that begin with #."""
    lines = enumerate(read_text(path).splitlines(), 1)
    return [
        (k, line.replace(",", " ").split()) for k, line in lines if line.strip() and not line.lstrip().startswith("#")
    ]


def microseconds(where, text, unit):
    """A decimal number in `unit` -> whole microseconds. Errors: no finite number."""
    try:
        time = Decimal(text).scaleb(DIGITS[unit])
        if not abs(time) < LATEST:
            raise OverflowError
        return int(round(time))
    except (ArithmeticError, ValueError):
        raise XkdError(f"{where}: {text!r} is no time.") from None


def rising(path, times, names):
    """(M,) int64. Errors: a time that is not later than the one before it; `names` says what each is of."""
    times = np.array(times, np.int64)
    for k in np.flatnonzero(np.diff(times) <= 0)[:1]:
        late, early = (f"{names[j]} with {times[j] / 1e6:.6f} s" for j in (k + 1, k))
        raise XkdError(f"{path}: times have to rise, and {late} follows {early}.")
    return times


def times_of_names(files, unit):
    """(M,) int64 microseconds from the number that each file's name holds. Errors: no number or several in one, not rising."""
    found = []
    for file in files:
        text = re.fullmatch(r"\D*(\d+(?:\.\d+)?)\D*", file.stem)
        if text is None:
            raise XkdError(f"{file}: its name does not hold one number that could be its time.")
        found.append(microseconds(file, text[1], unit))
    return rising(files[0].parent, found, [file.name for file in files])


def read_times(path, files, unit, match):
    """(M,) int64 microseconds of M files, the first number of their lines; `match`: see `of_files`. Errors: see there; not rising."""
    lines = of_files(path, read_lines(path), files, match)
    times = [microseconds(f"{path}: line {k}", words[0], unit) for k, words in lines]
    return rising(path, times, [f"line {k}" for k, _ in lines])


def of_files(path, lines, files, match):
    """The lines of M files: line i is of file i (`order`), or of the file whose name is the number i, from 0 (`stem`).

    Errors: more or fewer lines than files; a name that is no number, or has no line."""
    if match == "stem":
        for file in files:
            if not file.stem.isdecimal() or int(file.stem) >= len(lines):
                raise XkdError(
                    f"{path}: has {len(lines)} lines and so none for {file}, whose name would be its number."
                )
        return [lines[int(file.stem)] for file in files]
    if len(lines) != len(files):
        raise XkdError(
            f"{path}: has {len(lines)} lines for {len(files)} files, {files[0]} to {files[-1].name}; if a file's name is the number "
            "of its line, say match: stem."
        )
    return lines


def read_poses(path, files, match, times, unit):
    """The `Trajectory` of a file. files: M scans; times: theirs, or None.

    match: `order` and `stem` as in `of_files`; `time`: lines have times of their own, in `unit`. None: `time` where lines and scans
    both have times, else `order`. Errors: unlike or other numbers of columns, no finite numbers, no rotation, as in `of_files`, times
    that do not rise."""
    lines = read_lines(path)
    widths = sorted({len(words) for _, words in lines})
    if widths not in ([8], [12]):
        raise XkdError(
            f"{path}: its lines have {' and '.join(map(str, widths)) or 'no'} numbers; poses have 12 (3 x 4) or 8 (t x y z qx qy qz qw)."
        )
    timed = widths == [8]
    match = match or ("time" if timed and times is not None else "order")
    if match == "time" and not (timed and times is not None):
        raise XkdError(f"{path}: poses are matched by time, and the {'scans' if timed else 'poses'} have none.")
    if match != "time":
        lines = of_files(path, lines, files, match)
    wheres = [f"{path}: line {k}" for k, _ in lines]
    poses = _matrices(wheres, [words for _, words in lines], timed)
    if timed and (match == "time" or times is None):
        own = [microseconds(where, words[0], unit) for where, (_, words) in zip(wheres, lines, strict=True)]
        times = rising(path, own, [f"line {k}" for k, _ in lines])
    return Trajectory(path, poses, times, match != "time")


def _matrices(wheres, rows, timed):
    """(M, 4, 4) of lines of words, a quaternion and a translation where they are `timed`."""
    for where, words in zip(wheres, rows, strict=True):
        try:
            bad = not np.isfinite(np.array(words, np.float64)).all()
        except ValueError:
            bad = True
        if bad:
            raise XkdError(f"{where}: {' '.join(words)!r} are not {len(words)} finite numbers.")
    values = np.array(rows, np.float64)
    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    if not timed:
        poses[:, :3] = values.reshape(-1, 3, 4)
        check_rotations(poses[:, :3, :3], wheres.__getitem__)
        return poses
    length = np.linalg.norm(values[:, 4:], axis=1)
    for k in np.flatnonzero(~(np.abs(length - 1) <= UNIT))[:1]:
        raise XkdError(
            f"{wheres[k]}: its quaternion {values[k, 4:].tolist()} has length {length[k]:g} and not 1, so it is no rotation."
        )
    poses[:, :3, :3] = Rotation.from_quat(values[:, 4:]).as_matrix()
    poses[:, :3, 3] = values[:, 1:4]
    return poses
