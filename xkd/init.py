"""`python -m xkd.init PREPARED OUT SEED`: the init without any pretraining, as an artefact like the distilled one."""

import argparse
import sys
from pathlib import Path

from xkd.errors import XkdError
from xkd.finetune import scratch
from xkd.params import check, profile
from xkd.prepared import Prepared


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m xkd.init", description="Writes a student with fresh weights.")
    parser.add_argument("prepared", type=Path, help="the folder of stage 1, whose classes it has")
    parser.add_argument("out", type=Path)
    parser.add_argument("seed", type=int)
    given = parser.parse_args(arguments)
    params = profile()
    classes = Prepared(given.prepared, check("data", params["data"])["train"]).classes
    scratch(check("student", params["student"]), classes, given.seed, given.out)


if __name__ == "__main__":
    try:
        main()
    except XkdError as error:
        sys.exit(f"xkd: {error}")
