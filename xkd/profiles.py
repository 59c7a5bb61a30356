"""`python -m xkd.profiles NAME DEST [--set key=value ...]`: a copy of this checkout that runs a profile of params.yaml.

The same stages on other data or at another size, in a folder of their own with a DVC cache of their own: `dvc repro`
there leaves this checkout's results alone, and a second run skips what the first one did.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

import xkd
from xkd import params
from xkd.beforehand import numbers
from xkd.errors import XkdError, of_disk
from xkd.files import atomic, read_text, yaml_value
from xkd.needs import with_reader
from xkd.stage import checked

MARKER = ".xkd-profile"
OWN = (
    ".dvc",
    "data",
    "out",
    "docs/results",
    "dvc.lock",
    *(f"study/{name}" for name in ("metrics", "dvc.lock", "tuning", "tuning.json")),
)
"""What belongs to a copy's own runs, outputs of stages among it: never copied into it, never removed from it."""
RECORD = "docs/tuning.json"
"""Copied once: `python -m xkd.tune` in a copy writes the copy's own there."""
LEFT_OUT = ("data.dvc",)
"""data.dvc is the fingerprint of the default data set, which a copy does not have."""
PIPELINES = ("dvc.yaml", "study/dvc.yaml")
"""In a copy their stages hang on what its reader imports, too (`xkd.needs`)."""
CODE = ("xkd", "notebooks", "study")
"""Where a file that git does not track yet is copied too: a new module, a new notebook. Elsewhere it may be anybody's, data for one."""
FOLDERS = (*CODE, ".ci", ".github", "benchmarks", "docs", "tests")
"""Those of a checkout, where there is no git to tell."""
UNTRACKED = {"__pycache__", ".ipynb_checkpoints", ".pytest_cache", ".ruff_cache", ".hypothesis"}


def main(arguments=None):
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m xkd.profiles", description="Makes a copy that runs a profile.")
    parser.add_argument("name", help="a section of `profiles` in params.yaml")
    parser.add_argument("dest", type=Path, nargs="?", help="the copy's folder (default: out/NAME)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="given",
        help="a further change, such as data.root=/path; the value is YAML, or plain text in the place of a word",
    )
    options = parser.parse_args(arguments)
    try:
        dest = options.dest or xkd.ROOT / "out" / options.name
        copy(dest, overlaid(options.name, options.given))
        print(f"{dest}: runs profile {options.name}")
    except XkdError as error:
        print(f"xkd.profiles: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        error.filename = error.filename2 or error.filename  # of a file that is copied, where it goes
        print(f"xkd.profiles: {of_disk(error)}", file=sys.stderr)
        return 1
    return 0


def overlaid(name, given=()):
    """All of params.yaml with `profiles.<name>` and then every `a.b=value` of `given` laid over it.

    `profiles` stays in it, for notebooks opened by hand. XkdError for an unknown profile or key, by name, and for a value that is none.
    """
    sections = params.profile(name)
    for change in given:
        key, equals, text = change.partition("=")
        if not equals:
            raise XkdError(f"--set {change}: should be key=value.")
        # A folder's name is taken as it stands, whatever it would be in YAML.
        as_it_is = isinstance(present(sections, key), str)
        value = text if as_it_is else checked(yaml_value(text, f"--set {change}"), f"--set {key}")
        for part in reversed(key.split(".")):
            value = {part: value}
        sections = params.overlay(sections, value, "--set")
    return numbers(sections) | {"profiles": params.read()["profiles"]}


def present(sections, key):
    """The value at `a.b`, None where there is none."""
    for part in key.split("."):
        sections = sections.get(part) if isinstance(sections, dict) else None
    return sections


def copy(dest, sections, root=None):
    """Makes or renews the copy of the checkout `root` at `dest`, with `sections` as its params.yaml.

    An earlier copy keeps its data, outputs, lock file and DVC cache, and folders that no checkout has. `dest` and the data set
    (data.root) are not copied where they lie in the checkout. XkdError if `dest` holds anything else.
    """
    dest, root = Path(dest).resolve(), Path(root or xkd.ROOT).resolve()
    if root.is_relative_to(dest):
        raise XkdError(f"{dest}: holds the checkout itself.")
    if dest.exists() and not (dest.is_dir() and ((dest / MARKER).exists() or not any(dest.iterdir()))):
        raise XkdError(f"{dest}: is something else already (no {MARKER} in it); choose another folder.")
    try:
        dest.mkdir(parents=True, exist_ok=True)
        (dest / MARKER).touch()
    except OSError as error:
        raise XkdError(f"{dest}: cannot be made ({error.strerror}).") from None
    data = present(sections, "data.root") or "data"
    for old in list(walked(dest)):
        if not below(old, (MARKER, RECORD, *inside(dest, data))):
            (dest / old).unlink()
    apart = (*OWN, *LEFT_OUT, *inside(root, dest, data))
    for name in files(root):
        if not below(name, apart) and not (name == RECORD and (dest / name).exists()):
            (dest / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, dest / name)
    for name in PIPELINES:
        if kind := present(sections, "data.kind"):
            with atomic(dest / name) as temporary:
                temporary.write_text(with_reader(read_text(root / name), kind, root))
    with atomic(dest / "params.yaml") as temporary:
        temporary.write_text(yaml.safe_dump(sections, sort_keys=False))
    with atomic(dest / ".dvc" / "config") as temporary:
        # Not a git repository of its own: DVC must not look for one.
        temporary.write_text("[core]\n    no_scm = true\n    analytics = false\n")


def below(name, paths):
    """Whether the relative path `name` is one of `paths` or lies in one."""
    return any(Path(name).is_relative_to(path) for path in paths)


def inside(root, *folders):
    """Those of the folders, absolute or from `root`, that lie in it, relative to it."""
    places = [(root / folder).resolve() for folder in folders]
    return [place.relative_to(root) for place in places if root in place.parents]


def files(root):
    """Files of the checkout, relative: those that git tracks, and in CODE those that it does not ignore. Without git: those in FOLDERS
    and beside them, but for caches and outputs."""
    tracked = listed(root, "--cached") if (root / ".git").exists() else []
    if not tracked:
        return sorted(walked(root))
    new = listed(root, "--others", "--exclude-standard", "--", *CODE)
    return sorted(name for name in {*tracked, *new} if (root / name).is_file())


def listed(root, *options):
    """What `git ls-files` says with these options, [] where it fails."""
    try:
        done = subprocess.run(["git", "-C", str(root), "ls-files", "-z", *options], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return [name for name in done.stdout.decode().split("\0") if name]


def walked(root):
    """The same from the folder alone."""
    for folder, inner, names in os.walk(root):
        relative = Path(folder).relative_to(root)
        top = FOLDERS if relative == Path() else inner
        inner[:] = [n for n in inner if n in top and n not in UNTRACKED and not below(relative / n, OWN)]
        yield from (str(relative / name) for name in names if not below(relative / name, OWN))


if __name__ == "__main__":
    sys.exit(main())
