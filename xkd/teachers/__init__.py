"""Teachers: frozen 2D networks, or features of them on disk, behind one interface; one file each, whose name is its word in params.yaml.

`teacher(images)`: (B, 3, H, W) float RGB 0..1 -> (B, dim, h, w), cells about `stride` pixels apart. The map covers the
image whole, so `xkd.pool` needs the image's size and nothing else. Stages call `teacher.dense(cameras)`.
`teacher.fingerprint`: the SHA-256 of its weights. What is supported: `python -m xkd teachers`.
"""

import inspect
import pkgutil
from importlib import import_module

from xkd.errors import XkdError


def names():
    """The teachers there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "base")


def open_teacher(params):
    """{"name": a file of this folder, and its arguments} -> the teacher; relative folders start at `xkd.ROOT`.

    Errors: an unknown name, an argument that is unknown or missing."""
    params = dict(params)
    name = params.pop("name", None)
    if name not in names():
        raise XkdError(f"teacher {name!r} is not known; there are {', '.join(names())}.")
    opened = import_module(f"{__name__}.{name}").opened
    accepted = inspect.signature(opened).parameters
    for key in params:
        if key not in accepted:
            raise XkdError(f"teacher {name!r} has no parameter {key!r}; it has {', '.join(accepted)}.")
    for key, argument in accepted.items():
        if argument.default is inspect.Parameter.empty and params.get(key) is None:
            raise XkdError(f"teacher {name!r} needs the parameter {key!r}.")
    teacher = opened(**params)
    teacher.given = {"name": name} | params
    return teacher
