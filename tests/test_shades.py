"""Features and colours as bytes of a page: cosines survive, wide maps are averaged, colours are numbers of a palette."""

import numpy as np
import pytest
import torch

from xkd import shades


def test_cosines_survive_being_kept_in_bytes():
    rng = np.random.default_rng(0)
    values = (rng.normal(size=(500, 20)) @ rng.normal(size=(20, 60)) + 3).astype(np.float32)
    compact = shades.Compact(values)
    kept = compact(values).astype(np.float64)
    assert kept.shape == (500, 32) and compact.share == pytest.approx(1)
    assert compact.name("it") == "it (60 channels, 32 directions hold 100 %)"
    centred = values - values.mean(0)
    for rows in (centred, kept):
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    assert kept @ kept.T == pytest.approx(centred @ centred.T, abs=0.02)


def test_one_feature_alone_has_no_direction():
    compact = shades.Compact(np.ones((1, 20), np.float32))
    assert compact.flat and compact.name("it") == "it (20 channels, the same everywhere)"
    assert not compact(np.ones((1, 20), np.float32)).any()


def test_a_wide_feature_map_is_averaged():
    one = torch.arange(2 * 192.0).reshape(1, 2, 192)
    assert shades._fewer(one).shape == (1, 1, 96) and shades._fewer(one)[0, 0, 0] == np.mean([0, 1, 192, 193])


def test_colours_are_numbers_of_a_palette_that_ends_in_grey():
    rgb = {0: np.array([[255, 0, 0], [0, 0, 255], [9, 9, 9]], np.uint8), 5: np.array([[0, 0, 255]], np.uint8)}
    known = {0: np.array([True, True, False]), 5: np.array([True])}
    numbers, meaning = shades.quantised(rgb, known, "words")
    palette_, grey = np.array(meaning["palette"]), [200, 200, 200]
    assert palette_.shape == (256, 3) and palette_[255].tolist() == grey
    assert palette_[numbers[0]].tolist() == [[255, 0, 0], [0, 0, 255], grey] and palette_[numbers[5]].tolist() == [
        [0, 0, 255]
    ]
    named = shades.named([("parked_car", [1, 2, 3])], "none")
    assert named["names"] == [[0, "parked car"], [255, "none"]] and named["palette"][:2] == [[1, 2, 3], grey]
    cosines = shades.scale("cosine", -1, 1)["palette"]
    assert len(cosines) == 256 and cosines[0] == [68, 1, 84] and cosines[254] == [253, 231, 37] and cosines[255] == grey
