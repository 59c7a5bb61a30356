"""What a folder of one's own says about itself, `xkd.yaml`: read, and refused where a key or a value is none (docs/own-data.md)."""

import re

import numpy as np

from xkd import calibration
from xkd.datasets.frame import IGNORE, facts
from xkd.errors import XkdError
from xkd.files import read_yaml

FILE = "xkd.yaml"


def read_layout(path):
    """The sections of an `xkd.yaml`, checked key by key, with `axes` as T_disk_lidar (4, 4).

    Errors: missing, not YAML, an unknown key, a value of another kind, no scans.files, axes that are none."""
    layout = read_section(path, facts("folder")["layout"])
    scans = layout.setdefault("scans", {})
    needed(path, "scans", scans, "files")
    scans["axes"] = calibration.axes(f"{path}: scans.axes", scans.get("axes", "x forward, y left, z up"))
    columns = scans.get("columns")
    if columns is not None and (
        len(set(columns)) < len(columns) or not {"x", "y", "z"} <= {c.lower() for c in columns}
    ):
        raise XkdError(
            f"{path}: scans.columns is {columns}; it has to name every column, each once, x, y and z among them."
        )
    for name, least in (
        ("scene_frames", layout.get("scene_frames")),
        ("scans.intensity_max", scans.get("intensity_max")),
    ):
        if least is not None and not least > 0:
            raise XkdError(f"{path}: {name} is {least}; it has to be larger than 0.")
    labels = layout.get("labels")
    if labels is not None and (("files" in labels) == ("field" in labels) or "classes" not in layout):
        what = (
            "names no classes, and labels mean nothing without"
            if "classes" not in layout
            else "labels needs files or field"
        )
        raise XkdError(f"{path}: {what}.")
    return layout


def cameras(path, given, folder):
    """{name: section} of the cameras: `given` is the entry of the layout, or the name of a file in `folder` that holds it.

    Each section has K (3, 3), its model with coefficients as `lens`, T_camera_lidar (4, 4) in the LiDAR's axes on disk, and size (H, W) or
    None. Errors: an unknown key, something needed that is missing, numbers that are no calibration."""
    rules = {"*": facts("folder")["camera"]}
    if isinstance(given, str):
        path, given = folder / given, read_section(folder / given, rules)
    else:
        check(f"{path}: cameras", given, rules)
    made = {}
    for name, section in given.items():
        where = f"{path}: cameras.{name}"
        needed(path, f"cameras.{name}", section, "images", "model")
        size = [section.get(key) for key in ("height", "width")]
        if size != [None, None] and (None in size or min(size) < 1):
            raise XkdError(
                f"{where}: height is {size[0]} and width {size[1]}; both or neither is there, and larger than 0."
            )
        made[name] = section | {
            "where": where,
            "size": tuple(size) if size[0] else None,
            "K": calibration.intrinsics(where, section),
            "lens": calibration.distortion(where, section),
            "T_camera_lidar": calibration.extrinsic(where, section, "camera", "lidar"),
        }
        if made[name]["size"]:
            calibration.check_centre(where, made[name]["K"], made[name]["size"])
    return made


def classes(path, layout):
    """({name: colour}, {raw label id: training id}). Errors: an id that two have, a colour that is none."""
    named, raw = layout.get("classes"), dict.fromkeys(layout.get("ignored", []), IGNORE)
    if named is None:
        return facts("folder")["classes"], raw
    colours, spare = {}, facts("folder")["colours"]
    for k, (name, section) in enumerate(named.items()):
        colours[name] = colour = section.get("colour", spare[k % len(spare)])
        if len(colour) != 3 or not all(isinstance(c, int) and 0 <= c <= 255 for c in colour):
            raise XkdError(f"{path}: classes.{name}.colour is {colour}; it has to be three whole numbers of 0 to 255.")
        for number in section.get("ids", []):
            if number in raw:
                raise XkdError(f"{path}: classes.{name}: the label id {number} is named twice.")
            raw[number] = k
    if not named or not all(isinstance(number, int) and number >= -1 for number in raw):
        raise XkdError(
            f"{path}: classes need names, and label ids that are whole numbers; they have {list(named)}, {list(raw)}."
        )
    return colours, raw


def needed(path, where, section, *keys):
    """Errors: a key that a section does not have."""
    for key in keys:
        if key not in section:
            raise XkdError(f"{path}: has no {where}.{key}, which has to be there.")


def read_section(path, rules):
    """The mapping in a YAML file, checked. Errors: see `read_layout`."""
    given = read_yaml(path)
    check(f"{path}:", given, rules)
    return given


KINDS = {
    "word": (str, "text"),
    "number": (int | float, "a number"),
    "whole": (int, "a whole number"),
    "flag": (bool, "true or false"),
    "words": (list, "a list of words"),
    "numbers": (list, "a list of numbers"),
}


def check(where, value, rule):
    """Errors: a value that is not what a rule of labels/folder.yaml says; `words` of one word become a list."""
    if isinstance(rule, dict):
        listed = ", ".join(rule) if "*" not in rule else "names of your own"
        if not isinstance(value, dict):
            raise XkdError(f"{where} is {value!r}; it has to be a section with the keys {listed}.")
        for key in value:
            if key not in rule and ("*" not in rule or not isinstance(key, str)):
                raise XkdError(f"{where} has an unknown key {key!r}; there are {listed}.")
            name = f"{where} {key}" if where.endswith(":") else f"{where}.{key}"
            if rule.get(key) == "words" and isinstance(value[key], str):
                value[key] = [value[key]]
            check(name, value[key], rule.get(key, rule.get("*")))
    elif "|" in rule:
        if value not in re.split(r"\s*\|\s*", rule):
            raise XkdError(f"{where} is {value!r}; it has to be one of {rule.replace(' | ', ', ')}.")
    elif rule != "any":
        kind, what = KINDS[rule]
        fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
        if fits and rule in ("words", "numbers"):
            part = KINDS[rule[:-1]][0]
            fits = all(isinstance(v, part) and not isinstance(v, bool) for v in value)
        if not fits or (rule == "number" and not np.isfinite(value)):
            raise XkdError(f"{where} is {value!r}; it has to be {what}.")
