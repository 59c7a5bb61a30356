"""Point cloud files put together by hand, field by field, and damaged copies of them."""

import re

import cloud_files
import numpy as np
import pytest
from cloud_files import INTENSITY, RING, XYZ, pcd, ply

from xkd import XkdError
from xkd.clouds import attribute, intensities, read_cloud, returns, seconds


def complains(*words):
    """XkdError with one sentence that has these words in it."""
    return pytest.raises(XkdError, match=".*".join(map(re.escape, words)) + r".*\.$")


def written(path, data):
    path.write_bytes(data)
    return path


FORMS = {
    "ascii.pcd": pcd("ascii"),
    "binary.pcd": pcd("binary"),
    "compressed.pcd": pcd("binary_compressed"),
    "ascii.ply": ply("ascii"),
    "little.ply": ply("binary_little_endian"),
    "big.PLY": ply("binary_big_endian", faces=False),
}


@pytest.mark.parametrize("name", FORMS)
def test_fields_of_files_written_by_hand(tmp_path, name):
    fields = read_cloud(written(tmp_path / name, FORMS[name]))
    assert list(fields) == ["x", "y", "z", "intensity", "ring"]
    np.testing.assert_array_equal(np.stack([fields[n] for n in "xyz"], 1), XYZ)
    np.testing.assert_array_equal(attribute(fields, "intensity"), INTENSITY)
    np.testing.assert_array_equal(attribute(fields, "ring"), RING)
    assert fields["intensity"].dtype == np.uint8 and attribute(fields, "time") is None


def test_one_point_is_a_cloud(tmp_path):
    for form in ("ascii", "binary"):
        fields = read_cloud(written(tmp_path / "one.pcd", pcd(form, cloud_files.rows("<")[:1])))
        assert fields["y"].tolist() == [10]


@pytest.mark.parametrize("name", ["a.las", "a.laz"])
def test_las_files_of_the_library(tmp_path, name):
    """LAS keeps coordinates as whole numbers of `scales`, here a quarter of a metre."""
    laspy = pytest.importorskip("laspy")
    las = laspy.create(point_format=3, file_version="1.2")
    las.header.scales, las.header.offsets = [0.25] * 3, [0] * 3
    las.x, las.y, las.z = XYZ.T
    las.intensity, las.classification = INTENSITY.astype(np.uint16) * 257, [2, 5, 6]
    las.add_extra_dim(laspy.ExtraBytesParams("Ring", np.uint16))
    las.Ring = RING
    las.write(str(tmp_path / name))
    fields = read_cloud(tmp_path / name)
    np.testing.assert_array_equal(np.stack([fields[n] for n in "xyz"], 1), XYZ)
    np.testing.assert_array_equal(fields["ring"], RING)
    assert fields["classification"].tolist() == [2, 5, 6]
    np.testing.assert_allclose(intensities("a", fields["intensity"]), [0, 0.2, 1])
    whole = (tmp_path / name).read_bytes()
    for cut in (1, 90, len(whole) - 100):
        with complains(name, "cannot be read as a LAS file"):
            read_cloud(written(tmp_path / name, whole[:-cut]))
    if name == "a.las":
        # The legacy count of points is at byte 107 of the header.
        more = whole[:107] + np.array([4], "<u4").tobytes() + whole[111:]
        with complains(name, "says 4 points", "there are 3"):
            read_cloud(written(tmp_path / name, more))


def test_columns_of_bin_and_npy(tmp_path):
    bare = written(tmp_path / "a.bin", np.column_stack([XYZ, INTENSITY / 255]).astype("<f4").tobytes())
    assert list(read_cloud(bare)) == ["x", "y", "z", "intensity"]
    wide = np.column_stack([XYZ, RING, INTENSITY]).astype("<f4")
    fields = read_cloud(written(bare, wide.tobytes()), ["x", "y", "z", "ring", "intensity"])
    assert fields["ring"].tolist() == [3, 0, 300] and fields["intensity"].tolist() == [0, 51, 255]
    np.save(tmp_path / "a.npy", XYZ.astype(np.float64))
    assert list(read_cloud(tmp_path / "a.npy")) == ["x", "y", "z"]
    np.save(tmp_path / "a.npy", wide)
    assert list(read_cloud(tmp_path / "a.npy", ["Y", "X", "Z", "a", "b"])) == ["y", "x", "z", "a", "b"]
    with complains("a.npy", "5 columns, and 4 are named", "scans.columns"):
        read_cloud(tmp_path / "a.npy")
    with complains("a.bin", "61 bytes", "3 float32 (x, y, i)"):
        read_cloud(written(bare, b"\0" * 61), ["x", "y", "i"])
    with complains("a.bin", "no field z", "x, y, i"):
        read_cloud(written(bare, b"\0" * 60), ["x", "y", "i"])


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("cut", [5, 20, 47])
def test_files_that_are_cut_short(tmp_path, name, cut):
    """A face, where there is one, takes 8 letters or 13 bytes after the points."""
    face = (b"element face" in FORMS[name]) * (8 if "ascii" in name else 13)
    with complains(name):
        read_cloud(written(tmp_path / name, FORMS[name][: -cut - face]))


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("count", [2, 4])
def test_headers_that_say_another_count(tmp_path, name, count):
    """Of a file whose vertices are followed by faces, fewer vertices cannot be told."""
    said = FORMS[name].replace(b"POINTS 3", b"POINTS %d" % count).replace(b"WIDTH 3", b"WIDTH %d" % count)
    path = written(tmp_path / name, said.replace(b"vertex 3", b"vertex %d" % count))
    if b"face" in said and count == 2:
        return
    with complains(name):
        read_cloud(path)


@pytest.mark.parametrize("ending", ["pcd", "ply", "npy", "las", "laz"])
@pytest.mark.parametrize("data", [b"", b"not a cloud\n", bytes(200), b"ply\nend_header\n", b"\nDATA ascii\n1 2 3\n"])
def test_files_that_are_no_cloud(tmp_path, ending, data):
    with complains(f"a.{ending}"):
        read_cloud(written(tmp_path / f"a.{ending}", data))


def test_headers_that_cannot_be_meant(tmp_path):
    path = tmp_path / "a.pcd"
    with complains("a.pcd", "3 points", "2 x 1"):
        read_cloud(written(path, pcd("ascii").replace(b"WIDTH 3", b"WIDTH 2")))
    with complains("a.pcd", "no line COUNT"):
        read_cloud(written(path, pcd("binary").replace(b"COUNT 1 1 1 1 1\n", b"")))
    with complains("a.pcd", "no field x", "u, y, z, Intensity, ring"):
        read_cloud(written(path, pcd("binary").replace(b"FIELDS x", b"FIELDS u")))
    with complains("a.pcd", "upper and lower case"):
        read_cloud(written(path, pcd("binary").replace(b"FIELDS x y z Intensity ring", b"FIELDS x y z X ring")))
    path = tmp_path / "a.ply"
    with complains("a.ply", "vertices", "list"):
        read_cloud(written(path, ply("ascii").replace(b"property uchar I", b"property list uchar int I")))
    with complains("a.ply", "first element is face"):
        read_cloud(written(path, ply("ascii").replace(b"element vertex", b"element face")))
    for old, new in ((b"ascii 1", b"utf 1"), (b"float32 y", b"float128 y"), (b"vertex 3", b"vertex three")):
        with complains("a.ply", "cannot be read as a PLY file"):
            read_cloud(written(path, ply("ascii").replace(old, new)))
    np.save(tmp_path / "a.npy", XYZ.ravel())
    with complains("a.npy", "(N, 3 or more)", "(9,)"):
        read_cloud(tmp_path / "a.npy")


def test_missing_empty_and_other_files(tmp_path):
    with complains("a.pcd", "no such file"):
        read_cloud(tmp_path / "a.pcd")
    with complains("a.txt", ".bin, .npy, .pcd, .ply, .las, .laz"):
        read_cloud(written(tmp_path / "a.txt", b""))
    for name, data in (("a.bin", b""), ("a.pcd", pcd("binary", cloud_files.rows("<")[:0]))):
        with complains(name, "empty scan"):
            read_cloud(written(tmp_path / name, data))


def test_lost_returns():
    fields = dict(
        zip("xyz", np.array([[1, 2, 3], [np.nan, 0, 0], [0, 0, 0], [0, 0, 1], [1, 2, np.nan]]).T, strict=True)
    )
    xyz, kept = returns("a", fields)
    assert kept.tolist() == [True, False, True, True, False] and xyz[3].tolist() == [0, 0, 1]
    assert returns("a", fields, drop_zeros=True)[1].tolist() == [True, False, False, True, False]
    with complains("a.pcd: 1 points are infinite", "point 1 with inf, 0, 0"):
        returns("a.pcd", fields | {"x": np.array([1, np.inf, 0, 0, 0])})
    with complains("a.pcd: 1 points are more than 10000 m away", "point 3"):
        returns("a.pcd", fields | {"z": np.array([0, 0, 0, 10_001, 0])})
    with complains("a.pcd", "empty scan", "each of its 2 returns is NaN or zero"):
        returns("a.pcd", dict.fromkeys("xyz", np.array([0, np.nan])), drop_zeros=True)


def test_names_of_attributes_in_any_case():
    fields = {"i": 1, "reflectivity": 2, "channel": 3, "timestamp": 4}
    assert [attribute(fields, name) for name in ("intensity", "ring", "time")] == [2, 3, 4]
    assert attribute(fields | {"t": 5, "intensity": 6}, "time") == 5


def test_intensities_on_paper():
    """51 of 255 is 0.2, 13107 of 65535 too; floating-point numbers need a maximum."""
    np.testing.assert_allclose(intensities("a", INTENSITY), [0, 0.2, 1], rtol=1e-6)
    np.testing.assert_allclose(intensities("a", np.array([13107], np.uint16)), [0.2], rtol=1e-6)
    np.testing.assert_allclose(intensities("a", np.array([13], np.uint16), 65), [0.2], rtol=1e-6)
    assert intensities("a", np.array([0.5]), 1).dtype == np.float32
    with complains("a.bin", "float32 of up to 37", "scans.intensity_max"):
        intensities("a.bin", np.array([3, 37], np.float32))
    for wrong in (37, -1, np.nan):
        with complains("a.bin: 1 points have an intensity outside 0..1", f"point 1 with {wrong}"):
            intensities("a.bin", np.array([0.5, wrong]), 1)


def test_seconds_on_paper():
    """Whole numbers are nanoseconds, others seconds, if nobody says otherwise."""
    np.testing.assert_allclose(seconds("a", np.array([0, 50_000_000], np.uint32)), [0, 0.05])
    np.testing.assert_allclose(seconds("a", np.array([0, 0.05])), [0, 0.05])
    np.testing.assert_allclose(seconds("a", np.array([50], np.uint32), "ms"), [0.05])
    np.testing.assert_allclose(seconds("a", np.array([1_600_000_000.05]), "s", 1_600_000_000.0), [0.05], atol=1e-6)
    for wrong in (1_600_000_000.0, np.nan):
        with complains("a.pcd: 1 points have a time", "scans.point_time", "epoch"):
            seconds("a.pcd", np.array([0, wrong]))
