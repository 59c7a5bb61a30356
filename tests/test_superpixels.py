"""Superpixels by construction: pictures whose regions are known, and the reference implementation beside ours."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.color import rgb2lab
from skimage.segmentation import slic

from xkd import XkdError, merging, superpixels
from xkd.pieces import connected, merge, renumbered
from xkd.superpixels import boundary_recall, connect, segment, totals
from xkd.superpixels import slic as slic_of


def street(seed, height=180, width=320):
    """A made street: sky, ground and boxes with texture, shade, lens blur and noise -> image, region ids."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((height, width), int)
    labels[int(0.4 * height) :] = 1
    for k in range(2, 28):
        row, column = rng.integers(0, height), rng.integers(0, width)
        tall, wide = rng.integers(8, 60, 2)
        labels[row : row + tall, column : column + wide] = k
    shade = ndimage.gaussian_filter(rng.normal(size=labels.shape), 12)
    texture = ndimage.gaussian_filter(rng.normal(size=labels.shape), 1.5)
    light = 1 + 0.1 * shade / shade.std() + 0.06 * texture / texture.std()
    image = rng.uniform(40, 220, (28, 3))[labels] * light[..., None]
    image = ndimage.gaussian_filter(image, (0.6, 0.6, 0)) + rng.normal(0, 5, image.shape)
    return image.clip(0, 255).astype(np.uint8), labels


def achievable(segments, labels):
    """Share of pixels that are right when each segment takes its commonest label."""
    counts = np.zeros((segments.max() + 1, labels.max() + 1))
    np.add.at(counts, (segments.ravel(), labels.ravel()), 1)
    return counts.max(1).sum() / segments.size


def check(segments, shape):
    assert segments.shape == shape and segments.dtype == np.int32
    ids = np.unique(segments)
    assert (ids == np.arange(len(ids))).all()
    for k in ids:
        assert ndimage.label(segments == k)[1] == 1, f"segment {k} is not connected"


def test_four_flat_quarters_are_four_segments():
    image = np.zeros((20, 20, 3), np.uint8)
    image[:10, :10], image[:10, 10:], image[10:, :10] = (200, 0, 0), (0, 200, 0), (0, 0, 200)
    expected = np.zeros((20, 20), int)
    expected[:10, 10:], expected[10:, :10], expected[10:, 10:] = 1, 2, 3
    assert (segment(image, 4) == expected).all()


def test_an_edge_off_the_grid_is_followed():
    image = np.full((30, 30, 3), 60, np.uint8)
    image[:, 17:] = 190  # the grid's own cut lies at column 15
    segments = segment(image, 4)
    assert not set(segments[:, :17].ravel()) & set(segments[:, 17:].ravel())


def test_flat_image_gives_the_grid_and_one_segment_is_the_image():
    flat = np.full((40, 60, 3), 128, np.uint8)
    segments = segment(flat, 24)
    assert segments.max() + 1 == 24
    assert np.bincount(segments.ravel()).min() >= 50  # 100 pixels each but for the seeds' one-pixel moves
    assert (segment(flat, 1) == 0).all()


def test_colours_are_cielab():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (50, 70, 3), dtype=np.uint8)
    image[0, :5], image[1, :5] = 0, 255
    ours = superpixels._lab(image, superpixels.LINEAR, superpixels.RGB_TO_XYZ, superpixels.ROOT)
    assert np.abs(ours - rgb2lab(image).transpose(2, 0, 1)).max() < 5e-3  # of 100


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1), st.floats(0, 1), st.floats(0.5, 60))
def test_any_image_is_cut_into_connected_segments(height, width, seed, share, compactness):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    n = max(1, round(share * height * width))
    check(segment(image, n, compactness=compactness), (height, width))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_any_image_is_merged_into_connected_segments(height, width, seed, share):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    n = max(1, round(share * height * width))
    segments = merging.segment(image, n)
    check(segments, (height, width))
    assert segments.max() + 1 <= n


def test_made_streets_cut_better_than_the_reference_at_equal_count():
    scores = []
    for seed in range(4):
        image, labels = street(seed)
        ours = segment(image, 130)
        check(ours, (180, 320))
        assert 110 <= ours.max() + 1 <= 150
        # The reference keeps its own count, so it is asked for several and the nearest one is compared.
        others = [slic(image, n, start_label=0) for n in range(110, 190, 10)]
        reference = others[np.argmin([abs(other.max() - ours.max()) for other in others])]
        assert abs(reference.max() - ours.max()) <= 10
        scores.append([(boundary_recall(s, labels), achievable(s, labels)) for s in (ours, reference)])
    (our_recall, our_achievable), (recall, reached) = np.mean(scores, 0)
    assert our_recall >= recall and our_achievable >= reached


def test_merged_segments_follow_made_streets_better_than_slic_at_equal_count():
    scores = []
    for seed in range(4):
        image, labels = street(seed)
        ours = segment(image, 130)
        merged = merging.segment(image, int(ours.max()) + 1)
        check(merged, (180, 320))
        assert merged.max() == ours.max()
        scores.append([(boundary_recall(s, labels), achievable(s, labels)) for s in (ours, merged)])
    slic_scores, merged_scores = np.mean(scores, 0)
    assert (merged_scores > slic_scores).all()


def test_pieces_of_a_label_are_4_connected_and_in_the_order_of_their_first_pixels():
    label = np.array([[0, 0, 1, 0], [1, 0, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]], np.int32)
    # The two arms of 0 meet below, the 1 at the left edge meets the other ones at a corner only; the middle of 0 is shut in.
    expected = np.array([[0, 0, 1, 2], [3, 0, 1, 2], [2, 1, 1, 2], [2, 2, 2, 2]])
    piece, first = connected(label)
    assert (piece == expected).all() and first.tolist() == [0, 2, 3, 4]


def test_a_small_piece_joins_the_neighbour_of_nearest_mean_unless_its_label_may_be_small():
    label = np.array([[0, 0, 0, 1, 2, 2, 2]], np.int32)
    planes = np.zeros((3, 1, 7), np.float32)
    planes[0, 0] = [0, 0, 0, 6, 10, 10, 10]
    assert connect(label, planes, np.array([1, 2, 1])).tolist() == [[0, 0, 0, 1, 1, 1, 1]]
    assert connect(label, planes, np.array([1, 1, 1])).tolist() == [[0, 0, 0, 1, 2, 2, 2]]
    # With less than four pixels each is too small, and the first goes first: it has one neighbour, of mean 6; then four pixels of 1.5.
    assert connect(label, planes, np.array([4, 4, 4])).tolist() == [[0, 0, 0, 0, 0, 0, 0]]


def merged_row(values, ids, n, place=0.0):
    """Ids of a row of pixels with these values and ids, once n segments are left."""
    planes = np.zeros((3, 1, len(values)), np.float32)
    planes[0, 0], ids = values, np.array([ids], np.int32)
    return renumbered(ids, merge(ids, totals(planes, ids, ids.max() + 1), n, place))[0].tolist()


def test_the_two_neighbours_merge_that_it_costs_least():
    # Sizes 2, 2, 6 and means 0, 3, 5: the first two cost 2 * 2 / 4 * 9 = 9, the last two 2 * 6 / 8 * 4 = 6.
    assert merged_row([0, 0, 3, 3, *[5] * 6], [0, 0, 1, 1, *[2] * 6], 2) == [0, 0, 1, 1, 1, 1, 1, 1, 1, 1]
    # With means 0, 3, 5.5 the last two cost 2 * 6 / 8 * 6.25 = 9.375.
    assert merged_row([0, 0, 3, 3, *[5.5] * 6], [0, 0, 1, 1, *[2] * 6], 2) == [0, 0, 0, 0, 1, 1, 1, 1, 1, 1]
    # Equal values: distance alone decides, 1 * 1 / 2 * 1^2 against 1 * 4 / 5 * 2.5^2.
    assert merged_row([7] * 6, [0, 1, 2, 2, 2, 2], 2, place=1.0) == [0, 0, 1, 1, 1, 1]
    assert merged_row([0, 9, 0, 9], [0, 1, 2, 3], 1) == [0, 0, 0, 0]


def test_a_mean_is_that_of_what_has_merged():
    # 0 and 2 are one first (cost 1 / 2 * 2^2 = 2), of mean 1; 4.4 then costs 2 / 3 * 3.4^2 = 7.7 with them and 1 / 2 * 3.8^2 = 7.2 with
    # 8.2. With the mean of its old neighbour, 2, it would have been 1 / 2 * 2.4^2 = 2.9.
    assert merged_row([0, 2, 4.4, 8.2], [0, 1, 2, 3], 2) == [0, 0, 1, 1]


def test_planes_of_any_number_are_cut_like_colours():
    image, _ = street(3)
    planes = superpixels.colours(image)
    more = np.concatenate([planes, np.zeros((2, *planes.shape[1:]), np.float32)])
    assert (slic_of(more, 130) == segment(image, 130)).all()
    # What three flat planes cannot tell the fourth does, and the grid's own cut lies at column 15.
    planes = np.zeros((4, 30, 30), np.float32)
    planes[3, :, 17:] = 100
    for segments in (slic_of(planes, 4), merging.merged(planes, 4)):
        assert not set(segments[:, :17].ravel()) & set(segments[:, 17:].ravel())


def test_equal_bytes_on_every_call_and_thread_count():
    from concurrent.futures import ThreadPoolExecutor

    image, _ = street(5)
    once = segment(image, 120)
    with ThreadPoolExecutor(2) as pool:
        assert all((again == once).all() for again in pool.map(lambda _: segment(image, 120), range(4)))
    assert (segment(np.asfortranarray(image), 120) == once).all()
    merged = merging.segment(image, 120)
    with ThreadPoolExecutor(2) as pool:
        assert all((again == merged).all() for again in pool.map(lambda _: merging.segment(image, 120), range(4)))


def test_fast_enough_to_redo_at_will():
    image, _ = street(1)
    segment(image, 130)
    times = []
    for _ in range(15):
        start = time.perf_counter()
        segment(image, 130)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.03  # 4 ms on a machine with other work


def test_much_faster_than_the_reference():
    """benchmarks/superpixels.py measures it: 12 times; CPU time, least of some, because other work comes and goes."""
    image, _ = street(1)

    def least(cut, rounds):
        times = []
        for _ in range(rounds):
            start = time.process_time()
            cut(image, 130)
            times.append(time.process_time() - start)
        return min(times)

    assert least(slic, 4) > 6 * least(segment, 15)


def test_boundary_recall_by_hand():
    labels = np.zeros((9, 20), int)
    labels[:, 10:] = 1  # its boundary pixels: column 9
    for shift, recall in ((0, 1.0), (2, 1.0), (3, 0.0), (-2, 1.0), (-3, 0.0)):
        segments = np.zeros((9, 20), int)
        segments[:, 10 + shift :] = 1
        assert boundary_recall(segments, labels) == recall
    half = np.zeros((9, 20), int)
    half[:3, 10:] = 1  # columns end at row 2, and its lower rim at row 2, columns 10 to 19, is near rows 0..4
    assert boundary_recall(half, labels, tolerance=0) == pytest.approx(3 / 9)
    assert boundary_recall(half, labels, tolerance=2) == pytest.approx(5 / 9)
    assert boundary_recall(half, np.zeros((9, 20), int)) == 1.0


@pytest.mark.parametrize(
    ("image", "n", "options", "words"),
    [
        (np.zeros((4, 4), np.uint8), 2, {}, r"\(4, 4\)"),
        (np.zeros((4, 4, 3), float), 2, {}, "float64"),
        (np.zeros((4, 4, 3), np.uint8), 0, {}, "n = 0"),
        (np.zeros((4, 4, 3), np.uint8), 17, {}, "n = 17"),
        (np.zeros((4, 4, 3), np.uint8), 2, {"compactness": 0}, "compactness = 0"),
        (np.zeros((4, 4, 3), np.uint8), 2, {"iterations": 0}, "iterations = 0"),
    ],
)
def test_unusable_input_is_named(image, n, options, words):
    with pytest.raises(XkdError, match=words):
        segment(image, n, **options)
