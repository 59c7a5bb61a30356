"""What the prepare and teacher stages leave behind, opened as memory maps: scans, labels, pairs, superpixels, features."""

import io
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
from PIL import Image

from xkd.arrays import map_bare, map_npy
from xkd.errors import XkdError
from xkd.files import read_json

ARRAYS = ("points", "intensity", "labels", "offsets")
PAIRED = ("pair_point", "pair_camera", "pair_pixel", "pair_superpixel", "pair_offsets", "superpixel_offsets")


@dataclass
class FramePairs:
    """The pairs of one frame: `point (P,)` its index in the scan, `camera (P,)`, `pixel (P, 2)` (row, col), `superpixel (P,)` its
    index in the split."""

    point: np.ndarray
    camera: np.ndarray
    pixel: np.ndarray
    superpixel: np.ndarray


def _array(path):
    if not path.exists():
        raise XkdError(f"{path}: no such file; run the prepare and teacher stages first.")
    return map_npy(path)


class Prepared:
    """One split of `out/prepared`. `frames` [{id, scene, points}], `scenes` (one a frame), `classes`, `colours (C, 3)`."""

    def __init__(self, path, split):
        if split is None:
            raise XkdError("params.yaml: data.validation is null, so that there is no frame to evaluate on.")
        self.path, self.split = Path(path) / split, split
        about = read_json(self.path / "frames.json")
        self.frames, self.classes, self.cameras = about["frames"], about["classes"], about["cameras"]
        self.colours, self.labelled, self.paired = (
            np.array(about["colours"], np.uint8),
            about["labelled"],
            about["paired"],
        )
        self.digest = about["digest"]
        self.scenes = [frame["scene"] for frame in self.frames]
        self._maps = {name: _array(self.path / f"{name}.npy") for name in ARRAYS + PAIRED * self.paired}
        if self.paired:
            self._segment_offsets = _array(self.path / "segment_offsets.npy")
            self._segments = map_bare(self.path / "segments.bin", np.uint8, (int(self._segment_offsets[-1]),))
            # A frame may lack a camera that others have.
            self._first_image = np.cumsum([0] + [frame["images"] for frame in self.frames])

    def __len__(self):
        return len(self.frames)

    def _part(self, name, i, offsets="offsets"):
        start, stop = self._maps[offsets][i : i + 2]
        return self._maps[name][start:stop]

    def points(self, i):
        """(N, 3) float32 metres, LiDAR frame of the contract."""
        return self._part("points", i)

    def intensity(self, i):
        """(N,) float32, 0..1."""
        return self._part("intensity", i)

    def labels(self, i):
        """(N,) int16 training ids, -1 = ignore; all -1 where the split has no labels."""
        return self._part("labels", i)

    def pairs(self, i):
        """`FramePairs` of frame i; only of a split that was prepared with its images."""
        if not self.paired:
            raise XkdError(f"{self.path}: this split was prepared without its images and has no pairs.")
        return FramePairs(*(self._part(name, i, "pair_offsets") for name in PAIRED[:4]))

    def superpixels(self, i):
        """The range (start, stop) of frame i's superpixels within the split."""
        return tuple(int(v) for v in self._maps["superpixel_offsets"][i : i + 2])

    def segments(self, i, camera):
        """(H, W) uint16 superpixel map of one image; ids count from 0 in each image."""
        which = self._first_image[i] + camera
        start, stop = self._segment_offsets[which : which + 2]
        return np.array(Image.open(io.BytesIO(self._segments[start:stop].tobytes())))


def matching(scenes, patterns):
    """For each scene, whether it fits one of the patterns: names in which `?` stands for any character, `*` for any number of them."""
    return [any(fnmatchcase(scene, pattern) for pattern in patterns) for scene in scenes]


class TeacherFeatures:
    """One split of `out/teacher`: frozen image features at the points and per superpixel, standardised per channel.

    Standardised: the common mean of all features says nothing about a point, and would make every cosine close to 1. `teacher`: the
    SHA-256 of the network that they are of, None for one that the pipeline trained itself.
    """

    def __init__(self, path, split, reference=None):
        """`reference`: the split whose statistics are used for all, so that a feature means the same everywhere."""
        self.path, self._reference = Path(path) / split, Path(path) / (reference or split)
        about, scale = read_json(self.path / "features.json"), read_json(self._reference / "features.json")
        self.dim, self.digest = about["dim"], about["digest"] + scale["digest"]
        self.teacher = about.get("fingerprint")
        self.mean, self.scale = np.array(scale["mean"], np.float32), 1 / np.array(scale["std"], np.float32)
        names = ("point", "superpixel", "features", "offsets", "superpixel_features", "superpixel_offsets")
        self._maps = {name: _array(self.path / f"{name}.npy") for name in names}
        for name, offsets in (("features", "offsets"), ("superpixel_features", "superpixel_offsets")):
            found, expected = self._maps[name].shape, (int(self._maps[offsets][-1]), self.dim)
            if found != expected:
                raise XkdError(
                    f"{self.path / name}.npy: is of shape {found}, and {offsets}.npy and features.json say {expected}."
                )

    def whitening(self, shrinkage):
        """(C, C) float32 by which standardised features (P, C) are multiplied to be whitened.

        A teacher's features vary most between what fills its images, road and buildings and trees, and a cosine hears of little else;
        whitened, the directions that tell a rider from a pole count as much. The eigenvalues of the correlation (their mean is 1) are
        raised by `shrinkage` first, so that directions of noise alone stay small. Turned back (ZCA): the signs of the eigenvectors,
        which differ between machines, cancel.
        """
        values, vectors = np.linalg.eigh(_array(self._reference / "correlation.npy"))
        return ((vectors / np.sqrt(np.maximum(values, 0) + shrinkage)) @ vectors.T).astype(np.float32)

    def stored(self, i):
        """point (P,) index in the scan, superpixel (P,) index within the frame, features (P, C) and superpixel_features (S, C) float16, as
        the teacher gave them: nothing is read from the disk before it is used."""
        start, stop = self._maps["offsets"][i : i + 2]
        first, last = self._maps["superpixel_offsets"][i : i + 2]
        own = self._maps["superpixel"][start:stop] - first
        return (
            self._maps["point"][start:stop],
            own,
            self._maps["features"][start:stop],
            self._maps["superpixel_features"][first:last],
        )

    def pairs(self, i):
        """point (P,) index in the scan, superpixel (P,) index within the frame, features (P, C) float32."""
        point, own, features, _ = self.stored(i)
        return point, own, self.standard(features)

    def superpixels(self, i):
        """(S, C) float32 mean features of frame i's superpixels."""
        return self.standard(self.stored(i)[3])

    def standard(self, features):
        """(P, C) float16 -> float32, standardised."""
        return (features.astype(np.float32) - self.mean) * self.scale
