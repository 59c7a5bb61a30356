"""Compiled entry points that sort primitives into tiles of an image or sectors of a turn, and cast shadows."""

import math
import zlib
from pathlib import Path

import numpy as np
from numba import njit

from xkd.sim import ground, raycast
from xkd.sim.raycast import cast

TILE_X, TILE_Y = 16, 12  # pixels
SECTORS = 180  # of a turn, for the LiDAR's candidate lists

entry = njit(nogil=True, error_model="numpy", cache=True)


def version(*files):
    """A checksum of the kernels' sources, to be a closure variable of every entry point.

    Numba keeps one cache a file and does not notice that an imported kernel has changed; closures are part
    of the cache's key.
    """
    return zlib.crc32(b"".join(Path(file).read_bytes() for file in files))


def _kernels(version):
    @entry
    def camera_tiles(corners, centre, radius, R, origin, f, cx, cy, width, height):
        """Candidate primitives of every tile, nearest first: (ids, start (tiles + 1,), near (P,))."""
        version  # noqa: B018
        count = corners.shape[0]
        near = np.empty(count)
        box = np.empty((count, 4), np.int64)
        tx, ty = (width + TILE_X - 1) // TILE_X, (height + TILE_Y - 1) // TILE_Y
        local = np.empty((8, 3))
        for p in range(count):
            gap = 0.0
            for k in range(3):
                gap += (centre[p, k] - origin[k]) ** 2
            near[p] = max(math.sqrt(gap) - radius[p], 0.0)
            left, right, top, bottom = 1e9, -1e9, 1e9, -1e9
            for c in range(8):
                x, y, z = corners[p, c, 0] - origin[0], corners[p, c, 1] - origin[1], corners[p, c, 2] - origin[2]
                for k in range(3):
                    local[c, k] = R[0, k] * x + R[1, k] * y + R[2, k] * z
            for c in range(8):
                for bit in range(-1, 3):
                    # bit -1: the corner itself; else the edge to the corner that differs in this bit, cut at the near
                    # plane
                    x, y, z = local[c, 0], local[c, 1], local[c, 2]
                    if bit >= 0:
                        e = c ^ (1 << bit)
                        if z >= 0.05 or local[e, 2] < 0.05:
                            continue
                        w = (0.05 - z) / (local[e, 2] - z)
                        x, y, z = x + w * (local[e, 0] - x), y + w * (local[e, 1] - y), 0.05
                    elif z < 0.05:
                        continue
                    u, v = f * x / z + cx, f * y / z + cy
                    left, right, top, bottom = min(left, u), max(right, u), min(top, v), max(bottom, v)
            if right < -1.0 or left > width or bottom < -1.0 or top > height or left > right:
                box[p, 0], box[p, 1], box[p, 2], box[p, 3] = 0, -1, 0, -1
            else:
                box[p, 0] = int(max(left - 1.0, 0.0)) // TILE_X
                box[p, 1] = min(int(min(right + 1.0, width - 1.0)) // TILE_X, tx - 1)
                box[p, 2] = int(max(top - 1.0, 0.0)) // TILE_Y
                box[p, 3] = min(int(min(bottom + 1.0, height - 1.0)) // TILE_Y, ty - 1)
        start = np.zeros(tx * ty + 1, np.int64)
        for p in range(count):
            for j in range(box[p, 2], box[p, 3] + 1):
                for i in range(box[p, 0], box[p, 1] + 1):
                    start[j * tx + i + 1] += 1
        for n in range(tx * ty):
            start[n + 1] += start[n]
        ids = np.empty(start[-1], np.int64)
        fill = start.copy()
        for p in np.argsort(near):
            for j in range(box[p, 2], box[p, 3] + 1):
                for i in range(box[p, 0], box[p, 1] + 1):
                    ids[fill[j * tx + i]] = p
                    fill[j * tx + i] += 1
        return ids, start, near

    @entry
    def sectors(origin, corners, centre, near, order, reach):
        """Candidate primitives of every sector of a turn, nearest first: (ids, start (SECTORS + 1,))."""
        version  # noqa: B018
        count = corners.shape[0]
        # Each primitive's interval of sectors: its corners' angles about that of its centre, everything if the origin
        # is within.
        sector = np.empty((count, 2), np.int64)
        for p in range(count):
            middle = math.atan2(centre[p, 1] - origin[1], centre[p, 0] - origin[0])
            low, high, least = 0.0, 0.0, 1e9
            for c in range(8):
                x, y = corners[p, c, 0] - origin[0], corners[p, c, 1] - origin[1]
                least = min(least, x * x + y * y)
                turned = math.atan2(y, x) - middle
                turned -= 2.0 * math.pi * math.floor(turned / (2.0 * math.pi) + 0.5)
                low, high = min(low, turned), max(high, turned)
            if near[p] > reach:
                sector[p, 0], sector[p, 1] = 0, -1
            elif high - low > math.pi * 0.98:
                sector[p, 0], sector[p, 1] = 0, SECTORS - 1
            else:
                sector[p, 0] = int(math.floor((middle + low - 1e-6) / (2.0 * math.pi) * SECTORS))
                sector[p, 1] = int(math.floor((middle + high + 1e-6) / (2.0 * math.pi) * SECTORS))
        start = np.zeros(SECTORS + 1, np.int64)
        for p in range(count):
            for s in range(sector[p, 0], sector[p, 1] + 1):
                start[s % SECTORS + 1] += 1
        for s in range(SECTORS):
            start[s + 1] += start[s]
        ids = np.empty(start[-1], np.int64)
        fill = start.copy()
        for p in order:
            for s in range(sector[p, 0], sector[p, 1] + 1):
                ids[fill[s % SECTORS]] = p
                fill[s % SECTORS] += 1
        return ids, start

    @entry
    def shadows(lit, x0, y0, step, sun, dark, which, corners, solids):
        """Lower `lit` (rows, columns) to `dark` where a primitive of `which` stands between the ground and the sun;
        leaves have holes.
        """
        version  # noqa: B018
        rows, columns = lit.shape
        one, everywhere = np.zeros(1, np.int64), np.zeros(corners.shape[0])
        for p in which:
            left, right, low, high = 1e9, -1e9, 1e9, -1e9
            for c in range(8):
                x = corners[p, c, 0] - sun[0] / sun[2] * corners[p, c, 2]
                y = corners[p, c, 1] - sun[1] / sun[2] * corners[p, c, 2]
                left, right, low, high = min(left, x), max(right, x), min(low, y), max(high, y)
            one[0] = p
            for i in range(max(int((left - x0) / step), 0), min(int((right - x0) / step) + 2, rows)):
                for j in range(max(int((low - y0) / step), 0), min(int((high - y0) / step) + 2, columns)):
                    if lit[i, j] > dark:
                        x, y = x0 + i * step, y0 + j * step
                        t, hit = cast(x, y, 0.05, sun[0], sun[1], sun[2], one, 0, 1, everywhere, solids, 1e6)
                        if hit >= 0:
                            lit[i, j] = dark

    return camera_tiles, sectors, shadows


camera_tiles, sectors, shadows = _kernels(version(ground.__file__, raycast.__file__, __file__))
