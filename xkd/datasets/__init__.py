"""Readers: every data set, in its own official layout, becomes the same sequence of frames (`xkd.datasets.frame`).

A layout is one file here, and its name is the word that `data.kind` of params.yaml chooses it with.
"""

import pkgutil
from importlib import import_module
from pathlib import Path

from xkd.datasets.frame import Camera, Dataset, Frame
from xkd.errors import XkdError

__all__ = ["Camera", "Dataset", "Frame", "kinds", "open_dataset", "reader"]


def kinds():
    """The layouts that can be read."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "frame")


def reader(kind):
    """The subclass of `Dataset` that reads layout `kind`; it is looked for when it is asked for, so that another one added changes nothing
    of a stage. Errors: an unknown kind."""
    if kind not in kinds():
        raise XkdError(f"Unknown kind of data set {kind!r}; known kinds are {', '.join(kinds())}.")
    return import_module(f"{__name__}.{kind}").Reader


def open_dataset(kind, root, split=None, **options):
    """The data set of layout `kind` in folder `root` as a sequence of `Frame`s, in scene and then time order.

    split: one of the data set's own, or None for all of it. options: nuscenes takes `version`, such as "v1.0-mini".
    Errors: XkdError for an unknown kind, split or option and for files that are missing or broken.
    """
    found = reader(kind)
    if not Path(root).is_dir():
        raise XkdError(f"{root}: no such folder, so no {kind} data set can be opened there.")
    unknown = set(options) - set(found.options)
    if unknown:
        raise XkdError(
            f"{kind} knows no option {', '.join(sorted(unknown))}; its options: {', '.join(found.options) or 'none'}."
        )
    if split is not None and split not in found.splits():
        raise XkdError(f"{kind} has no split {split!r}; its splits are {', '.join(found.splits())}.")
    return found(Path(root), split, **options)
