"""Compiled entry points that draw an image and turn the LiDAR once."""

import math

import numpy as np

from xkd.sim import ground, materials, raycast, tiles
from xkd.sim.ground import ground_at, hashed, hit_ground, noise
from xkd.sim.materials import CABIN, FACADE, GRASS, LEAF, LINE, appearance, surface
from xkd.sim.raycast import cast, normal_at
from xkd.sim.tiles import SECTORS, TILE_X, TILE_Y, entry

SKY = 255


def _kernels(version):
    @entry
    def draw(size, f, cx, cy, R, origin, tiles, solids, looks, ground, strips, shadow, light, seed):
        """One image: (rgb uint8 (H, W, 3), label uint8, depth float32 along the optical axis). `light` is
        sensors.Light's tuple.
        """
        version  # noqa: B018
        height, width = size
        ids, start, near = tiles
        inverse, half, texture = solids[0], solids[5], solids[6]
        material, colour, label = looks
        s_material, s_colour, s_label, s_seed = strips
        shade, cover, shade_x, shade_y, shade_step = shadow
        sun, warm, ambient, haze, sky, gains, contrast, grain, scale, mean = light
        rgb = np.empty((height, width, 3), np.uint8)
        labels = np.empty((height, width), np.uint8)
        depths = np.empty((height, width), np.float32)
        tx = (width + TILE_X - 1) // TILE_X
        ox, oy, oz = origin[0], origin[1], origin[2]
        far = 400.0
        for row in range(height):
            for column in range(width):
                a, b = (column - cx) / f, (row - cy) / f
                norm = 1.0 / math.sqrt(a * a + b * b + 1.0)
                dx = (R[0, 0] * a + R[0, 1] * b + R[0, 2]) * norm
                dy = (R[1, 0] * a + R[1, 1] * b + R[1, 2]) * norm
                dz = (R[2, 0] * a + R[2, 1] * b + R[2, 2]) * norm
                tile = (row // TILE_Y) * tx + column // TILE_X
                floor = hit_ground(ox, oy, oz, dx, dy, dz, ground, far)
                t, p = cast(ox, oy, oz, dx, dy, dz, ids, start[tile], start[tile + 1], near, solids, floor)
                up = min(max(dz, 0.0) * 2.2, 1.0)
                cloud = noise(dx * 3.0 / (abs(dz) + 0.25), dy * 3.0 / (abs(dz) + 0.25), 77)
                s0 = sky[0, 0] + up * (sky[1, 0] - sky[0, 0]) + 0.12 * (cloud - 0.5)
                s1 = sky[0, 1] + up * (sky[1, 1] - sky[0, 1]) + 0.12 * (cloud - 0.5)
                s2 = sky[0, 2] + up * (sky[1, 2] - sky[0, 2]) + 0.12 * (cloud - 0.5)
                if t >= far:
                    labels[row, column], depths[row, column] = SKY, np.inf
                    r, g, bl = s0, s1, s2
                else:
                    x, y, z = ox + t * dx, oy + t * dy, oz + t * dz
                    depths[row, column] = t * norm
                    foot = t * norm / f * scale
                    glass = 0.0
                    if p < 0:
                        _, k, d = ground_at(x, y, ground)
                        labels[row, column] = s_label[k]
                        slant = foot / max(-dz, 0.08)
                        m = s_material[k]
                        grow = 1.0 if LINE <= m <= LINE + 2 else scale
                        r, g, bl = surface(m, x * grow, d * grow, s_colour[k, 0], s_colour[k, 1], s_seed[k], slant)
                        nx, ny, nz = 0.0, 0.0, 1.0
                        lit, roof = 1.0, 1.0
                        i, j = (x - shade_x) / shade_step, (y - shade_y) / shade_step
                        if 0.0 < i < shade.shape[0] - 1.0 and 0.0 < j < shade.shape[1] - 1.0:
                            fi, fj = int(i), int(j)
                            i, j = i - fi, j - fj
                            lit = (shade[fi, fj] * (1 - i) + shade[fi + 1, fj] * i) * (1 - j)
                            lit += (shade[fi, fj + 1] * (1 - i) + shade[fi + 1, fj + 1] * i) * j
                            roof = (cover[fi, fj] * (1 - i) + cover[fi + 1, fj] * i) * (1 - j)
                            roof += (cover[fi, fj + 1] * (1 - i) + cover[fi + 1, fj + 1] * i) * j
                    else:
                        labels[row, column] = label[p]
                        q = inverse[p]
                        lx = q[0, 0] * x + q[0, 1] * y + q[0, 2] * z + q[0, 3]
                        ly = q[1, 0] * x + q[1, 1] * y + q[1, 2] * z + q[1, 3]
                        lz = q[2, 0] * x + q[2, 1] * y + q[2, 2] * z + q[2, 3]
                        nx, ny, nz, axis = normal_at(p, lx, ly, lz, solids)
                        h = half[p]
                        r, g, bl, glass = appearance(
                            material[p],
                            lx * h[0],
                            ly * h[1],
                            lz * h[2],
                            h,
                            axis,
                            colour[p, 0],
                            colour[p, 1],
                            texture[p],
                            foot,
                        )
                        lit, roof = 1.0, 1.0
                    if nx * dx + ny * dy + nz * dz > 0.0:
                        nx, ny, nz = -nx, -ny, -nz
                    direct = max(nx * sun[0] + ny * sun[1] + nz * sun[2], 0.0) * lit
                    open_sky = ambient * (0.62 + 0.38 * nz) * roof
                    r *= direct * warm[0] + open_sky * (0.6 + 0.4 * sky[1, 0])
                    g *= direct * warm[1] + open_sky * (0.6 + 0.4 * sky[1, 1])
                    bl *= direct * warm[2] + open_sky * (0.6 + 0.4 * sky[1, 2])
                    if glass > 0.0:
                        facing = abs(nx * dx + ny * dy + nz * dz)
                        mirror = (
                            glass
                            * (0.12 + 0.7 * (1.0 - facing) ** 3)
                            * (0.5 + 0.5 * noise(x * 0.3 + z, y * 0.3 + z, 5))
                        )
                        r, g, bl = r + mirror * sky[0, 0], g + mirror * sky[0, 1], bl + mirror * sky[0, 2]
                    air = t * t / (t * t + haze * haze)
                    r, g, bl = r + air * (sky[0, 0] - r), g + air * (sky[0, 1] - g), bl + air * (sky[0, 2] - bl)
                grey = 0.35 * r + 0.5 * g + 0.15 * bl
                for k in range(3):
                    value = r if k == 0 else (g if k == 1 else bl)
                    value = max((grey + contrast * (value - grey)) * gains[k], 0.0)
                    value = math.sqrt(value / (1.0 + 0.25 * value))
                    h = hashed(column * 3 + k, row, seed) + hashed(column * 3 + k, row, seed + 1) - 1.0
                    value = (value - mean) * gains[3] + mean + grain * h
                    rgb[row, column, k] = np.uint8(min(max(value * 255.0 + 0.5, 0.0), 255.0))
        return rgb, labels, depths

    @entry
    def turn(rotation, origin, azimuth, elevation, bins, solids, looks, ground, strips, answer, reach, spread, seed):
        """One LiDAR turn from `origin`: flat arrays (beams * steps) of range (0 = no return), intensity, label and
        primitive (-1).
        """
        version  # noqa: B018
        near, reflect, returns = answer
        inverse, half, texture = solids[0], solids[5], solids[6]
        material, _, label = looks
        s_material, _, s_label, s_seed = strips
        ids, start = bins
        beams, steps = elevation.shape[0], azimuth.shape[0]
        ranges, intensities = np.zeros(beams * steps), np.zeros(beams * steps)
        labels, hits = np.zeros(beams * steps, np.uint8), np.full(beams * steps, -1, np.int64)
        ox, oy, oz = origin[0], origin[1], origin[2]
        for k in range(steps):
            for e in range(beams):
                n = e * steps + k
                x, y, z = elevation[e, 0] * azimuth[k, 0], elevation[e, 0] * azimuth[k, 1], elevation[e, 1]
                dx = rotation[0, 0] * x + rotation[0, 1] * y + rotation[0, 2] * z
                dy = rotation[1, 0] * x + rotation[1, 1] * y + rotation[1, 2] * z
                dz = rotation[2, 0] * x + rotation[2, 1] * y + rotation[2, 2] * z
                s = int(math.floor(math.atan2(dy, dx) / (2.0 * math.pi) * SECTORS)) % SECTORS
                floor = hit_ground(ox, oy, oz, dx, dy, dz, ground, reach)
                t, p = cast(ox, oy, oz, dx, dy, dz, ids, start[s], start[s + 1], near, solids, floor)
                if t >= reach or t < 1.2:
                    continue
                px, py, pz = ox + t * dx, oy + t * dy, oz + t * dz
                extra = 0.0
                if p < 0:
                    _, strip, _ = ground_at(px, py, ground)
                    m, facing, tag, gain = s_material[strip], -dz, s_label[strip], s_seed[strip]
                    worn = noise(px * 0.3, py * 0.3, s_seed[strip])
                    if m == GRASS:
                        # Between the blades: some pulses go deeper than others.
                        extra = min(0.03 / facing, 0.3) * (hashed(n, 13, seed) - 0.5)
                else:
                    q = inverse[p]
                    lx = q[0, 0] * px + q[0, 1] * py + q[0, 2] * pz + q[0, 3]
                    ly = q[1, 0] * px + q[1, 1] * py + q[1, 2] * pz + q[1, 3]
                    lz = q[2, 0] * px + q[2, 1] * py + q[2, 2] * pz + q[2, 3]
                    nx, ny, nz, axis = normal_at(p, lx, ly, lz, solids)
                    facing = abs(nx * dx + ny * dy + nz * dz)
                    m, tag, gain = material[p], label[p], texture[p]
                    worn = hashed(texture[p], 11, 3)
                    if m == LEAF:
                        extra = 0.25 * hashed(n, 3, seed) * hashed(n, 4, seed)
                        facing = 0.4 + 0.6 * hashed(n, 5, seed)
                    elif m == FACADE or m == CABIN:
                        h = half[p]
                        glass = appearance(
                            m, lx * h[0], ly * h[1], lz * h[2], h, axis, spread, spread, texture[p], 0.02
                        )[3]
                        if glass > 0.5:
                            if hashed(n, 6, seed) < 0.55:
                                continue
                            extra = 0.12 / max(facing, 0.3) if m == FACADE else 0.5 * hashed(n, 7, seed)
                keep = returns[m] * (1.0 - 0.75 * (1.0 - facing) ** 6) * (1.0 - 0.45 * (t / reach) ** 2)
                if hashed(n, 1, seed) > keep:
                    continue
                error = hashed(n, 8, seed) + hashed(n, 9, seed) + hashed(n, 10, seed) - 1.5
                ranges[n] = t + extra + spread[0] * 2.0 * error
                bright = reflect[m] * (0.65 + 0.7 * hashed(gain, 12, 9)) * (0.8 + 0.4 * worn) * (0.35 + 0.65 * facing)
                bright *= spread[1] * (1.0 - 0.35 * t / reach) * (0.8 + 0.4 * hashed(n, 2, seed))
                intensities[n] = min(max(bright, 0.0), 1.0)
                labels[n], hits[n] = tag, p
        return ranges, intensities, labels, hits

    return draw, turn


draw, turn = _kernels(tiles.version(ground.__file__, raycast.__file__, materials.__file__, tiles.__file__, __file__))
