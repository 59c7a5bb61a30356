"""KITTI raw: poses from GPS packets at each sensor's own time, worked out on paper and by the development kit's formula."""

import datetime
import math
import shutil

import numpy as np
from complaints import complains
from layout_kitti_raw import (
    CAMERA,
    DATE,
    DRIVE,
    EARTH,
    OXTS,
    POINTS,
    SCAN,
    SECOND,
    degrees,
    layout,
    moved,
    packet,
    timestamps,
)
from PIL import Image
from test_frames import REAL, real

import xkd
from xkd.datasets import open_dataset, reader
from xkd.geometry import invert, project


def test_frames_splits_and_what_there_is_not(raw):
    data = open_dataset("kitti_raw", raw)
    assert data.scenes == [DRIVE] * 3 + [SECOND] * 3 and data.camera_names == ["image_02", "image_03"]
    assert data[1].id == f"{DRIVE}/0000000001" and {f.split for f in data} == {"train"}
    assert [f.index for f in data.neighbours(1, 1)] == [0, 2] and [f.index for f in data.neighbours(-1, 1)] == [4]
    frame = data[1]
    np.testing.assert_array_equal(frame.points, POINTS[:, :3])
    np.testing.assert_array_equal(frame.attributes["intensity"], POINTS[:, 3])
    assert frame.labels is None and frame.instances is None
    assert data.classes == list(reader("semantickitti").facts()["classes"]) and data.colours.shape == (19, 3)
    assert open_dataset("kitti_raw", raw, "train").scenes == data.scenes
    points, attributes = reader("kitti_raw").scan_file(raw / DATE / SCAN)
    assert points.tolist() == frame.points.tolist() and set(attributes) == {"intensity"}


def test_held_drives_are_the_split_val(raw):
    assert open_dataset("kitti_raw", raw, "val", val=[SECOND]).scenes == [SECOND] * 3
    assert open_dataset("kitti_raw", raw, "train", val="*_0002_*").scenes == [DRIVE] * 3
    both = open_dataset("kitti_raw", raw, val=["*_0002_*"])
    assert [f.split for f in both] == ["train"] * 3 + ["val"] * 3


def test_pixels_on_paper_with_the_ego_motion(raw):
    """A metre in a tenth of a second: image_02, a hundredth after the scan, is 0.1 m further on. (10, 1, 0.5) is (9.9, 1, 0.5) from there:

    (-1, -0.5, 9.9) + (0.1, -0.2, -0.3) = (-0.9, -0.7, 9.6), rectified (0.7, -0.9, 9.6); P_rect_02 gives u = 70 + 768 + 20,
    v = -90 + 432 + 10, w = 9.6 + 0.5.
    """
    camera = open_dataset("kitti_raw", raw)[1].cameras[0]
    pixels, depth, seen = project(POINTS[:, :3], camera)
    np.testing.assert_allclose(pixels[0], [352 / 10.1, 858 / 10.1], atol=1e-6)
    np.testing.assert_allclose(depth[0], 10.1, atol=1e-6)
    assert seen.tolist() == [True, True, False] and camera.size == (90, 160) and camera.model == "pinhole"
    assert camera.image().shape == (90, 160, 3)


def test_every_sensor_has_the_pose_of_its_own_time(raw):
    """The IMU is where packet i is plus what it drove since; the velodyne (1, 0, 1) from there. Frame 0 is between two packets, the last
    is after the last packet."""
    data = open_dataset("kitti_raw", raw)
    for i in range(3):
        frame = data[i]
        np.testing.assert_allclose(frame.T_world_lidar, moved(i + 0.2 + 1, 0, 1), atol=1e-7)
        left, right = frame.cameras
        np.testing.assert_allclose(left.T_world_rig, moved(i + 0.3 + 1, 0, 1), atol=1e-7)
        np.testing.assert_allclose(right.T_world_rig, moved(i + 0.5 + 1, 0, 1), atol=1e-7)
        start = int(datetime.datetime(2011, 9, 26, 13, 2, 25, tzinfo=datetime.UTC).timestamp()) * 1_000_000
        assert frame.timestamp == start + 100_000 * i + 20_000 and left.timestamp == frame.timestamp + 10_000


def test_orientations_turn_evenly(raw):
    """From yaw 0 to 90 degrees in a tenth of a second: 18 at the scan's fifth of it; 27 at the image's three tenths."""
    (raw / DATE / OXTS).write_text(packet(longitude=8.5, yaw=math.pi / 2))
    frame = open_dataset("kitti_raw", raw)[0]
    for T, angle in ((frame.T_world_lidar, 18), (frame.cameras[0].T_world_rig, 27)):
        c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        np.testing.assert_allclose(T[:3, :3], [[c, -s, 0], [s, c, 0], [0, 0, 1]], atol=1e-9)


def test_poses_by_the_development_kits_formula(raw):
    """At the packets' own times: Rz(yaw) Ry(pitch) Rx(roll) and Mercator at the first latitude's scale, seen from the first packet."""
    rng, poses, scale = np.random.default_rng(0), [], None
    for i in range(3):
        latitude, longitude = 49 + rng.normal() / 1e4, 8.4 + rng.normal() / 1e4
        altitude, roll, pitch, yaw = 110 + rng.normal(), *rng.normal(size=3)
        path = raw / DATE / DRIVE / "oxts" / "data" / f"{i:010d}.txt"
        path.write_text(packet(*map(float, (latitude, longitude, altitude, roll, pitch, yaw))))
        scale = scale or math.cos(math.radians(latitude))
        cr, sr, cp, sp, cy, sy = (f(a) for a in (roll, pitch, yaw) for f in (math.cos, math.sin))
        Rx = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
        Ry = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
        Rz = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
        T = np.eye(4)
        T[:3, :3] = Rz @ Ry @ Rx
        mx = scale * longitude * math.pi * EARTH / 180
        my = scale * EARTH * math.log(math.tan((90 + latitude) * math.pi / 360))
        T[:3, 3] = [mx, my, altitude]
        poses.append(T)
    (raw / DATE / DRIVE / "velodyne_points" / "timestamps.txt").write_text(timestamps("oxts", 3))
    data = open_dataset("kitti_raw", raw)
    for i, T in enumerate(poses):
        expected = np.linalg.inv(poses[0]) @ T @ moved(1, 0, 1)
        np.testing.assert_allclose(data[i].T_world_lidar, expected, atol=1e-6)


def test_a_metre_north_at_sixty_degrees(raw):
    """Mercator's map stretches both ways alike, and the scale of the first latitude (cos 60 = 1/2) undoes it there."""
    for i in range(3):
        path = raw / DATE / DRIVE / "oxts" / "data" / f"{i:010d}.txt"
        path.write_text(packet(latitude=60 + degrees(i), longitude=8.5 + 2 * degrees(i)))
    data = open_dataset("kitti_raw", raw)
    one, two = data[0].T_world_lidar, data[1].T_world_lidar
    np.testing.assert_allclose((two - one)[:3, 3], [1, 1, 0], atol=1e-5)


def test_a_drive_without_oxts_has_no_ego_motion_and_says_so(raw):
    shutil.rmtree(raw / DATE / DRIVE / "oxts")
    (raw / DATE / DRIVE / "image_02" / "timestamps.txt").unlink()
    data = open_dataset("kitti_raw", raw)
    frame = data[1]
    np.testing.assert_array_equal(frame.T_world_lidar, np.eye(4))
    left, right = frame.cameras
    assert left.timestamp is None and right.timestamp == frame.timestamp + 30_000
    np.testing.assert_allclose(left.T_cam_lidar, invert(left.T_rig_cam), atol=1e-12)
    assert data.neighbours(1, 0) == []
    with complains(DRIVE, "no oxts", "scan 0000000001", "teacher.reach: 0"):
        data.neighbours(1, 1)
    assert [f.index for f in data.neighbours(4, 1)] == [3, 5]  # the other drive has poses


def test_numbers_match_where_a_scan_was_lost(raw):
    """As in the published drive 0009: no scan, and an empty line in its place."""
    (raw / DATE / SCAN).unlink()
    path = raw / DATE / DRIVE / "velodyne_points" / "timestamps.txt"
    lines = path.read_text().split("\n")
    path.write_text("\n".join([lines[0], "", *lines[2:]]))
    data = open_dataset("kitti_raw", raw)
    assert [f.id[-1] for f in data[:2]] == ["0", "2"]
    assert data[1].cameras[0].path.name == "0000000002.png"
    np.testing.assert_allclose(data[1].T_world_lidar, moved(3.2, 0, 1), atol=1e-7)


def test_cameras_are_an_option(raw):
    assert open_dataset("kitti_raw", raw, cameras=["image_03"]).camera_names == ["image_03"]
    with complains("no drive has images of image_00"):
        open_dataset("kitti_raw", raw, cameras=["image_00", "image_02"])
    with complains("'image_04'", "image_00, image_01, image_02, image_03"):
        open_dataset("kitti_raw", raw, cameras="image_04")
    shutil.copytree(raw / DATE / DRIVE / "image_02", raw / DATE / DRIVE / "image_00")
    (raw / DATE / "calib_cam_to_cam.txt").write_text(
        CAMERA + "S_rect_00: 160 90\nP_rect_00: 100 0 80 20 0 100 45 10 0 0 1 0.5\n"
    )
    data = open_dataset("kitti_raw", raw, cameras="image_00")
    assert [c.name for c in data[0].cameras] == ["image_00"] and data[3].cameras == []


def test_distillation_needs_no_label(tmp_path):
    """prepare, teacher and distill on two drives, one of which is held; fine-tuning says that there is nothing to score."""
    from xkd import distill, finetune, params
    from xkd.extract import extract
    from xkd.prepare import prepare
    from xkd.prepared import Prepared
    from xkd.teachers import open_teacher

    rng = np.random.default_rng(0)
    points = np.column_stack([rng.uniform(4, 20, 500), *rng.uniform(-3, 3, (2, 500)), rng.random(500)])
    picture = Image.fromarray(rng.integers(0, 255, (90, 160, 3), np.uint8))
    layout(tmp_path / "raw", points=points.astype("<f4"), image=picture)
    sections = params.profile("smoke")
    data = sections["data"] | {"kind": "kitti_raw", "root": str(tmp_path / "raw"), "unlabelled": []}
    data |= {"options": {"val": [SECOND]}}
    rows = prepare(data, sections["prepare"], tmp_path / "prepared")
    assert [(row["split"], row["frames"], row["labelled"]) for row in rows] == [("train", 3, False), ("val", 3, False)]
    extract(open_teacher({"name": "random"}), data, tmp_path / "prepared", sections["teacher"], tmp_path / "teacher")
    folders = tmp_path / "prepared", tmp_path / "teacher", tmp_path / "init", tmp_path / "aligned.json"
    losses = distill.distill(data, sections["student"], sections["distill"], 0, *folders, "test-kitti-raw")
    assert np.isfinite(losses).all() and len(xkd.load(tmp_path / "init").config["classes"]) == 19
    with complains("val", "no labels to evaluate on"):
        finetune.check_labelled(Prepared(tmp_path / "prepared", "val"))


@real
def test_real_drive_is_p_rect_r_rect_tr():
    """13.8 % of the points lie in image_02, which is 1242 x 375; the copy has neither oxts nor timestamps nor a second camera."""
    data = open_dataset("kitti_raw", REAL / "kitti_raw")
    assert len(data) == 8 and data.camera_names == ["image_02"] and len(set(data.scenes)) == 1
    lines = {}
    for name in ("calib_cam_to_cam.txt", "calib_velo_to_cam.txt"):
        text = (REAL / "kitti_raw" / DATE / name).read_text()
        lines |= dict(line.split(":", 1) for line in text.splitlines())
    P, R, Rv, T = (np.array(lines[k].split(), float) for k in ("P_rect_02", "R_rect_00", "R", "T"))
    shares = []
    for frame in data:
        (camera,) = frame.cameras
        cloud = frame.points @ Rv.reshape(3, 3).T + T
        u, v, w = P.reshape(3, 4) @ np.vstack([R.reshape(3, 3) @ cloud.T, np.ones(len(cloud))])
        pixels, depth, seen = project(frame.points, camera)
        np.testing.assert_allclose(depth, w, atol=1e-6)
        assert np.abs(pixels[seen] - np.column_stack([v, u])[seen] / w[seen, None]).max() < 0.01
        shares.append(seen.mean())
        assert frame.labels is None and frame.timestamp is None and camera.timestamp is None
    assert round(np.mean(shares), 3) == 0.138
    assert data[7].cameras[0].image().shape == (375, 1242, 3)
    ground = frame.points[(frame.points[:, 0] > 4) & (frame.points[:, 0] < 6) & (np.abs(frame.points[:, 1]) < 1)]
    assert -1.9 < np.median(ground[:, 2]) < -1.5  # the velodyne is 1.73 m above the road
    with complains("no oxts", "scan 0000000003"):
        data.neighbours(3, 1)
