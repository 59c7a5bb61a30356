"""Images from files, opened here and nowhere else: their sizes by the headers, RGB, and maps of whole numbers.

A header is looked at before it is believed: no file makes more pixels than `MOST`, or than were asked for.
"""

import io
import struct

import numpy as np
from PIL import Image

from xkd.errors import XkdError, why
from xkd.files import read_bytes

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "PPM", "GIF", "JPEG2000")
"""What is opened. PIL knows more, some of which it hands to other programs."""
MOST = 1 << 26
"""Pixels of an image at most: three times those of the largest cameras on cars."""
COLOURED = ("RGB", "RGBA", "L", "LA", "P", "PA", "1", "CMYK", "YCbCr")
"""PIL's modes of up to 8 bits a channel that it can turn into RGB."""
COUNTED = ("L", "P", "1", "I", "I;16", "I;16L", "I;16B")


def size(path):
    """(H, W) of an image by its header. Errors: see `rgb`."""
    with _opened(path, "an image", "image") as file:
        return file.height, file.width


def rgb(path, expected=None, of=None):
    """(H, W, 3) uint8 RGB; how far a pixel can be seen through does not count.

    expected: (H, W) of its calibration, None for any; of: whose image, for people. Errors: missing, cut short, damaged, no image, no pixels
    or more than `MOST`, another size, more than 8 bits a channel."""
    with _opened(path, "an image", f"image ({of})" if of else "image", expected, "its calibration is for") as file:
        if file.mode not in COLOURED:
            raise XkdError(f"{path}: its pixels are of the mode {file.mode}; images have up to 8 bits a channel.")
        if "transparency" in file.info:
            file = _decoded(path, "an image", file, "RGBA")
        return np.array(_decoded(path, "an image", file, "RGB"))


def ids(path, expected=None, what="a mask"):
    """(H, W) whole numbers of an image of one channel as the file has them: of a palette its places, of one bit a bool.

    expected: (H, W) of the image that they are of, None for any. Errors: see `rgb`; several channels, fractions."""
    with _opened(path, what, "file", expected, "its image") as file:
        if len(file.getbands()) > 1:
            raise XkdError(f"{path}: has {len(file.getbands())} channels; {what} has one.")
        if file.mode not in COUNTED:
            raise XkdError(f"{path}: its pixels are of the mode {file.mode}; those of {what} are whole numbers.")
        return np.array(_decoded(path, what, file))


def _opened(path, what, missing, expected=None, owner=""):
    """PIL's image, whose size is known and good and whose pixels are not yet made."""
    data = read_bytes(path, missing)
    for look in (_claimed, _open):
        try:
            found = look(data)
        except Exception as error:  # in damaged bytes PIL meets everything
            raise _unreadable(path, what, error) from error
        height, width = found.size[::-1] if isinstance(found, Image.Image) else found or (1, 1)
        if not 0 < height * width <= MOST:
            raise XkdError(
                f"{path}: its header says {height} x {width} pixels (height x width); {what} has 1 to {MOST:,}."
            )
        if found and expected is not None and (height, width) != tuple(expected):
            raise XkdError(
                f"{path}: has {height} x {width} pixels (height x width), {owner} {expected[0]} x {expected[1]}."
            )
    return found


def _claimed(data):
    """(H, W) that the header of a PNG or JPEG file says, None where it is another file or says none."""
    if data.startswith(b"\x89PNG\r\n\x1a\n") and len(data) >= 24:
        return struct.unpack_from(">II", data, 16)[::-1]
    at = 2
    while data.startswith(b"\xff\xd8") and at + 9 <= len(data) and data[at] == 0xFF:
        if data[at + 1] in STARTS:
            return struct.unpack_from(">HH", data, at + 5)
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return None


STARTS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
"""Markers of a JPEG's segment that says its size (ITU T.81, table B.1)."""


def _open(data):
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.UnidentifiedImageError:
        raise ValueError(f"it is no file of {', '.join(FORMATS)}" if data else "it is empty") from None


def _decoded(path, what, file, mode=None):
    try:
        file.load()
        return file.convert(mode) if mode else file
    except Exception as error:
        raise _unreadable(path, what, error) from error


def _unreadable(path, what, error):
    return XkdError(f"{path}: cannot be read as {what} ({why(error)}).")
