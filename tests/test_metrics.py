"""Scores and intervals against tables that can be checked on paper."""

import itertools

import numpy as np
import pytest
from cell_files import cells_of
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from xkd import XkdError, metrics, report, statistics
from xkd.summary import summarise

ids = st.integers(0, 3)
labelled = st.lists(st.tuples(ids, st.integers(-1, 3)), min_size=1, max_size=60)


def test_confusion_by_hand():
    counts = metrics.confusion([0, 1, 1, 0], [0, 0, 1, -1], 2)
    assert counts.tolist() == [[1, 1], [0, 1]] and counts.dtype == np.int64
    assert metrics.iou(counts).tolist() == [0.5, 0.5]
    assert metrics.miou(counts) == 50.0


def test_a_larger_table_by_hand():
    counts = np.array([[6, 2, 0], [1, 3, 0], [0, 0, 0]])
    # class 0: 6 / (6 + 2 + 1); class 1: 3 / (3 + 1 + 2); class 2 is nowhere
    assert metrics.iou(counts)[:2] == pytest.approx([6 / 9, 3 / 6])
    assert np.isnan(metrics.iou(counts)[2])
    assert metrics.miou(counts) == pytest.approx(100 * (6 / 9 + 3 / 6) / 2)
    assert metrics.shares(counts)[0] == pytest.approx([0.75, 0.25, 0])
    assert np.isnan(metrics.shares(counts)[2]).all()


def test_a_class_that_is_only_predicted_scores_zero():
    assert metrics.iou([[3, 1], [0, 0]]).tolist() == [0.75, 0.0]


def test_nothing_labelled_has_no_score():
    assert np.isnan(metrics.miou(metrics.confusion([0, 1], [-1, -1], ["car", "road"])))


@pytest.mark.parametrize(
    ("pred", "true", "said"),
    [
        ([2], [0], "prediction 2 is no class"),
        ([-1], [0], "prediction -1"),
        ([0], [7], "label 7"),
        ([0], [-2], "label -2"),
        ([0, 1], [0], "2 predictions for 1 labels"),
        ([0.0], [0], "float64, not integer"),
    ],
)
def test_ids_that_are_no_class_are_refused(pred, true, said):
    with pytest.raises(XkdError, match=said):
        metrics.confusion(np.array(pred), np.array(true), 2)


@given(labelled)
def test_iou_is_that_of_the_sets_of_points(pairs):
    pred, true = (np.array(column) for column in zip(*pairs, strict=True))
    counts = metrics.confusion(pred, true, 4)
    assert counts.sum() == (true >= 0).sum()
    for k, score in enumerate(metrics.iou(counts)):
        a = {i for i, (p, t) in enumerate(pairs) if p == k and t >= 0}
        b = {i for i, (_, t) in enumerate(pairs) if t == k}
        assert np.isnan(score) if not a | b else score == pytest.approx(len(a & b) / len(a | b))


@given(labelled, st.permutations(range(4)))
def test_names_of_classes_do_not_matter(pairs, order):
    pred, true = (np.array(column) for column in zip(*pairs, strict=True))
    new = np.array([*order, -1])
    before, after = metrics.confusion(pred, true, 4), metrics.confusion(new[pred], new[true], 4)
    assert metrics.iou(after)[list(order)] == pytest.approx(metrics.iou(before), nan_ok=True)


def test_stacked_tables_score_one_by_one():
    counts = np.random.default_rng(0).integers(0, 9, (3, 2, 4, 4))
    assert metrics.miou(counts)[2, 1] == pytest.approx(metrics.miou(counts[2, 1]))


def test_paired_t_by_hand():
    table = statistics.paired({0.1: [1.0, 2.0, 3.0]}, {0.1: 0.0})
    # mean 2, standard deviation 1, t(2) = 4.303 in any table
    assert (table["mean"][0.1], table["sd"][0.1], table["n"][0.1], table["df"][0.1]) == (2.0, 1.0, 3, 2)
    assert table["high"][0.1] - 2.0 == pytest.approx(4.303 / np.sqrt(3), abs=1e-3)
    assert 2.0 - table["low"][0.1] == pytest.approx(4.303 / np.sqrt(3), abs=1e-3)


def test_pooling_and_streets_by_hand():
    table = statistics.paired({0.1: [1.0, 3.0], 1.0: [0.0, 2.0, 4.0]}, {0.1: 0.0, 1.0: 2.0})
    # squares 2 + 8 = 10 over 1 + 2 = 3 degrees of freedom; t(3) = 3.182
    assert table["sd_pooled"].tolist() == pytest.approx([np.sqrt(10 / 3)] * 2)
    assert table["sd"].tolist() == pytest.approx([np.sqrt(2), 2])
    assert table["high"][0.1] - 2 == pytest.approx(3.182 * np.sqrt(10 / 3 / 2), abs=2e-3)
    assert table["high"][1.0] - 2 == pytest.approx(3.182 * np.sqrt(10 / 3 / 3 + 2), abs=2e-3)


@given(st.lists(st.floats(-20, 20), min_size=2, max_size=9))
def test_one_fraction_is_the_ordinary_t_interval(values):
    table = statistics.paired({1.0: values}, {1.0: 0.0})
    peer = stats.ttest_1samp(values, 0).confidence_interval() if np.ptp(values) else (values[0], values[0])
    assert [table["low"][1.0], table["high"][1.0]] == pytest.approx(list(peer), abs=1e-9)


def test_one_seed_has_no_interval():
    table = statistics.paired({0.1: [3.0], 1.0: [1.0]}, {0.1: 1.0, 1.0: 1.0})
    assert table["mean"].tolist() == [3.0, 1.0] and table[["sd", "low", "high"]].isna().all().all()


@pytest.mark.parametrize(("values", "variance"), [([np.nan, 1.0], 0.0), ([], 0.0), ([1.0, 2.0], np.nan), ([1.0], -1.0)])
def test_what_is_no_number_is_refused(values, variance):
    with pytest.raises(XkdError, match="fraction 0.1"):
        statistics.paired({0.1: values}, {0.1: variance})


def linear(right):
    """Streets of 10 points of class 0, `right` of them found: mIoU = 50 % of the share found, a mean over streets."""
    return np.array([[[[r, 10 - r], [0, 0]] for r in run] for run in right])


def test_street_variance_by_hand():
    # per street +15 and -5 points: mean 5, variance of a mean of two = 200 / 2
    variance = statistics.street_variance(linear([[8, 4]]), linear([[5, 5]]), np.random.default_rng(0), 20_000)
    assert variance == pytest.approx(100, rel=0.03)


def test_street_variance_against_every_possible_draw():
    rng = np.random.default_rng(3)
    a, b = rng.integers(1, 40, (2, 2, 4, 3, 3))
    draws = [list(draw) for draw in itertools.product(range(4), repeat=4)]
    gains = [np.mean(metrics.miou(a[:, d].sum(1)) - metrics.miou(b[:, d].sum(1))) for d in draws]
    expected = np.var(gains) * 4 / 3
    assert statistics.street_variance(a, b, np.random.default_rng(0), 8000) == pytest.approx(expected, rel=0.06)
    single = np.mean([np.std([metrics.miou(run[d].sum(0)) for d in draws]) for run in a]) * np.sqrt(4 / 3)
    assert statistics.street_error(a, np.random.default_rng(0), 8000) == pytest.approx(single, rel=0.04)


def test_the_interval_of_a_gain_holds_the_streets(tmp_path):
    """Of 10 points a street 8 and 4 are found instead of 4 and 4, with both seeds: 20 and 0 points of mIoU gained, of road's IoU 40 and 0.
    Variances of their means, 10 and 20: 200 / 2 and 800 / 2. Seeds differ in nothing; t(1) = 12.706."""
    right = {(1.0, "scratch", seed): [4, 4] for seed in (0, 1)} | {(1.0, "distilled", seed): [8, 4] for seed in (0, 1)}
    summary = summarise(report.collect(cells_of(tmp_path / "out", right)), draws=4000)
    (gain,), (road,) = summary["differences"]["distilled"], summary["classes"][0]["difference"]["distilled"]
    for row, mean, error in ((gain, 10, 10), (road, 20, 20)):
        assert (row["mean"], row["sd_pooled"], row["df"]) == (mean, 0, 1)
        assert row["street_sd"] == pytest.approx(error, rel=0.04)
        assert row["high"] - mean == pytest.approx(12.706 * error, rel=0.04)
        assert mean - row["low"] == pytest.approx(12.706 * error, rel=0.04)


def test_equal_runs_differ_nowhere():
    runs = linear([[8, 4], [3, 9]])
    assert statistics.street_variance(runs, runs, np.random.default_rng(0), 50) == 0


def test_streets_that_do_not_fit_are_refused():
    with pytest.raises(XkdError, match="at least two"):
        statistics.street_error(linear([[8]]), np.random.default_rng(0))
    with pytest.raises(XkdError, match="same seeds, streets and classes"):
        statistics.street_variance(linear([[8, 4]]), linear([[8, 4, 2]]), np.random.default_rng(0))


def test_a_class_missing_from_a_draw_counts_where_it_is():
    values = np.array([[1.0, np.nan], [3.0, np.nan], [5.0, 7.0]])
    assert statistics.over_streets(values, 2) == pytest.approx([8.0, np.nan], nan_ok=True)


@pytest.mark.parametrize(
    ("target", "expected"), [(15, 10**-1.5), (10, 0.01), (30, 1.0), (20, 0.1), (9, np.nan), (31, np.nan)]
)
def test_where_a_curve_reaches_a_score(target, expected):
    found = statistics.matching_fraction([1.0, 0.01, 0.1], [30, 10, 20], target)
    assert found == pytest.approx(expected, nan_ok=True)
