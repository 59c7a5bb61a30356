"""Teachers: frozen, in the right place, plain about what is missing; sampling and pooling of their maps."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from teacher_models import check, even, misplaced, ramp

import xkd
from xkd import XkdError
from xkd.pool import pool, sample
from xkd.teachers import open_teacher

REAL = xkd.ROOT.parent / "shared" / "data"


pytestmark = pytest.mark.usefixtures("one_thread")


# ---- sample and pool


def test_sample_by_hand():
    features = torch.tensor([[[0.0, 1.0, 2.0, 3.0]]])  # 1 x 4 cells over 2 x 8 pixels: centres at 0.5, 2.5, 4.5, 6.5
    pixel = torch.tensor([[0.5, 0.5], [0.0, 2.5], [1.0, 3.5], [0.5, 2.0], [0.5, 0.0], [0.5, 7.0]])
    expected = [0.0, 1.0, 1.5, 0.75, 0.0, 3.0]
    assert sample(features, pixel, (2, 8))[:, 0].tolist() == pytest.approx(expected)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 9), st.integers(2, 9), st.integers(20, 90), st.integers(20, 90), st.integers(0, 10**6))
def test_a_ramp_is_sampled_exactly_inside(h, w, height, width, seed):
    size = torch.tensor([height, width])
    pixel = torch.rand(40, 2, generator=torch.Generator().manual_seed(seed)) * (size - 1)
    where = (pixel + 0.5) / size
    half = torch.tensor([0.5 / h, 0.5 / w])
    inside = where.clamp(half, 1 - half)  # beyond the outer cell centres a map is constant
    assert torch.allclose(sample(ramp(h, w), pixel, (height, width)), inside, atol=1e-5)


def test_sample_picks_each_pixel_s_own_map_and_agrees_with_torch():
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(3, 5, 6, 7, generator=generator)
    pixel, camera = torch.randint(0, 40, (50, 2), generator=generator), torch.randint(0, 3, (50,), generator=generator)
    full = F.interpolate(maps, size=(40, 40), mode="bilinear")
    assert torch.allclose(sample(maps, pixel, (40, 40), camera), full[camera, :, pixel[:, 0], pixel[:, 1]], atol=1e-5)
    assert sample(maps.half(), pixel, (40, 40), camera).dtype == torch.float32
    with pytest.raises(XkdError, match="3 feature maps"):
        sample(maps, pixel, (40, 40))


def test_pool_by_hand():
    # Four pixels over two cells of values 0 and 8: the pixels see 0, 2, 6, 8, a quarter of a cell off each centre.
    features = torch.tensor([[[0.0, 8.0]], [[1.0, 1.0]]])
    three = torch.tensor([[0, 0, 0, 1]])  # a superpixel of three pixels: (0 + 2 + 6) / 3
    assert torch.allclose(pool(features, three), torch.tensor([[8 / 3, 1], [8, 1]]))


def test_pool_is_the_mean_of_the_upsampled_map():
    generator = torch.Generator().manual_seed(1)
    features, segments = torch.randn(6, 5, 9, generator=generator), torch.randint(0, 11, (23, 31), generator=generator)
    full = F.interpolate(features[None], size=(23, 31), mode="bilinear")[0]
    expected = torch.stack([full[:, segments == k].mean(1) for k in range(11)])
    assert torch.allclose(pool(features, segments.numpy().astype(np.int32)), expected, atol=1e-5)
    whole = pool(full, segments)  # a map as large as the image, summed as it is
    assert torch.allclose(whole, expected, atol=1e-5)
    many = torch.randn(19, 23, 31, generator=generator)  # in eights, and three that are left
    blocks = torch.arange(23)[:, None] // 6 * 4 + torch.arange(31) // 8
    means = torch.stack([many[:, blocks == k].double().mean(1) for k in range(16)])
    assert torch.allclose(pool(many, blocks).double(), means, atol=1e-6)
    with pytest.raises(XkdError, match="superpixel 3 of 0..11"):
        pool(features, torch.where(segments == 3, 11, segments))


# ---- the contract


def test_untrained_control_keeps_the_contract():
    teacher = open_teacher({"name": "random", "seed": 3})
    check(teacher)
    assert teacher(torch.zeros(1, 3, 180, 320)).shape == (1, 64, 45, 80)
    cameras = [SimpleNamespace(path=name, image=lambda: np.full((20, 24, 3), 255, np.uint8)) for name in "ab"]
    assert torch.equal(teacher.dense(cameras), teacher(torch.ones(2, 3, 20, 24)))
    assert torch.equal(teacher.dense(cameras, torch.zeros(2, 3, 20, 24)), teacher(torch.zeros(2, 3, 20, 24)))


def test_mini_features_lie_where_the_pixels_are():
    teacher = even(open_teacher({"name": "random", "seed": 1}))
    with torch.no_grad():
        assert misplaced(teacher, teacher.network.features).abs().max() < 0.1
        # Mirrored images give mirrored maps: true only when the cells are centred on the pixels that they cover.
        images = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
        seen, mirrored = teacher.network.features(images), teacher.network.features(images.flip(2, 3))
    assert torch.allclose(mirrored, seen.flip(2, 3), atol=1e-4)


@pytest.mark.parametrize("size", [(64, 96), (45, 75)])
def test_mini_features_are_those_of_both_mirror_images(size):
    teacher = open_teacher({"name": "random", "seed": 1})
    images = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        seen, mirrored = teacher.network.features(images), teacher.network.features(images.flip(3)).flip(3)
    expected = (seen + mirrored) / 2
    assert (seen - mirrored).abs().max() > 0.1 * expected.abs().max()
    # Products in bfloat16 keep three digits.
    torch.testing.assert_close(teacher(images), expected, rtol=0, atol=0.02 * float(expected.abs().max()))


def test_parameters_are_checked_by_name():
    for params, words in (
        ({"name": "nobody"}, "'nobody' is not known"),
        ({}, "None is not known"),
        ({"name": "random", "sede": 1}, "no parameter 'sede'"),
        ({"name": "mini"}, "needs the parameter 'path'"),
        ({"name": "mini", "path": "no/such/folder"}, "network.json: no such file"),
    ):
        with pytest.raises(XkdError, match=words):
            open_teacher(params)
