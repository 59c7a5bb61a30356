"""`python benchmarks/objectives.py`: what a step of each objective of the study costs, of each way to fine-tune, and a scan at inference.

On the default data (`dvc repro prepare teacher views` first). All ways in turn, each in a new process, again and again; of each the
difference of two lengths is taken (`xkd.study_cost`). A second core makes batches ahead, as in a training that runs alone."""

import argparse
import sys

import pandas as pd
from timing import QUICK, keep

import xkd
from xkd import study_cost
from xkd.params import profile

ROUNDS, LENGTHS = (1, (1, 2)) if QUICK else (3, (10, 50))


def main():
    argparse.ArgumentParser(description="Costs of the study's ways to train.").parse_args()
    params = profile()
    found = pd.concat([study_cost.table(params, lengths=LENGTHS).reset_index() for _ in range(ROUNDS)])
    rows = []
    for _, own in found.groupby("index", sort=False):
        row = own.iloc[0][["phase", "way"]].to_dict() | {"rounds": len(own)}
        for name in ("ms", "ratio", "MB"):
            low, middle, high = own[name].quantile([0.25, 0.5, 0.75]).round(3)
            row |= {f"{name}_low": low, name: middle, f"{name}_high": high}
        rows.append(row)
    print(pd.DataFrame(rows)[["phase", "way", "ms", "ratio", "MB"]].to_string(index=False))
    keep("objectives", rows)


if __name__ == "__main__":
    try:
        main()
    except xkd.XkdError as error:
        sys.exit(f"xkd: objectives: not measured: {error}")
