"""What a stage would refuse of params.yaml after hours of others, refused before the first of them starts."""

import inspect
from importlib import import_module

import xkd
from xkd import params
from xkd.errors import XkdError
from xkd.single import one_number

INITS = ("scratch", "distilled")
"""Those that stages of dvc.yaml write; cells of `xmodel` are added to theirs."""
LEAST = 1e-4
"""The smallest fraction that is written without an exponent."""


def checked():
    """All sections of params.yaml. Errors: those that a stage would come to after the others' hours: a key or a value that is none, an
    unknown kind of data, superpixels, teacher, objective, optimiser or subset, cells that no stage can train, splits that are learnt from
    twice, a folder that is not there and that `xkd.sim` does not make."""
    from xkd.datasets import kinds
    from xkd.objectives import OBJECTIVES
    from xkd.optim import OPTIMISERS
    from xkd.segments import METHODS
    from xkd.subsets import SUBSETS

    sections = numbers(params.profile())
    data, finetune = sections["data"], sections["finetune"]
    known("data.kind", data["kind"], kinds())
    check_splits(data)
    known("prepare.method", sections["prepare"]["method"], METHODS)
    known("distill.objective", sections["distill"]["objective"], (*OBJECTIVES, "xmodel"))
    known("finetune.subset", finetune["subset"], SUBSETS)
    for name in ("distill", "finetune"):
        known(f"{name}.optimiser", sections[name]["optimiser"], OPTIMISERS)
        batch, processes = sections[name]["batch"], sections[name]["processes"]
        if batch < processes:
            raise XkdError(f"params.yaml: {name}.batch is {batch}, which {name}.processes, {processes}, cannot share.")
    check_student(sections["student"])
    check_cells(sections["sweep"], finetune)
    check_teacher(sections["teacher"])
    check_folders(data, sections["teacher"])
    return sections


def numbers(sections):
    """The sections as they are. Errors: one that is unknown or missing, a key or a value that is none (`xkd/schema.yaml`)."""
    rules = params.schema()
    for name in [*sorted(set(sections) - set(rules), key=str), *sorted(set(rules) - set(sections))]:
        what = "is an unknown section" if name in sections else "is missing"
        raise XkdError(f"params.yaml: {name} {what}; there are {', '.join(rules)}.")
    for name, section in sections.items():
        one_number(name, params.check(name, section), rules[name])
    return sections


def known(where, word, words):
    """Errors: a word `where` that is none of `words`."""
    if word not in words:
        raise XkdError(f"params.yaml: {where} {word!r} is unknown; there are {', '.join(words)}.")


def check_splits(data):
    """Errors: a split that is named for two uses, or twice. Of the training split distillation leaves out the tuning streets, and of an
    unlabelled one none."""
    from xkd.prepare import splits

    splits(data)
    for place, split in enumerate(data["unlabelled"]):
        if split == data["train"]:
            raise XkdError(
                f"params.yaml: data.unlabelled names {split!r}, the training split, whose images are learnt from anyway."
            )
        if split in data["unlabelled"][:place]:
            raise XkdError(f"params.yaml: data.unlabelled names {split!r} twice.")


def check_student(student):
    """Errors: an unknown backbone, widths or a voxel that it cannot have."""
    from xkd.student import levels

    levels(student)
    if not student["widths"]:
        raise XkdError("params.yaml: student.widths is []; it has to name one level at least.")
    voxel = student["voxel"]
    if not isinstance(voxel, int | float) and not (isinstance(voxel, list) and len(voxel) == 3):
        raise XkdError(f"params.yaml: student.voxel is {voxel!r}; it has to be one number, or three.")


def check_cells(sweep, finetune):
    """Errors: a cell of the sweep that has no name, no start or no learning rate, or is there twice."""
    from xkd.finetune import rate

    for name in ("fractions", "inits", "seeds"):
        given = sweep[name]
        if not given or any(value in given[:place] for place, value in enumerate(given)):
            raise XkdError(f"params.yaml: sweep.{name} is {given}; it has to name one at least, and none twice.")
    for fraction in sweep["fractions"]:
        check_written(fraction)
    rates = finetune["lr"]
    if not isinstance(rates, dict):
        raise XkdError(f"params.yaml: finetune.lr is {rates!r}; it has to be a section with a rate for each init.")
    for init in rates:
        rate(finetune, init, 1)
    for init in sweep["inits"]:
        known("sweep.inits", init, INITS)
    for init in (*sweep["inits"], "xmodel"):
        if init not in rates:
            raise XkdError(f"params.yaml: finetune.lr.{init} is missing; there are {', '.join(sorted(rates))}.")


def check_written(fraction):
    """Errors: no number in (0, 1], or one that DVC, which takes it as it is read, and the cell's notebook would write in two ways."""
    if isinstance(fraction, bool) or not isinstance(fraction, int | float) or not 0 < fraction <= 1:
        raise XkdError(f"params.yaml: sweep.fractions has {fraction!r}; it has to be a number above 0 and 1 at most.")
    if fraction < LEAST:
        raise XkdError(f"params.yaml: sweep.fractions has {fraction!r}, and {LEAST:g} is the least that names a file.")
    if str(fraction) != f"{fraction:g}":
        raise XkdError(f"params.yaml: sweep.fractions has {fraction!r}; it names files, so write {fraction:g} instead.")


def check_teacher(teacher):
    """Errors: an unknown teacher, a key that it does not take, one that is missing, and what `mini` would refuse of its own."""
    from xkd import mini
    from xkd.extract import OWN
    from xkd.teachers import names

    if "name" not in teacher:
        raise XkdError(f"params.yaml: teacher.name is missing; there are {', '.join(names())}.")
    name = teacher["name"]
    known("teacher.name", name, names())
    opened = {} if name == "mini" else inspect.signature(import_module(f"xkd.teachers.{name}").opened).parameters
    takes = {"name", *OWN, *opened}
    for key in sorted(set(teacher) - takes, key=str):
        raise XkdError(
            f"params.yaml: teacher.{key} is an unknown parameter of {name}; there are {', '.join(sorted(takes))}."
        )
    needed = {"name", *OWN} - (set() if name == "mini" else {"mini"})
    for key in sorted(needed - set(teacher)):
        raise XkdError(f"params.yaml: teacher.{key} is missing; there are {', '.join(sorted(teacher))}.")
    if name == "mini":
        mini.settings(teacher["mini"])


def check_folders(data, teacher):
    """Errors: what is learnt from is not there and is not made by `xkd.sim`; maps that are not those of the images."""
    for name, folder in (("data.root", data["root"]), ("teacher.source", teacher["source"])):
        if not isinstance(folder, str):
            raise XkdError(f"params.yaml: {name} is {folder!r}; it has to be a folder.")
        # The weights of `resnet` are one file.
        is_there = (xkd.ROOT / folder).exists() if teacher["name"] == "resnet" else (xkd.ROOT / folder).is_dir()
        # `xkd.sim` makes images for a teacher to look at, no feature maps of others.
        awaited = made(folder) and (name, teacher["name"]) != ("teacher.source", "features")
        if not awaited and not is_there:
            raise XkdError(f"params.yaml: {name} is {folder}, and there is no such folder.")
    if teacher["name"] == "features" and (xkd.ROOT / data["root"]).is_dir():
        check_first_map(data, teacher)


def check_first_map(data, teacher):
    """Errors: a folder of feature maps in which the first training image has none, such as one that lies a level too high."""
    from xkd.prepare import open_split
    from xkd.teachers.features import Features

    teacher, frames = Features(teacher["source"]), open_split(data, data["train"])
    for camera in frames[0].cameras[:1] if len(frames) else ():
        teacher.find(camera.path)


def made(folder):
    """Whether it is one of those that `python -m xkd.sim data` makes."""
    return xkd.ROOT / folder in [xkd.ROOT / "data" / name for name in ("nuscenes", "semantickitti", "cityscapes")]
