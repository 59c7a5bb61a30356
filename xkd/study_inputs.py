"""What rows of the study learn from where it is not what the pipeline made: other teachers, shuffled pairs, fewer views."""

import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

import xkd
from xkd.arrays import map_bare, map_npy
from xkd.corpus import FACTS
from xkd.errors import XkdError
from xkd.extract import CODE as EXTRACT
from xkd.extract import choose, extract
from xkd.files import atomic, digest, read_json, write_json
from xkd.gather import gather, opened
from xkd.gathered import FIELDS, Gathered
from xkd.mini import CODE as MINI
from xkd.mini import train_mini
from xkd.mini_unsupervised import train_unsupervised
from xkd.parallel import device
from xkd.params import overlay
from xkd.prepare import prepare
from xkd.prepared import Prepared, TeacherFeatures
from xkd.study_variants import variant_of
from xkd.teachers import mini, random

SHORT, FEW = 0.1, 0.25
"""Of `short` the share of the teacher's steps, of `superpixels` the share of the superpixels."""
TEACHER = sorted({*MINI, *EXTRACT, "gather.py", "merging.py", "teachers/base.py"})
"""The modules that the embedded teacher and its features hang on, besides the images' reader and the teacher's own."""
CODE = (
    *("extract.py", "gather.py", "mini.py", "mini_unsupervised.py", "study_inputs.py"),
    *("merging.py", "pieces.py", "prepare.py", "segments.py", "superpixels.py"),
)


@dataclass(frozen=True)
class Inputs:
    """Folders as stages 1, 2 and 2b leave them; None where they are the pipeline's own: `name`, theirs in out/study, and `recipe`, which
    is the same on every machine (`learnt_from`)."""

    prepared: Path
    teacher: Path
    views: Path
    name: str | None = None
    recipe: str | None = None


def inputs(params, cell, out):
    """Where what a cell learns from lies, made or not: all of it that is not the pipeline's is in out/study, named after its recipe."""
    root, variant = xkd.ROOT / out, variant_of(cell)
    own = Inputs(root / "prepared", root / "teacher", root / "views")
    if not variant or not (variant.source or variant.views):
        return own
    kind = variant.source or f"views-{variant.views}"
    facts = [kind, params["data"], params["teacher"], params["views"], params["prepare"]]
    with_views, code = bool(variant.views), [xkd.ROOT / "xkd" / file for file in CODE]
    recipe = f"{kind}-{digest([facts, learnt_from(params, out, with_views)], *code)[:16]}"
    name = f"{recipe}-{digest(features(params, out, with_views))[:8]}"
    folder = root / "study" / name
    if variant.views:
        teacher = own.teacher if variant.views == "none" else folder / "teacher"
        return Inputs(own.prepared, teacher, folder / "views", name, recipe)
    prepared = folder / "prepared" if variant.source == "superpixels" else own.prepared
    views = folder / "views" if has_views(variant) else own.views
    return Inputs(prepared, folder / "teacher", views, name, recipe)


def features(params, out, views):
    """Digests of the pipeline's features at pairs, and with `views` in all views, of every split that is learnt from: to the last bit."""
    root, train = xkd.ROOT / out, params["data"]["train"]
    names = (train, *params["data"]["unlabelled"])
    found = [TeacherFeatures(root / "teacher", name, train).digest for name in names]
    return found + [Gathered(root / "views", name).digest for name in names] * views


def learnt_from(params, out, views):
    """What numbers hang on of these features, the same on every machine: of a teacher that the pipeline trains itself its recipe (settings,
    code, corpus, and the images' reader), for the same training ends in other weights on another processor; of any other, `features`.

    Errors: the corpus is not there."""
    train, data = params["data"]["train"], params["data"]
    if TeacherFeatures(xkd.ROOT / out / "teacher", train).teacher is not None:
        return features(params, out, views)
    code = [*TEACHER, f"datasets/{data['kind']}.py", f"teachers/{params['teacher']['name']}.py"]
    facts = [params["teacher"], data["options"]] + [params["views"]] * views
    facts += [held(xkd.ROOT / params["teacher"]["source"])] * (params["teacher"]["name"] == "mini")
    return digest(facts, FACTS, *(xkd.ROOT / "xkd" / file for file in code))


@cache
def held(corpus):
    """The digest of all that a folder holds; of the default corpus, 233 MB, it takes a quarter of a second. Errors: no such folder."""
    if not corpus.is_dir():
        raise XkdError(f"{corpus}: no such folder, so what the teacher learnt from cannot be told (teacher.source).")
    return digest(corpus)


def has_views(variant):
    """Whether the views of another teacher are needed: in rows whose fused network sees images through it."""
    return variant.source in ("short", "superpixels")


def make(params, cell, out):
    """Makes what `inputs` names, if it is not there."""
    found, variant = inputs(params, cell, out), variant_of(cell)
    if found.name is None or (xkd.ROOT / out / "study" / found.name).exists():
        return
    own = Inputs(*(xkd.ROOT / out / name for name in ("prepared", "teacher", "views")))
    with atomic(xkd.ROOT / out / "study" / found.name, folder=True) as folder:
        names = (params["data"]["train"], *params["data"]["unlabelled"])
        if variant.views:
            for name in names:
                fewer(own.views / name, variant.views, folder / "views" / name)
        if variant.views in ("own", "camera"):
            settings = params["teacher"] | {"reach": 0}
            of_all = folder / ("teacher" if variant.views == "own" else "all")
            extract(opened(settings, own.teacher), params["data"], own.prepared, settings, of_all)
        if variant.views == "camera":
            for name in names:
                of_camera(of_all / name, Prepared(own.prepared, name), settings, folder / "teacher" / name)
            shutil.rmtree(of_all)
        if variant.source == "shuffled":
            for name in names:
                shuffled(own.teacher / name, folder / "teacher" / name, params["teacher"]["seed"])
        elif variant.source:
            another(params, variant, own, folder)


def another(params, variant, own, folder):
    """The features of another teacher, or of the same on fewer superpixels, in `folder`, with their views where these are needed."""
    data, settings, source, prepared = (
        params["data"],
        params["teacher"],
        xkd.ROOT / params["teacher"]["source"],
        own.prepared,
    )
    if variant.source == "random":
        teacher = random.opened(settings["seed"]).to(device())
    elif variant.source == "superpixels":
        prepared = folder / "prepared"
        few = max(1, round(FEW * params["prepare"]["superpixels"]))
        prepare(data, overlay(params["prepare"], {"superpixels": few}), prepared)
        teacher = opened(settings, own.teacher)
    else:
        path = folder / "mini"
        if variant.source == "short":
            given = settings["mini"] | {"steps": max(3, round(SHORT * settings["mini"]["steps"]))}
            train_mini(source, given, settings["seed"], path)
        else:
            train_unsupervised(source, settings["mini"], settings["seed"], path)
        teacher = mini.opened(path).to(device())
    extract(teacher, data, prepared, settings, folder / "teacher")
    if has_views(variant):
        gather(teacher, data, own.prepared, folder / "teacher", params["views"], folder / "views")


def shuffled(features, out, seed):
    """A split of out/teacher in which every frame has the features of another one in any order, both drawn with `seed`: pairs that say
    nothing. (In their order they would say where in the image a point is, which is much the same in every frame.)"""
    about, arrays = _kept(features)
    with atomic(out, folder=True) as folder:
        for offsets, values in (("offsets", "features"), ("superpixel_offsets", "superpixel_features")):
            starts, ends = arrays[offsets][:-1], arrays[offsets][1:]
            other = derangement(len(starts), seed)
            mixed = [
                arrays[values][np.resize(_order(starts[j], ends[j], seed), ends[i] - starts[i])]
                for i, j in enumerate(other)
            ]
            arrays[values] = np.concatenate(mixed)
        _keep(folder, about, arrays)


def _order(start, end, seed):
    return start + np.random.default_rng([seed, int(start)]).permutation(end - start)


def of_camera(features, prepared, settings, out):
    """A split of out/teacher with the pairs alone of the first camera of each sweep. settings: the section teacher."""
    about, arrays = _kept(features)
    chosen = [prepared.pairs(i).camera[choose(prepared, i, settings)] == 0 for i in range(len(prepared))]
    kept = np.concatenate(chosen)
    with atomic(out, folder=True) as folder:
        arrays |= {name: arrays[name][kept] for name in ("point", "superpixel", "features")}
        arrays["offsets"] = np.concatenate([[0], np.cumsum([own.sum() for own in chosen])])
        _keep(folder, about, arrays)


def _kept(features):
    """(JSON, arrays by name) of a split of out/teacher."""
    about = {name: value for name, value in read_json(features / "features.json").items() if name != "digest"}
    return about, {file.stem: map_npy(file) for file in features.glob("*.npy")}


def _keep(folder, about, arrays):
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    write_json(folder / "features.json", about | {"digest": digest(*sorted(folder.iterdir()), about)})


def derangement(count, seed):
    """A permutation of `count` that leaves nothing in its place, where there are two at least: a shuffled circle."""
    circle = np.random.default_rng(seed).permutation(count)
    other = np.empty(count, int)
    other[circle] = np.roll(circle, 1)
    return other


def fewer(views, kind, out):
    """A copy of a split of out/views with those views alone that are `own` (in the sweep's own images), of one `camera` (of these, in the
    first's), or `none`."""
    about, offsets = read_json(views / "views.json"), map_npy(views / "offsets.npy")
    total = int(offsets[-1])
    parts = {name: map_bare(views / f"{name}.bin", dtype, (total,)) for name, dtype in FIELDS.items()}
    parts["values"] = map_bare(views / "values.bin", np.float16, (total, about["channels"]))
    own = parts["step"] == 0
    kept = {"own": own, "camera": own & (parts["camera"] == 0), "none": np.zeros_like(own)}[kind]
    frame = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    with atomic(out, folder=True) as folder:
        for name, array in parts.items():
            (folder / f"{name}.bin").write_bytes(array[kept].tobytes())
        np.save(
            folder / "offsets.npy",
            np.concatenate([[0], np.cumsum(np.bincount(frame[kept], minlength=len(offsets) - 1))]),
        )
        about = {key: about[key] for key in ("channels", "reach", "prepared")} | {"views": kind}
        write_json(folder / "views.json", about | {"digest": digest(*sorted(folder.iterdir()), about)})
