"""`python -m xkd.hub [CELL ...]`: students of the sweep as folders ready for a model hub: weights, JSON, model card, figures."""

import argparse
import json
import shutil
import sys
from pathlib import Path

import xkd
from xkd import estimate, kept, student, words
from xkd.errors import XkdError
from xkd.files import atomic, write_json
from xkd.palette import BASELINE, share

FIGURES = ("curve.png", "gains.png")


def write(cell, out, base=None, results=None):
    """Writes the folder `out` for one cell (fraction-row-seed) of the sweep in `base` (out), with the report in `results` (docs/results).

    weights.safetensors, network.json (`xkd.load` opens the folder), metrics.json, README.md (the model card), figures. Errors: no such
    cell; a report in which it does not stand, or stands with other numbers.
    """
    base, results = Path(base or xkd.ROOT / "out"), Path(results or xkd.ROOT / "docs" / "results")
    checkpoint, summary = base / "finetune" / cell, reported(results / "report.json")
    metrics = kept.facts(base / "metrics" / f"finetune-{cell}.json", miou=float, iou=dict)
    own = [row for row in summary["cells"] if all(row[name] == metrics[name] for name in ("fraction", "init", "seed"))]
    known = any(all(row[name] == metrics[name] for name in ("fraction", "init")) for row in summary["scores"])
    if not own or not known or own[0]["miou"] != round(metrics["miou"], 2):
        raise XkdError(
            f"{results / 'report.json'}: says nothing of the cell {cell} as it is now; run the report again."
        )
    network = student.load(checkpoint)
    for key in ("init", "fraction", "seed"):
        if network.facts.get(key, metrics[key]) != metrics[key]:
            raise XkdError(f"{checkpoint}: its weights are of {key} {network.facts[key]}, and the cell {cell} is not.")
    with atomic(Path(out), folder=True) as folder:
        for name in ("weights.safetensors", "network.json"):
            shutil.copyfile(checkpoint / name, folder / name)
        for name in FIGURES:
            if (results / name).is_file():
                shutil.copyfile(results / name, folder / name)
        write_json(folder / "metrics.json", metrics)
        (folder / "README.md").write_text(card(cell, network, metrics, summary))


def reported(path):
    """The summary in the JSON file of a report (`xkd.kept.Facts`)."""
    return kept.facts(path, cells=[dict], scores=[dict], differences=dict, setting=dict)


def card(cell, network, metrics, summary):
    """The model card: what a hub reads (between the lines of dashes), use, data, teacher, protocol, numbers, limits."""
    given = summary["setting"]["parameters"]
    row = next(r for r in summary["scores"] if r["fraction"] == metrics["fraction"] and r["init"] == metrics["init"])
    gains = [d for d in summary["differences"].get(metrics["init"], []) if d["fraction"] == metrics["fraction"]]
    gain = "".join(
        f"; {d['mean']:+.2f} points to training from scratch, "
        + ("no interval" if d["low"] is None else f"95 % interval {words.interval(d)}")
        for d in gains
    )
    kind, own, taught = given["data"]["kind"], made(given["data"]["root"]), metrics["init"] != BASELINE
    name = f"made streets in the layout of {kind}" if own else kind  # where the data lie is nobody's business
    said = f"Data: {name} (python -m xkd.sim), not recorded on any road." if own else f"Data: {kind}."
    sentences = [said if sentence.startswith("Data:") else sentence for sentence in words.method(summary)]
    sentences = [sentence for sentence in sentences if taught or not sentence.startswith(("Teacher", "xmodel"))]
    tags = ["lidar", "point-cloud", "semantic-segmentation", *["knowledge-distillation"] * taught]
    scored = {
        "task": {"type": "semantic-segmentation"},
        "dataset": {"type": "xkd-sim" if own else kind, "name": name},
        "metrics": [{"type": "mean_iou", "value": round(metrics["miou"], 2)}],
    }
    size = sum(p.numel() for p in network.parameters())
    classes = [
        [name.replace("_", " "), words.points(value)]
        for name, value in ((name, metrics["iou"][name]) for name in network.config["classes"])
    ]
    parts = [
        "---",
        *(["license: apache-2.0"] if own else ["license: other", "license_name: that-of-the-data"]),
        "library_name: xkd",
        "pipeline_tag: other",
        f"tags: {json.dumps(tags)}",
        f"model-index: {json.dumps([{'name': cell, 'results': [scored]}])}",  # JSON is YAML
        "---",
        f"# {cell}\n",
        f"A LiDAR segmentation network ({size:,} weights), `{metrics['init']}` on {share(metrics['fraction'])} of the labels "
        f"({metrics['frames']} frames), seed {metrics['seed']}: {metrics['miou']:.2f} mIoU on the validation streets. "
        f"{'All ' * (row['n'] > 1)}{words.seeds(row['n'])}: {row['mean']:.2f} mIoU, standard deviation {words.points(row['sd'])}{gain}. "
        "It sees LiDAR alone.\n",
        "```python\nimport xkd\n\nnetwork = xkd.load('this folder')\n"
        "classes = network.segment(points, intensity)  # (N, 3) metres, x forward, y left, z up; (N,) 0..1\n```\n",
        f"Classes: {', '.join(network.config['classes'])}.\n",
        "## Data, teacher, protocol\n",
        *[f"- {sentence}" for sentence in sentences],
        "\n## IoU by class of this network\n",
        words.markdown_table(["class", "IoU (%)"], classes),
        "\n## Limits\n",
        "It knows the streets, the sensor and the classes it was trained on. Where these are made, as the default data are, it says "
        "nothing about a road.\n",
        *["What these weights may be used for, the licence of the data that they were trained on decides.\n"]
        * (not own),
        "![mIoU against the share of labels](curve.png)\n",
    ]
    return "\n".join(parts)


def made(root):
    """Whether the data are those of `xkd.sim`, also where they are not there any more."""
    folder = xkd.ROOT / root
    return estimate.made(root) and (not folder.exists() or (folder.parent / "xkd-sim.json").is_file())


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m xkd.hub", description="Students of the sweep as folders for a model hub."
    )
    parser.add_argument(
        "cells", nargs="*", help="such as 0.05-xmodel-0; default: all rows and shares of the labels, of the first seed"
    )
    parser.add_argument(
        "--out", type=Path, default=xkd.ROOT / "out" / "hub", help="folder that theirs are put in (out/hub)"
    )
    options = parser.parse_args(arguments)
    try:
        cells = options.cells
        if not cells:
            summary = reported(xkd.ROOT / "docs" / "results" / "report.json")
            first = min(row["seed"] for row in summary["cells"])
            cells = [
                f"{row['fraction']:g}-{row['init']}-{row['seed']}" for row in summary["cells"] if row["seed"] == first
            ]
        for cell in cells:
            write(cell, options.out / cell)
            print(options.out / cell)
    except XkdError as error:
        print(f"xkd: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
