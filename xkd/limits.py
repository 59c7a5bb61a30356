"""The sections of params.yaml for the network that sees images and for unlabelled frames, checked."""

import numpy as np

from xkd.errors import XkdError
from xkd.params import INNER, check_limits

KEYS = {
    "views": {"channels", "whiten", "reach"},
    "fused": {"width", "heads", "dark", "steps"},
    "mixing": {"share", "frames"},
}
LIMITS = dict.fromkeys(("channels", "width", "heads", "frames"), (1, 10**9)) | {"reach": (0, 1000)}
LIMITS |= dict.fromkeys(("dark", "share"), (0, 1))
WHOLE = {"channels", "width", "heads", "frames", "reach"}


def check(sections):
    """The sections views, fused and mixing, those of them that are there. Errors: unknown or missing keys, numbers out of their limits,
    `fused.width` that is no multiple of `fused.heads`."""
    for name in KEYS.keys() & sections.keys():
        check_section(name, sections[name], KEYS[name], LIMITS)
    if "fused" in sections:
        check_section("fused.steps", sections["fused"]["steps"], INNER["steps"], {})
        width, heads = sections["fused"]["width"], sections["fused"]["heads"]
        if width % heads:
            raise XkdError(
                f"params.yaml: fused.width is {width}; it has to be a multiple of fused.heads, which is {heads}."
            )
    return sections


def check_section(where, section, known, limits):
    """Errors: a section of params.yaml that is none, a key that is unknown or missing, a number out of `limits` or of `params.LIMITS`."""
    if not isinstance(section, dict):
        raise XkdError(f"params.yaml: {where} is {section!r}; it has to be a section.")
    for key in sorted(set(section) ^ known):
        what = "is an unknown parameter" if key in section else "is missing"
        raise XkdError(f"params.yaml: {where}.{key} {what}; there are {', '.join(sorted(known))}.")
    for key, value in section.items():
        check_limits(f"{where}.{key}", key, value)
        low, high = limits.get(key, (-np.inf, np.inf))
        kind, words = (int, "a whole number") if key in WHOLE else (int | float, "a number")
        if key in limits and (isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high):
            raise XkdError(f"params.yaml: {where}.{key} is {value!r}; it has to be {words} from {low:g} to {high:g}.")
