"""Views through the ego poses: computed on paper, then on made streets, where labels say whether an image shows what it should."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

import xkd
from xkd import XkdError, extract, gather
from xkd.datasets import Camera
from xkd.gathered import Gathered
from xkd.geometry import pair
from xkd.prepared import Prepared
from xkd.views import views

T_RIG_CAM = np.linalg.inv(np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]]))
K = np.array([[100, 0, 80], [0, 100, 45], [0, 0, 1.0]])
WALL = [[20, y, z] for y in np.arange(-3, 3.5, 0.5) for z in np.arange(-2, 2.5, 0.5)]


def frame(index, x, points):
    """A frame whose LiDAR and only camera look along the world's x from (x, 0, 0); points are given in the world."""
    T = np.eye(4)
    T[0, 3] = x
    camera = Camera("front", Path("front.png"), (90, 160), K, T_RIG_CAM, T, T)
    points = np.asarray(points, np.float32) - np.float32([x, 0, 0])
    return SimpleNamespace(id=str(index), index=index, points=points, cameras=[camera], T_world_lidar=T)


class Street(list):
    def neighbours(self, i, k):
        return [frame for frame in self if 0 < abs(frame.index - i) <= k]


class Scans(list):
    """A prepared split by its name alone."""

    split, digest = "test-sides", ""


def seen_from(found, index):
    return sorted(found.point[found.frame == index].tolist())


def test_a_neighbours_image_shows_the_wall_where_it_is():
    """The wall at 20 m, seen from 0 and, 4 m on, at 16 m: the point at (0, 1, 0.5) is 100/20 and 100/16 pixels a metre off the axis."""
    street = Street([frame(0, 0.0, [[20, 1, 0.5], *WALL]), frame(1, 4.0, WALL)])
    found = views(street, 0)
    assert seen_from(found, 0) == seen_from(found, 1) == list(range(len(WALL) + 1))
    first = found.point == 0
    assert found.pixel[first].tolist() == [[43, 75], [42, 74]]  # 45 - 2.5, 80 - 5; 45 - 3.1, 80 - 6.25
    assert found.depth[first].tolist() == [20, 16] and found.camera[first].tolist() == [0, 0]
    assert len(views(street, 0, reach=0)) == len(WALL) + 1


def test_what_drove_away_is_not_looked_for_where_it_was():
    """A car 8 m ahead in frame 0. Later the scan sees the wall there: the image shows the wall, and not the car."""
    car = [[8, y, z] for y in (-0.4, 0, 0.4) for z in (-0.4, 0, 0.4)]
    street = Street([frame(0, 0.0, [*car, *WALL]), frame(1, 1.0, WALL)])
    assert not set(seen_from(views(street, 0), 1)) & set(range(len(car)))
    stayed = Street([frame(0, 0.0, [*car, *WALL]), frame(1, 1.0, [*car, *WALL])])
    assert set(range(len(car))) <= set(seen_from(views(stayed, 0), 1))


def test_what_something_hides_later_is_not_seen_later():
    """A truck comes to stand before the whole wall."""
    truck = [[10, y, z] for y in np.arange(-3, 3.2, 0.2) for z in np.arange(-2, 2.2, 0.2)]
    street = Street([frame(0, 0.0, WALL), frame(1, 1.0, truck)])
    assert seen_from(views(street, 0), 1) == [] and seen_from(views(street, 0), 0) == list(range(len(WALL)))


def test_a_place_where_the_neighbours_scan_has_no_point_is_not_counted():
    street = Street([frame(0, 0.0, WALL), frame(1, 0.0, [[20, 3, 2], [20, -3, -2]])])
    found = seen_from(views(street, 0, same={"cell": 0.01}), 1)
    assert [WALL[k] for k in found] == [[20, -3, -2], [20, 3, 2]]


def test_a_neighbour_that_looks_elsewhere_adds_nothing():
    street = Street([frame(0, 0.0, WALL), frame(1, 40.0, [[60, 0, 0]])])
    assert seen_from(views(street, 0), 1) == []


def test_images_of_made_neighbours_show_what_the_point_is(made):
    """The label of the scan point nearest in the image is the point's own, and more often so than without the look at depth."""
    dataset = xkd.open_dataset("nuscenes", made / "nuscenes", "train")
    right = {}
    for name, same in (("checked", {}), ("unchecked", {"absolute": 1e9})):
        agree = []
        for i in range(len(dataset)):
            found, own = views(dataset, i, same=same), dataset[i]
            for j in set(found.frame.tolist()) - {i}:
                other = dataset[j]
                for c in range(len(other.cameras)):
                    here = (found.frame == j) & (found.camera == c)
                    shown = pair(other, [c])
                    nearest = cKDTree(shown.pixel).query(found.pixel[here])[1]
                    agree.append(other.labels[shown.point[nearest]] == own.labels[found.point[here]])
        right[name] = np.concatenate(agree).mean()
    assert right["checked"] > 0.85 and right["checked"] > right["unchecked"] + 0.03


def test_a_frame_in_no_image_is_an_error():
    with pytest.raises(XkdError, match="none of its 1 points"):
        views(Street([frame(0, 0.0, [[-5, 0, 0]])]), 0)


def test_counted_from_the_end_a_frame_has_the_same_views(made):
    dataset = xkd.open_dataset("nuscenes", made / "nuscenes", "train")
    last, same = views(dataset, -1), views(dataset, len(dataset) - 1)
    assert last.frame.max() == len(dataset) - 1 and len(np.unique(last.frame)) > 1
    assert all(np.array_equal(getattr(last, name), getattr(same, name)) for name in vars(same))


def test_a_points_feature_is_the_mean_over_its_views(made, stages):
    """The teacher's stage against a loop over views, one frame; without neighbours, the feature at each pair's own pixel."""
    dataset, prepared = xkd.open_dataset("nuscenes", made / "nuscenes", "train"), Prepared(stages / "prepared", "train")
    chosen = np.arange(0, len(prepared.pairs(1).point), 7)
    pairs = prepared.pairs(1)

    def maps_of(i):
        """A map a camera, of its own size, that says frame, camera, row and column."""
        return [
            torch.stack(
                [torch.full((9, 16), float(v)) for v in (i, c)]
                + list(torch.meshgrid(torch.arange(9.0), torch.arange(16.0), indexing="ij"))
            )
            for c in range(len(dataset[i].cameras))
        ]

    asked = []
    features, pooled = extract._frame(lambda i: asked.append(i) or maps_of(i), dataset, prepared, 1, chosen, 1)
    found, size = views(dataset, 1), dataset[1].cameras[0].size
    assert set(asked) == {1, *(frame.index for frame in dataset.neighbours(1, 1))} and len(pooled) == sum(
        prepared.superpixels(1) * np.array([-1, 1])
    )
    for row, point in zip(features[::50], pairs.point[chosen][::50], strict=True):
        mine = found.point == point
        scale = np.array([9, 16]) / size
        cells = np.clip((found.pixel[mine] + 0.5) * scale - 0.5, 0, [8, 15])
        expected = np.column_stack([found.frame[mine], found.camera[mine], cells]).mean(0)
        assert row == pytest.approx(expected, abs=0.01)
    alone, _ = extract._frame(maps_of, dataset, prepared, 1, chosen, 0)
    assert (alone[:, 0] == 1).all() and (alone[:, 1] == pairs.camera[chosen]).all()


def test_what_is_gathered_is_of_the_views_own_image(tmp_path, monkeypatch):
    """One wall before the car, one behind it, and a camera to each side; a map says everywhere of which frame and camera it is."""
    street = Street(frame(k, float(k), [*WALL, *(-np.array(WALL))]) for k in range(2))
    for one in street:
        front = replace(one.cameras[0], path=Path(f"{one.index}/0"))
        back = replace(front, name="back", path=Path(f"{one.index}/1"), T_rig_cam=np.diag([-1, -1, 1, 1]) @ T_RIG_CAM)
        one.cameras[:] = [front, back]

    def maps(teacher, cameras):
        return [torch.tensor(list(map(float, camera.path.parts))).view(2, 1, 1).expand(2, 9, 16) for camera in cameras]

    monkeypatch.setattr(gather, "feature_maps", maps)
    as_it_is = np.zeros(2, np.float32), np.eye(2, dtype=np.float32)
    row = gather._split(None, street, Scans([None] * 2), as_it_is, 1, tmp_path)
    wall, points = len(WALL), 2 * len(WALL)
    assert row["split"] == "test-sides" and row["views"] == 2 * 2 * points  # each point in one image of each frame
    for i in range(2):
        point, values, _ = Gathered(tmp_path, "test-sides").views(i)
        expected = [[k, int(p >= wall), p] for k in range(2) for p in range(points)]
        assert sorted(np.column_stack([values, point]).tolist()) == sorted(expected)


def test_maps_are_made_once_and_not_kept_for_ever():
    made_of, gate = [], threading.Event()

    def function(j):
        gate.wait(5)
        made_of.append(j)
        return j * 10

    maps_of = extract.Remembered(function, 2)
    with ThreadPoolExecutor(3) as pool:
        results = [pool.submit(maps_of, j) for j in (1, 1, 2)]
        gate.set()
        assert [result.result() for result in results] == [10, 10, 20]
    assert sorted(made_of) == [1, 2]
    assert [maps_of(j) for j in (3, 2, 1)] == [30, 20, 10] and made_of[2:] == [3, 1]


def test_what_goes_wrong_with_a_map_is_told_to_all_who_asked():
    def function(j):
        raise XkdError(f"no map {j}")

    maps_of = extract.Remembered(function, 2)
    for _ in range(2):
        with pytest.raises(XkdError, match="no map 5"):
            maps_of(5)
