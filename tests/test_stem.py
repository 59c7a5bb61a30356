"""The first convolution of a network as one product: what spconv makes of the same weights."""

import pytest
import torch

from xkd.backbones.spunet import Stem, neighbours
from xkd.sparse import ConvAlgo, spconv

GENERATOR = torch.Generator().manual_seed(0)


def dense(cells, shape):
    """Which row of `cells` a place of the whole grid holds, V where none, with a border as wide as any kernel here."""
    grid = torch.full([int(cells[:, 0].max()) + 1, *(extent + 6 for extent in shape)], len(cells))
    for row, (scan, a, b, c) in enumerate(cells.tolist()):
        grid[scan, a + 3, b + 3, c + 3] = row
    return grid


def drawn(count, shape, scans=2):
    """Cells of several scans, none twice, those at the grid's corners among them."""
    places = torch.randperm(scans * shape[0] * shape[1] * shape[2], generator=GENERATOR)[:count]
    corners = torch.tensor([0, scans * shape[0] * shape[1] * shape[2] - 1])
    places = torch.cat([corners, places[~torch.isin(places, corners)]])
    return torch.stack(torch.unravel_index(places, (scans, *shape)), 1).int()


@pytest.mark.parametrize("size", [(5, 5, 5), (3, 3, 3), (1, 3, 5), (7, 1, 1)])
@pytest.mark.parametrize("shape", [(6, 5, 4), (1, 9, 2), (2, 2, 2)])
def test_neighbours_are_those_of_the_whole_grid(size, shape):
    cells = drawn(12, shape)
    grid, found = dense(cells, shape), neighbours(cells, shape, size)
    for row, (scan, a, b, c) in enumerate(cells.tolist()):
        part = grid[scan, a + 3 - size[0] // 2 :, b + 3 - size[1] // 2 :, c + 3 - size[2] // 2 :]
        assert found[row].tolist() == part[: size[0], : size[1], : size[2]].flatten().tolist()


def test_one_cell_has_itself_alone():
    found = neighbours(torch.tensor([[3, 0, 0, 0]], dtype=torch.int32), (1, 1, 1), (5, 5, 5))
    assert found.shape == (1, 125) and found[0, 62] == 0 and (found == 0).sum() == 1


@pytest.mark.parametrize("shape", [(40, 30, 8), (1, 50, 50), (2, 2, 2)])
def test_one_product_is_spconvs_convolution_and_so_are_its_gradients(shape):
    cells = drawn(400, shape)
    features = torch.randn(len(cells), 4, generator=GENERATOR)
    stem = Stem(4, 8, 5, bias=False, indice_key="stem", algo=ConvAlgo.Native)
    tensor = spconv.SparseConvTensor(features, cells, list(shape), 2)
    with torch.inference_mode():  # where nothing is rounded
        expected = stem(tensor).features
    ours = stem.product(tensor)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)
    weight = torch.randn(ours.shape, generator=GENERATOR)
    stem.weight.grad = None
    (ours * weight).sum().backward()
    found = stem.weight.grad.clone()
    # The convolution is linear in its weight, so that a step along the gradient raises the sum by the gradient's square.
    with torch.no_grad():
        stem.weight += found
        raised = (stem(tensor).features * weight).sum() - (expected * weight).sum()
    assert raised.item() == pytest.approx(found.square().sum().item(), rel=1e-2)
