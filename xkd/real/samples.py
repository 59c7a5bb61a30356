"""The five samples of real frames that the whole way is run on: where each lies, and what is still to be laid beside its files."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

import xkd
from xkd.datasets.pandaset import PandaSet
from xkd.datasets.rellis3d import SCANS
from xkd.errors import XkdError
from xkd.files import atomic, write_json


@dataclass(frozen=True)
class Sample:
    """folder, features: below the folder that holds them all; `says`: one sentence for people. `lacks`: the file that the published sample
    has not and its reader wants, None where all is there; `arrange` (source, destination) lays out the same files with it."""

    title: str
    kind: str
    folder: str
    says: str
    features: str | None = None
    lacks: str | None = None
    arrange: Callable | None = None


def rellis3d(source, dest):
    """The published example is in no list of a split: a list of its own makes its scans ones to learn from."""
    link(source, dest)
    scans = [path.name for path in sorted(source.glob("*.bin")) if path.stem.isdecimal()]
    (dest / "pt_train.lst").write_text("".join(f"example/{SCANS}/{name}\n" for name in scans))


def opencalib(source, dest):
    """A scene is a folder with `calib.bin`, its image and `calib.txt` (K, D and T, a line each), which `cameras.yaml` says in our words."""
    for scan in sorted(source.glob("*/calib.bin")):
        scene = dest / scan.parent.name
        link(scan.parent, scene)
        text = (scan.parent / "calib.txt").read_text()
        lines = dict(line.split(":") for line in text.splitlines() if line.strip())
        missing = sorted({"K", "D", "T"} - set(lines))
        if missing:
            raise XkdError(f"{scan.parent / 'calib.txt'}: has no line {missing[0]}.")
        front = {"images": "calib.*g", "model": "opencv", "K": lines["K"], "distortion": lines["D"]}
        (scene / "cameras.yaml").write_text(yaml.safe_dump({"front": front | {"T_camera_lidar": lines["T"]}}))
    about = {"scenes": "*", "splits": {"train": "*"}, "scans": {"files": "calib.bin", "intensity_max": 1}}
    (dest / "xkd.yaml").write_text(yaml.safe_dump(about | {"cameras": "cameras.yaml"}))


def halves(data, dest, share=2 / 3):
    """PandaSet's sample, one street, as two scenes in `dest`: its first scans (`share`), to learn from, and its last, to be scored on.

    PandaSet's splits are latitudes: `meta/gps.json` of the second says one of the validation split. Errors: no sample, too few scans, a
    `dest` with something else in it, which would be lost."""
    root, _ = place("pandaset", data, dest)
    streets = sorted(path.parent for path in root.glob("*/lidar"))
    source = streets[0] if streets else root
    scans = sorted(path.name.partition(".")[0] for path in (source / "lidar").glob("*.pkl.gz"))
    first = round(share * len(scans))
    if len(streets) != 1 or not 0 < first < len(scans):
        raise XkdError(
            f"{root}: has {len(scans)} scans of {len(streets)} streets; it takes one street of two at least."
        )
    if dest.exists() and not dest.is_dir():
        raise XkdError(f"{dest}: is no folder; name one that is empty or not there (--out).")
    others = [path for path in dest.iterdir() if path.name not in halved(source.name)] if dest.exists() else []
    if others:
        raise XkdError(f"{dest}: holds {others[0].name}; name a folder that is empty or not there (--out).")
    with atomic(dest, folder=True) as folder:
        parts = zip(halved(source.name), ("train", "val"), (scans[:first], scans[first:]), strict=True)
        for name, split, own in parts:
            scene = folder / name
            for path in sorted(path for path in source.rglob("*") if path.is_file()):
                number = path.name.partition(".")[0]
                if number in own or number not in scans:
                    (scene / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
                    (scene / path.relative_to(source)).symlink_to(path.absolute())
            (scene / "meta").mkdir(exist_ok=True)
            (scene / "meta" / "gps.json").unlink(missing_ok=True)
            above, most = PandaSet.splits()[split]
            write_json(scene / "meta" / "gps.json", [{"lat": (above + most) / 2}])
    return dest


def halved(street):
    """The names of the two scenes that a street becomes."""
    return [f"{street}-first", f"{street}-last"]


def link(source, dest):
    """Links in the folder `dest` to the files in `source`, not to its folders."""
    dest.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        if path.is_file():
            (dest / path.name).symlink_to(path.absolute())


SAMPLES = {
    "semantickitti": Sample(
        "SemanticKITTI", "semantickitti", "semantickitti",
        "Streets of a German town, a 64-beam scanner and one camera that looks ahead; every point has a label.",
        "features/espnetv2/semantickitti",
    ),
    "pandaset": Sample(
        "PandaSet", "pandaset", "pandaset",
        "One street in San Francisco, two scanners and six cameras around the car; every point has a label.",
        "features/espnetv2/pandaset/002",
    ),
    "kitti_raw": Sample(
        "KITTI raw", "kitti_raw", "kitti_raw",
        "One second of a drive without labels and without poses, a 64-beam scanner and one camera that looks ahead.",
    ),
    "rellis3d": Sample(
        "RELLIS-3D", "rellis3d", "rellis3d_example",
        "One frame off the road, a 64-beam scanner and one camera with distortion; every point has a label.",
        lacks="pt_train.lst",
        arrange=rellis3d,
    ),
    "opencalib": Sample(
        "OpenCalib", "folder", "opencalib",
        "Three single scans, each with an image and the masks that Segment Anything found in it; no labels.",
        lacks="xkd.yaml",
        arrange=opencalib,
    ),
}  # fmt: skip
"""By the word of the command; the profile of params.yaml is `real-` and this word."""


def place(name, data, dest):
    """The folder that a sample's reader opens, and the folder of its masks or None; what has to be laid out for it is laid in `dest`.

    data: the folder that holds all samples. Errors: the sample is not in it."""
    sample = SAMPLES[name]
    source = Path(data).absolute() / sample.folder
    if not source.is_dir():
        raise XkdError(f"{source}: no such folder, so there is no sample of {sample.title}; see docs/real-runs.md.")
    masks = sorted(source.glob("*/masks"))
    if masks:
        # Found under the name of the image: 1/calib for 1/calib.jpg.
        with atomic(dest / "masks", folder=True) as folder:
            for found in masks:
                (folder / found.parent.name).mkdir()
                (folder / found.parent.name / "calib").symlink_to(found)
    root = source
    if sample.lacks and not (source / sample.lacks).exists():
        root = dest / name
        with atomic(root, folder=True) as folder:
            sample.arrange(source, folder)
    return root, dest / "masks" if masks else None


def settings(name, root, masks, changes=()):
    """The `key=value` changes that lie over the profile: where this sample's frames and masks are, then those that were asked for."""
    given = [f"data.root={root}"] + ([f"prepare.options={{folder: {masks}}}"] if masks else [])
    return [*given, *changes]


def opened(name, root):
    """The data set, all of its frames."""
    return xkd.open_dataset(SAMPLES[name].kind, root)
