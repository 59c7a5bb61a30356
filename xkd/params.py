"""params.yaml, and its small profiles laid over it."""

import copy

import yaml

import xkd
from xkd.errors import XkdError


def read(path=None):
    """params.yaml (of this checkout unless another is named) as a dict of sections."""
    path = path or xkd.ROOT / "params.yaml"
    try:
        return yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise XkdError(f"{path}: no such file.") from None
    except yaml.YAMLError as error:
        raise XkdError(f"{path}: is not YAML ({' '.join(str(error).split())}).") from None


FREE = {"options", "mini", "teacher"}
"""Sections whose keys belong to whom they are handed to, and are checked there."""


def overlay(base, changes, where="params.yaml", free=False):
    """A copy of `base` with `changes` laid over it, key by key; a key that `base` does not have is refused by name."""
    merged = copy.deepcopy(base)
    for key, value in changes.items():
        if key not in base and not free:
            raise XkdError(f"{where}: unknown parameter {key!r}; there are {', '.join(map(str, sorted(base)))}.")
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            merged[key] = overlay(base[key], value, f"{where}.{key}", free or key in FREE)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def profile(name=None):
    """All sections, with the profile `name` laid over them; without a name, as they are."""
    sections = read()
    profiles = sections.pop("profiles")
    if name is None:
        return sections
    if name not in profiles:
        raise XkdError(f"params.yaml: unknown profile {name!r}; there are {', '.join(sorted(profiles))}.")
    return overlay(sections, profiles[name], f"profiles.{name}")


def sections(**given):
    """The sections named, in that order: those given as they are (papermill injects them), those left None from `smoke`."""
    small = profile("smoke")
    return [small[name] if value is None else value for name, value in given.items()]
