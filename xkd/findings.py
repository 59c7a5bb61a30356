"""What a look at a data set says (`xkd.check`): findings, each with a verdict and the file or frame to look at, as lines of text."""

from collections import Counter
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Finding:
    """One line of the report. verdict: good, look (something to look at) or bad; where: the file or frame to look at first, which every
    finding names that is not good."""

    what: str
    found: str
    verdict: str = "good"
    where: str = ""


def report(findings):
    """The findings as lines of text: verdict, what, found, and where to look if it is not good."""
    width = max(len(f.what) for f in findings)
    lines = [
        f"{f.verdict:<4}  {f.what:<{width}}  {f.found}" + (f"  -> {f.where}" if f.where and f.verdict != "good" else "")
        for f in findings
    ]
    counts = Counter(f.verdict for f in findings)
    lines.append(f"{counts['good']} good, {counts['look']} to look at, {counts['bad']} bad")
    return "\n".join(lines)


def spread(values, form):
    """Least, median and largest of some numbers, or the one that all of them are."""
    low, middle, high = (form.format(f(values)) for f in (np.min, np.median, np.max))
    return low if low == high else f"{low} .. {middle} .. {high}"


def counted(number, what):
    return f"{number} {what}{'s' * (number != 1)}"
