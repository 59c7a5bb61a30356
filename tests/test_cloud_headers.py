"""Headers of PCD and LAS files with one wrong field at a time: one sentence that names the file and what the header says."""

import struct

import numpy as np
import pytest
from cloud_files import XYZ, pcd, rows
from test_clouds import complains, written

from xkd.clouds import read_cloud

PCD = {
    "VERSION 0.7": [("VERSION 0.5", "VERSION '0.5'", "0.7"), ("VERSION", "no line VERSION")],
    "FIELDS x y z Intensity ring": [
        ("FIELDS x y z ring", "4, 5, 5, 5 words of FIELDS, SIZE, TYPE and COUNT"),
        ("FIELDS x y z x ring", "the field x twice"),
        ("FIELDS u y z Intensity ring", "no field x", "u, y, z, Intensity, ring"),
        ("FIELDS", "no line FIELDS"),
    ],
    "SIZE 4 4 4 1 2": [
        ("SIZE 4 4 4 1 3", "field ring is of TYPE 'U' and SIZE 3"),
        ("SIZE 4 4 0 1 2", "field z is of TYPE 'F' and SIZE 0"),
        ("SIZE 2 4 4 1 2", "field x is of TYPE 'F' and SIZE 2"),
        ("SIZE 4 4 4 1 -2", "SIZE -2"),
        ("SIZE 4 4 4 1 two", "SIZE '4 4 4 1 two'", "whole numbers"),
        ("SIZE 4 4 4 1", "5, 4, 5, 5 words"),
        ("SIZE", "no line SIZE"),
    ],
    "TYPE F F F U U": [
        ("TYPE F F F U X", "field ring is of TYPE 'X' and SIZE 2"),
        ("TYPE F F F F U", "field Intensity is of TYPE 'F' and SIZE 1"),
        ("TYPE f F F U U", "field x is of TYPE 'f'"),
        ("TYPE F F F U", "5, 5, 4, 5 words"),
        ("TYPE", "no line TYPE"),
    ],
    "COUNT 1 1 1 1 1": [
        ("COUNT 1 1 1 1 0", "counts [1, 1, 1, 1, 0]"),
        ("COUNT -1 1 1 1 1", "counts [-1, 1, 1, 1, 1]"),
        ("COUNT 1 1 1 1 9997", "counts [1, 1, 1, 1, 9997]"),
        ("COUNT 1 1 1 1 1.5", "COUNT '1 1 1 1 1.5'", "whole numbers"),
        ("COUNT 1 1 1 1 1 1", "5, 5, 5, 6 words"),
        ("COUNT", "no line COUNT"),
    ],
    "WIDTH 3": [
        ("WIDTH 2", "3 points and 2 x 1"),
        ("WIDTH three", "WIDTH 'three'", "whole numbers"),
        ("WIDTH", "no line WIDTH"),
    ],
    "HEIGHT 1": [
        ("HEIGHT 0", "3 points and 3 x 0"),
        ("HEIGHT 1.0", "HEIGHT '1.0'", "whole numbers"),
        ("HEIGHT", "no line HEIGHT"),
    ],
    "WIDTH 3\nHEIGHT 1": [("WIDTH -3\nHEIGHT -1", "3 points and -3 x -1")],
    "VIEWPOINT 0 0 0 1 0 0 0": [
        ("VIEWPOINT 0 0 0 1 0 0", "VIEWPOINT '0 0 0 1 0 0'", "seven numbers"),
        ("VIEWPOINT 0 0 0 1 0 0 nan", "VIEWPOINT '0 0 0 1 0 0 nan'", "seven numbers"),
        ("VIEWPOINT here", "VIEWPOINT 'here'", "not numbers"),
    ],
    "POINTS 3": [
        ("POINTS 4", "says 4 points and there are 3"),
        ("POINTS -3", "says -3 points and there are 3"),
        ("POINTS 1" + "0" * 30, "000 points and there are 3"),
        ("POINTS " + "9" * 5000, "POINTS '9999"),
        ("POINTS 0x3", "POINTS '0x3'", "whole numbers"),
        ("POINTS", "no line POINTS"),
    ],
}
PCD_CASES = [pytest.param(old, *case, id=f"{case[0][:30]!r}") for old, cases in PCD.items() for case in
             ((new, words) for new, *words in cases)]  # fmt: skip


@pytest.mark.parametrize("form", ["ascii", "binary", "binary_compressed"])
@pytest.mark.parametrize(("old", "new", "words"), PCD_CASES)
def test_one_wrong_line_of_a_pcd_header(tmp_path, form, old, new, words):
    whole = pcd(form)
    assert whole.count(old.encode() + b"\n") == 1
    with complains("a.pcd", *words) as said:
        read_cloud(written(tmp_path / "a.pcd", whole.replace(old.encode() + b"\n", new.encode() + b"\n")))
    assert "\n" not in str(said.value) and len(str(said.value)) < 300


@pytest.mark.parametrize("form", ["utf8", "BINARY", "binary x", ""])
def test_other_forms_of_data(tmp_path, form):
    path = written(tmp_path / "a.pcd", pcd("ascii").replace(b"DATA ascii", b"DATA " + form.encode()))
    with complains("a.pcd", f"data are {form!r}", "ascii, binary and binary_compressed"):
        read_cloud(path)


@pytest.mark.parametrize(
    ("packed", "unpacked", "words"),
    [
        (48, 45, ["48 bytes are 45 compressed ones, and 47 are there"]),
        (0, 45, ["0 bytes are 45 compressed ones"]),
        (47, 47 * 88 + 1, ["47 bytes are 4137 compressed ones"]),
        (47, 60, ["says 3 points and there are 4"]),
        (47, 46, ["says 3 points and there are 3.06667"]),
    ],
)
def test_sizes_of_compressed_points(tmp_path, packed, unpacked, words):
    """Three points of 15 bytes are 45, which `lzf` packs into 47: two runs, each after one byte."""
    whole = pcd("binary_compressed")
    assert whole[-55:-47] == struct.pack("<II", 47, 45)
    with complains("a.pcd", *words):
        read_cloud(written(tmp_path / "a.pcd", whole[:-55] + struct.pack("<II", packed, unpacked) + whole[-47:]))


def test_what_a_pcd_header_may_say(tmp_path):
    """Comments, version .7, no viewpoint, a scan of two rows, and fields of every type and size."""
    kinds = [("x", "f4"), ("y", "f8"), ("z", "f4"), *((f"{k}{n}", f"{k}{n}") for k in "iu" for n in (1, 2, 4, 8))]
    table = np.ones(4, [(name, "<" + kind) for name, kind in kinds])
    whole = pcd("binary", table, height=2).replace(b"VERSION 0.7", b"VERSION .7")
    fields = read_cloud(written(tmp_path / "a.pcd", whole.replace(b"VIEWPOINT 0 0 0 1 0 0 0\n", b"# none\n")))
    assert [(name, values.dtype.str[1:], values.tolist()) for name, values in fields.items()] == [
        (name, kind, [1] * 4) for name, kind in kinds
    ]
    one = pcd("binary", rows("<")[:1]).replace(b"COUNT 1 1 1 1 1", b"COUNT 1 1 1 1 2")
    assert len(read_cloud(written(tmp_path / "a.pcd", one + b"\0\0"))["x"]) == 1


@pytest.fixture(scope="module")
def las(tmp_path_factory):
    """{(minor version, ending): the bytes of a file with the three points}."""
    laspy = pytest.importorskip("laspy")
    files, folder = {}, tmp_path_factory.mktemp("las")
    for minor, form in ((2, 3), (4, 6)):
        cloud = laspy.create(point_format=form, file_version=f"1.{minor}")
        cloud.header.scales = [0.25] * 3
        cloud.x, cloud.y, cloud.z = XYZ.T
        for ending in ("las", "laz"):
            cloud.write(str(folder / f"a.{ending}"))
            files[minor, ending] = (folder / f"a.{ending}").read_bytes()
    return files


NAN, INF = float("nan"), float("inf")
LAS = [
    (0, "4s", (b"LASX",), "do not begin with a header"),
    (24, "B", (2,), "version 2."),
    (25, "B", (5,), "version 1.5"),
    (94, "H", (226,), "226 bytes of header"),
    (94, "H", (60_000,), "60000 bytes of header"),
    (96, "I", (100,), "points from byte 100 on"),
    (96, "I", (10**9,), "points from byte 1000000000 on"),
    (100, "I", (4 * 10**9,), "4000000000 records"),
    (104, "B", (11,), "format 11"),
    (104, "B", (139,), "format 11"),
    (105, "H", (0,), "in 0 bytes"),
    (105, "H", (19,), "in 19 bytes"),
    (105, "H", (65_000,), "points of 65000 bytes"),
    (131, "d", (0.0,), "scales (0.0, 0.25, 0.25)"),
    (139, "d", (NAN,), "scales (0.25, nan, 0.25)"),
    (147, "d", (INF,), "scales (0.25, 0.25, inf)"),
    (155, "d", (-INF,), "offsets (-inf, 0.0, 0.0)"),
    (171, "d", (NAN,), "offsets (0.0, 0.0, nan)"),
]
"""Byte, type and value of a field of the header by tables 3 and 4 of LAS 1.4, and what is said."""


@pytest.mark.parametrize("ending", ["las", "laz"])
@pytest.mark.parametrize("minor", [2, 4])
@pytest.mark.parametrize(("at", "kind", "values", "words"), LAS)
def test_one_wrong_field_of_a_las_header(tmp_path, las, minor, ending, at, kind, values, words):
    whole = bytearray(las[minor, ending])
    struct.pack_into("<" + kind, whole, at, *values)
    with complains(f"a.{ending}", words):
        read_cloud(written(tmp_path / f"a.{ending}", bytes(whole)))


@pytest.mark.parametrize(("minor", "at", "kind"), [(2, 107, "I"), (4, 247, "Q")])
@pytest.mark.parametrize("ending", ["las", "laz"])
def test_counts_of_a_las_header(tmp_path, las, minor, at, kind, ending):
    """Points of format 3 are 34 bytes, of format 6 are 30. Of packed points one more is not always told: the decoder goes on."""
    whole, length = bytearray(las[minor, ending]), {2: 34, 4: 30}[minor]
    assert struct.unpack_from("<" + kind, whole, at) == (3,)
    for count in (4, 2**32 - 1) if ending == "las" else (2**32 - 1,):
        struct.pack_into("<" + kind, whole, at, count)
        with complains(f"a.{ending}", "cannot be read as a LAS file", f"says {count} points of {length} bytes"):
            read_cloud(written(tmp_path / f"a.{ending}", bytes(whole)))
    struct.pack_into("<" + kind, whole, at, 0)
    with complains(f"a.{ending}", "empty scan"):
        read_cloud(written(tmp_path / f"a.{ending}", bytes(whole)))


@pytest.mark.parametrize(("ending", "words"), [("las", "are packed"), ("laz", "are not packed")])
@pytest.mark.parametrize("minor", [2, 4])
def test_points_packed_though_nothing_says_how(tmp_path, las, minor, ending, words):
    """The highest bit of the format says that points are packed; without it packed ones would be read as they stand there."""
    whole = bytearray(las[minor, ending])
    whole[104] ^= 128
    with complains(f"a.{ending}", words, "of the records after it"):
        read_cloud(written(tmp_path / f"a.{ending}", bytes(whole)))


def test_headers_shorter_than_their_version(tmp_path, las):
    """A header of LAS 1.4 has 375 bytes, one of 1.2 has 227; byte 25 is the minor version."""
    whole = bytearray(las[2, "las"])
    whole[25] = 4
    with complains("a.las", "227 bytes of header"):
        read_cloud(written(tmp_path / "a.las", bytes(whole)))
    whole[25] = 0
    np.testing.assert_array_equal(read_cloud(written(tmp_path / "a.las", bytes(whole)))["y"], XYZ[:, 1])
