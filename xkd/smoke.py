"""What a notebook finds when it is opened by hand: a tiny made data set and the stages before its own, in out/smoke."""

import xkd
from xkd.params import profile

STAGES = ("data", "prepared", "teacher", "init")


def until(stage, out):
    """Makes what is missing of the stages up to `stage` under `out`, if `out` is the smoke folder; a pipeline run is left alone."""
    out = xkd.ROOT / out
    if out != xkd.ROOT / "out" / "smoke":
        return
    for name in STAGES[: STAGES.index(stage) + 1]:
        MAKERS[name](out, profile("smoke"))


def _data(out, params):
    if not (out / "data").exists():
        from xkd.sim.write import build

        build(out / "data", rig="nuscenes", profile="smoke")


def _prepared(out, params):
    if not (out / "prepared" / params["data"]["validation"]).exists():
        from xkd.prepare import prepare

        prepare(params["data"], params["prepare"], out / "prepared")


def _teacher(out, params):
    if not (out / "teacher" / params["data"]["unlabelled"][-1]).exists():
        from xkd.extract import extract, stage_teacher

        teacher = stage_teacher(params["teacher"], out / "teacher" / "mini")[0]
        extract(teacher, params["data"], out / "prepared", params["teacher"], out / "teacher")


def _init(out, params):
    from xkd.finetune import scratch
    from xkd.prepared import Prepared

    if not (out / "init" / "scratch-0").exists():
        scratch(
            params["student"],
            Prepared(out / "prepared", params["data"]["train"]).classes,
            0,
            out / "init" / "scratch-0",
        )


MAKERS = {"data": _data, "prepared": _prepared, "teacher": _teacher, "init": _init}


def ready(out, data, settings, validation=False):
    """The folder of the views under `out`. Where `out` is the smoke folder and has none yet they are gathered, with the section `views`
    and the mini teacher; `validation`: those of the validation split, beside it, too."""
    folder = xkd.ROOT / out
    for name, split in [("views", data["train"])] + [("views-validation", data["validation"])] * validation:
        if out == "out/smoke" and not (folder / name / split).exists():
            from xkd.gather import gather, opened

            teacher = opened({"name": "mini"}, folder / "teacher")
            arguments = (data, folder / "prepared", folder / "teacher", settings, folder / name)
            gather(teacher, *arguments, name != "views")
    return folder / "views"
