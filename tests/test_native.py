"""The inner loops on the CPU: against sums by hand, against spconv's own and torch's, and where there is no compiler."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from xkd import ROOT, native
from xkd.sparse import ConvAlgo, SparseConvolution, collate, ops, spconv

SIZE = 12
KINDS = {"same": (3, 1, 1, True, False), "down": (2, 2, 0, False, False), "up": (2, 2, 0, False, True)}


def pairs_of(kind, seed=0):
    """The pairs among some 500 cells: (pairs, count, input rows, output rows, kernel size, same, inverse)."""
    kernel, stride, padding, same, inverse = KINDS[kind]
    cells = np.unique(np.random.default_rng(seed).integers(0, SIZE, (600, 3)), axis=0)
    coordinates = torch.from_numpy(np.insert(cells, 0, 0, 1).astype(np.int32))
    options = ([kernel] * 3, [stride] * 3, [padding] * 3, [1] * 3, [0] * 3, same, False)
    coarse, pairs, count = ops.get_indice_pairs(coordinates, 1, [SIZE] * 3, ConvAlgo.Native, *options)
    rows = (len(coarse), len(coordinates)) if inverse else (len(coordinates), len(coarse))
    return pairs, count, *rows, kernel, same, inverse


def by_hand(x, weight, pairs, count, rows, inverse, same):
    """y[to] += x[from] w over every pair, one at a time, in float64."""
    w, k = weight.double().reshape(len(weight), -1, weight.shape[-1]), pairs.shape[1]
    y = x.double() @ w[:, k // 2].T if same else torch.zeros(rows, len(weight), dtype=torch.float64)
    for cell in range(k // 2 if same else k):
        for p in range(int(count[cell])):
            a, b = (int(pairs[int(inverse), cell, p]), int(pairs[1 - int(inverse), cell, p]))
            y[b] += w[:, cell] @ x[a].double()
            if same:
                y[a] += w[:, k - 1 - cell] @ x[b].double()
    return y


def drawn(sources, rows, kernel, channels, seed):
    """x (sources, I), weight (O, z, y, x, I), gradient (rows, O)."""
    generator, (inputs, outputs) = torch.Generator().manual_seed(seed), channels
    shapes = (sources, inputs), (outputs, kernel, kernel, kernel, inputs), (rows, outputs)
    return [torch.randn(shape, generator=generator) for shape in shapes]


@pytest.fixture(params=["native", "haswell", "x86-64"])
def processor(request, monkeypatch):
    """This processor, and with the registers of older ones that it can play: of 8 floats and of 4."""
    if request.param != "native":
        if request.param == "haswell" and " avx2 " not in Path("/proc/cpuinfo").read_text():
            pytest.skip("this processor has no AVX2")
        flags = [f"-march={request.param}" if flag == "-march=native" else flag for flag in native.FLAGS]
        monkeypatch.setattr(native, "FLAGS", tuple(flags))
        compiled = native._library.__wrapped__(native.SOURCE)
        monkeypatch.setattr(native, "library", lambda: compiled)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [(6, 16), (16, 24), (24, 48), (32, 32), (7, 13), (1, 1)])
def test_product_is_the_sum_over_pairs(kind, channels, processor):
    pairs, count, sources, rows, kernel, same, inverse = pairs_of(kind)
    x, weight, _ = drawn(sources, rows, kernel, channels, 1)
    y = native.product(x, weight, pairs, count, rows, inverse, same)
    assert torch.allclose(y.double(), by_hand(x, weight, pairs, count, rows, inverse, same), atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [(6, 16), (24, 48), (9, 13)])
def test_gradients_are_those_of_the_sum(kind, channels, processor):
    """The product is bilinear, so its gradients follow from products: <g, f(dx, w)> and <g, f(x, dw)> for any dx, dw."""
    pairs, count, sources, rows, kernel, same, inverse = pairs_of(kind)
    x, weight, g = drawn(sources, rows, kernel, channels, 2)
    dx, dw, _ = drawn(sources, rows, kernel, channels, 4)
    gx, gw = native.product_backward(x, weight, g, pairs, count, inverse, same)
    for gradient, change, moved in ((gx, dx, (dx, weight)), (gw, dw, (x, dw))):
        expected = (g * by_hand(*moved, pairs, count, rows, inverse, same)).sum()
        assert float((gradient.double() * change).sum()) == pytest.approx(float(expected), rel=1e-4, abs=1e-2)


def rounded(tensor):
    return tensor.bfloat16().float()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [(6, 8), (16, 24), (24, 48), (64, 32), (10, 16), (96, 104)])
def test_half_rounds_the_factors_and_nothing_else(kind, channels):
    """What comes out is what factors rounded beforehand give, where the processor has the instruction and where it has not."""
    pairs, count, sources, rows, kernel, same, inverse = pairs_of(kind)
    x, weight, g = drawn(sources, rows, kernel, channels, 3)
    given = (rounded(x), rounded(weight)) if native.rounds(*channels) else (x, weight)
    y = native.product(x, weight, pairs, count, rows, inverse, same, half=True)
    assert torch.allclose(y, native.product(*given, pairs, count, rows, inverse, same), atol=1e-4)
    given = (*given, rounded(g) if native.rounds(*channels) else g)
    _, dw = native.product_backward(x, weight, g, pairs, count, inverse, same, half=True)
    assert torch.allclose(dw, native.product_backward(*given, pairs, count, inverse, same)[1], atol=1e-3)
    turned = native.rounds(*channels[::-1])
    given = (x, rounded(weight), rounded(g)) if turned else (x, weight, g)
    dx, _ = native.product_backward(x, weight, g, pairs, count, inverse, same, half=True)
    assert torch.allclose(dx, native.product_backward(*given, pairs, count, inverse, same)[0], atol=1e-3)


def test_a_processor_with_the_instruction_uses_it():
    asked = [os.environ.get("CXX", "c++"), "-march=native", "-dM", "-E", "-x", "c++", os.devnull]
    macros = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    assert native.rounds(16, 24) == ("__AVX512BF16__" in macros and "__AVX512VL__" in macros)
    assert not native.rounds(7, 24) and not native.rounds(16, 13)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 1, 0)])
def test_words_are_what_torch_rounds_to(order):
    if not native.has_half():
        pytest.skip("the processor multiplies no bfloat16")
    bits = torch.randint(-(2**31), 2**31, (4, 6, 8), generator=torch.Generator().manual_seed(0)).int()
    bits[0, 0, :2] = torch.tensor([0x3F808000, 0x3F818000])  # halfway between two: to the even one
    w = bits.view(torch.float32).nan_to_num(2.0).permute(order)
    w = w if w.shape[1] % 2 == 0 else w[:, :-1]
    first, second = w[:, ::2].bfloat16(), w[:, 1::2].bfloat16()
    found = native.words(w).view(torch.bfloat16).unflatten(-1, (-1, 2))
    assert torch.equal(found[..., 0], first) and torch.equal(found[..., 1], second)


def test_half_takes_one_row_of_any_stride():
    pairs, count = torch.zeros(2, 1, 1, dtype=torch.int32), torch.ones(1, dtype=torch.int32)
    x, weight = torch.ones(1, 7)[:, :6], torch.ones(8, 1, 1, 1, 6)
    assert native.product(x, weight, pairs, count, 1, False, False, half=True).tolist() == [[6.0] * 8]


def test_half_keeps_what_is_no_number():
    pairs, count, sources, rows, kernel, same, inverse = pairs_of("same")
    x, weight = torch.zeros(sources, 8), torch.ones(8, kernel, kernel, kernel, 8)
    x[0, 0], x[1, 1] = torch.tensor([0x7FFFFFFF, 0x7F800000], dtype=torch.int32).view(torch.float32)
    y = native.product(x, weight, pairs, count, rows, inverse, same, half=True)
    assert y[0].isnan().all() and not y[1].isfinite().any()


def test_a_gradient_that_nobody_needs_is_not_made():
    pairs, count, sources, rows, kernel, same, inverse = pairs_of("same")
    weight = torch.ones(8, kernel, kernel, kernel, 6)
    dx, dw = native.product_backward(
        torch.ones(sources, 6), weight, torch.ones(rows, 8), pairs, count, inverse, same, needed=False
    )
    assert dx is None and dw.shape == weight.shape


def test_only_training_rounds(monkeypatch):
    asked = []
    own = native.product
    monkeypatch.setattr(native, "product", lambda *a, half: asked.append(half) or own(*a, half=half))
    points = np.random.default_rng(0).uniform(-5, 5, (300, 3)).astype(np.float32)
    voxels = collate([(points, np.zeros(300, np.float32))], 0.5, 1)
    layer = spconv.SubMConv3d(6, 8, 3, bias=False, algo=ConvAlgo.Native)
    given = spconv.SparseConvTensor(voxels.features, voxels.coordinates, voxels.shape, 1)
    layer(given)
    with torch.inference_mode():
        layer(given)
    assert asked == [True, False]


def test_spconv_calls_it_and_agrees_with_its_own():
    code = """
import sys, torch, spconv.cppconstants
spconv.cppconstants.CPU_ONLY_BUILD = True
from spconv.pytorch import ops
own, own_backward = ops.indice_conv, ops.indice_conv_backward
from xkd import native, sparse
from tests.test_native import KINDS, pairs_of
assert ops.indice_conv is not own and native.library() is not None
torch.manual_seed(0)
for kind in KINDS:
    pairs, count, sources, rows, k, same, inverse = pairs_of(kind)
    x, w, g = (t.bfloat16().float() for t in (torch.randn(sources, 16), torch.randn(24, k, k, k, 16), torch.randn(rows, 24)))
    assert torch.allclose(ops.indice_conv(x, w, pairs, count, rows, inverse, same), own(x, w, pairs, count, rows, inverse, same), atol=1e-4)
    needed = x.clone().requires_grad_()
    new = ops.indice_conv_backward(needed, w, g, pairs, count, inverse, same)
    old = own_backward(x, w, g, pairs, count, inverse, same)
    assert all(torch.allclose(a, b, atol=1e-2, rtol=1e-4) for a, b in zip(new, old)), kind
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("broken", ["source", "compiler"])
def test_without_a_compiler_spconv_does_it_and_says_so(monkeypatch, tmp_path, broken):
    source = tmp_path / "native.cpp"
    source.write_text("this is no C++" if broken == "source" else native.SOURCE.read_text())
    if broken == "compiler":
        monkeypatch.setenv("CXX", str(tmp_path / "none"))
    monkeypatch.setattr(native, "SOURCE", source)
    with pytest.warns(UserWarning, match="spconv's own, slower loops are used"):
        assert native.library() is None
    assert native.library() is None and list(tmp_path.rglob("*.so")) == []


def test_the_student_uses_it(monkeypatch):
    """spconv's modules ask for pairs in a way of their own; a change there must not lead around the compiled loops."""
    called = []
    for name in ("neighbours", "coarser", "product", "product_backward"):
        own = getattr(native, name)
        monkeypatch.setattr(native, name, lambda *a, name=name, own=own, **k: called.append(name) or own(*a, **k))
    points = np.random.default_rng(0).uniform(-5, 5, (300, 3)).astype(np.float32)
    voxels = collate([(points, np.zeros(300, np.float32))], 0.5, 2)
    options = {"bias": False, "algo": ConvAlgo.Native}
    network = spconv.SparseSequential(spconv.SubMConv3d(6, 8, 3, **options), spconv.SparseConv3d(8, 8, 2, 2, **options))
    assert all(isinstance(layer, SparseConvolution) for layer in network)
    network(spconv.SparseConvTensor(voxels.features, voxels.coordinates, voxels.shape, 1)).features.sum().backward()
    assert called == ["neighbours", "product", "coarser", "product", "product_backward", "product_backward"]


def listed(pairs, count):
    """{kernel cell: set of (from, to)} of spconv's list."""
    return [set(zip(*(side[k, : count[k]].tolist() for side in pairs), strict=True)) for k in range(pairs.shape[1])]


@pytest.mark.parametrize("kind", ["same", "down"])
@pytest.mark.parametrize("seed", range(3))
def test_pairs_are_those_of_spconv(kind, seed, monkeypatch):
    ours = pairs_of(kind, seed)
    monkeypatch.setattr(native, "library", lambda: None)
    theirs = pairs_of(kind, seed)
    if kind == "same":
        whole = [
            torch.cat([count[:13], torch.tensor([pairs.shape[2]]), count[:13].flip(0)])
            for pairs, count in (ours[:2], theirs[:2])
        ]
        assert listed(ours[0], whole[0]) == listed(theirs[0], whole[1])
    else:  # coarse cells come in another order, and each is named by its fine cells
        named = [
            {(k, a): b for k, rows in enumerate(listed(pairs, count)) for a, b in rows}
            for pairs, count in (ours[:2], theirs[:2])
        ]
        assert named[0].keys() == named[1].keys()
        assert len({(named[0][key], named[1][key]) for key in named[0]}) == ours[3] == theirs[3]
