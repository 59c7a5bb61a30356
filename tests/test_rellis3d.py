"""RELLIS-3D, the sequences and the example's one folder: axes, distortion and zero returns on paper and by OpenCV."""

import shutil

import numpy as np
import pytest
from complaints import complains
from layout_rellis3d import IMAGES, K1, K2, LABELS, P1, P2
from PIL import Image
from test_frames import REAL, real

from xkd.datasets import open_dataset, reader
from xkd.geometry import in_view, project


def test_published_facts():
    facts = reader("rellis3d").facts()
    assert len(facts["labels"]) == 20 and len(facts["classes"]) == 14 and facts["labels"][0] == ["void", None]
    assert {c for _, c in facts["labels"].values()} == set(facts["classes"]) | {None}
    names = [name for name, _ in facts["labels"].values()]
    assert sorted(names) == sorted([*facts["classes"], *facts["ignored"]])
    assert {name for name, c in facts["labels"].values() if c is None} == set(facts["ignored"])
    assert set(reader("rellis3d").splits()) == {"train", "val", "test"}


def test_zero_returns_are_dropped_with_their_labels(either):
    """grass is class 0, person 6, dirt is not of the LiDAR benchmark."""
    data = open_dataset("rellis3d", either[0])
    frame = data[0]
    np.testing.assert_array_equal(frame.points, [[10, -1, 0.5], [20, 2, -1], [-4, 0, 0]])
    assert frame.points.dtype == np.float32 and frame.attributes["intensity"].tolist() == [0.25, 1, 0]
    assert frame.labels.tolist() == [0, 6, -1] and frame.labels.dtype == np.int64 and frame.instances is None
    assert data.classes[0] == "grass" and data.classes[6] == "person" and data.colours[6].tolist() == [204, 153, 255]


def test_a_scan_file_keeps_them_so_that_predictions_fit_the_file(either):
    points, attributes = reader("rellis3d").scan_file(either[1]["scan"])
    assert len(points) == len(attributes["intensity"]) == 5 and points[0].tolist() == [10, -1, 0.5]


def test_pixels_on_paper(either):
    """(10, -1, 0.5), 1 m to the right, is (1, -0.6, 9.8) from the camera: the ray a = 1 / 9.8, b = -0.6 / 9.8, bent by Brown and Conrady:

    a (1 + k1 s + k2 s^2) + 2 p1 a b + p2 (s + 2 a^2), b (1 + k1 s + k2 s^2) + p1 (s + 2 b^2) + 2 p2 a b with s = a^2 + b^2.
    """
    data = open_dataset("rellis3d", either[0])
    (camera,) = data[0].cameras
    pixels, depth, seen = project(data[0].points, camera)
    a, b = 1 / 9.8, -0.6 / 9.8
    s = a * a + b * b
    bent = 1 + K1 * s + K2 * s * s
    u = 960 + 1000 * (a * bent + 2 * P1 * a * b + P2 * (s + 2 * a * a))
    v = 600 + 1100 * (b * bent + P1 * (s + 2 * b * b) + 2 * P2 * a * b)
    np.testing.assert_allclose(pixels[0], [v, u], atol=1e-5)
    np.testing.assert_allclose(depth[:2], [9.8, 19.8], atol=1e-6)
    assert seen.tolist() == [True, True, False] and camera.model == "opencv" and camera.size == (1200, 1920)
    assert camera.name == "pylon_camera_node" and camera.timestamp == 1_581_624_600_149_000
    assert camera.image().shape == (1200, 1920, 3) and data[0].timestamp is None
    assert len(in_view(data[0].points, camera)[0]) == 2


def test_scenes_are_stretches_of_one_split(rellis):
    data = open_dataset("rellis3d", rellis)
    assert data.scenes == ["00000-000000"] * 2 + ["00000-000002"] * 2 + ["00001-000000"] + ["00001-000001"] * 3
    assert [f.split for f in data] == ["train", "train", "val", "val", "test", None, None, None]
    assert data[2].id == "00000/000002" and [f.id for f in data.neighbours(2, 1)] == ["00000/000003"]
    val = open_dataset("rellis3d", rellis, "val")
    assert val.scenes == ["00000-000002"] * 2 and val.split == "val" and val[0].id == "00000/000002"
    assert open_dataset("rellis3d", rellis / "Rellis-3D", "test").scenes == ["00001-000000"]


def test_worlds_are_those_of_the_poses(rellis):
    """On disk the LiDAR is turned by half a turn in the world, in the contract's axes not at all."""
    frame = open_dataset("rellis3d", rellis)[3]
    expected = np.eye(4)
    expected[0, 3] = 6
    np.testing.assert_allclose(frame.T_world_lidar, expected, atol=1e-12)
    np.testing.assert_allclose(frame.cameras[0].T_world_rig, expected, atol=1e-12)


def test_without_poses_there_are_no_neighbours(rellis, example):
    (rellis / "Rellis-3D" / "00000" / "poses.txt").unlink()
    data = open_dataset("rellis3d", rellis)
    np.testing.assert_array_equal(data[1].T_world_lidar, np.eye(4))
    with complains("Rellis-3D/00000", "no poses.txt", "scan 000001", "teacher.reach: 0"):
        data.neighbours(1, 1)
    assert data.neighbours(1, 0) == [] and len(data.neighbours(-1, 1)) == 1
    assert open_dataset("rellis3d", example).neighbours(0, 1) == []


def test_what_is_not_there(rellis, example):
    (rellis / "Rellis-3D" / "pt_val.lst").unlink()
    data = open_dataset("rellis3d", rellis)
    assert [f.split for f in data][:4] == ["train", "train", None, None]
    with complains("rellis", "no pt_val.lst", "'val'"):
        open_dataset("rellis3d", rellis, "val")
    with complains("example", "no pt_train.lst"):
        open_dataset("rellis3d", example, "train")
    shutil.rmtree(rellis / "Rellis-3D" / "00001" / LABELS)
    shutil.rmtree(rellis / "Rellis-3D" / "00001" / IMAGES)
    data = open_dataset("rellis3d", rellis)
    assert data[4].labels is None and data[4].cameras == [] and len(data[0].cameras) == 1
    shutil.rmtree(rellis / "Rellis-3D" / "00001")
    assert len(open_dataset("rellis3d", rellis)) == 4
    with complains("no scan", "of split test"):
        open_dataset("rellis3d", rellis, "test")


def test_projection_is_opencvs(either):
    """At random points of the whole view, and with the camera turned."""
    cv2 = pytest.importorskip("cv2", reason="opencv is not installed")
    root, files = either
    rng = np.random.default_rng(0)
    q, t = np.array([0.49, -0.52, -0.5, 0.48]) + rng.normal(0, 0.01, 4), rng.normal(0, 0.2, 3)
    lines = [
        f"  q: {dict(zip('wxyz', map(float, q), strict=True))}",
        f"  t: {dict(zip('xyz', map(float, t), strict=True))}",
    ]
    files["transforms.yaml"].write_text("\n".join(["os1_cloud_node-pylon_camera_node:", *lines]))
    cloud = np.column_stack([-rng.uniform(1, 60, 5000), *rng.uniform(-20, 20, (2, 5000)), rng.random(5000)])
    cloud.astype("<f4").tofile(files["scan"])
    data = open_dataset("rellis3d", root)
    by_opencv(cv2, cloud.astype("<f4"), q, t, [1000, 1100, 960, 600], data[0], 500)


def by_opencv(cv2, cloud, q, t, intrinsics, frame, least):
    """The published chain: X_cam = inv([R(q) t]) X_lidar of the file's own points, then cv2.projectPoints."""
    from scipy.spatial.transform import Rotation

    T = np.eye(4)
    T[:3, :3], T[:3, 3] = Rotation.from_quat([*q[1:], q[0]]).as_matrix(), t
    T = np.linalg.inv(T)
    fx, fy, cx, cy = intrinsics
    K = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], float)
    theirs, _ = cv2.projectPoints(
        cloud[:, :3].astype(float), cv2.Rodrigues(T[:3, :3])[0], T[:3, 3], K, np.array([K1, K2, P1, P2, 0])
    )
    pixels, _, seen = project(frame.points, frame.cameras[0])
    assert seen.sum() > least
    assert np.abs(pixels[seen, ::-1] - theirs[seen, 0]).max() < 0.01


@real
def test_real_example():
    """40.7 % of 131,072 are zero returns, 5.8 % of all of them lie in the image; the front is where the camera looks."""
    data = open_dataset("rellis3d", REAL / "rellis3d_example")
    assert len(data) == 1 and data.camera_names == ["pylon_camera_node"]
    frame = data[0]
    (camera,) = frame.cameras
    assert len(frame.points) == len(frame.labels) == 131_072 - 53_364
    assert round(53_364 / 131_072, 3) == 0.407
    seen = project(frame.points, camera)[2]
    assert round(seen.sum() / 131_072, 3) == 0.058
    assert (frame.points[seen, 0] > 0.5).all() and camera.timestamp == 1_581_624_663_149_000
    assert set(np.unique(frame.labels)) == {-1, *(data.classes.index(c) for c in SEEN)}
    assert camera.image().shape == (1200, 1920, 3)
    puddles = frame.points[frame.labels == data.classes.index("puddle")]
    assert np.median(puddles[:, 2]) < -0.5 < 0.5 < np.median(puddles[:, 0])  # below, and in front as in the image


SEEN = ("grass", "tree", "person", "fence", "bush", "concrete", "puddle", "mud")


@real
def test_real_labels_and_pixel_labels_are_of_the_same_things():
    """The example has labels of pixels, too: of the points of a tree or a puddle, nine in ten fall on pixels of one; mirrored, few."""
    data = open_dataset("rellis3d", REAL / "rellis3d_example")
    frame = data[0]
    with Image.open(REAL / "rellis3d_example" / "frame000104-1581624663_149.png") as file:
        ids = np.array(file)
    index, pixel, _ = in_view(frame.points, frame.cameras[0])
    found, mirrored = ids[pixel[:, 0], pixel[:, 1]], ids[pixel[:, 0], 1919 - pixel[:, 1]]
    for raw, name in ((4, "tree"), (31, "puddle")):
        own = frame.labels[index] == data.classes.index(name)
        assert (found[own] == raw).mean() > 0.9 > 2 * (mirrored[own] == raw).mean()


@real
def test_real_pixels_are_opencvs():
    cv2 = pytest.importorskip("cv2", reason="opencv is not installed")
    root = REAL / "rellis3d_example"
    cloud = np.fromfile(root / "000104.bin", "<f4").reshape(-1, 4)
    cloud = cloud[(cloud[:, :3] != 0).any(axis=1)]
    q, t = [-0.50507811, 0.51206185, 0.49024953, -0.49228464], [-0.13165462, 0.03870398, -0.17253834]
    intrinsics = [2813.643275, 2808.326079, 969.285772, 624.049972]
    by_opencv(cv2, cloud, q, t, intrinsics, open_dataset("rellis3d", root)[0], 7000)
