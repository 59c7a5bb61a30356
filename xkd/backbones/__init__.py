"""The networks that can be the student: one file each, whose name is the word that `student.backbone` of params.yaml chooses it with."""

import pkgutil
from importlib import import_module
from pathlib import Path

from xkd.errors import XkdError


def names():
    """The words there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "base")


def backbone(name):
    """The class of that name, a subclass of `Backbone`; it is looked for when it is asked for, so that another one added changes nothing
    of a stage. Errors: an unknown name."""
    if name not in names():
        raise XkdError(f"student.backbone {name!r} is unknown; there are {', '.join(names())}.")
    return import_module(f"{__name__}.{name}").Network


def files(name):
    """The modules that a network of that name is made of; a change of one makes half a training worthless."""
    here, found = Path(__file__), import_module(backbone(name).__module__)
    return [here, here.with_name("base.py"), Path(found.__file__)]
