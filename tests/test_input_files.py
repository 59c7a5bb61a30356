"""Images, arrays and YAML files, each opened in one place: what is read, worked out by hand, and what is refused, by the file's name."""

import struct
import zlib

import numpy as np
import pytest
from complaints import complains
from PIL import Image

from xkd import arrays, images
from xkd.files import read_json, read_yaml


def png(width, height, kind=2):
    """A whole header of a PNG, and no pixel."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


def test_every_kind_of_pixel_is_rgb(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGBA", (3, 2), (10, 20, 30, 0)).save(path)
    assert images.size(path) == (2, 3) and images.rgb(path).tolist() == [[[10, 20, 30]] * 3] * 2
    Image.new("L", (3, 2), 7).save(path)
    assert images.rgb(path, (2, 3)).tolist() == [[[7, 7, 7]] * 3] * 2
    palette = Image.new("P", (1, 1), 1)
    palette.putpalette([0, 0, 0, 1, 2, 3])
    palette.save(path, transparency=b"\x00\x00")
    assert images.rgb(path).tolist() == [[[1, 2, 3]]] and images.ids(path).tolist() == [[1]]
    Image.new("CMYK", (1, 1), (0, 255, 255, 0)).save(tmp_path / "a.tif")
    assert images.rgb(tmp_path / "a.tif").tolist() == [[[255, 0, 0]]]
    Image.fromarray(np.array([[300, 2]], np.uint16)).save(path)
    assert images.ids(path).tolist() == [[300, 2]]
    with complains("a.png", "I;16", "8 bits"):
        images.rgb(path)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", ["cannot be read as an image", "empty"]),
        (b"no image\n", ["cannot be read as an image", "no file of PNG"]),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", ["cannot be read as an image", "no file of PNG"]),
        (png(100_000, 100_000), ["100000 x 100000", "1 to 67,108,864"]),
        (png(12_000, 10_000), ["10000 x 12000", "1 to 67,108,864"]),
        (png(0, 5), ["5 x 0 pixels"]),
        (b"\xff\xd8\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03", ["65535 x 65535"]),
        (png(3, 2), ["cannot be read as an image"]),
    ],
)
def test_images_that_are_none(tmp_path, recwarn, data, words):
    (tmp_path / "a.png").write_bytes(data)
    with complains("a.png", *words):
        images.rgb(tmp_path / "a.png")
    assert not recwarn.list


def test_other_places_of_images(tmp_path):
    (tmp_path / "folder").mkdir()
    with complains("folder", "cannot be read (Is a directory)"):
        images.rgb(tmp_path / "folder")
    with complains("b.png: no such image (camera front)"):
        images.rgb(tmp_path / "b.png", of="camera front")
    (tmp_path / "c.png").write_bytes(png(30_000, 2_000))
    with complains("c.png: has 2000 x 30000", "its calibration is for 9 x 16"):
        images.rgb(tmp_path / "c.png", (9, 16))


def npy(path, values, **header):
    np.lib.format.write_array_header_1_0(path.open("wb"), header)
    with path.open("ab") as file:
        file.write(values)
    return path


def test_arrays_by_their_headers(tmp_path):
    path = tmp_path / "a.npy"
    for values in (np.arange(6, dtype=">i2").reshape(2, 3), np.asfortranarray(np.eye(3)), np.float32(7)):
        np.save(path, values)
        assert arrays.read_npy(path).tolist() == values.tolist()
    about = {"descr": "<f4", "fortran_order": False}
    with complains("a.npy", "4000000000000 bytes", "8 are there"):
        arrays.read_npy(npy(path, bytes(8), shape=(10**12,), **about))
    with complains("a.npy", "no array of numbers", "object"):
        np.save(path, np.array([{}], object))
        arrays.read_npy(path)
    with complains("a.npy", "no array of numbers", "'x'"):
        np.save(path, np.zeros(2, [("x", "f4")]))
        arrays.read_npy(path)
    np.savez(tmp_path / "a.npz", data=np.array([1, 2]))
    assert arrays.read_npz(tmp_path / "a.npz", "data").tolist() == [1, 2]
    with complains("a.npz", "no array 'labels'", "holds data"):
        arrays.read_npz(tmp_path / "a.npz", "labels")


BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdef", "bcdefg", strict=True)
)
YAML = [
    ("a: 1\nb: 2\na: 3\n", ["the key a is there twice"]),
    ("a: 2024-13-01\n", ["month"]),
    ("a: !!int ''\n", []),
    ("a: !!timestamp x\n", []),
    (f"a: {'9' * 400}\n", ["400 digits"]),
    ("a: &a [*a]\n", ["aliases"]),
    (BOMB, ["aliases say more than 100,000 values"]),
    ("[" * 5000, []),
    ("a: \x00\n", []),
    ("--- 1\n--- 2\n", []),
]


@pytest.mark.parametrize(("text", "words"), YAML)
def test_yaml_that_is_none(tmp_path, text, words):
    (tmp_path / "a.yaml").write_text(text)
    with complains("a.yaml: is not YAML", *words):
        read_yaml(tmp_path / "a.yaml")


def test_what_texts_may_be(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: &x {k: 1}\nb: {<<: *x, k: 2}\n")
    assert read_yaml(path) == {"a": {"k": 1}, "b": {"k": 2}}
    path.write_bytes(b"\xff\xfea")
    with complains("a.yaml: is not text"):
        read_yaml(path)
    path.write_bytes(b"\xef\xbb\xbf[1]")
    assert read_json(path) == [1]
    for text in ("[" * 100_000, "9" * 400):
        path.write_text(text)
        with complains("a.yaml: is not JSON"):
            read_json(path)
