"""The simulated world: hits computed by hand, agreement between its sensors, and that every class is there."""

import numpy as np
import pytest

from xkd.errors import XkdError
from xkd.sim import ground, raycast, sensors, world
from xkd.sim.builder import Builder
from xkd.sim.layout import Layout
from xkd.sim.taxonomy import INDEX, TAXONOMY

NUSCENES = [
    "movable_object.barrier",
    "vehicle.bicycle",
    "vehicle.bus",
    "vehicle.car",
    "vehicle.construction",
    "vehicle.motorcycle",
    "human.pedestrian",
    "movable_object.trafficcone",
    "vehicle.trailer",
    "vehicle.truck",
    "flat.driveable_surface",
    "flat.other",
    "flat.sidewalk",
    "flat.terrain",
    "static.manmade",
    "static.vegetation",
]


@pytest.fixture(scope="module")
def street():
    return world.street(3, "smoke")


@pytest.mark.parametrize(
    ("kind", "taper", "origin", "direction", "expected"),
    [
        (raycast.BOX, (0, 0), (-5, 0.5, 0.5), (1, 0, 0), (4, 6)),
        (raycast.BOX, (0, 0), (-5, 1.5, 0), (1, 0, 0), None),
        (raycast.BOX, (0, 0), (0, 0, 9), (0, 0, -1), (8, 10)),
        (raycast.BALL, (0, 0), (-5, 0, 0), (1, 0, 0), (4, 6)),
        (raycast.BALL, (0, 0), (-5, 0.6, 0), (1, 0, 0), (4.2, 5.8)),
        (raycast.BALL, (0, 0), (-5, 1.01, 0), (1, 0, 0), None),
        (raycast.CONE, (0, 0), (-5, 0.6, 0.9), (1, 0, 0), (4.2, 5.8)),
        (raycast.CONE, (0, 0), (-5, 0, 1.1), (1, 0, 0), None),
        (raycast.CONE, (1, 0), (-5, 0, 0), (1, 0, 0), (4.5, 5.5)),
        (raycast.CONE, (1, 0), (0.25, 0, 5), (0, 0, -1), (4.5, 6)),
        (raycast.WEDGE, (1, 0), (-5, 0, 0), (1, 0, 0), (4.5, 5.5)),
        (raycast.WEDGE, (0, 1), (0, 0.75, 5), (0, 0, -1), (5.5, 6)),
        (raycast.WEDGE, (0, 1), (-5, 0.75, 0), (1, 0, 0), None),
    ],
)
def test_unit_shapes(kind, taper, origin, direction, expected):
    near, far = raycast.interval(kind, *map(float, taper), *map(float, origin), *map(float, direction))
    if expected is None:
        assert near > far
    else:
        np.testing.assert_allclose((near, far), expected, atol=1e-12)


def scene(fill):
    """A straight street without anything but what `fill(street)` puts there."""

    class Straight(Layout):
        def __init__(self, rng):
            super().__init__(rng)
            self.waves = ((0.0, 1.0, 0.0),)

    return world.Street(0, "default", layout=Straight, fill=fill)


def one_box(street):
    street.builder.place("car", 60.0, 2.0, 0.0, speed=4.0)
    street.builder.box((0, 0, 1.0), (2.0, 4.0, 2.0), "plaster", (0.5,) * 3)


def test_a_box_where_it_was_put_and_where_it_moves_to():
    """Box of 2 x 4 x 2 m at (60, 2, 0) that drives at 4 m/s: its rear face is at 59 m, half a second later at 61 m."""
    street = scene(one_box)
    for time, face in ((0.0, 59.0), (0.5, 61.0)):
        solids, _, _, _ = street.solids(time)
        t, hit = raycast.cast(50.0, 2.5, 1.0, 1.0, 0.0, 0.0, np.zeros(1, np.int64), 0, 1, np.zeros(1), solids, 100.0)
        assert hit == 0 and t == pytest.approx(face - 50.0, abs=1e-9)
    local = (-1.0, 0.125, 0.0)
    assert raycast.normal_at(0, *local, solids)[:3] == pytest.approx((-1.0, 0.0, 0.0), abs=1e-9)


def test_flat_road_and_kerb():
    """A ray 45 degrees down meets flat road 1.8 sqrt 2 m away; ground heights are those of the strips."""
    street = scene(one_box)
    x, d = 55.0, street.ego_d
    down = np.sqrt(0.5)
    t = ground.hit_ground(x, d, 1.8, down, 0.0, -down, street.ground, 100.0)
    assert t == pytest.approx(1.8 * np.sqrt(2), abs=0.005)
    what, height = street.layout.at(x + 1.8, d)
    assert height == 0.0 and what in ("road", "lane_marking")
    for y in np.linspace(-20, 20, 81):
        height, _, _ = ground.ground_at(x, y, street.ground)
        assert height == pytest.approx(street.layout.at(x, y)[1], abs=0.14)


def test_same_seed_same_bytes(street):
    again = world.street(3, "smoke")
    for rig in sensors.RIGS:
        (a, shots), (b, other) = sensors.capture(street, rig, 1, 5), sensors.capture(again, rig, 1, 5)
        if a is not None:
            for name, value in vars(a).items():
                np.testing.assert_array_equal(value, getattr(b, name))
        for one, two in zip(shots, other, strict=True):
            for name, value in vars(one).items():
                np.testing.assert_array_equal(value, getattr(two, name))


def test_streets_and_noise_differ(street):
    one, _ = sensors.capture(street, "nuscenes", 0, 5)
    two, _ = sensors.capture(street, "nuscenes", 0, 6)
    other, _ = sensors.capture(world.street(4, "smoke"), "nuscenes", 0, 5)
    np.testing.assert_array_equal(one.T_world_lidar, two.T_world_lidar)
    assert not np.array_equal(one.points[:100], two.points[:100])
    assert not np.array_equal(one.T_world_lidar, other.T_world_lidar)


@pytest.mark.parametrize("rig", ["kitti", "nuscenes"])
def test_camera_and_lidar_see_the_same_world(street, rig):
    """Points projected into each image: the exact depth there is the point's own, or that of something which hides it.

    Moving things are left out, for their place differs at the image's own time.
    """
    sweep, shots = sensors.capture(street, rig, 1, 0)
    still = np.array(["moving" not in entry["name"] and "cyclist" not in entry["name"] for entry in TAXONOMY])
    solid = still & ~np.isin(np.arange(len(TAXONOMY)), [INDEX["hedge"], INDEX["crown"], INDEX["trailer"]])
    for shot in shots:
        T = np.linalg.inv(shot.T_world_rig @ shot.T_rig_cam) @ sweep.T_world_lidar
        seen = (sweep.points @ T[:3, :3].T + T[:3, 3])[solid[sweep.label]]
        label = sweep.label[solid[sweep.label]]
        seen, label = seen[seen[:, 2] > 1.5], label[seen[:, 2] > 1.5]
        pixel = np.floor(seen @ shot.K.T / seen[:, 2:] + 0.5).astype(int)[:, :2]
        inside = ((pixel >= 0) & (pixel < shot.label.shape[::-1])).all(1)
        (u, v), depth, label = pixel[inside].T, seen[inside, 2], label[inside]
        assert len(depth) > 150
        gap = shot.depth[v, u] - depth
        # Half a pixel moves the meeting point with level ground, 1.5 m below, by depth^2 / (2 f 1.5).
        allowed = 0.12 + 0.02 * depth + depth**2 / (3 * shot.K[0, 0])
        close = np.abs(gap) < allowed
        assert close.mean() > 0.65
        assert (gap > allowed).mean() < 0.12
        assert (shot.label[v, u] == label)[close].mean() > 0.93


def test_every_nuscenes_class_occurs():
    counts = np.zeros(len(TAXONOMY), int)
    for seed in range(20, 28):
        smoke = world.street(seed, "smoke")
        for index in (0, 4):
            counts += np.bincount(sensors.scan(smoke, "nuscenes", index, 0).label, minlength=len(TAXONOMY))
    missing = [
        name
        for name in NUSCENES
        if not counts[[i for i, e in enumerate(TAXONOMY) if e["nuscenes"].startswith(name)]].sum()
    ]
    assert not missing


def test_records_are_whole(street):
    sweep, shots = sensors.capture(street, "nuscenes", 1, 0)
    n = len(sweep.points)
    assert sweep.points.shape == (n, 3) and sweep.points.dtype == np.float64 and np.isfinite(sweep.points).all()
    assert sweep.intensity.min() >= 0 and sweep.intensity.max() <= 1 and sweep.ring.max() < 16
    things = np.array([entry["thing"] for entry in TAXONOMY])
    np.testing.assert_array_equal(sweep.instance > 0, things[sweep.label])
    assert [shot.name for shot in shots] == [eye.name for eye in sensors.SURROUND]
    assert all(abs(shot.timestamp - sweep.timestamp) <= 50_000 for shot in shots)
    assert shots[0].image.shape == (90, 160, 3) and set(np.unique(shots[0].label)) <= {*range(len(TAXONOMY)), 255}
    assert sensors.capture(street, "corpus", 0, 0)[0] is None


def test_the_corpus_looks_ahead_and_around():
    streets = [world.street(seed, "smoke") for seed in range(6)]
    shots = [sensors.capture(street, "corpus", i, 0)[1][0] for street in streets for i in range(5)]
    ahead = [shot.T_rig_cam[0, 2] > 0.99 for shot in shots]  # the optical axis against the rig's x
    assert 4 <= sum(ahead) <= 18 and any(shot.T_rig_cam[0, 2] < -0.3 for shot in shots)
    assert len({shot.K[0, 0] for shot in shots}) == 6, "a street has one camera"


def test_full_turn_keeps_enough_points():
    assert all(len(sensors.scan(world.street(seed), "nuscenes", 0, 0).points) >= 12_000 for seed in range(40, 44))


def test_bad_arguments(street):
    with pytest.raises(XkdError, match="rig='car'"):
        sensors.capture(street, "car", 0, 0)
    with pytest.raises(XkdError, match="profile='tiny'"):
        world.street(0, "tiny")
    with pytest.raises(XkdError, match="seed=-1"):
        world.street(-1)


def test_builder_arrays_agree():
    builder = Builder(np.random.default_rng(0))
    builder.place("car", 1, 2, 0)
    builder.box((1, 0, 0), (2, 4, 6), "body", (0.1,) * 3)
    arrays = builder.arrays()
    np.testing.assert_allclose(arrays["matrix"][0], [[1, 0, 0, 1], [0, 2, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1]])
    assert arrays["instance"][0] == 1 and arrays["label"][0] == INDEX["car"]
