"""The sensor rigs and what they record: one LiDAR turn and its images, each at its own time, of one street.

`nuscenes`: 32 beams 1.84 m above the ground and six cameras around; `kitti`: 64 beams and two forward cameras 0.54 m
apart, taken at the instant of the sweep; `corpus`: single images by cameras of other makes, heights, focal lengths, light
and texture statistics, a third of them ahead and the others in any direction, for the teacher.
"""

from dataclasses import dataclass

import numpy as np

from xkd.errors import XkdError
from xkd.sim.builder import pose, rotation
from xkd.sim.materials import REFLECTIVITY, RETURNS
from xkd.sim.records import Shot, Sweep

KEY_STEP = 0.5  # seconds between key frames
EPOCH = 1_533_000_000_000_000  # microseconds
SHADOW_AREA = (-10.0, -32.0, 1 / 3)  # metres: least x, least y, cell
OPTICAL = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])  # camera axes (x right, y down, z forward) -> rig axes


@dataclass(frozen=True)
class Eye:
    """One camera: place in the rig (metres), yaw and pitch (degrees, pitch down), horizontal field of view, time after
    the sweep (s).
    """

    name: str
    place: tuple
    yaw: float
    pitch: float
    fov: float
    delay: float = 0.0


@dataclass(frozen=True)
class Rig:
    lidar: tuple | None  # place in the rig, metres
    beams: tuple | None  # degrees of elevation, lowest first
    steps: int
    reach: float  # metres
    size: tuple  # image (height, width)
    eyes: tuple
    step: float = KEY_STEP


SURROUND = tuple(
    Eye(name, place, yaw, 0.5, fov, delay)
    for name, place, yaw, fov, delay in (
        ("CAM_FRONT", (1.70, 0.02, 1.51), 0.0, 66.0, 0.012),
        ("CAM_FRONT_RIGHT", (1.55, -0.49, 1.50), -55.0, 66.0, 0.020),
        ("CAM_BACK_RIGHT", (1.01, -0.48, 1.56), -110.0, 68.0, 0.028),
        ("CAM_BACK", (0.03, 0.00, 1.57), 180.0, 96.0, 0.038),
        ("CAM_BACK_LEFT", (1.04, 0.48, 1.59), 110.0, 68.0, -0.003),
        ("CAM_FRONT_LEFT", (1.52, 0.49, 1.51), 55.0, 66.0, 0.004),
    )
)
HDL64 = tuple(np.r_[np.linspace(-24.8, -8.83, 32), np.linspace(-8.33, 2.0, 32)])  # degrees; denser above
RIGS = {
    "nuscenes": Rig((0.94, 0.0, 1.84), tuple(np.linspace(-30.67, 10.67, 32)), 660, 70.0, (180, 320), SURROUND),
    "kitti": Rig(
        (0.0, 0.0, 1.73),
        HDL64,
        900,
        80.0,
        (125, 414),
        (Eye("image_2", (0.27, 0.06, 1.65), 0.0, 0.0, 81.0), Eye("image_3", (0.27, -0.48, 1.65), 0.0, 0.0, 81.0)),
    ),
    "corpus": Rig(None, None, 0, 0.0, (180, 320), (Eye("camera", (0.9, 0.1, 1.32), 0.0, 2.0, 54.0),), 0.9),
}


def _profiled(rig, profile):
    """The rig as this profile has it: smoke halves the images and the beams."""
    if profile == "default":
        return rig.size, rig.beams, rig.steps
    beams = None if rig.beams is None else rig.beams[:: 2 if len(rig.beams) == 32 else 4]
    return (rig.size[0] // 2, rig.size[1] // 2), beams, rig.steps // 2


def intrinsics(size, fov):
    """(3, 3) K of a pinhole camera with this horizontal field of view in degrees."""
    f = round(size[1] / 2 / np.tan(np.radians(fov) / 2), 6)
    return np.array([[f, 0, (size[1] - 1) / 2], [0, f, (size[0] - 1) / 2], [0, 0, 1]])


def weather(street, name, index, eye):
    """What the light and the camera do: the tuple that `render.draw` reads. Sun and sky belong to the street, exposure
    to the image.
    """
    rng = np.random.default_rng([104729, street.seed, name == "corpus"])
    frame = np.random.default_rng([1299709, street.seed, index, eye, name == "corpus"])
    other = name == "corpus"
    overcast = rng.random() < (0.5 if other else 0.35)
    azimuth, height = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(18, 65))
    sun = np.round([np.cos(azimuth) * np.cos(height), np.sin(azimuth) * np.cos(height), np.sin(height)], 9)
    strength = rng.uniform(0.15, 0.35) if overcast else rng.uniform(0.8, 1.2)
    low = (0.7 - height) * 0.35
    warm = strength * np.array([1.0 + low, 0.95, 0.88 - low])
    ambient = rng.uniform(0.75, 0.95) if overcast else rng.uniform(0.42, 0.62)
    horizon, zenith = ((0.72, 0.74, 0.77), (0.6, 0.63, 0.68)) if overcast else ((0.7, 0.78, 0.88), (0.2, 0.38, 0.75))
    sky = np.array([horizon, zenith]) * rng.uniform(0.85, 1.1)
    haze = rng.uniform(180, 500) if other else rng.uniform(220, 700)
    balance = rng.uniform(0.9, 1.1, 3) if not other else rng.uniform(0.82, 1.15, 3)
    # Auto-exposure answers the light of the day, not quite right, and differently at each image.
    exposure = rng.uniform(0.85, 1.15) * frame.uniform(0.85, 1.18) / (0.55 * strength + 0.75 * ambient)
    tone = (rng.uniform(0.8, 1.25) if other else rng.uniform(0.9, 1.1)) * frame.uniform(0.96, 1.04)
    gains = np.array([*(exposure * balance * frame.uniform(0.97, 1.03, 3)), tone])
    saturation = rng.uniform(0.65, 1.05) if other else rng.uniform(0.85, 1.15)
    grain = rng.uniform(0.02, 0.06) if other else rng.uniform(0.012, 0.03)
    scale = rng.uniform(0.65, 1.5) if other else 1.0
    return sun, warm, ambient, haze, sky, gains, saturation, grain, scale, 0.45


def shade(street, sun, corners, solids):
    """Maps of the ground: (sunlight (rows, columns), open sky (rows, columns), x0, y0, metres a cell).

    What stands still is done once for each sun and kept with the street; what moves is added for every image.
    """
    from xkd.sim.tiles import shadows

    x0, y0, step = SHADOW_AREA
    overhead = np.array([0.03, 0.02, 1.0])
    moves = street.moving[street.arrays["owner"]]
    kept = street.cache.get("shade")
    if kept is None or kept[0] != tuple(sun):
        lit, cover = np.ones((480, 192), np.float32), np.ones((480, 192), np.float32)
        still = np.flatnonzero(~moves)
        shadows(lit, x0, y0, step, sun, 0.05, still, corners, solids)
        shadows(cover, x0, y0, step, overhead, 0.45, still, corners, solids)
        kept = street.cache["shade"] = (tuple(sun), lit, cover)
    lit, cover = kept[1].copy(), kept[2].copy()
    shadows(lit, x0, y0, step, sun, 0.05, np.flatnonzero(moves), corners, solids)
    shadows(cover, x0, y0, step, overhead, 0.45, np.flatnonzero(moves), corners, solids)
    return lit, cover, x0, y0, step


def _looks(street):
    return street.arrays["material"], street.arrays["colour"], street.arrays["label"]


def shoot(street, name, index, eye_index, size, seed):
    """One image of `RIGS[name].eyes[eye_index]`, with exact labels and depths: a `Shot`."""
    from xkd.sim.render import draw
    from xkd.sim.tiles import camera_tiles

    rig, eye = RIGS[name], RIGS[name].eyes[eye_index]
    time = index * rig.step + eye.delay
    height, yaw, tilt, fov = eye.place[2], eye.yaw, eye.pitch, eye.fov
    if name == "corpus":
        rng = np.random.default_rng([15485863, street.seed])
        height, tilt, fov = height + rng.uniform(-0.15, 0.5), tilt + rng.uniform(-3, 3), fov + rng.uniform(-6, 40)
        rng = np.random.default_rng([32452867, street.seed, index])
        yaw = rng.uniform(-180, 180) if rng.random() < 2 / 3 else yaw
    T_world_rig = street.ego(time)
    place = (*eye.place[:2], round(height, 6))
    T_rig_cam = pose(np.round(rotation(np.radians(yaw), np.radians(tilt)) @ OPTICAL, 9), place)
    K = intrinsics(size, fov)
    T = np.round(T_world_rig @ T_rig_cam, 9)
    R, origin = np.ascontiguousarray(T[:3, :3]), np.ascontiguousarray(T[:3, 3])
    solids, corners, centre, radius = street.solids(time)
    ids, start, near = camera_tiles(corners, centre, radius, R, origin, K[0, 0], K[0, 2], K[1, 2], size[1], size[0])
    light = weather(street, name, index, eye_index)
    noise_seed = int(np.random.default_rng([seed, street.seed, index, eye_index]).integers(1 << 30))
    image, label, depth = draw(
        size,
        K[0, 0],
        K[0, 2],
        K[1, 2],
        R,
        origin,
        (ids, start, near),
        solids,
        _looks(street),
        street.ground,
        street.strips,
        shade(street, light[0], corners, solids),
        light,
        noise_seed,
    )
    stamp = EPOCH + street.seed * 1_000_000_000 + round(time * 1e6)
    return Shot(eye.name, image, label, depth, K, T_rig_cam, T_world_rig, stamp)


def scan(street, name, index, seed):
    """One turn of the rig's LiDAR at the key frame's instant: a `Sweep`.

    Range noise of 2 to 3 cm (standard deviation); drop-outs by material, incidence and range; intensity by material,
    incidence, range and gains of the street and of each object.
    """
    from xkd.sim.render import turn
    from xkd.sim.tiles import sectors

    rig = RIGS[name]
    _, beams, steps = _profiled(rig, street.profile)
    time = index * rig.step
    T_world_rig, T_rig_lidar = street.ego(time), pose(np.eye(3), rig.lidar)
    T = np.round(T_world_rig @ T_rig_lidar, 9)
    rng = np.random.default_rng([seed, street.seed, index, 99])
    character = np.random.default_rng([32452843, street.seed])
    spread = np.array([character.uniform(0.02, 0.03), character.uniform(0.8, 1.25), 0.0])
    angles = 2 * np.pi * (np.arange(steps) + rng.random()) / steps
    azimuth = np.round(np.stack([np.cos(angles), np.sin(angles)], 1), 9)
    slopes = np.radians(np.array(beams))
    elevation = np.round(np.stack([np.cos(slopes), np.sin(slopes)], 1), 9)
    solids, corners, centre, radius = street.solids(time)
    origin = np.ascontiguousarray(T[:3, 3])
    near = np.maximum(np.sqrt(((centre - origin) ** 2).sum(1)) - radius, 0)
    bins = sectors(origin, corners, centre, near, np.argsort(near, kind="stable"), rig.reach)
    rotated = np.ascontiguousarray(T[:3, :3])
    t, bright, label, hit = turn(
        rotated,
        origin,
        azimuth,
        elevation,
        bins,
        solids,
        _looks(street),
        street.ground,
        street.strips,
        (near, REFLECTIVITY, RETURNS),
        rig.reach,
        spread,
        int(rng.integers(1 << 30)),
    )
    kept = np.flatnonzero(t > 0)
    ring, step = kept // steps, kept % steps
    rays = np.concatenate([elevation[ring, :1] * azimuth[step], elevation[ring, 1:]], 1)
    instance = np.where(hit[kept] >= 0, street.arrays["instance"][hit[kept]], 0).astype(np.uint16)
    stamp = EPOCH + street.seed * 1_000_000_000 + round(time * 1e6)
    # Rounded so that the last bits of the arithmetic, which may differ between machines, do not show.
    points, bright = np.round(rays * t[kept, None], 3), np.round(bright[kept] * 255) / 255
    return Sweep(points, bright, ring.astype(np.uint8), label[kept], instance, T, T_world_rig, T_rig_lidar, stamp)


def capture(street, rig, index, seed):
    """Key frame `index` of a street -> (Sweep or None for the corpus rig, list of Shots). `seed` drives the sensors'
    noise alone.
    """
    if rig not in RIGS:
        raise XkdError(f"rig={rig!r} is not one of {', '.join(RIGS)}.")
    if index < 0:
        raise XkdError(f"key frame index={index} is negative.")
    size, _, _ = _profiled(RIGS[rig], street.profile)
    sweep = None if RIGS[rig].lidar is None else scan(street, rig, index, seed)
    return sweep, [shoot(street, rig, index, eye, size, seed) for eye in range(len(RIGS[rig].eyes))]
