"""What a folder is taken for, and the sentence where it is nothing that can be read."""

import shutil

import layouts
import own_files
import pytest

from xkd import XkdError, opening
from xkd.__main__ import main


def refusal(root, capsys, *arguments):
    assert main(["check", str(root), *arguments]) == 1
    said = capsys.readouterr().err
    assert said.startswith("xkd: ") and said.count("\n") == 1
    return said[5:-1]


def test_an_error_of_the_layout_that_is_there_is_told_alone(tmp_path, capsys):
    root = own_files.folder(tmp_path / "own")
    (root / "xkd.yaml").write_text("scans: {files: lidar/*.pcd, intensity_max: 0}")
    alone = f"{root / 'xkd.yaml'}: scans.intensity_max is 0; it has to be larger than 0."
    assert refusal(root, capsys) == alone
    (root / "v1.0-mini").mkdir()
    assert refusal(root, capsys) == alone, "an xkd.yaml says itself what the folder is"
    empty = tmp_path / "empty"
    for name, says in (
        ("sequences", f"{empty / 'sequences'}: holds no velodyne scan of split train, val or test."),
        ("002/lidar/00.pkl.gz", None),
        (
            "2011_09_26/2011_09_26_drive_0001_sync",
            f"{empty}: holds no <date>/<date>_drive_<number>_sync/velodyne_points",
        ),
        ("00000/os1_cloud_node_kitti_bin", f"{empty}: holds no scan in <sequence>/os1_cloud_node_kitti_bin"),
    ):
        (empty / name).mkdir(parents=True)
        said = refusal(empty, capsys)
        assert "known layout" not in said and (says is None or said.startswith(says)), said
        shutil.rmtree(empty)


def test_versions_and_splits_are_chosen_as_the_command_line_does(tmp_path, capsys):
    for version in ("v1.0-mini", "v1.0-trainval"):
        layouts.nuscenes(tmp_path, version)
    said = refusal(tmp_path, capsys)
    assert said.endswith("holds tables of v1.0-mini, v1.0-trainval; say which with --split or --option version=NAME.")
    assert main(["check", str(tmp_path), "--option", "version=v1.0-mini", "--frames", "1"]) in (0, 1)
    assert "nuscenes: 5 frames of 2 scenes" in capsys.readouterr().out


def test_a_folder_of_a_data_set_is_told_with_the_whole(tmp_path, capsys):
    root = layouts.semantickitti(tmp_path / "kitti")
    (sequence,) = [path for path in root.rglob("sequences/*") if path.is_dir()][:1]
    for folder in (sequence, sequence / "velodyne"):
        whole = sequence.parent.parent
        said = f"{folder}: lies in {whole}, which looks like semantickitti: give that, or name a --kind."
        assert refusal(folder, capsys) == said


def test_a_folder_that_is_no_data_set(tmp_path, capsys):
    tmp_path = tmp_path / "a" / "b" / "c"
    (tmp_path / "notes").mkdir(parents=True)
    said = refusal(tmp_path, capsys)
    assert said.startswith(f"{tmp_path}: is a data set of no known layout") and "semantickitti: sequences or" in said
    assert "Its folder" not in said and len(said) < 700
    (tmp_path / "kitti" / "sequences").mkdir(parents=True)
    assert "Its folder kitti looks like semantickitti: give that." in refusal(tmp_path, capsys)
    assert refusal(tmp_path / "nothing", capsys) == f"{tmp_path / 'nothing'}: no such folder."
    with pytest.raises(XkdError, match="knows no option colour"):
        opening.opened(tmp_path, "semantickitti", colour="red")
