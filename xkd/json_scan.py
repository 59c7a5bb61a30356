"""Where the values of some fields are in JSON tables that are too long to make objects of every row.

A table is an array of objects. `pieces` walks over its bytes once and checks all of them against JSON's grammar (RFC 8259). It understands
what tables consist of and no more, and says so of any other: no escape and no byte above 127 in a string, no row longer than `PIECE`, no
integer of more than 18 digits, no NaN. Of several fields of one name in a row the last is taken, as Python does.
"""

import numpy as np
from numba import njit

PIECE = 1 << 22
"""Bytes read at a time."""
ROWS = 1 << 15
"""Rows found at a time."""
START, FIRST, NEXT, ROW, END = range(5)
"""What comes next between rows: `[`; a row or `]`; a comma or `]`; a row; nothing."""
VALUE, FIRST_VALUE, KEY, FIRST_KEY, MIDDLE, AFTER = range(6)
"""What comes next inside a row; FIRST_: or the end of the array or object."""
T, F, QUOTE, ESCAPE, OPEN, CLOSE, LIST, LISTED, COMMA, COLON, MINUS, PLUS, POINT, SMALL_E, LARGE_E, ZERO, NINE = (
    b'tf"\\{}[],:-+.eE09'
)
TRUE, ALSE, NULL = (int.from_bytes(word) for word in (b"true", b"alse", b"null"))
DEPTH = 60
BROKEN, UNFINISHED = -2, -1
"""Places in a text that are none: something that is not understood; the text ends first."""


class Unusual(Exception):
    """A table that is not understood here."""


def pieces(path, fields):
    """(bytes, (R, F + 1, 2) int64, offset) piece by piece: where in these bytes the values of F fields of each row begin and end, -1 for
    those it has not, and then the row itself; where in the file the bytes begin. The next piece overwrites all. Errors: Unusual."""
    text, found = np.empty(PIECE, np.uint8), np.empty((ROWS, len(fields) + 1, 2), np.int64)
    names, kept, offset, state = packed(fields), 0, 0, START
    with open(path, "rb") as file:
        while more := file.readinto(memoryview(text)[kept:]):
            size, at, count = kept + more, 0, ROWS
            while count == ROWS:
                count, at, state = _rows(text[:size], at, state, *names, found)
                if at == BROKEN:
                    raise Unusual
                yield text[:size], found[:count], offset
            kept, offset = size - at, offset + at
            text[:kept] = text[at:size].copy()
    # A row that does not fit in a piece leaves no room for more of the file.
    if state != END or kept:
        raise Unusual


def packed(fields):
    """The names of fields as they are in a row: (B,) uint8, and where each ends."""
    names = [f'"{field}"'.encode() for field in fields]
    return np.array(bytearray(b"".join(names))), np.cumsum([0, *map(len, names)])


@njit(cache=True, nogil=True)
def _rows(text, at, state, names, ends, found):
    """Fills `found` with whole rows from `at` on -> how many, the place after the last, what comes next."""
    count = 0
    while at < len(text) and count < len(found):
        c = text[at]
        if c in (32, 10, 13, 9):
            at += 1
        elif c == OPEN and state in (FIRST, ROW):
            end = _row(text, at, names, ends, found[count])
            if end == UNFINISHED:
                return count, at, state
            if end == BROKEN:
                return count, BROKEN, state
            at, state, count = end, NEXT, count + 1
        elif (c == LIST and state == START) or (c == COMMA and state == NEXT):
            at, state = at + 1, FIRST if state == START else ROW
        elif c == LISTED and state in (FIRST, NEXT):
            at, state = at + 1, END
        else:
            return count, BROKEN, state
    return count, at, state


@njit(cache=True, nogil=True)
def _row(text, at, names, ends, found):
    """The place after the object that begins at `at`, BROKEN or UNFINISHED; found (F + 1, 2): its fields and itself."""
    found[:] = -1
    found[-1, 0] = at
    depth, objects, state, field = 0, 0, VALUE, -1
    while at < len(text):
        c = text[at]
        if c in (32, 10, 13, 9):
            at += 1
            continue
        begin = at
        if c == COMMA and state == AFTER:
            state, at = KEY if objects & 1 else VALUE, at + 1
            continue
        if c == COLON and state == MIDDLE:
            state, at = VALUE, at + 1
            continue
        if (c == OPEN or c == LIST) and state in (VALUE, FIRST_VALUE):
            if depth == DEPTH:
                return BROKEN
            if depth == 1 and field >= 0:
                found[field, 0] = begin
            depth, objects = depth + 1, objects * 2 + (c == OPEN)
            state, at = FIRST_KEY if c == OPEN else FIRST_VALUE, at + 1
            continue
        if (c == CLOSE and state in (AFTER, FIRST_KEY)) or (c == LISTED and state in (AFTER, FIRST_VALUE)):
            if (c == CLOSE) != (objects & 1):
                return BROKEN
            depth, objects, state, at = depth - 1, objects >> 1, AFTER, at + 1
            if depth == 0:
                found[-1, 1] = at
                return at
            if depth == 1 and field >= 0:
                found[field, 1] = at
            continue
        if c == QUOTE and state <= FIRST_KEY:
            at = _string(text, at)
        elif state in (VALUE, FIRST_VALUE):
            at = _number(text, at) if c == MINUS or ZERO <= c <= NINE else _word(text, at)
        else:
            return BROKEN
        if at < 0:
            return at
        if state in (KEY, FIRST_KEY):
            if depth == 1:
                field = _field(text, begin, at, names, ends)
            state = MIDDLE
        else:
            if depth == 1 and field >= 0:
                found[field, 0], found[field, 1] = begin, at
            state = AFTER
    return UNFINISHED


@njit(cache=True, nogil=True)
def _field(text, begin, end, names, ends):
    """Which name text[begin:end] is, -1 if none."""
    for field in range(len(ends) - 1):
        if ends[field + 1] - ends[field] == end - begin and _equal(text, begin, names, ends[field], end - begin):
            return field
    return -1


@njit(cache=True, nogil=True)
def _string(text, at):
    for k in range(at + 1, len(text)):
        c = text[k]
        if c == QUOTE:
            return k + 1
        if c < 32 or c > 127 or c == ESCAPE:
            return BROKEN
    return UNFINISHED


@njit(cache=True, nogil=True)
def _digits(text, at):
    """The place after the digits from `at` on."""
    while at < len(text) and ZERO <= text[at] <= NINE:
        at += 1
    return at


@njit(cache=True, nogil=True)
def _number(text, at):
    """The place after a number; one that the text ends with may go on, and its row does."""
    begin = at + (text[at] == MINUS)
    at = _digits(text, begin)
    if at == len(text):
        return UNFINISHED
    if at == begin or at - begin > 18 or (at - begin > 1 and text[begin] == ZERO):
        return BROKEN
    if text[at] == POINT:
        begin, at = at + 1, _digits(text, at + 1)
        if at == len(text):
            return UNFINISHED
        if at == begin:
            return BROKEN
    if text[at] in (SMALL_E, LARGE_E):
        begin = at + 1 + (at + 1 < len(text) and text[at + 1] in (PLUS, MINUS))
        at = _digits(text, begin)
        if at >= len(text):
            return UNFINISHED
        if at == begin:
            return BROKEN
    return at


@njit(cache=True, nogil=True)
def _word(text, at):
    """The place after true, false or null."""
    wanted = TRUE if text[at] == T else ALSE if text[at] == F else NULL
    end, value = at + 4 + (text[at] == F), 0
    if end > len(text):
        return UNFINISHED
    for k in range(end - 4, end):
        value = value * 256 + text[k]
    return end if value == wanted else BROKEN


@njit(cache=True, nogil=True)
def _equal(one, at, two, start, size):
    """Whether `size` bytes from `at` on are those from `start` on of another text."""
    for k in range(size):  # noqa: SIM110
        if one[at + k] != two[start + k]:
            return False
    return True
