"""`python benchmarks/run.py [--quick] [PART ...]`: all parts that a CPU can run, one after another, and the page of their results.

Each part keeps results/<part>-<machine>.json; one that fails, or whose data are not there, says so, and the others go on. --quick: tiny
sizes, to see that all of it runs; results and page then go to out/bench-quick.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import xkd
from xkd.estimate import words

FOLDER = Path(__file__).parent
PARTS = ("bounds", "hot_paths", "superpixels", "occlusion", "index", "growth", "memory", "step", "objectives")


def main():
    parser = argparse.ArgumentParser(description="All benchmarks that a CPU can run, and the page of their results.")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: only to see that everything runs")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {', '.join(PARTS)}; all of them if none")
    given = parser.parse_args()
    unknown = sorted(set(given.parts) - set(PARTS))
    if unknown:
        parser.error(f"no part is called {unknown[0]}; there are {', '.join(PARTS)}")
    # One thread where nothing else is said: what is measured says how many it uses.
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    path = os.pathsep.join([str(xkd.ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment |= {"PYTHONPATH": path} | ({"XKD_BENCH_QUICK": "1"} if given.quick else {})
    if given.quick:
        print(
            "xkd: benchmarks: tiny sizes, only to see that all of it runs; results and their page in out/bench-quick."
        )
    else:
        print("xkd: benchmarks: up to half an hour on two cores, on a machine that does nothing else.")
        print("xkd: results in benchmarks/results, their page in docs/benchmarks.md.")
    failed, begun = [], time.monotonic()
    for part in given.parts or PARTS:
        print(f"xkd: benchmarks: {part}", flush=True)
        start = time.monotonic()
        status = subprocess.run([sys.executable, FOLDER / f"{part}.py"], env=environment, cwd=xkd.ROOT).returncode
        taken = time.monotonic() - start
        if status:
            failed.append(part)
            print(f"xkd: benchmarks: {part} was not measured (exit status {status}); its own message stands above.")
        print(f"xkd: benchmarks: {part}: {taken:.0f} s", flush=True)
    status = subprocess.run([sys.executable, FOLDER / "table.py"], env=environment, cwd=xkd.ROOT).returncode
    print(f"xkd: benchmarks: {words(time.monotonic() - begun)} in all", end="")
    print(f"; not measured: {', '.join(failed)}." if failed else ".")
    return int(bool(status) or len(failed) == len(given.parts or PARTS))


if __name__ == "__main__":
    sys.exit(main())
