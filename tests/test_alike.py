"""docs/alike.png: its cosines and shares, and that it is drawn."""

import numpy as np
import pytest
from PIL import Image
from wall import Stripes, Wall

from xkd import alike


def test_cosines_and_shares_worked_out_by_hand():
    vectors = np.array([[3, 4], [4, 3], [-3, -4], [0, 0], [4, -3]], np.int8)
    found = alike.cosine(vectors, vectors[0])
    assert found[[0, 1, 2, 4]] == pytest.approx([1, 0.96, -1, 0]) and np.isnan(found[3])
    # Itself, one without a label and one without a feature do not count: of 1 and 4, which come in this order, one is a car too.
    labels = np.array([1, 1, -1, 1, 0])
    assert alike.agreement(found, labels, 0, ["road", "parked_car"]) == (
        "of the 2 points most alike\n50 % are parked car too (of all: 50 %)"
    )
    assert alike.agreement(found, labels, 2, ["road", "parked_car"]) == ""


def test_the_most_alike_are_counted_first(monkeypatch):
    monkeypatch.setattr(alike, "FIRST", 1)
    found, labels = np.array([1, 0.2, 0.9, 0.1]), np.array([0, 1, 0, 1])
    assert (
        alike.agreement(found, labels, 0, ["road"]) == "of the 1 points most alike\n100 % are road too (of all: 33 %)"
    )


def test_the_picture_has_the_colours_of_cosines(tmp_path):
    dataset = Wall(tmp_path)
    alike.alike(dataset, 1, (Stripes(), "stripes"), [], tmp_path / "alike.png")
    colours = np.asarray(Image.open(tmp_path / "alike.png").convert("RGB")).reshape(-1, 3)
    yellow, purple = ((np.abs(colours - np.array(rgb)).max(1) < 40).sum() for rgb in ([253, 231, 37], [68, 1, 84]))
    assert yellow > 50 and purple > 50
