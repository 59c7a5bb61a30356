"""Readers: every data set, in its own official layout, becomes the same sequence of frames (`xkd.datasets.frame`)."""

from pathlib import Path

from xkd.datasets.frame import Camera, Dataset, Frame
from xkd.datasets.nuscenes import NuScenes
from xkd.datasets.semantickitti import SemanticKitti
from xkd.errors import XkdError

__all__ = ["KINDS", "Camera", "Dataset", "Frame", "open_dataset"]

KINDS = {"nuscenes": NuScenes, "semantickitti": SemanticKitti}
"""The layouts that can be read; a new one is a file beside these with a subclass of `Dataset`."""


def open_dataset(kind, root, split=None, **options):
    """The data set of layout `kind` in folder `root` as a sequence of `Frame`s, in scene and then time order.

    split: one of the data set's own, or None for all of it. options: nuscenes takes `version`, such as "v1.0-mini".
    Errors: XkdError for an unknown kind, split or option and for files that are missing or broken.
    """
    if kind not in KINDS:
        raise XkdError(f"Unknown kind of data set {kind!r}; known kinds are {', '.join(KINDS)}.")
    if not Path(root).is_dir():
        raise XkdError(f"{root}: no such folder, so no {kind} data set can be opened there.")
    reader = KINDS[kind]
    unknown = set(options) - set(reader.options)
    if unknown:
        raise XkdError(
            f"{kind} knows no option {', '.join(sorted(unknown))}; its options: {', '.join(reader.options) or 'none'}."
        )
    if split is not None and split not in reader.splits():
        raise XkdError(f"{kind} has no split {split!r}; its splits are {', '.join(reader.splits())}.")
    return reader(Path(root), split, **options)
