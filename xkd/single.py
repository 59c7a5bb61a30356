"""Which numbers of params.yaml are one: `xkd.params` takes a list where its schema has a number for as many."""

from xkd.errors import XkdError

SEVERAL = ("finetune.lr", "study.lr", "study.full.lr", "student.voxel")
"""Numbers that may be several: by name, for few labels and for many, or three of a voxel."""


def one_number(where, value, rule):
    """Errors: several values where `xkd/schema.yaml` (`rule`) has one number, which `xkd.params` takes for as many."""
    if isinstance(rule, dict):
        for key in rule.keys() & value.keys():
            one_number(f"{where}.{key}", value[key], rule[key])
    elif rule.startswith(("number", "whole")) and isinstance(value, dict | list) and where not in SEVERAL:
        raise XkdError(f"params.yaml: {where} is {value!r}; it has to be one number.")
