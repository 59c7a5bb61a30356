"""From the sweep's outputs to the files that people read: report.json, report.html, table.md and the README's figures.

Every number on the page, in the table and in the README comes from report.json, rounded once (`xkd.summary`).
"""

import shutil
from pathlib import Path

import xkd
from xkd.cells import collect, examples
from xkd.errors import XkdError
from xkd.files import atomic, read_json, write_json
from xkd.made_cells import made_cells
from xkd.summary import rounded, summarise

__all__ = ["build", "choose", "collect", "examples", "inputs", "made_cells", "publish", "settings", "summarise"]

DEFAULTS = {"draws": 1000, "seed": 0, "frames": 2}


def build(source, out, sections=None, tuning=None):
    """Reads the folder `source`, writes report.json, report.html, table.md and the PNG figures to `out`; -> the
    summary.

    `sections`: {name: dict} of params.yaml: what is stated of data and teacher, and `report` (`draws` of the
    validation streets, their `seed`, `frames` shown). `tuning`: path of the tuning record, default docs/tuning.json.
    """
    from xkd import figures, page, words

    sections, out = sections or {}, Path(out)
    options = settings(sections.get("report", {}))
    cells = collect(source, sections.get("data", {}).get("validation", "val"), sections.get("sweep"))
    summary = summarise(cells, options["draws"], options["seed"])
    summary["setting"] = setting(sections, Path(tuning or xkd.ROOT / "docs" / "tuning.json"))
    summary["stages"] = stages(cells.folder)
    summary["shown"] = options["frames"]
    shown = choose(cells, options["frames"])
    summary["examples"] = [
        {
            "frame": e.frame,
            "fraction": e.fraction,
            "seed": e.seed,
            "right": {i: rounded(e.right(i)) for i in e.predictions},
        }
        for e in shown
    ]
    write_json(out / "report.json", summary)
    figures.save(cells, summary, shown, out)
    for name, text in (("table.md", words.markdown(summary)), ("report.html", page.html(cells, summary, shown))):
        with atomic(out / name) as temporary:
            temporary.write_text(text)
    return summary


PUBLISHED = ("report.json", "table.md", "curve.png", "gains.png", "confusion.png", "coverage.png", "frames.png")


def publish(report, results):
    """Copies what git keeps of the folder `report` (numbers and pictures, not the large page) to the folder `results`, whole."""
    with atomic(results, folder=True) as folder:
        for name in PUBLISHED:
            if (Path(report) / name).is_file():
                shutil.copyfile(Path(report) / name, folder / name)


def inputs(out):
    """The folder to report on: `out` itself; in the smoke folder, where a sweep is never run, invented cells beside
    it."""
    out = Path(out)
    return made_cells(out / "made") if out == xkd.ROOT / "out" / "smoke" else out


def settings(given):
    """The section `report` over its defaults; an unknown key is an error."""
    unknown = sorted(set(given) - set(DEFAULTS))
    if unknown:
        raise XkdError(f"params.yaml: report.{unknown[0]} is no parameter; known: {', '.join(DEFAULTS)}.")
    return {**DEFAULTS, **given}


def choose(cells, count):
    """The examples shown: smallest fraction, first seed that every init has, first stored frames. None is
    hand-picked."""
    fraction = cells.fractions[0]
    seeds = cells.seeds(fraction, *cells.inits)
    return examples(cells, fraction, seeds[0], cells.inits, count) if seeds and count else []


def setting(sections, tuning):
    """What the numbers rest on: the parameters as given and the tuning record, None if there is none of these data and this training."""
    record = read_json(tuning) if tuning.is_file() else None
    if record and record.get("sections") != tuned(sections):
        record = None
    return {"parameters": sections, "tuning": record}


def tuned(sections):
    """Of all sections what a search for learning rates is made with; the rates are what it finds, and its steps stand beside it."""
    names = ("data", "teacher", "student", "distill", "finetune", "views", "fused", "mixing")
    found = {name: sections[name] for name in names if name in sections}
    if "finetune" in found:
        found["finetune"] = {key: value for key, value in found["finetune"].items() if key not in ("lr", "steps")}
    return found


def stages(folder):
    """{name: numbers} of the other stages: metrics/*.json that are no cells."""
    files = sorted((Path(folder) / "metrics").glob("*.json"))
    return {file.stem: rounded(read_json(file)) for file in files if not file.name.startswith("finetune-")}
