"""params.yaml, and its small profiles laid over it."""

import copy
import math
from functools import cache
from pathlib import Path

import yaml

import xkd
from xkd.errors import XkdError
from xkd.files import read_yaml


def read(path=None):
    """params.yaml (of this checkout unless another is named) as a dict of sections."""
    path = path or xkd.ROOT / "params.yaml"
    sections = read_yaml(path)
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


@cache
def schema():
    """What the sections take, `xkd/schema.yaml`."""
    return yaml.safe_load((Path(__file__).parent / "schema.yaml").read_text())


def check(name, section):
    """The section as it is. Errors: a key that is unknown or missing, a value of another kind or out of its limits."""
    check_section(name, section, schema().get(name, {"*": "any"}))
    if name == "fused" and section["width"] % section["heads"]:
        width, heads = section["width"], section["heads"]
        raise XkdError(
            f"params.yaml: fused.width is {width}; it has to be a multiple of fused.heads, which is {heads}."
        )
    return section


def check_section(where, section, rules):
    """Errors: a section `where` that is none, whose keys are not those of `rules`, or whose values are not what these say (`schema`)."""
    if not isinstance(section, dict):
        raise XkdError(f"params.yaml: {where} is {section!r}; it has to be a section.")
    wrong = [*sorted(set(section) - set(rules), key=str), *sorted(set(rules) - set(section))]
    for key in wrong if "*" not in rules else ():
        what = "is an unknown parameter" if key in section else "is missing"
        raise XkdError(f"params.yaml: {where}.{key} {what}; there are {', '.join(sorted(rules))}.")
    for key, value in section.items():
        rule = rules.get(key, "any")
        check_one = check_section if isinstance(rule, dict) else check_value
        check_one(f"{where}.{key}", value, rule)


KINDS = {
    "word": (str, "a word"),
    "name": (str | None, "a word or null"),
    "flag": (bool, "true or false"),
    "list": (list, "a list"),
    "section": (dict, "a section"),
}


def check_value(where, value, rule):
    """Errors: a value `where` that is not what a rule of `schema` says."""
    kind, _, rest = rule.partition(" ")
    if kind in KINDS:
        if not isinstance(value, KINDS[kind][0]):
            raise XkdError(f"params.yaml: {where} is {value!r}; it has to be {KINDS[kind][1]}.")
        for part in value if rest else ():
            check_value(where, part, rest)
    elif kind in ("number", "whole"):
        if isinstance(value, dict | list):
            for part, name in (
                [(value[k], f"{where}.{k}") for k in value] if isinstance(value, dict) else [(v, where) for v in value]
            ):
                check_value(name, part, rule)
            return
        low, high = (float(end or math.inf) for end in rest.split(".."))
        number, words = (int, "a whole number") if kind == "whole" else (int | float, "a number")
        if isinstance(value, bool) or not isinstance(value, number) or not low <= value <= high:
            most = "" if high == math.inf else f" and {high:g} at most"
            raise XkdError(f"params.yaml: {where} is {value!r}; it has to be {words} of {low:g} at least{most}.")


def sections(**given):
    """The sections named, in that order and checked: those given (papermill injects them), those left None from `smoke`."""
    small = profile("smoke")
    return [check(name, small[name] if value is None else value) for name, value in given.items()]
