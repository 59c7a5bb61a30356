"""Which layout a folder has: what `xkd.check` and `xkd.looks` open where nobody says."""

import re
from pathlib import Path

from xkd.datasets import kinds, open_dataset
from xkd.errors import XkdError

SIGNS = {
    "folder": ("xkd.yaml",),
    "nuscenes": ("v1.0-*",),
    "semantickitti": ("sequences", "dataset/sequences"),
    "pandaset": ("*/lidar/*.pkl*", "*/camera/*/intrinsics.json"),
    "kitti_raw": ("*/*_drive_*", "*_drive_*", "*/calib_velo_to_cam.txt"),
    "rellis3d": ("*/os1_cloud_node_kitti_bin", "Rellis-3D", "pt_train.lst", "camera_info.txt"),
}
"""What only a folder of that layout holds, as patterns; the first layout that fits is the one, for an xkd.yaml says so itself."""
ABOVE = 3
"""How many folders above one that is none of these are looked at: a sequence of SemanticKITTI lies three below its data set."""


def opened(root, kind=None, split=None, **options):
    """The data set in `root`; without a kind, of the layout that the folder has.

    Errors: no such folder; what the reader of its layout says, alone; it has the signs of none, with what each layout would hold."""
    root = Path(root)
    if not root.is_dir():
        raise XkdError(f"{root}: no such folder.")
    found = kind or of(root)
    if found:
        return told(found, root, split, options)
    for whole in list(root.absolute().parents)[:ABOVE]:
        if one := of(whole):
            raise XkdError(f"{root}: lies in {whole}, which looks like {one}: give that, or name a --kind.")
    for name in kinds():
        try:
            return open_dataset(name, root, split, **options)
        except XkdError:
            continue
    below = [(path.name, of(path)) for path in sorted(root.iterdir()) if path.is_dir()]
    hint = next((f" Its folder {name} looks like {one}: give that." for name, one in below if one), "")
    listed = "; ".join(f"{name}: {' or '.join(signs)}" for name, signs in SIGNS.items())
    raise XkdError(
        f"{root}: is a data set of no known layout. What each holds: {listed}.{hint} For scans and images of your own write "
        "an xkd.yaml, docs/own-data.md."
    )


def of(root):
    """The layout whose signs a folder has, or None."""
    return next((name for name, signs in SIGNS.items() if any(any(root.glob(sign)) for sign in signs)), None)


def told(kind, root, split, options):
    """`open_dataset`, whose errors say how the command line chooses what the reader wants chosen."""
    try:
        return open_dataset(kind, root, split, **options)
    except XkdError as error:
        text = re.sub(r"\bversion=", "--option version=NAME", re.sub(r"\bsplit=", "--split", str(error)))
        raise XkdError(text) from None
