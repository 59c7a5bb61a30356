"""`python -m xkd.sim OUT`: makes the embedded data set. Without options it makes what `data.dvc` fingerprints."""

import argparse
import sys

from xkd.errors import XkdError
from xkd.sim.write import PROFILES, RIGS, build


def main(arguments=None):
    """Exit code 0, or 1 after one sentence on what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m xkd.sim", description=__doc__)
    parser.add_argument("out", metavar="OUT", help="folder to make; only an older made folder is replaced")
    parser.add_argument("--rig", choices=RIGS, default="all", help="sensors to simulate; the teacher's images come too")
    parser.add_argument("--profile", choices=PROFILES, default="default", help="smoke: a few small frames, seconds")
    parser.add_argument("--seed", type=int, default=0, help="another seed is another town")
    options = parser.parse_args(arguments)
    try:
        build(options.out, options.rig, options.profile, options.seed)
    except XkdError as error:
        print(f"xkd.sim: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"xkd.sim: stopped; {options.out} is as it was before.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
