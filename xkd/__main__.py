"""`python -m xkd predict --checkpoint FOLDER SCAN ...`: labels for scans, from a saved student.
`python -m xkd check ROOT`: what a data set holds, and whether its scans lie on its images.
`python -m xkd teachers`: which image networks can teach, or what one on the disk is; whether extracted features are whole.
`python -m xkd sweep`: the stages of dvc.yaml that are left, on this machine or on many."""

import argparse
import sys
from pathlib import Path

import numpy as np

import xkd
from xkd import sweep
from xkd.check import check
from xkd.datasets import kinds, reader
from xkd.datasets.frame import facts
from xkd.errors import XkdError, of_disk
from xkd.feature_cache import mib
from xkd.files import atomic
from xkd.findings import report
from xkd.opening import opened


def main(arguments=None):
    """The command line; an input that cannot be used is one sentence and exit status 1."""
    parser = argparse.ArgumentParser(prog="python -m xkd", description=xkd.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    predict = commands.add_parser(
        "predict",
        help="segment scans with a saved student; writes a .label file beside each, where there is none yet, or in --out",
    )
    predict.add_argument(
        "--checkpoint", type=Path, required=True, help="folder with weights.safetensors and network.json"
    )
    predict.add_argument("--out", type=Path, help="folder for the .label files (default: beside each scan)")
    predict.add_argument("--kind", choices=kinds(), help="layout of the scans (default: that of the checkpoint's data)")
    predict.add_argument("scans", type=Path, nargs="+", metavar="SCAN")
    look = commands.add_parser("check", help="inspect a data set; exit status 1 where something is bad")
    look.add_argument("root", type=Path, metavar="ROOT")
    look.add_argument("--kind", choices=kinds(), help="its layout (default: the first that it is)")
    look.add_argument("--split", help="one of its splits (default: all)")
    look.add_argument("--frames", type=int, default=10, help="how many frames to look at, evenly chosen (10)")
    look.add_argument(
        "--option", action="append", default=[], metavar="KEY=VALUE", help="of that layout, as in data.options"
    )
    teachers = commands.add_parser(
        "teachers", help="list the image networks that can teach, or look at one; downloads nothing"
    )
    teachers.add_argument("--source", type=Path, help="a saved network or a folder of feature maps to look at")
    teachers.add_argument(
        "--option", action="append", default=[], metavar="KEY=VALUE", help="of that teacher, as in params.yaml"
    )
    teachers.add_argument("--verify", type=Path, metavar="FOLDER", help="read extracted features (out/teacher) whole")
    sweep.add(commands)
    options = parser.parse_args(arguments)
    try:
        if options.command == "teachers":
            # What is typed hangs on where one stands; in params.yaml it is the checkout.
            options.source = options.source and options.source.absolute()
            for line in ahead(options.source, options.verify):
                print(f"xkd: {line}", file=sys.stderr, flush=True)
            from xkd import families  # which loads torch and transformers

            for line in families.report(options.source, options.option, options.verify):
                print(line, flush=True)
            return 0
        if options.command == "sweep":
            return sweep.main(options)
        if options.command == "check":
            given = dict(option.partition("=")[::2] for option in options.option)
            findings = check(opened(options.root, options.kind, options.split, **given), options.frames)
            print(report(findings))
            return int(any(finding.verdict == "bad" for finding in findings))
        network = xkd.load(options.checkpoint)
        if "init" in network.facts and "fraction" not in network.facts:
            raise XkdError(f"{options.checkpoint}: is a start for fine-tuning; its classifier never saw a label.")
        kind = options.kind or network.facts.get("kind", "semantickitti")
        if kind not in kinds():
            raise XkdError(
                f"{options.checkpoint / 'network.json'}: data of kind {kind!r}; there are {', '.join(kinds())}."
            )
        outs = [label_file(scan, options.out or scan.parent) for scan in options.scans]
        for k, out in enumerate(outs):
            if out in outs[:k]:
                raise XkdError(
                    f"{out}: would be written twice, for {options.scans[outs.index(out)]} and for {options.scans[k]}."
                )
            if options.out is None and out.exists():  # beside a scan it may be the truth
                raise XkdError(f"{out}: is there already; --out FOLDER keeps it.")
        for scan, out in zip(options.scans, outs, strict=True):
            try:
                segment(network, scan, kind, out)
            except XkdError as error:
                if options.kind:
                    raise
                raise XkdError(f"{error} It was read as a scan of {kind}; --kind names another layout.") from None
            print(out)
    except XkdError as error:
        print(f"xkd: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"xkd: {of_disk(error)}", file=sys.stderr)
        return 1
    return 0


def ahead(source, features):
    """What `python -m xkd teachers` is going to do, a line; none where what it is to look at is not there, which is said at once."""
    path = features or (xkd.ROOT / source if source else None)
    if path is None:
        yield "counts one network of each family without its weights: half a minute, longer at the first start; downloads nothing"
    elif path.exists():
        sizes = [file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()]
        files = "1 file" if len(sizes) == 1 else f"{len(sizes):,} files"
        yield f"loads the libraries, then reads {path} whole for its SHA-256: {files}, {mib(sum(sizes))}; downloads nothing"


def label_file(scan, folder):
    """`folder/<scan>.label`."""
    return folder / (scan.name.removesuffix(".bin").removesuffix(".pcd") + ".label")


def segment(network, scan, kind, path):
    """Writes the file `path`, one uint32 a point. Ids are SemanticKITTI's raw ones for a network of its classes,
    as its benchmark takes them, and else the places of the classes in the checkpoint's network.json."""
    points, attributes = reader(kind).scan_file(scan)
    classes = network.config["classes"]
    ids = np.arange(len(classes), dtype=np.uint32)
    if classes == list(facts("semantickitti")["classes"]):
        # Several raw ids share a class; the first is the plain one (car, not moving car).
        raw = {name: number for number, (_, name) in reversed(facts("semantickitti")["labels"].items())}
        ids = np.array([raw[name] for name in classes], np.uint32)
    with atomic(path) as temporary:
        ids[network.segment(points, attributes["intensity"])].tofile(temporary)


if __name__ == "__main__":
    sys.exit(main())
