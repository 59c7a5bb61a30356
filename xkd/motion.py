"""Where a body was at any time, of poses at some times: the one interpolation of every reader, and what it does to the points of a sweep.

Between two poses the translation is linear and the rotation a slerp about one axis (Shoemake 1985). Times are microseconds, `T_a_b` (4, 4)
maps points of frame b into frame a.
"""

import numpy as np
from scipy.spatial.transform import Rotation

from xkd.errors import XkdError
from xkd.geometry import invert, transform

LONGEST_GAP = 1.0
"""Seconds between two poses, or from a time to the first or last of them, over which a motion is carried."""


def seconds(time):
    """A time as errors say it."""
    return f"{time / 1e6:.6f} s"


class Motion:
    """Poses of one body along a drive: T_world_body (4, 4) at each of `times` (M,), rising.

    path: their file, for errors; pose: gives that of number k; said: a time in words. Errors: see `at`."""

    def __init__(self, path, times, pose, said=seconds):
        self.path, self.times, self._pose, self._said = path, times, pose, said

    def at(self, time):
        """T_world_body at one time (4, 4) or at many: (N,) -> (N, 4, 4). A single pose stands still; before the first and after the last
        the motion goes on as it was. Errors: further from a pose, or between two that are further apart, than `LONGEST_GAP`."""
        wanted = np.atleast_1d(time)
        T = np.empty((len(wanted), 4, 4))
        last = max(len(self.times) - 2, 0)
        steps = np.clip(np.searchsorted(self.times, wanted, "right") - 1, 0, last)
        for k in np.unique(steps):
            mine = steps == k
            T[mine] = self._between(int(k), wanted[mine])
        return T[0] if np.ndim(time) == 0 else T

    def _between(self, k, wanted):
        """At times between pose k and the next one, or beyond an end."""
        before, after = self.times[k], self.times[min(k + 1, len(self.times) - 1)]
        beyond = np.maximum(before - wanted, wanted - after)
        at_a_pose = (wanted == before) | (wanted == after)
        gap = np.where(at_a_pose, 0, np.maximum(beyond, after - before))
        worst = int(np.argmax(gap))
        if gap[worst] > LONGEST_GAP * 1e6:
            ends = " and ".join(self._said(t) for t in dict.fromkeys([before, after]))
            raise XkdError(
                f"{self.path}: has no pose near the time {self._said(wanted[worst])}; the nearest are of {ends}, and a motion is carried "
                f"over {LONGEST_GAP:g} s at most."
            )
        if after == before:
            return self._pose(k)
        share = (wanted - before) / (after - before)
        if (share == 0).all() or (share == 1).all():
            return self._pose(k + int(share[0]))
        return interpolated(self._pose(k), self._pose(k + 1), share)


def interpolated(before, after, share):
    """Two poses (4, 4) and (N,) shares of the way from one to the other, 0 and 1 at these, outside that the motion goes on -> (N, 4, 4)."""
    T = np.tile(np.eye(4), (len(share), 1, 1))
    turn = Rotation.from_matrix(before[:3, :3].T @ after[:3, :3]).as_rotvec()
    T[:, :3, :3] = before[:3, :3] @ Rotation.from_rotvec(share[:, None] * turn).as_matrix()
    T[:, :3, 3] = (1 - share)[:, None] * before[:3, 3] + share[:, None] * after[:3, 3]
    return T


def deskewed(points, times, T_world_sensor, T_world_frame):
    """(N, 3) points of a sensor, each in its frame at its own one of (N,) times -> (N, 3) in the frame whose pose is `T_world_frame`.

    T_world_sensor: poses of the sensor, (K,) times -> (K, 4, 4), asked for each time once."""
    own, place = np.unique(times, return_inverse=True)
    T = invert(T_world_frame) @ T_world_sensor(own)
    if len(own) == 1:
        return transform(T[0], points)
    T = T[place]
    return (T[:, :3, :3] @ np.asarray(points, np.float64)[:, :, None])[:, :, 0] + T[:, :3, 3]
