"""What is said of superpixels: whose labels they hold, which neighbours they part, how many pairs each has."""

from types import SimpleNamespace

import numpy as np
import pytest

from xkd import params, purity, stage_plots
from xkd.prepare import prepare
from xkd.prepared import Prepared


@pytest.fixture
def sections(made):
    sections = params.profile("smoke")
    return sections["data"] | {"root": str(made / "nuscenes")}, sections["prepare"]


class Split:
    """A prepared split of one frame with `count` superpixels, whose point k is pair k."""

    classes = ["a", "b"]

    def __init__(self, superpixel, labels, pixel, camera=None, count=4):
        n = len(labels)
        camera = np.zeros(n, int) if camera is None else np.array(camera)
        self._pairs = SimpleNamespace(
            point=np.arange(n), superpixel=np.array(superpixel), pixel=np.array(pixel), camera=camera
        )
        self._labels, self._count = np.array(labels, np.int16), count

    def __len__(self):
        return 1

    def pairs(self, i):
        return self._pairs

    def labels(self, i):
        return self._labels

    def superpixels(self, i):
        return 0, self._count


def test_purity_by_hand():
    # Superpixel 0 holds a, a, b and one without a label; 2 holds b; 1 and 3 nothing: 3 of 4 labelled pairs are right.
    found = Split([0, 0, 0, 0, 2], [0, 0, 1, -1, 1], [[0, k] for k in range(5)])
    assert purity.pairs_each(found).tolist() == [4, 0, 1, 0]
    assert purity.purity(found) == 3 / 4
    assert np.isnan(purity.purity(Split([0], [-1], [[0, 0]])))


def test_neighbours_by_hand():
    # Nearest of columns 0, 1, 5, 7, 8 and, in another image, 8: 1, 0, 7, 8, 7 and none. Of 5 and 7 labels differ, and superpixels do;
    # 7 and 8 differ in their label only, seen from both; 0 and 1 in their superpixel only, from both.
    camera = [0, 0, 0, 0, 0, 1]
    found = Split([0, 1, 1, 2, 2, 3], [0, 0, 0, 1, 0, 0], [[0, c] for c in (0, 1, 5, 7, 8, 8)], camera)
    assert purity.parted(found) == (1 / 3, 1.0)
    alone = Split([0, 0], [-1, 0], [[0, 0], [0, 1]])
    assert np.isnan(purity.parted(alone)).all()
    twice = Split([0, 1], [0, 1], [[3, 3], [3, 3]])  # two points on one pixel are each other's neighbours
    assert purity.parted(twice)[0] == 1.0


def test_the_table_is_of_any_split(sections, tmp_path):
    data, settings = sections
    prepare(data, settings, tmp_path)
    for name in (data["train"], *data["unlabelled"]):
        table = purity.table(Prepared(tmp_path, name))
        assert table["superpixels"] == len(purity.pairs_each(Prepared(tmp_path, name)))
        assert np.isfinite(table["purity (%)"]) == (name == data["train"])


def test_superpixels_are_counted_in_steps_of_twice_as_many_pairs():
    figure = stage_plots.pairs_each([0, 0, 1, 2, 3, 4, 7, 8])
    assert figure.data[0].x == ("0", "1", "2 to 3", "4 to 7", "8 to 15") and list(figure.data[0].y) == [2, 1, 2, 2, 1]
    assert figure.layout.xaxis.title.text == "paired points in a superpixel"
    assert list(stage_plots.pairs_each([0, 0]).data[0].y)[0] == 2
