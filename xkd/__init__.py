"""Cross-modal knowledge distillation: LiDAR segmentation networks that learn from camera images."""

from pathlib import Path

from xkd.errors import XkdError

ROOT = Path(__file__).resolve().parents[1]
"""The checkout this package lies in; every path of the pipeline hangs on it, never on the working directory."""

__all__ = ["ROOT", "XkdError", "load", "open_dataset"]


def open_dataset(kind, root, split=None, **options):
    """A sequence of `Frame`s; see `xkd.datasets.open_dataset`."""
    from xkd.datasets import open_dataset

    return open_dataset(kind, root, split, **options)


def load(path, device="cpu"):
    """A saved student, ready to segment a scan; see `xkd.student.load`."""
    from xkd.student import load

    return load(path, device)
