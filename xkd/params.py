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


TRAINING = {"batch", "processes", "crop", "warmup", "weight_decay", "clip", "save_every", "augment"}
KEYS = {
    "data": {"kind", "root", "train", "validation", "unlabelled", "tuning", "options"},
    "prepare": {"superpixels", "compactness", "occlusion"},
    "student": {"voxel", "widths"},
    "distill": TRAINING | {"objective", "hidden", "temperature", "steps", "lr"},
    "finetune": TRAINING | {"lr", "steps", "balanced", "lovasz_points", "shown"},
    "sweep": {"fractions", "inits", "seeds"},
}
"""What each section has; the teacher's and the report's are checked by whom they are handed to."""
INNER = {"augment": {"turn", "flip", "scale", "jitter", "gain"}, "steps": {"base", "per_root"}}


def check(name, section):
    """The section as it is; a key that is unknown or missing is refused by name."""
    for where, found, known in [(name, section, KEYS.get(name, section))] + [
        (f"{name}.{key}", section[key], keys) for key, keys in INNER.items() if isinstance(section.get(key), dict)
    ]:
        for key in sorted(set(found) ^ set(known)):
            what = "is an unknown parameter" if key in found else "is missing"
            raise XkdError(f"params.yaml: {where}.{key} {what}; there are {', '.join(sorted(known))}.")
    return section


def sections(**given):
    """The sections named, in that order and checked: those given (papermill injects them), those left None from `smoke`."""
    small = profile("smoke")
    return [check(name, small[name] if value is None else value) for name, value in given.items()]
