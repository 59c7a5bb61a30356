"""Superpixels that grow with what they show: small SLIC segments, of which the two alike neighbours join that it costs least.

Region merging after Haris et al., "Hybrid image segmentation using watersheds and fast region merging", IEEE TIP 7(12),
1998, with Ward's cost (JASA 58, 1963), on SLIC segments instead of watersheds: sky and road become a few large segments,
and what is small and stands out keeps one of its own.
"""

from xkd.pieces import merge, renumbered
from xkd.superpixels import colours, slic, totals

FINER, ITERATIONS, PLACE = 8, 3, 0.3
"""SLIC segments for each one that is left; the iterations that these small ones need; what distance counts between them, as a share of
what it counts in SLIC: without it a road and its sidewalk, whose colours are much alike, are one before two trees are."""


def segment(image, n, compactness=10.0):
    """(H, W, 3) uint8 RGB -> (H, W) int32 segment ids 0..n-1, each in use and 4-connected; fewer where SLIC finds fewer.

    `compactness` is that of SLIC. Deterministic, on one thread, without the GIL. Errors: those of SLIC.
    """
    return merged(colours(image), n, compactness)


def merged(planes, n, compactness=10.0):
    """`segment` of any planes (C, H, W) float32, C >= 3, in the place of colours."""
    pixels = planes[0].size
    small = slic(planes, max(n, min(FINER * n, pixels)), compactness, ITERATIONS)
    total = totals(planes, small, int(small.max()) + 1)
    return renumbered(small, merge(small, total, n, (PLACE * compactness) ** 2 * n / pixels))
