"""A small DVC pipeline of shell commands, what `dvc repro` makes of it, and all that a run leaves."""

import subprocess
import sys
from contextlib import chdir

import yaml

PIPELINE = {
    "stages": {
        "prepare": {"cmd": "mkdir out/a && cp data out/a/data", "deps": ["data"], "outs": ["out/a"]},
        "cell": {
            "matrix": {"seed": [2, 0, 1]},
            "cmd": "sh cell.sh ${item.seed}",
            "params": ["cell"],
            "deps": ["out/a", "cell.sh"],
            "outs": ["out/cell-${item.seed}"],
            "metrics": [{"out/metrics/${item.seed}.json": {"cache": False}}],
        },
        "late": {
            "cmd": ["cat out/cell-1 > out/l", "cat out/l > out/late"],
            "deps": ["out/cell-1"],
            "outs": ["out/late"],
        },
        "report": {
            "cmd": "mkdir results && cat out/metrics/*.json > results/all",
            "deps": ["out/metrics", "out/late"],
            "outs": [{"results": {"cache": False}}],
        },
    }
}
CELL = """echo "$1" >> "ran"; test ! -e "fails-$1" || { echo "cell $1 cannot"; exit 3; }
cat out/a/data > out/cell-$1; mkdir -p out/metrics; echo "{\\"seed\\": $1}" > out/metrics/$1.json
"""


def pipeline(folder):
    """A checkout of DVC's that is no git repository, with the pipeline above."""
    (folder / ".dvc").mkdir(parents=True)
    (folder / ".dvc" / "config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    (folder / "out").mkdir()
    (folder / "data").write_text("one\n")
    (folder / "cell.sh").write_text(CELL)
    (folder / "params.yaml").write_text("cell: 1\n")
    (folder / "dvc.yaml").write_text(yaml.safe_dump(PIPELINE, sort_keys=False))
    subprocess.run([sys.executable, "-m", "dvc", "add", "-q", "data"], cwd=folder, check=True)
    return folder


def repro(folder):
    """What `dvc repro` does there; the stages that it ran or took out of the run-cache."""
    from dvc.repo import Repo

    with chdir(folder), Repo() as repo:
        return [stage.addressing for stage in repo.reproduce()]


def files(folder):
    """All that a run leaves, and the cache: path -> bytes. Left out: what DVC keeps for itself, and logs."""
    found = [path for path in folder.rglob("*") if path.is_file() and path.name != "ran"]
    names = {path: path.relative_to(folder) for path in found}
    return {
        str(name): path.read_bytes()
        for path, name in names.items()
        if name.parts[:2] not in ((".dvc", "tmp"), ("out", "log"))
    }
