"""Cross-modal knowledge distillation: LiDAR segmentation networks that learn from camera images."""

import atexit
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from xkd.errors import XkdError

ROOT = Path(__file__).resolve().parents[1]
"""The checkout this package lies in; every path of the pipeline hangs on it, never on the working directory."""

ROOM = 16 << 20
"""Bytes on a disk that are enough for what numba keeps of the compiled kernels, a few megabytes."""


def takes(folder):
    """Whether files can be written in a folder, or in one that is made there: it is no read-only place, and the disk has room."""
    standing = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    if not (standing.is_dir() and os.access(standing, os.W_OK | os.X_OK)):
        return False
    disk = os.statvfs(standing)
    return disk.f_bavail * disk.f_frsize >= ROOM


def _kernels():
    """Where numba keeps kernels: beside the package, else in the user's cache. Without a place that takes them it imports nothing, and on
    a full disk it breaks off; then they last as long as the process, in a folder of its own, for what is loaded from there is run."""
    own, user = ROOT / "xkd" / "__pycache__", os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    if "NUMBA_CACHE_DIR" in os.environ or takes(own):
        return
    user = Path(user).expanduser() / "numba"
    with suppress(OSError):
        folder = user if takes(user.absolute()) else Path(tempfile.mkdtemp(prefix="xkd-numba-"))
        os.environ["NUMBA_CACHE_DIR"] = str(folder)
        if folder != user:
            atexit.register(shutil.rmtree, folder, ignore_errors=True)


_kernels()

__all__ = ["ROOT", "XkdError", "load", "open_dataset"]


def open_dataset(kind, root, split=None, **options):
    """A sequence of `Frame`s; see `xkd.datasets.open_dataset`."""
    from xkd.datasets import open_dataset

    return open_dataset(kind, root, split, **options)


def load(path, device="cpu"):
    """A saved student, ready to segment a scan; see `xkd.student.load`."""
    from xkd.student import load

    return load(path, device)
