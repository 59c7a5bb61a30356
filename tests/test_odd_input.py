"""Input that is whole and only unusual is read as if it were not; what looks whole and is not ends in one sentence."""

import cloud_files
import numpy as np
import own_files
import pandas as pd
import pytest
from layout_kitti_raw import DATE, DRIVE
from own_files import say
from PIL import Image
from test_bad_input import SEQUENCE, complains
from test_pickles import write

from xkd.__main__ import main
from xkd.clouds import read_cloud
from xkd.datasets import open_dataset
from xkd.pickles import read_table

IMAGES = f"{DATE}/{DRIVE}/image_02/data"
MARK = b"\xef\xbb\xbf"
"""What some systems begin a text in UTF-8 with."""


@pytest.fixture
def own(tmp_path):
    return own_files.folder(tmp_path / "own")


@pytest.mark.parametrize("before, end", [(MARK, b"\n"), (b"", b"\r\n")])
def test_texts_of_other_systems(own, before, end):
    for name in ("xkd.yaml", "poses.txt", "lidar.txt", "front.txt"):
        (own / name).write_bytes(before + (own / name).read_bytes().replace(b"\n", end) + end)
    data = open_dataset("folder", own)
    assert [frame.timestamp for frame in data] == [1e6, 1.1e6, 1.2e6]
    assert [frame.T_world_lidar[:2, 3].tolist() for frame in data] == [[5, 0], [5, 2], [5, 4]]


@pytest.mark.parametrize("text", ["1e999999999", "-1e999999999", "1e20", "inf"])
def test_a_time_that_no_clock_has(own, text):
    (own / "lidar.txt").write_text(f"{text}\n1100\n1200\n")
    with complains("lidar.txt: line 1", text, "is no time"):
        open_dataset("folder", own)


def test_empty_lines_after_the_last(kitti):
    before = [(frame.timestamp, frame.T_world_lidar.tolist()) for frame in open_dataset("semantickitti", kitti)]
    for name in ("poses.txt", "times.txt", "calib.txt"):
        path = kitti / SEQUENCE / name
        path.write_text(path.read_text() + "\n \n")
    assert [(frame.timestamp, frame.T_world_lidar.tolist()) for frame in open_dataset("semantickitti", kitti)] == before


def test_no_point_of_an_ascii_ply_is_a_comment(tmp_path):
    path = tmp_path / "a.ply"
    path.write_bytes(cloud_files.ply("ascii").replace(b"1 10 ", b"#1 10 "))
    with complains("a.ply", "cannot be read as a PLY file", "#1"):
        read_cloud(path)


@pytest.mark.parametrize("form", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_a_comment_that_names_the_header_s_end(tmp_path, form):
    path = tmp_path / "a.ply"
    path.write_bytes(cloud_files.ply(form).replace(b"comment three", b"comment until end_header three"))
    assert read_cloud(path)["x"].tolist() == cloud_files.XYZ[:, 0].tolist()


def test_points_beside_features_of_many_numbers(tmp_path):
    """A PCD file whose first field has three numbers and whose last has 33 a point."""
    table = np.zeros(3, [("normal", "<f4", 3), *[(name, "<f4") for name in "xyz"], ("fpfh", "<f4", 33)])
    for name, values in zip("xyz", cloud_files.XYZ.T, strict=True):
        table[name] = values
    header = cloud_files.pcd("binary", cloud_files.rows("<", cloud_files.KINDS[:3])).partition(b"DATA")[0].decode()
    for line in ("FIELDS normal x y z fpfh", "SIZE 4 4 4 4 4", "TYPE F F F F F", "COUNT 3 1 1 1 33"):
        old = next(row for row in header.splitlines() if row.startswith(line.partition(" ")[0]))
        header = header.replace(old, line)
    path = tmp_path / "a.pcd"
    path.write_bytes(f"{header}DATA binary\n".encode() + table.tobytes())
    found = read_cloud(path)
    assert [found[name].tolist() for name in "xyz"] == cloud_files.XYZ.T.tolist()


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["<f8", ">f4"])
def test_arrays_of_any_order_and_type(own, kind, order):
    values = np.column_stack([cloud_files.XYZ, cloud_files.INTENSITY]).astype(kind, order=order)
    for path in (own / "lidar").iterdir():
        path.unlink()
        np.save(path.with_suffix(".npy"), values)
    frame = open_dataset("folder", say(own, scans={"files": "lidar/*.npy"}))[0]
    assert frame.points.tolist() == [[10, -1, 0.25], [8, 2, -1], [-6, 0, 0.5]]
    np.testing.assert_allclose(frame.attributes["intensity"], [0, 0.2, 1], rtol=1e-6)


def test_a_column_that_is_there_twice(tmp_path):
    path = write(tmp_path / "t.pkl.gz", pd.DataFrame([[1.0, 2.0, 3.0]], columns=["x", "y", "x"]))
    assert read_table(path, ["y"])[0].tolist() == [2]
    with complains("t.pkl.gz: has the column 'x' twice"):
        read_table(path, ["x"])


@pytest.mark.parametrize("kind", ["semantickitti", "kitti_raw"])
def test_images_of_another_ending_than_the_layout_s(kitti, raw, kind):
    root, folder = (kitti, kitti / SEQUENCE / "image_2") if kind == "semantickitti" else (raw, raw / IMAGES)
    for path in folder.glob("*.png"):
        path.rename(path.with_suffix(".jpg"))
    with complains(f"{folder}/", ".jpg: is no .png"):
        open_dataset(kind, root)


@pytest.mark.parametrize("said", [True, False])
def test_an_image_whose_columns_are_not_counted_in_two_bytes(own, said):
    for path in (own / "front").iterdir():
        Image.new("L", (32768, 1)).save(path)
    size = {"width": 32768, "height": 1} if said else {}
    say(own, cameras={"front": own_files.camera(cx=16384, cy=0.5, **size)})
    with complains("xkd.yaml: cameras.front", "32768 x 1", "32767 pixels at most"):
        _ = open_dataset("folder", own)[0].cameras


def test_one_cause_is_one_line(kitti, capsys):
    """Of three frames two have labels of an id that is none, and one, which is cut short, is another matter."""
    files = sorted(kitti.rglob("*.label"))[:3]
    for file in files[:2]:
        raw = np.fromfile(file, "<u4")
        raw[0] = 7
        raw.tofile(file)
    files[2].write_bytes(files[2].read_bytes()[:-4])
    main(["check", str(kitti), "--frames", "99"])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("bad   reading")]
    assert len(lines) == 2 and str(files[0]) in lines[0] and "1 more frame alike." in lines[0]
    assert str(files[2]) in lines[1] and "alike" not in lines[1]
