"""`python -m xkd predict --checkpoint FOLDER SCAN ...`: labels for scans, from a saved student."""

import argparse
import sys
from pathlib import Path

import numpy as np

import xkd
from xkd.errors import XkdError
from xkd.files import atomic


def main(arguments=None):
    """The command line; an input that cannot be used is one sentence and exit status 1."""
    parser = argparse.ArgumentParser(prog="python -m xkd", description=xkd.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    predict = commands.add_parser("predict", help="segment scans with a saved student; writes a .label file beside each, or in --out")
    predict.add_argument("--checkpoint", type=Path, required=True, help="folder with weights.safetensors and network.json")
    predict.add_argument("--out", type=Path, help="folder for the .label files (default: beside each scan)")
    predict.add_argument("--kind", default="semantickitti", choices=sorted(COLUMNS), help="layout of the scans (default: semantickitti)")
    predict.add_argument("scans", type=Path, nargs="+", metavar="SCAN")
    options = parser.parse_args(arguments)
    try:
        network = xkd.load(options.checkpoint)
        for scan in options.scans:
            print(segment(network, scan, options.kind, options.out or scan.parent))
    except XkdError as error:
        print(f"xkd: {error}", file=sys.stderr)
        return 1
    return 0


COLUMNS = {"semantickitti": 4, "nuscenes": 5}
"""Floats a point in each layout's scans; the first four are x, y, z, intensity."""


def segment(network, scan, kind, out):
    """Writes `out/<scan>.label`: one uint32 a point, as in SemanticKITTI, but the class's training id (order: network.json). -> path."""
    from xkd.datasets.scans import read_scan

    points, intensity = read_scan(scan, kind)
    path = out / (scan.name.removesuffix(".bin").removesuffix(".pcd") + ".label")
    with atomic(path) as temporary:
        network.segment(points, intensity).astype(np.uint32).tofile(temporary)
    return path


if __name__ == "__main__":
    sys.exit(main())
