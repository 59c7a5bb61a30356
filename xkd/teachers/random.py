"""A control: the embedded teacher's architecture, never trained."""

import torch

from xkd.mini import Mini
from xkd.teachers.mini import Segmenter


def opened(seed=0, classes=19):
    """Weights drawn from `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Segmenter(Mini(classes))
