"""What `xkd.smoke` does for the folders of views."""

import xkd


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
