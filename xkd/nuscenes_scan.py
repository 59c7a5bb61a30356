"""sample_data and ego_pose of nuScenes at full size, where one row in ten is wanted: values are made of those rows alone.

What comes out is what the plain way of `xkd.nuscenes_index` gives, or the error Unusual: all that is not as in a whole, published data set
(a row that another table refers to and that is not there, a token twice, a field less) is for that way, which has a sentence for it.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import orjson
from numba import njit

from xkd.columns import Strings, column, gather
from xkd.json_scan import PIECE, QUOTE, F, T, Unusual, _equal, _row, packed, pieces

TEXTS, NUMBERS = ("token", "ego_pose_token", "filename"), ("timestamp", "height", "width")
FIELDS = ("is_key_frame", "sample_token", "calibrated_sensor_token", *TEXTS, *NUMBERS)
POSE = ("rotation", "translation")


def sensor_rows(tables, samples, calibrated, mounts):
    """Rows of sample_data that are key frames of `samples` and whose token of calibrated_sensor is one of the list `mounts`: (N,) position
    of the sample, (N,) of the mount, {name: column} of the other values. calibrated: all tokens of calibrated_sensor."""
    with ThreadPoolExecutor(1) as beside:
        opened = beside.submit(Poses, tables / "ego_pose.json")
        place = dict(zip(mounts, range(len(mounts)), strict=True))
        frames, known = Lookup(samples), Lookup(calibrated)
        if len(place) < len(mounts):
            raise Unusual
        wanted = np.array([place.get(token, -1) for token in calibrated], np.int64)
        parts = {name: [] for name in ("frame", "mount", *TEXTS, *NUMBERS)}
        for text, found, _ in pieces(tables / "sample_data.json", FIELDS):
            first = text[found[:, 0, 0]]
            if (found[:, 0] < 0).any() or not np.isin(first, (T, F)).all():
                raise Unusual
            found = found[first == T]
            frame = frames.find(text, quoted(text, found[:, 1]))
            found, frame = found[frame >= 0], frame[frame >= 0]
            mount = known.find(text, quoted(text, found[:, 2]))
            if (mount < 0).any():
                raise Unusual
            found, frame, mount = (values[wanted[mount] >= 0] for values in (found, frame, wanted[mount]))
            parts["frame"].append(frame)
            parts["mount"].append(mount)
            for k, name in enumerate(TEXTS, 3):
                parts[name].append(Strings.cut(text, quoted(text, found[:, k])))
            for k, name in enumerate(NUMBERS, 3 + len(TEXTS)):
                parts[name] += decoded(text, found[:, k])
        poses = opened.result()
    frame, mount = (np.concatenate([np.empty(0, np.int64), *parts.pop(name)]) for name in ("frame", "mount"))
    columns = {name: Strings.joined(parts[name]) for name in TEXTS} | {name: column(parts[name]) for name in NUMBERS}
    Lookup(columns["token"])
    columns["pose"] = columns.pop("ego_pose_token")
    return frame, mount, columns | poses.of(columns["pose"])


class Poses:
    """ego_pose.json: the tokens of all rows, and where in the file the rows are. Errors: Unusual."""

    def __init__(self, path):
        tokens, self.path, self.rows = [], path, [np.empty((0, 2), np.int64)]
        for text, found, offset in pieces(path, ["token"]):
            tokens.append(Strings.cut(text, quoted(text, found[:, 0])))
            self.rows.append(found[:, 1] + offset)
        self.rows, self.lookup = np.concatenate(self.rows), Lookup(Strings.joined(tokens))

    def of(self, tokens):
        """{ego_rotation, ego_translation: column} of the rows with these tokens (N,)."""
        own = self.lookup.find(tokens.text, np.column_stack([tokens.ends[:-1], tokens.ends[1:]]))
        if (own < 0).any():
            raise Unusual
        own, back = np.unique(own, return_inverse=True)
        values, rows, names = {name: [] for name in POSE}, self.rows[own], packed(POSE)
        with open(self.path, "rb") as file:
            for near in np.split(rows, np.flatnonzero(np.diff(rows[:, 0] // PIECE)) + 1):
                offset = near[:1, 0].sum()
                file.seek(offset)
                text = np.array(bytearray(file.read(near[-1:, 1].sum() - offset)))
                found = np.empty((len(near), len(POSE) + 1, 2), np.int64)
                if not _each(text, near[:, 0] - offset, *names, found):
                    raise Unusual
                for k, name in enumerate(POSE):
                    values[name] += decoded(text, found[:, k])
        columns = {"ego_rotation": turns(values["rotation"]), "ego_translation": column(values["translation"], (3,))}
        return {name: take(found, back) for name, found in columns.items()}


class Lookup:
    """Finds texts among others by a table of their hashes. Errors: Unusual, if two are the same or one is no text."""

    def __init__(self, texts):
        self.texts = texts if isinstance(texts, Strings) else column(texts)
        self.slots = np.full(2 << len(texts).bit_length(), -1, np.int32)
        if not isinstance(self.texts, Strings) or not _fill(self.texts.text, self.texts.ends, self.slots):
            raise Unusual

    def find(self, text, spans):
        """(N,) positions of the texts at `spans` (N, 2) of `text`, -1 for one that is not there."""
        found = np.empty(len(spans), np.int64)
        _find(text, spans, self.texts.text, self.texts.ends, self.slots, found)
        return found


def turns(values):
    """The column of quaternions; the list itself if one of them may have no direction, so that what it was can be said."""
    found = column(values, (4,))
    length = np.linalg.norm(found, axis=1) if isinstance(found, np.ndarray) else np.zeros(1)
    return found if ((length > 1e-9) & (length < 1e9)).all() else values


def take(values, order):
    """The values of a column in an order, or of a list."""
    return [values[k] for k in order] if isinstance(values, list) else values[order]


def quoted(text, spans):
    """Spans (N, 2) of strings without their quotes. Errors: Unusual, if one is no string."""
    if (spans < 0).any() or (text[spans[:, 0]] != QUOTE).any():
        raise Unusual
    return spans + [1, -1]


def decoded(text, spans):
    """The values at `spans` (N, 2). Errors: Unusual."""
    if (spans < 0).any():
        raise Unusual
    try:
        return orjson.loads(b"[" + gather(text, spans, b",").tobytes()[:-1] + b"]")
    except orjson.JSONDecodeError:
        raise Unusual from None


@njit(cache=True, nogil=True)
def _each(text, begins, names, ends, found):
    """`_row` of many; whether all are rows."""
    for k in range(len(begins)):  # noqa: SIM110
        if _row(text, begins[k], names, ends, found[k]) < 0:
            return False
    return True


@njit(cache=True, nogil=True)
def _slot(text, begin, end, keys, ends, slots):
    """Where text[begin:end] is in the table, or the empty place that it would have. FNV-1a, 64 bits."""
    value = np.uint64(14695981039346656037)
    for k in range(begin, end):
        value = (value ^ np.uint64(text[k])) * np.uint64(1099511628211)
    slot = np.int64(value & np.uint64(len(slots) - 1))
    while slots[slot] >= 0:
        key = slots[slot]
        if ends[key + 1] - ends[key] == end - begin and _equal(text, begin, keys, ends[key], end - begin):
            break
        slot = (slot + 1) & (len(slots) - 1)
    return slot


@njit(cache=True, nogil=True)
def _fill(keys, ends, slots):
    """Whether all keys are different."""
    for k in range(len(ends) - 1):
        slot = _slot(keys, ends[k], ends[k + 1], keys, ends, slots)
        if slots[slot] >= 0:
            return False
        slots[slot] = k
    return True


@njit(cache=True, nogil=True)
def _find(text, spans, keys, ends, slots, found):
    for k in range(len(spans)):
        found[k] = slots[_slot(text, spans[k, 0], spans[k, 1], keys, ends, slots)]
