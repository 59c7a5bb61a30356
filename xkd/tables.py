"""Numbers in text files, as calibrations, poses and times come."""

import numpy as np

from xkd.datasets.frame import read_bytes
from xkd.errors import XkdError


def read_text(path):
    """The text of a file in UTF-8."""
    try:
        return read_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise XkdError(f"{path}: is not text ({error.reason} at byte {error.start}).") from None


def read_table(path, columns):
    """(lines, columns) float64."""
    text = read_text(path)
    lines = text.count("\n") + (not text.endswith("\n"))
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
