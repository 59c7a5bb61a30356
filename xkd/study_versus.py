"""What rows of the study are compared with besides the strongest without images: one another, other objectives, fewer labels, and scratch
after as many steps."""

import pandas as pd

from xkd.objectives import OBJECTIVES
from xkd.study import MEASURED, PRETRAINED, ROWS
from xkd.study_report import best, differences


def versus(study, block, row="xmodel", draws=1000, seed=0):
    """One line a (row, fraction) of a block: the paired difference of `row` to it, its deviation pooled over the fractions. Not carefully
    (`differences`): here the narrower interval is the stricter one."""
    fractions, lines = sorted(study.table.fraction.unique()), []
    for other in ROWS[block]:
        if other != row:
            pairs = {fraction: ((block, row, fraction), (block, other, fraction)) for fraction in fractions}
            found = differences(study, pairs, draws, seed, careful=False)
            lines += [{"row": row, "over": other, "fraction": fraction} | line for fraction, line in found.items()]
    return pd.DataFrame(lines)


def of_others(study, draws=1000, seed=0):
    """One line a fraction: the paired difference of (unlabelled, xmodel) to the best row, by mean, of any other objective, with unlabelled
    frames or without (`block`, `over`), since self-training costs some of them more than it gives; the deviation pooled over the fractions,
    carefully. What is best is chosen on the frames that are scored, which flatters the others."""
    ours, pairs = ("unlabelled", "xmodel"), {}
    others = [(block, row) for block in ("pretraining", "unlabelled") for row in OBJECTIVES]
    for fraction in sorted(study.fractions):
        rival = best(study, others, fraction, set(study.seeds(fraction, ours)))
        if rival:
            pairs[fraction] = ((*ours, fraction), (*rival, fraction))
    found = differences(study, pairs, draws, seed)
    rivals = {fraction: other[:2] for fraction, (_, other) in pairs.items()}
    return pd.DataFrame([{"fraction": f, "block": rivals[f][0], "over": rivals[f][1]} | found[f] for f in found])


def fewer(study, draws=1000, seed=0):
    """One line a pretrained row of both blocks, and of those with the `full` steps: its paired difference at the second highest share of
    the labels that the study has to scratch, and to scratch-long, at the highest; none where there is one share alone, or where these
    cells are not there."""
    fractions, lines = sorted(study.fractions), []
    blocks = [
        (f"{block}{full}", f"pretraining{full}") for full in ("", "-full") for block in ("pretraining", "unlabelled")
    ]
    for block, base in blocks if len(fractions) > 1 else ():
        for row in PRETRAINED:
            about = {"block": block, "row": row, "fraction": fractions[-2], "scratch": fractions[-1]}
            for over in ("scratch", "scratch-long"):
                pair = ((block, row, fractions[-2]), (base, over, fractions[-1]))
                found = differences(study, {over: pair}, draws, seed)
                lines += [about | {"over": over} | line for line in found.values()]
    return pd.DataFrame(lines)


def equal(study, draws=1000, seed=0):
    """One line a (block, row, fraction) of the blocks of `MEASURED`: the paired difference to scratch after
    as many steps of fine-tuning, of rows with twice the steps to scratch-long; the deviation pooled over a row's fractions."""
    lines = []
    for block in MEASURED:
        base = block.replace("unlabelled", "pretraining")
        for row in ROWS[block]:
            other = "scratch-long" if row.endswith("-long") else "scratch"
            if not row.startswith("scratch"):
                fractions = sorted(study.table.fraction.unique())
                pairs = {fraction: ((block, row, fraction), (base, other, fraction)) for fraction in fractions}
                found = differences(study, pairs, draws, seed)
                about = {"block": block, "row": row, "over": other}
                lines += [about | {"fraction": fraction} | line for fraction, line in found.items()]
    return pd.DataFrame(lines)
