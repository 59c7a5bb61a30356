"""A folder of one's own against numbers worked out on paper."""

import cloud_files
import numpy as np
import own_files
import pytest
from own_files import HALF, camera, say

import xkd
from xkd import layout
from xkd.datasets import open_dataset
from xkd.datasets.frame import facts
from xkd.geometry import project, transform


@pytest.fixture
def own(tmp_path):
    return own_files.folder(tmp_path / "own")


def test_points_and_attributes_are_in_the_contracts_axes(own):
    """On disk x right, y forward: (1, 10, 0.25) is (10, -1, 0.25) here; 51 of 255 is 0.2."""
    data = open_dataset("folder", own)
    frame = data[0]
    np.testing.assert_array_equal(frame.points, [[10, -1, 0.25], [8, 2, -1], [-6, 0, 0.5]])
    assert frame.points.dtype == np.float32
    np.testing.assert_allclose(frame.attributes["intensity"], [0, 0.2, 1], rtol=1e-6)
    assert frame.attributes["ring"].tolist() == [3, 0, 300]
    assert frame.labels.tolist() == [0, 1, -1] and frame.labels.dtype == np.int64
    assert frame.instances.tolist() == [7, 0, 0]
    assert data.classes == ["road", "car"] and data.colours[0].tolist() == [255, 0, 255]
    assert [f.id for f in data] == ["own/8", "own/9", "own/10"] and [f.timestamp for f in data] == [1e6, 1.1e6, 1.2e6]
    assert data.scenes == ["own"] * 3 and data.camera_names == ["front"]
    assert [f.cameras[0].image()[0, 0, 0] for f in data] == [8, 9, 10]


def test_pixels_include_the_ego_motion(own):
    """(1, 10, 0.25) on disk is 1 m nearer when the image is taken: (1, 9, 0.25), in the camera (1.1, -0.45, 8.7)."""
    frame = open_dataset("folder", own)[0]
    (front,) = frame.cameras
    pixels, depth, seen = project(frame.points, front)
    np.testing.assert_allclose(pixels[0], [45 - 45 / 8.7, 80 + 110 / 8.7], atol=1e-9)
    np.testing.assert_allclose(depth[0], 8.7, atol=1e-9)
    assert seen.tolist() == [True, True, False] and front.size == (90, 160)
    assert (frame.timestamp, front.timestamp) == (1_000_000, 1_050_000)
    np.testing.assert_allclose(transform(frame.T_world_lidar, frame.points[:1]), [[6, 10, 0.25]], atol=1e-9)


def test_the_last_image_goes_on_with_the_motion_before_it(own):
    """1.25 s is half a step beyond the last pose: 1 m further."""
    frame = open_dataset("folder", own)[2]
    np.testing.assert_allclose(project(frame.points, frame.cameras[0])[1][0], 8.7, atol=1e-9)


@pytest.mark.parametrize("without", ["poses", "image times", "scan times"])
def test_without_times_or_poses_there_is_no_motion(own, without):
    if without == "poses":
        say(own, poses=None)
    elif without == "image times":
        say(own, cameras={"front": camera(timestamps=None)})
    else:
        say(own, scans={"timestamps": None})
    data = open_dataset("folder", own)
    frame = data[0]
    np.testing.assert_allclose(project(frame.points, frame.cameras[0])[1][0], 9.7, atol=1e-9)
    assert [f.index for f in data.neighbours(1, 1)] == ([] if without == "poses" else [0, 2])


R = [row[:3] for row in own_files.T_CAMERA_LIDAR[:3]]
FORMS = {
    "rows of 3 x 4": {"T_camera_lidar": own_files.T_CAMERA_LIDAR[:3]},
    "a line of a calibration file": {"T_camera_lidar": "1 0 0 0.1 0 0 -1 -0.2 0 1 0 -0.3"},
    "sixteen numbers": {"T_camera_lidar": np.ravel(own_files.T_CAMERA_LIDAR).tolist()},
    "a quaternion": {"T_camera_lidar": {"translation": [0.1, -0.2, -0.3], "quaternion": [HALF, HALF, 0, 0]}},
    "a rotation": {"T_camera_lidar": {"translation": [0.1, -0.2, -0.3], "rotation": R}},
    # The inverse: R^T and -R^T t = -(0.1, -0.3, 0.2).
    "the other way": {"T_lidar_camera": [[1, 0, 0, -0.1], [0, 0, 1, 0.3], [0, -1, 0, -0.2]]},
    "the other way, turned": {"T_lidar_camera": {"translation": [-0.1, 0.3, -0.2], "quaternion": [HALF, -HALF, 0, 0]}},
}


@pytest.mark.parametrize("form", FORMS)
def test_an_extrinsic_is_written_in_many_ways(own, form):
    say(own, cameras={"front": camera(**{"T_camera_lidar": None} | FORMS[form])})
    frame = open_dataset("folder", own)[0]
    np.testing.assert_allclose(project(frame.points, frame.cameras[0])[1][0], 8.7, atol=1e-9)


def test_K_and_distortion_are_the_cameras(own):
    K = [[100, 0, 80], [0, 100, 45], [0, 0, 1]]
    bare = {"fx": None, "fy": None, "cx": None, "cy": None}
    for text in (K, "100 0 80 0 100 45 0 0 1"):
        lens = {"K": text, "model": "opencv", "distortion": [0.1, 0, 0, 0, 0]}
        say(own, cameras={"front": camera(**bare | lens)})
        (front,) = open_dataset("folder", own)[0].cameras
        assert front.K.tolist() == K and front.model == "opencv" and front.distortion == (0.1, 0, 0, 0, 0)
    say(own, cameras={"front": camera(model="fisheye", distortion="0.1, 0, 0, 0", width=160, height=90)})
    (front,) = open_dataset("folder", own)[0].cameras
    assert front.model == "fisheye" and front.distortion == (0.1, 0, 0, 0) and front.size == (90, 160)


def test_poses_of_another_body(own):
    """The poses are those of a body from whose place the LiDAR is (1, 0, 2), its axes turned: body x forward is the LiDAR's y."""
    T_body_lidar = [[0, 1, 0, 1], [-1, 0, 0, 0], [0, 0, 1, 2], [0, 0, 0, 1]]
    say(own, poses={"T_body_lidar": T_body_lidar})
    frame = open_dataset("folder", own)[0]
    np.testing.assert_allclose(transform(frame.T_world_lidar, [[10, -1, 0.25]]), [[5 + 11, -1, 2.25]], atol=1e-9)
    say(own, poses={"T_lidar_body": np.linalg.inv(T_body_lidar).tolist()})
    np.testing.assert_allclose(open_dataset("folder", own)[0].T_world_lidar, frame.T_world_lidar, atol=1e-12)


def test_poses_with_times_are_taken_between(own):
    """Poses every 0.2 s, 90 degrees to the left and 2 m: the scan at 1.1 s is half way, at (5, 1, 0) and 45 degrees."""
    (own / "poses.txt").write_text(own_files.tum(step=0.2, turn=np.pi / 2))
    frame = open_dataset("folder", own)[1]
    at = transform(frame.T_world_lidar, [[0, 0, 0], [np.sqrt(2), 0, 0]])
    np.testing.assert_allclose(at, [[5, 1, 0], [5 - 1, 2, 0]], atol=1e-6)


def test_poses_with_times_for_scans_without(own):
    """Line i is of scan i and gives it its time."""
    (own / "poses.txt").write_text(own_files.tum())
    say(own, scans={"timestamps": None})
    data = open_dataset("folder", own)
    assert [f.timestamp for f in data] == [1_000_000, 1_100_000, 1_200_000]
    np.testing.assert_allclose(project(data[1].points, data[1].cameras[0])[1][0], 8.7, atol=1e-9)


def test_lines_that_files_number(own):
    """Scans 8, 9 and 10 of a drive with eleven poses and times."""
    (own / "poses.txt").write_text("".join(f"1 0 0 0 0 1 0 {k} 0 0 1 0\n" for k in range(11)))
    (own / "lidar.txt").write_text("".join(f"{100 * k}\n" for k in range(11)))
    say(own, poses={"match": "stem"}, scans={"timestamps": {"from": "lidar.txt", "unit": "ms", "match": "stem"}})
    data = open_dataset("folder", own)
    assert [f.timestamp for f in data] == [800_000, 900_000, 1_000_000]
    assert [f.T_world_lidar[1, 3] for f in data] == [8, 9, 10]


def test_images_by_order_and_by_time(own):
    """Times in names: image 1090 is nearest to the scan at 1100, and to no other within 0.02 s."""
    for name, new in zip(own_files.STEMS, ("1009", "1090", "1219"), strict=True):
        (own / "front" / f"{name}.png").rename(own / "front" / f"a{new}.png")
    stem = {"from": "stem", "unit": "ms"}
    say(own, cameras={"front": camera(match="order", timestamps=stem)})
    assert [f.cameras[0].timestamp for f in open_dataset("folder", own)] == [1_009_000, 1_090_000, 1_219_000]
    say(own, cameras={"front": camera(match="time", timestamps=stem, within=0.015, missing="allowed")})
    data = open_dataset("folder", own)
    assert [[c.timestamp for c in f.cameras] for f in data] == [[1_009_000], [1_090_000], []]
    assert data.camera_names == ["front"]


def test_a_frame_without_one_image_or_labels_opens_if_that_is_allowed(own):
    (own / "front" / "9.png").unlink()
    (own / "labels" / "10.label").unlink()
    front = {k: v for k, v in own_files.CAMERA.items() if k != "timestamps"} | {"missing": "allowed"}
    say(own, cameras={"front": front}, labels={"missing": "allowed"})
    data = open_dataset("folder", own)
    assert [len(f.cameras) for f in data] == [1, 0, 1]
    assert [f.labels is None for f in data] == [False, False, True]


def test_lost_returns_go_with_their_labels(own):
    """An organised cloud of 2 x 2 whose second return is NaN and whose last is zero."""
    table = cloud_files.rows("<")[[0, 1, 2, 2]]
    table["x"][1], table["Intensity"][1] = np.nan, 9
    for name in "xyz":
        table[name][3] = 0
    (own / "lidar" / "8.pcd").write_bytes(cloud_files.pcd("binary_compressed", table, height=2))
    np.array([40, 99, 10, 0], np.uint32).tofile(own / "labels" / "8.label")
    frame = open_dataset("folder", own)[0]
    assert frame.points[:, 0].tolist() == [10, -6, 0] and frame.labels.tolist() == [0, 1, -1]
    say(own, scans={"drop_zeros": True})
    frame = open_dataset("folder", own)[0]
    assert frame.points[:, 0].tolist() == [10, -6] and frame.labels.tolist() == [0, 1]
    assert frame.attributes["ring"].tolist() == [3, 300] and frame.instances.tolist() == [0, 0]
    points, attributes = xkd.datasets.reader("folder").scan_file(own / "lidar" / "8.pcd")
    np.testing.assert_array_equal(points, [[10, -1, 0.25], [0, 0, 0], [-6, 0, 0.5], [0, 0, 0]])
    np.testing.assert_array_equal(attributes["intensity"], [0, 0, 1, 0])


def test_labels_in_other_places(own):
    """A field of the scan: ring 3 is road, 0 is ignored, 300 is a car; then .npy files, whose ids may be -1."""
    say(own, labels={"files": None, "field": "Ring"}, classes={"road": {"ids": [3]}, "car": {"ids": [300]}})
    frame = open_dataset("folder", own)[0]
    assert frame.labels.tolist() == [0, -1, 1] and frame.instances is None
    for name in own_files.STEMS:
        np.save(own / "labels" / f"{name}.npy", np.array([1, -1, 0], np.int8))
    say(own, labels={"files": "labels/*.npy"}, classes={"road": {"ids": [0]}, "car": {"ids": [1]}}, ignored=[-1])
    assert open_dataset("folder", own)[0].labels.tolist() == [1, -1, 0]


def test_times_of_points(own):
    """Nanoseconds after the frame, or absolute: 1.05 s is 50 ms after the frame's 1 s."""
    kinds = [("x", "f4"), ("y", "f4"), ("z", "f4"), ("t", "u4")]
    table = np.zeros(3, [(name, "<" + kind) for name, kind in kinds])
    for name, values in zip("xyz", cloud_files.XYZ.T, strict=True):
        table[name] = values
    for start, times in ((0, {}), (1_000_000_000, {"point_time": {"unit": "ns", "from": "epoch"}})):
        table["t"] = [start, start + 50_000_000, start + 100_000_000]
        (own / "lidar" / "8.pcd").write_bytes(cloud_files.pcd("binary", table))
        say(own, scans=times)
        frame = open_dataset("folder", own)[0]
        np.testing.assert_allclose(frame.attributes["time"], [0, 0.05, 0.1], atol=1e-6)
        assert "intensity" not in frame.attributes


def test_fields_of_other_names(own):
    """A field of times and one of intensities that are called as LAS and CloudCompare call them."""
    kinds = [("x", "f4"), ("y", "f4"), ("z", "f4"), ("gps_time", "f8"), ("scalar_Intensity", "f4")]
    table = np.zeros(3, [(name, "<" + kind) for name, kind in kinds])
    for name, values in zip("xyz", cloud_files.XYZ.T, strict=True):
        table[name] = values
    table["gps_time"], table["scalar_Intensity"] = [0, 0.05, 0.1], [0, 51, 255]
    (own / "lidar" / "8.pcd").write_bytes(cloud_files.pcd("binary", table))
    assert not {"time", "intensity"} & set(open_dataset("folder", own)[0].attributes)
    say(own, scans={"point_time": {"field": "gps_time"}, "intensity": "scalar_Intensity", "intensity_max": 255})
    frame = open_dataset("folder", own)[0]
    np.testing.assert_allclose(frame.attributes["time"], [0, 0.05, 0.1], atol=1e-6)
    np.testing.assert_allclose(frame.attributes["intensity"], [0, 0.2, 1], atol=1e-6)
    say(own, scans={"intensity": "reflectance"})
    said = r"8.pcd: has no field reflectance for its intensity; its fields are x, y, z, gps_time"
    with pytest.raises(xkd.XkdError, match=said):
        assert open_dataset("folder", own)[0].points


def test_one_long_drive_is_cut_into_scenes(own):
    say(own, scene_frames=2, splits={"train": "own-000", "val": "own-001"})
    assert open_dataset("folder", own).scenes == ["own-000", "own-000", "own-001"]
    frame = open_dataset("folder", own, "val")[0]
    assert frame.id == "own-001/10" and frame.T_world_lidar[1, 3] == 4


def test_the_page_about_it_has_a_whole_example_and_every_key(tmp_path):
    page = (xkd.ROOT / "docs" / "own-data.md").read_text()
    (tmp_path / "xkd.yaml").write_text(page.partition("```yaml\n")[2].partition("```")[0])
    about = layout.read_layout(tmp_path / "xkd.yaml")
    colours, raw = layout.classes(tmp_path / "xkd.yaml", about)
    assert colours == {"road": [128, 64, 128], "person": facts("folder")["colours"][1]}
    assert raw == {0: -1, 1: -1, 40: 0, 60: 0, 30: 1, 254: 1}
    (front,) = layout.cameras(tmp_path / "xkd.yaml", about["cameras"], tmp_path).values()
    np.testing.assert_allclose(front["T_camera_lidar"][:3] @ [10, 1, 0.5, 1], [-0.97, -0.9, 9.91])
    keys, waiting = set(), [facts("folder")["layout"], facts("folder")["camera"]]
    while waiting:
        section = waiting.pop()
        keys |= set(section) - {"*"}
        waiting += [rules for rules in section.values() if isinstance(rules, dict)]
    assert not {key for key in keys if key not in page}
