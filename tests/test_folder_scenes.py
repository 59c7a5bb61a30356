"""Several drives in a folder of one's own: their scenes and splits, and a calibration for each."""

import own_files
import yaml
from own_files import camera, say

from xkd.datasets import open_dataset


def drives(root):
    """Three drives of three scans each."""
    for name in ("drive_1", "drive_2", "drive_10"):
        own_files.folder(root / name)
        (root / name / "xkd.yaml").unlink()
    splits = {"train": ["drive_1", "drive_2"], "val": "drive_1?"}
    return say(root, scenes="drive_*", splits=splits)


def test_scenes_and_splits(tmp_path):
    root = drives(tmp_path / "drives")
    data = open_dataset("folder", root)
    assert data.scenes == ["drive_1"] * 3 + ["drive_2"] * 3 + ["drive_10"] * 3
    assert [f.split for f in data] == ["train"] * 6 + ["val"] * 3
    assert open_dataset("folder", root, "val")[0].id == "drive_10/8"
    train = open_dataset("folder", root, "train")
    assert len(train) == 6 and [f.index for f in train.neighbours(2, 2)] == [0, 1]


def test_each_folder_may_have_its_own_calibration(tmp_path):
    root = drives(tmp_path / "drives")
    for k, name in enumerate(("drive_1", "drive_2", "drive_10")):
        (root / name / "cameras.yaml").write_text(yaml.safe_dump({"front": camera(fx=100 + k)}))
    about = own_files.layout(scenes="drive_*") | {"cameras": "cameras.yaml"}
    (root / "xkd.yaml").write_text(yaml.safe_dump(about))
    assert [f.cameras[0].K[0, 0] for f in open_dataset("folder", root)] == [100] * 3 + [101] * 3 + [102] * 3
