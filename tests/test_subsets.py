"""Which frames are labelled."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xkd import XkdError
from xkd.subsets import subset

STREETS = [street for street in "abcdefgh" for _ in range(5)]


@given(st.integers(0, 50), st.floats(0.001, 1), st.floats(0.001, 1))
def test_subsets_are_nested_and_never_empty(seed, one, two):
    small, large = (set(subset(STREETS, f, seed).tolist()) for f in sorted((one, two)))
    assert small and small <= large
    assert len(large) == max(1, round(max(one, two) * len(STREETS)))


@given(st.integers(0, 50), st.integers(1, 8))
def test_few_frames_come_from_as_many_streets(seed, count):
    assert len({STREETS[i] for i in subset(STREETS, count / len(STREETS), seed)}) == count


def test_one_per_cent_of_a_tiny_split_is_one_frame():
    assert len(subset(["a", "a", "b"], 0.01, 0)) == 1


def test_the_seed_draws_the_subset():
    assert len({tuple(subset(STREETS, 0.1, seed)) for seed in range(20)}) > 10


def test_which_frames_of_a_street_is_drawn_too():
    """Of a street of five frames each is drawn with one seed in five: in 300 seeds, 60 times, with a standard deviation of 7."""
    times = [sum(subset(["a"] * 5, 0.2, seed).tolist() == [frame] for seed in range(300)) for frame in range(5)]
    assert sum(times) == 300 and all(32 < count < 88 for count in times)


@pytest.mark.parametrize("bad", [0, -0.1, 1.5, float("nan"), "1", None, True])
def test_fraction_outside_is_refused(bad):
    with pytest.raises(XkdError, match="outside"):
        subset(STREETS, bad, 0)


def test_published_subsets_by_hand():
    """Every fourth of eight streets, all their frames; every fourth of forty frames; the seed is where counting starts."""
    assert subset(STREETS, 0.25, 0, "scenes").tolist() == [0, 1, 2, 3, 4, 20, 21, 22, 23, 24]
    assert subset(STREETS, 0.25, 1, "scenes").tolist() == [5, 6, 7, 8, 9, 25, 26, 27, 28, 29]
    assert subset(STREETS, 0.25, 0, "scans").tolist() == list(range(0, 40, 4))
    assert subset(STREETS, 0.01, 3, "scans").tolist() == [3] and subset(STREETS, 0.01, 9, "scenes").tolist() == [
        5,
        6,
        7,
        8,
        9,
    ]
    assert len(subset(STREETS, 1, 5, "scans")) == len(subset(STREETS, 1, 5, "scenes")) == 40
    with pytest.raises(XkdError, match="finetune.subset 'first' is unknown; there are spread, scenes, scans"):
        subset(STREETS, 0.5, 0, "first")
