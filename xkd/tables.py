"""Numbers in text files, as calibrations, poses and times come."""

import numpy as np

from xkd.errors import XkdError
from xkd.files import read_text


def read_table(path, columns):
    """(lines, columns) float64; empty lines at the end are none."""
    text = read_text(path).rstrip()
    lines = text.count("\n") + 1
    return floats(text, lines * columns, path, f"{lines} lines").reshape(-1, columns)


def floats(text, count, path, what):
    """The `count` numbers of a text. Errors: another count, or something that is no finite number."""
    try:
        values = np.array(text.split(), np.float64)
    except ValueError as error:
        raise XkdError(f"{path}: {what}: {error}.") from None
    if len(values) != count or not np.isfinite(values).all():
        raise XkdError(
            f"{path}: {what}: {count} finite numbers were expected and {np.isfinite(values).sum()} are there."
        )
    return values
