"""A folder of one's own: scans, images and a file `xkd.yaml` that says where they lie and how the sensors stand (docs/own-data.md).

Scans are .bin, .npy, .pcd, .ply, .las or .laz (`xkd.clouds`). The LiDAR is the rig; its axes and every extrinsic are turned into the
contract's. The world is that of the poses; without poses each frame is a world of its own, and no frame has neighbours.

What frames leave out: returns that are NaN and, with `drop_zeros`, those at 0, 0, 0, with their labels; images and label files that no scan
matches; files whose name begins with a dot. `intensity`, `ring` and `time` are there if a scan has such a field. Points with times of
their own are where they are at the frame's time, if poses have times too (`SceneFolder.deskewed`).
"""

from fnmatch import fnmatchcase

import numpy as np

from xkd import arrays, clouds, layout
from xkd.datasets.frame import Dataset, Frame, refuse, same_length, training_ids
from xkd.errors import XkdError
from xkd.files import read_bytes
from xkd.scene_folder import SceneFolder, fitting, listed, natural, stem


class Folder(Dataset):
    """Frames of the scenes of one split or of all; a scene is a folder, or a run of `scene_frames` scans of one."""

    kind = "folder"

    def __init__(self, root, split=None):
        super().__init__(root, split)
        path = root / layout.FILE
        self._layout = about = layout.read_layout(path)
        colours, self._training = layout.classes(path, about)
        self.classes, self.colours = list(colours), np.array(list(colours.values()), np.uint8)
        folders = [(folder, scans, scene_names(name, len(scans), about)) for name, folder, scans in self._folders(path)]
        scenes = list(dict.fromkeys(scene for _, _, names in folders for scene in names))
        self._split_of = self._splits(path, scenes)
        self._frames = []
        for folder, scans, names in folders:
            wanted = [k for k, scene in enumerate(names) if split in (None, self._split_of.get(scene))]
            if wanted:
                opened = SceneFolder(folder, scans, about, path)
                self._frames += [(names[k], opened, k) for k in wanted]
        self.scenes = [scene for scene, _, _ in self._frames]
        opened = dict.fromkeys(folder for _, folder, _ in self._frames)
        self.camera_names = list(dict.fromkeys(name for folder in opened for name in folder.camera_names))

    def _folders(self, path):
        """[(name, folder, its scans)] in natural order. Errors: a pattern that no folder fits, a folder without scans."""
        patterns, files = self._layout.get("scenes"), self._layout["scans"]["files"]
        found = {} if patterns else {self.root: self.root.absolute().name}
        for pattern in patterns or ():
            folders = [f for f in fitting(self.root, pattern, f"{path}: scenes") if f.is_dir()]
            if not folders:
                raise XkdError(f"{self.root / pattern}: there is no such folder ({path}: scenes).")
            found |= {folder: folder.relative_to(self.root).as_posix() for folder in folders}
        return [
            (name, folder, listed(folder, files, f"{path}: scans.files"))
            for folder, name in sorted(found.items(), key=lambda item: natural(item[0]))
        ]

    def _splits(self, path, scenes):
        """{scene: split}. Errors: a split that xkd.yaml does not name, a pattern that no scene fits, a scene in two splits."""
        given, found = self._layout.get("splits", {}), {}
        if self.split is not None and self.split not in given:
            names = ", ".join(given) or "none"
            raise XkdError(f"{path}: does not say which scenes are in split {self.split!r}; its splits are {names}.")
        for name, patterns in given.items():
            for pattern in patterns:
                fits = [scene for scene in scenes if fnmatchcase(scene, pattern)]
                if not fits:
                    there = ", ".join(scenes[:9]) + (" ..." if len(scenes) > 9 else "")
                    raise XkdError(f"{path}: splits.{name}: no scene fits {pattern!r}; there are {there}.")
                for scene in fits:
                    if found.setdefault(scene, name) != name:
                        raise XkdError(f"{path}: scene {scene} is in the splits {found[scene]} and {name}.")
        return found

    def frame(self, i):
        scene, folder, k = self._frames[i]
        name = f"{scene}/{stem(folder.scans[k])}"
        return Frame(name, scene, self._split_of.get(scene), i, folder.time(k), folder.T_world_lidar(k), self)

    def neighbours(self, i, k):
        """As of every data set; none where there are no poses, because then nothing says where a neighbour stood."""
        here = self._frames[range(len(self))[i]][1]
        return [] if here.trajectory is None else super().neighbours(i, k)

    def read_scan(self, i):
        _, folder, k = self._frames[i]
        points, attributes, _ = scan(folder.scans[k], self._layout["scans"], folder.time(k))
        return folder.deskewed(k, points, attributes.get("time")), attributes

    @staticmethod
    def scan_file(path):
        """One scan as the nearest `xkd.yaml` above it describes it: (N, 3) float32 metres, where the file has them, as if `deskew: false`
        were said, and its attributes, `intensity` among them.

        Every return is there, because a label file has one label for each; those that frames leave out are at 0, 0, 0.
        Errors: no xkd.yaml above it."""
        about = next((f / layout.FILE for f in path.absolute().parents if (f / layout.FILE).is_file()), None)
        if about is None:
            raise XkdError(f"{path}: no folder above it has an {layout.FILE}, which says what is in a scan.")
        points, attributes, kept = scan(path, layout.read_layout(about)["scans"])
        attributes.setdefault("intensity", np.zeros(len(points), np.float32))
        return whole(points, kept), {name: whole(values, kept) for name, values in attributes.items()}

    def read_labels(self, i):
        _, folder, k = self._frames[i]
        path, about, scans = folder.scans[k], self._layout.get("labels", {}), self._layout["scans"]
        file = path if "field" in about else folder.labels[k]
        if file is None:
            return None, None
        fields = clouds.read_cloud(path, scans.get("columns"))
        kept = clouds.returns(path, fields, scans.get("drop_zeros", False))[1]
        raw, instances = field_labels(path, fields, about["field"]) if "field" in about else file_labels(file)
        same_length(file, len(raw), path, len(kept))
        return training_ids(raw[kept], self._training, file), None if instances is None else instances[kept]

    def read_cameras(self, i):
        _, folder, k = self._frames[i]
        return [folder.camera(name, k) for name in self.camera_names if folder.shows(name, k)]


Reader = Folder


def scene_names(name, count, about):
    """The scene of each of `count` scans of a folder: its name, or that and the number of its run of `scene_frames`."""
    length = about.get("scene_frames")
    return [name] * count if length is None else [f"{name}-{k // length:03d}" for k in range(count)]


def scan(path, about, time=None):
    """A scan as `about`, the layout's section `scans`, describes it -> (M, 3) float32 metres in the contract's axes and attributes (M,)
    of the returns that are kept, and which of its N returns these are, (N,) bool. time: the frame's, microseconds.

    `time` of a point is left out where the file has absolute times and the frame has none."""
    fields = clouds.read_cloud(path, about.get("columns"))
    xyz, kept = clouds.returns(path, fields, about.get("drop_zeros", False))
    points = (xyz[kept] @ about["axes"][:3, :3]).astype(np.float32)
    attributes, times = {}, about.get("point_time", {})
    named = {"intensity": about.get("intensity"), "time": times.get("field")}
    found = {name: clouds.attribute(fields, name, named.get(name), path) for name in clouds.NAMES}
    found = {name: values[kept] for name, values in found.items() if values is not None}
    if "intensity" in found:
        attributes["intensity"] = clouds.intensities(path, found["intensity"], about.get("intensity_max"))
    if "ring" in found:
        refuse(
            path,
            ~(np.abs(found["ring"].astype(np.float64)) < 2**31),
            "have a ring that is no number",
            found["ring"][:, None],
        )
        attributes["ring"] = found["ring"].astype(np.int32)
    absolute = times.get("from") == "epoch"
    if "time" in found and not (absolute and time is None):
        attributes["time"] = clouds.seconds(path, found["time"], times.get("unit"), time / 1e6 if absolute else 0.0)
    return points, attributes, kept


def whole(values, kept):
    """Values of the returns that are kept -> one of each return, zero for the others."""
    full = np.zeros((len(kept), *values.shape[1:]), values.dtype)
    full[kept] = values
    return full


def file_labels(path):
    """(N,) raw ids and (N,) instances or None: of a `.label` file (uint32, the instance in its upper half, as in SemanticKITTI), or
    (N,) whole numbers in a `.npy`. Errors: missing, cut short, of another kind."""
    if path.suffix == ".label":
        data = read_bytes(path)
        if len(data) % 4:
            raise XkdError(f"{path}: {len(data)} bytes are not a whole number of labels of uint32.")
        raw = np.frombuffer(data, "<u4").astype(np.int64)
        return raw & 0xFFFF, raw >> 16
    if path.suffix != ".npy":
        raise XkdError(f"{path}: is no label file; it has to end in .label or .npy.")
    raw = arrays.read_npy(path)
    if raw.ndim != 1 or raw.dtype.kind not in "iu":
        raise XkdError(f"{path}: is no list of whole numbers but {raw.dtype} of shape {raw.shape}.")
    return raw, None


def field_labels(path, fields, name):
    """(N,) raw ids in a field of the scan itself, and None. Errors: no such field, no whole numbers."""
    raw = clouds.field(path, fields, name, "labels")
    with np.errstate(invalid="ignore"):
        number = raw.astype(np.int64)
    refuse(path, number != raw, f"have a {name} that is no whole number", raw[:, None])
    return number, None
