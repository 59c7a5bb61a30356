"""params.yaml, and its small profiles laid over it."""

import copy
import math

import yaml

import xkd
from xkd.errors import XkdError


def read(path=None):
    """params.yaml (of this checkout unless another is named) as a dict of sections."""
    path = path or xkd.ROOT / "params.yaml"
    try:
        sections = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise XkdError(f"{path}: no such file.") from None
    except yaml.YAMLError as error:
        raise XkdError(f"{path}: is not YAML ({' '.join(str(error).split())}).") from None
    if not isinstance(sections, dict):
        raise XkdError(f"{path}: holds no sections.")
    return sections


FREE = {"options", "mini", "teacher"}
"""Sections whose keys belong to whom they are handed to, and are checked there."""


def overlay(base, changes, where="params.yaml", free=False):
    """A copy of `base` with `changes` laid over it, key by key; a key that `base` does not have is refused by name."""
    merged = copy.deepcopy(base)
    for key, value in changes.items():
        if key not in base and not free:
            raise XkdError(f"{where}: unknown parameter {key!r}; there are {', '.join(map(str, sorted(base)))}.")
        section = isinstance(base.get(key), dict)
        if section and isinstance(value, dict):
            merged[key] = overlay(base[key], value, f"{where}.{key}", free or key in FREE)
        elif key in base and section != isinstance(value, dict):
            raise XkdError(f"{where}: {key} is {value!r}; it has to be {'a section' if section else 'one value'}.")
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
    "student": {"backbone", "voxel", "widths"},
    "distill": TRAINING | {"objective", "whiten", "hidden", "temperature", "steps", "lr"},
    "finetune": TRAINING | {"lr", "steps", "balanced", "lovasz_points", "shown"},
    "views": {"channels", "whiten", "reach"},
    "fused": {"width", "heads", "dark", "early", "late", "steps"},
    "mixing": {"share", "frames"},
    "sweep": {"fractions", "inits", "seeds"},
}
"""What each section has; the teacher's and the report's are checked by whom they are handed to."""
INNER = {"augment": {"turn", "flip", "scale", "jitter", "gain"}, "steps": {"base", "per_frame", "most"}}
"""Sections within a section."""
FLAT = {("distill", "steps")}
"""Where a key of such a name is one number."""


LIMITS = dict.fromkeys(
    ("superpixels", "hidden", "widths", "batch", "processes", "steps", "most", "lovasz_points"), (1, math.inf)
)
LIMITS |= dict.fromkeys(
    ("lr", "weight_decay", "clip", "save_every", "shown", "base", "per_frame", "reach"), (0, math.inf)
)
LIMITS |= dict.fromkeys(("turn", "scale", "jitter", "gain", "compactness"), (0, math.inf))
LIMITS |= {
    "voxel": (1e-3, 100),
    "temperature": (1e-6, math.inf),
    "whiten": (1e-6, math.inf),
    "crop": (2, math.inf),
    "warmup": (0, 0.99),
}
LIMITS |= dict.fromkeys(("balanced", "flip", "dark", "share"), (0, 1))
LIMITS |= dict.fromkeys(("channels", "width", "heads", "frames"), (1, math.inf))
"""Least and most of the numbers of that name; of a list or a section, of every one in it."""
WHOLE = {"channels", "width", "heads", "frames", "reach"}
"""Of these numbers those that have to be whole."""
KINDS = dict.fromkeys(("kind", "root", "train", "validation", "objective", "backbone"), (str, "a word"))
KINDS |= dict.fromkeys(("early", "late"), (bool, "true or false"))
KINDS |= dict.fromkeys(("unlabelled", "tuning", "widths", "fractions", "inits", "seeds"), (list, "a list"))


def check(name, section):
    """The section as it is. Errors: a key that is unknown or missing, a value of another kind or out of its limits."""
    check_section(name, section, KEYS.get(name, section))
    if name == "fused" and section["width"] % section["heads"]:
        width, heads = section["width"], section["heads"]
        raise XkdError(
            f"params.yaml: fused.width is {width}; it has to be a multiple of fused.heads, which is {heads}."
        )
    return section


def check_section(where, section, known):
    """Errors: a section `where` that is none, whose keys are not those that are `known`, or whose values are not what `KINDS` and
    `LIMITS` say; so too the sections in it that `INNER` knows."""
    if not isinstance(section, dict):
        raise XkdError(f"params.yaml: {where} is {section!r}; it has to be a section.")
    for key in sorted(set(section) ^ set(known)):
        what = "is an unknown parameter" if key in section else "is missing"
        raise XkdError(f"params.yaml: {where}.{key} {what}; there are {', '.join(sorted(known))}.")
    for key, value in section.items():
        if key in INNER and (where, key) not in FLAT:
            check_section(f"{where}.{key}", value, INNER[key])
            continue
        kind, words = KINDS.get(key, (object, ""))
        if not isinstance(value, kind):
            raise XkdError(f"params.yaml: {where}.{key} is {value!r}; it has to be {words}.")
        check_limits(f"{where}.{key}", key, value)


def check_limits(where, key, value):
    """Errors: a number that is none, or that is not within `LIMITS`; `key` is its name or, without limits of its own, that above."""
    if isinstance(value, dict):
        for inner, part in value.items():
            check_limits(f"{where}.{inner}", inner if inner in LIMITS else key, part)
    elif isinstance(value, list):
        for part in value:
            check_limits(where, key, part)
    elif key in LIMITS:
        low, high = LIMITS[key]
        kind, words = (int, "a whole number") if key in WHOLE else (int | float, "a number")
        if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:
            most = "" if high == math.inf else f" and {high:g} at most"
            raise XkdError(f"params.yaml: {where} is {value!r}; it has to be {words} of {low:g} at least{most}.")


def sections(**given):
    """The sections named, in that order and checked: those given (papermill injects them), those left None from `smoke`."""
    small = profile("smoke")
    return [check(name, small[name] if value is None else value) for name, value in given.items()]
