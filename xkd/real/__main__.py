"""`python -m xkd.real NAME --data FOLDER`: the whole way on a small sample of real frames, in out/real-NAME, with a report.
`python -m xkd.real gallery --data FOLDER`: correspondences on every sample that is there, as one page.
`python -m xkd.real halves --data FOLDER`: PandaSet's one street as two, for `make real-study`."""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import xkd
from xkd import profiles
from xkd.errors import XkdError
from xkd.files import write_json
from xkd.prepare import open_split
from xkd.real import maps, numbers, page, samples
from xkd.segments import open_method


def main(arguments=None):
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m xkd.real", description="Small samples of real frames, end to end.")
    parser.add_argument(
        "name",
        choices=[*samples.SAMPLES, "gallery", "halves"],
        help="which sample; gallery: pictures of all; halves: PandaSet's street as two scenes, to learn from and to be scored on",
    )
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds the samples' folders")
    parser.add_argument(
        "--features", type=Path, help="a folder of feature maps of the images (default: the sample's own)"
    )
    parser.add_argument(
        "--teacher", type=Path, default=xkd.ROOT / "out" / "teacher" / "mini",
        help="where there are none: the folder of the embedded teacher that computes them (out/teacher/mini, which `make repro` leaves; "
        f"`make demo` leaves one in {maps.DEMO.relative_to(xkd.ROOT)})",
    )  # fmt: skip
    parser.add_argument(
        "--out",
        type=Path,
        help="the page, of halves the folder (default: out/gallery.html, out/real-NAME/out/real.html, out/halves)",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="given", help="a further change of params.yaml"
    )
    options = parser.parse_args(arguments)
    try:
        if options.name == "gallery":
            gallery(options.data, options.out or xkd.ROOT / "out" / "gallery.html")
        elif options.name == "halves":
            print(f"xkd: {samples.halves(options.data, options.out or xkd.ROOT / 'out' / 'halves')}")
        else:
            run(options.name, options.data, options.features, options.teacher, options.given, options.out)
    except XkdError as error:
        print(f"xkd.real: {error}", file=sys.stderr)
        return 1
    return 0


def run(name, data, features, teacher, given, path):
    """Prepares, distils and, where there is something to evaluate on, fine-tunes and reports; then writes numbers and page."""
    start, sample, dest = time.monotonic(), samples.SAMPLES[name], xkd.ROOT / "out" / f"real-{name}"
    data = Path(data).absolute()
    # Before the copy, so that a sample that is not there leaves nothing behind.
    if not (data / sample.folder).is_dir():
        samples.place(name, data, dest)
    source = maps.chosen(sample, data, features, teacher)
    profiles.copy(dest, profiles.overlaid(f"real-{name}"))
    root, masks = samples.place(name, data, dest / "data")
    dataset = samples.opened(name, root)
    if source is None:
        source = dest / "data" / "maps"
        count = maps.write(dataset, teacher, source, root)
        print(f"xkd: {count} images seen by the embedded teacher", flush=True)
    changes = samples.settings(name, root, masks, [f"teacher.source={source.absolute()}", *given])
    sections = profiles.overlaid(f"real-{name}", changes)
    profiles.copy(dest, sections)
    stages = [] if sections["data"]["validation"] else ["views", "distill"]
    if not stages:
        shell(dest, "xkd.estimate")
    shell(dest, "dvc", "repro", "--quiet", *stages)
    found = numbers.numbers(dest / "out", sections["data"], masks)
    if masks:
        frames = open_split(sections["data"], sections["data"]["train"])
        found["jumps"] = numbers.jumps(list(frames), open_method(sections["prepare"]))
    write_json(dest / "out" / "real.json", page.plain(found))
    path = path or dest / "out" / "real.html"
    page.write(path, [page.section(name, dataset, sections["prepare"], page.known(dest))])
    width = max(len(what) for what, _ in numbers.lines(found))
    print(*(f"{what:<{width}}  {value}" for what, value in numbers.lines(found)), sep="\n")
    print(f"xkd: {(time.monotonic() - start) / 60:.1f} minutes; the report is {path}")


def shell(folder, *command):
    """A module of Python in a copy of this checkout, with the copy's own code. Errors: it fails; it has said why."""
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "DVC_NO_ANALYTICS": "1"}
    if subprocess.run([sys.executable, "-m", *command], cwd=folder, env=environment).returncode:
        raise XkdError(f"{folder}: `{' '.join(command)}` failed; what it said stands above.")


def gallery(data, path):
    """The page of all samples below the folder `data`, with the numbers of those that were run."""
    sections, missing = [], []
    for name, sample in samples.SAMPLES.items():
        with tempfile.TemporaryDirectory() as folder:
            try:
                root, masks = samples.place(name, data, Path(folder))
            except XkdError:
                missing.append(sample.title)
                continue
            print(f"xkd: {sample.title}", flush=True)
            changed = profiles.overlaid(f"real-{name}", samples.settings(name, root, masks))
            found = page.known(xkd.ROOT / "out" / f"real-{name}")
            sections.append(page.section(name, samples.opened(name, root), changed["prepare"], found))
    if not sections:
        raise XkdError(f"{data}: holds none of {', '.join(s.folder for s in samples.SAMPLES.values())}.")
    page.write(path, sections, missing)
    print(f"xkd: {path}: {path.stat().st_size / 2**20:.1f} MiB, {len(sections)} samples, opens in any browser, offline")


if __name__ == "__main__":
    sys.exit(main())
