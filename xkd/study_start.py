"""What a cell of the study starts from: how it is trained, its labelled frames, and its init, made where it is not there."""

from dataclasses import replace

import xkd
from xkd import distill, finetune, fused, lidar_ssl, native, unlabelled, xmodel
from xkd import student as students
from xkd.files import digest, write_json
from xkd.prepared import Prepared
from xkd.retrieval import retrieval
from xkd.study import PRETRAINED, RATED, START
from xkd.study_inputs import features, inputs, learnt_from
from xkd.study_variants import variant_of

INIT_CODE = {"scratch": ("student.py",), "lidar-ssl": (*distill.CODE, "lidar_ssl.py")}
INIT_CODE["xmodel"] = (*distill.CODE, "fusion.py", "gathered.py", "lidar_ssl.py", "xmodel.py")
"""The modules that an init is made by, besides its backbone's; those of an objective are `distill.CODE`."""
TAUGHT = [name for name in PRETRAINED if name != "lidar-ssl"]
"""The inits that learnt from image features."""


def kind_of(cell):
    """How a cell is trained: one of `xkd.study_cell.CODE`."""
    if cell.block == "images":
        return "probe" if cell.row == "teacher-probe" else "fused"
    if cell.block in ("linear", "nearest"):
        return "frozen"
    variant, row = variant_of(cell), cell.row.removesuffix("-long")
    if row == "self-training" or variant and variant.own:
        return "self"
    if cell.like == "unlabelled":
        return "taught" if row == "xmodel" else "self"
    return "taught" if cell.block == "ablation" or (cell.block, row) == ("further", "xmodel") else "labels"


def start_of(cell):
    """The name of the init that a cell starts from."""
    variant = variant_of(cell)
    if cell.block == "further":
        return "trained"
    return variant.start if variant else START.get(cell.row, cell.row)


def place_of(params, out, cell=None):
    """Where scans, labels and views lie: the pipeline's, or the views that a cell's row has in their place."""
    root = xkd.ROOT / out
    return unlabelled.Place(
        root / "prepared", inputs(params, cell, out).views if cell else root / "views", params["data"]
    )


def frames_of(params, cell, out):
    """The labelled frames of a cell, indices of the training split."""
    train = place_of(params, out).split(params["data"]["train"])
    own = finetune.labelled(train, params["data"]["tuning"])
    return finetune.chosen(train, own, cell.fraction, cell.seed, params["finetune"]["subset"])


def settings_of(params, cell=None):
    """The section finetune of the study's trainings, with the share study.steps of its steps; of a `full` cell, that of study.full."""
    study = params["study"]["full"] if cell and cell.full else params["study"]
    steps = {name: value * study["steps"] for name, value in params["finetune"]["steps"].items()}
    return params["finetune"] | {"steps": steps}


def recipe(settings, *others):
    """What the numbers of a training hang on, of its section finetune: all but the rate, which a row has of its own, how often it is
    saved, how much is shown, and the keys `others`."""
    return {key: value for key, value in settings.items() if key not in ("lr", "save_every", "shown", *others)}


def rate_of(params, cell):
    """Its learning rate, None for a probe. In a block of study.full all have the same."""
    kind = kind_of(cell)
    if cell.full:
        full = params["finetune"] | {"lr": {"full": params["study"]["full"]["lr"]}}
        return finetune.rate(full, "full", cell.fraction)
    if kind in ("probe", "frozen"):
        return None
    return rate(params, rated(cell), cell.fraction)


def rated(cell):
    """The name in study.lr of a cell's rate: where none was searched for its row, that of its init; in an ablation that of `xmodel`, for
    one thing alone is to change."""
    if cell.block == "ablation":
        return "xmodel"
    if kind_of(cell) == "self" and start_of(cell) in ("scratch", "trained"):
        return "self-training"
    if cell.block == "further":
        return "scratch"
    return {row: name for name, row in RATED.items()}.get((cell.block, cell.row), start_of(cell))


def rate(params, init, fraction):
    """`finetune.rate` of the section study."""
    return finetune.rate(params["finetune"] | {"lr": {init: rates(params, init, fraction)}}, init, fraction)


def rates(params, init, fraction):
    """What study.lr says for a share of the labels: of three rates the first up to the share study.least, the other two above it."""
    given = params["study"]["lr"][init]
    if not isinstance(given, list) or len(given) != 3:
        return given
    return given[0] if fraction <= params["study"]["least"] else given[1:]


def scratch_of(cell):
    """The cell whose training from scratch a cell of the block `further` goes on from."""
    return replace(cell, block="pretraining", row="scratch")


def init_of(cell):
    """The cell whose init a cell starts from: itself, but for a row that takes the images from the network with images alone, and whose
    pretraining is that of `xmodel`."""
    variant = variant_of(cell)
    return replace(cell, block="unlabelled", row="xmodel") if variant and variant.views == "none" else cell


def init_path(params, cell, out):
    """The folder of the init that a cell starts from: `init_name`, and the very features it learns from, which another machine that trains
    the same teacher has others of."""
    cell = init_of(cell)
    name, facts = init_name(params, cell, out), []
    if start_of(cell) in TAUGHT:
        facts = [features(params, out, start_of(cell) == "xmodel"), inputs(params, cell, out).name]
    return xkd.ROOT / out / "study" / (f"{name}-{digest(facts)[:8]}" if facts else name)


def init_name(params, cell, out, half=None):
    """The name of the init that a cell starts from: after all that it is made from, the same on every machine whose convolutions have the
    same precision. half: whether that is bfloat16; None: as on this one."""
    cell = init_of(cell)
    name, data, settings, place = start_of(cell), params["data"], params["distill"], place_of(params, out)
    half = native.has_half() if half is None else half
    if name == "trained":
        facts = [frames_of(params, cell, out), recipe(settings_of(params)), rate_of(params, scratch_of(cell))]
        facts.append(place.split(data["train"]).digest)
        facts.append(init_name(params, scratch_of(cell), out, half))
        key = digest(facts, *students.code(params["student"], finetune.CODE))[:16]
        return f"trained-{cell.fraction:g}-{cell.seed}-{key}"
    facts = [name, params["student"], cell.init_seed, Prepared(place.prepared, data["train"]).classes, half]
    if name != "scratch":
        pool = distill.Pool(data, settings, place.prepared, xkd.ROOT / out / "teacher")
        objective = {} if name in ("lidar-ssl", "xmodel") else {"objective": name}
        facts += [
            {k: v for k, v in settings.items() if k not in ("objective", "save_every")} | objective,
            [prepared.digest for prepared, _ in pool.splits],
            pool.index,
            inputs(params, cell, out).recipe,
        ]
        # Of the teacher lidar-ssl has nothing but the width of the head that is thrown away.
        facts.append(learnt_from(params, out, name == "xmodel") if name in TAUGHT else pool.dim)
    if name == "xmodel":
        facts += [params["views"], params["study"]["xmodel"], *(params["fused"][key] for key in ("width", "heads"))]
    key = digest(facts, *students.code(params["student"], INIT_CODE.get(name, distill.CODE)))[:16]
    return f"{name}-{cell.init_seed}-{key}"


def initial(params, cell, out):
    """Makes a cell's init if it is not there, and returns its folder."""
    if kind_of(cell) == "probe":
        return None
    cell = init_of(cell)
    path, name, seed = init_path(params, cell, out), start_of(cell), cell.init_seed
    if path.exists():
        return path
    data, student, settings, place = params["data"], params["student"], params["distill"], place_of(params, out, cell)
    settings = settings if name in ("scratch", "lidar-ssl", "xmodel") else settings | {"objective": name}
    found = inputs(params, cell, out)
    arguments = (data, student, settings, seed, found.prepared, found.teacher)
    label = f"study-{name}-{seed}"
    if name == "trained":
        start, frames = initial(params, scratch_of(cell), out), frames_of(params, cell, out)
        lr = rate_of(params, scratch_of(cell))
        given = (frames, start, student, settings_of(params), lr, seed, f"{label}-{cell.fraction:g}")
        network, _, resume = finetune.train(place.split(data["train"]), *given)
        students.save(network, path, init="trained", objective="none", fraction=cell.fraction, seed=seed)
        resume.unlink(missing_ok=True)
    elif name == "scratch":
        finetune.scratch(student, place.split(data["train"]).classes, seed, path)
    elif name == "lidar-ssl":
        network, losses, resume = lidar_ssl.pretrain(*arguments, label)
        write_json(aligned(path), {"loss": distill.ends(losses)})
        students.save(network, path, init=name, objective=name, seed=seed)
        resume.unlink(missing_ok=True)
    elif name == "xmodel":
        network, heads, losses, resume = xmodel.pretrain(*arguments, params, place.views, label)
        fused.save_fusion(heads.fusion, path)
        pool = distill.Pool(data, settings, found.prepared, found.teacher)
        about = {"loss": distill.ends(losses)} | pool.facts
        write_json(aligned(path), about | retrieval(network, heads.pixel, pool, student))
        students.save(network, path, init=name, objective=name, seed=seed, **pool.facts)
        resume.unlink(missing_ok=True)
    else:
        distill.distill(*arguments, path, aligned(path), label)
    return path


def aligned(path):
    """The file beside an init that was pretrained: what became of its loss and, where it was taught by images, how well it is aligned."""
    return path.with_name(f"{path.name}.json")
