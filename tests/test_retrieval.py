"""Whether a superpixel finds its own: by hand, and on which frames."""

from types import SimpleNamespace

import torch
from torch import nn

from xkd import distill, params
from xkd.prepared import Prepared
from xkd.retrieval import retrieval


class Frames:
    """A pool of `count` frames whose batches hold three superpixels, the points of which point where `points` says."""

    def __init__(self, points, count=4, held=True):
        self.points, self.count, self.asked, self.own = points, count, [], held

    def __len__(self):
        return self.count

    def held(self):
        return Frames(self.points, self.count) if self.own else self

    def batch(self, group, student, settings, rng):
        assert settings["crop"] > 10**9 and not any(settings["augment"].values())  # whole scans as they are
        self.asked += group
        pairs = {"features": self.points, "superpixel": torch.tensor([0, 0, 2, 3])[: len(self.points)]}
        return SimpleNamespace(to=lambda device: self.points), pairs | {
            "superpixel_features": torch.diag(torch.tensor([1.0, 2, 3, 40]))
        }


class Given(nn.Module):
    """A network, or a projection, that gives what it is given; never as in training."""

    def features(self, voxels):
        assert not self.training
        return voxels

    forward = features


def test_a_superpixel_is_found_by_the_mean_of_its_points():
    # Superpixel 1 has no point. 0: (1, 0, 0.2, 0) on average, though its second point is more like 2; 2: right, 3: more like 2.
    points = torch.tensor([[2.0, 0, 0, 0], [0, 0, 0.4, 0], [0, 0, 1, 0], [0, 0, 0.9, 0.1]])
    found = retrieval(Given(), Given(), Frames(points), {})
    assert found == {"hit": round(2 / 3, 4), "point": 0.5, "among": 3.0, "frames": 4, "held": True}


def test_nothing_paired_has_no_score_and_spoils_nothing():
    found = retrieval(Given(), Given(), Frames(torch.zeros(0, 4), held=False), {})
    assert found == {"hit": None, "point": None, "among": None, "frames": 4, "held": False}


def test_frames_are_evenly_chosen():
    pool = Frames(torch.eye(4), count=100, held=False)
    assert retrieval(Given(), Given(), pool, {}, frames=5, batch=2)["frames"] == 5
    assert pool.asked == [0, 25, 50, 74, 99]


def test_tuning_streets_are_looked_at_and_nothing_else(stages):
    sections = params.profile("smoke")
    scene = Prepared(stages / "prepared", "train").scenes[0]
    folders = stages / "prepared", stages / "teacher"
    free = distill.Pool(sections["data"], sections["distill"], *folders)
    pool = distill.Pool(sections["data"] | {"tuning": [scene]}, sections["distill"], *folders)
    held = pool.held()
    assert free.held() is free and held.splits is pool.splits
    assert held.index and not set(held.index) & set(pool.index) and set(held.index) | set(pool.index) == set(free.index)
    assert {(s, pool.splits[0][0].scenes[i]) for s, i in held.index} == {(0, scene)}
    found = retrieval(*distill.beginner(pool, sections["student"], sections["distill"], 0), pool, sections["student"])
    assert found["held"] and found["frames"] == len(held) and 0 <= found["hit"] <= 1 and found["among"] > 40
