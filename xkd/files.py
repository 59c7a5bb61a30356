"""Files that are either whole or not there, the digests that tell one version from another, and texts, JSON and YAML as they are read."""

import errno
import hashlib
import io
import json
import os
import shutil
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import yaml

from xkd.errors import XkdError, why


@contextmanager
def atomic(path, folder=False):
    """Yields a temporary path beside `path` (a new folder if `folder`), renamed to `path` on success, removed on failure.

    A full disk or a killed process leaves the old file as it was. A folder takes the place of the old one whole. Errors:
    `path` cannot be written; whatever else the body of the `with` meets, such as a file that it cannot read, is let through.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # What a killed process left of this very path: it would change the hash of the folder around it for good.
        for left in path.parent.glob(f".{path.name}.{TEMPORARY}"):
            shutil.rmtree(left, ignore_errors=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
        inner = temporary / path.name
        if folder:
            inner.mkdir()
        yield inner
        if folder and path.is_dir():
            os.replace(path, temporary / "old")
            try:
                os.replace(inner, path)
            except OSError:
                os.replace(temporary / "old", path)
                raise
        else:
            os.replace(inner, path)
    except OSError as error:
        if temporary is not None and not _of_writing(error, temporary):
            raise
        raise XkdError(
            f"{path}: cannot be written ({error.strerror or error}); what was there before is untouched."
        ) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


TEMPORARY = "?" * 8 + ".part"
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}


def _of_writing(error, folder):
    """Whether an OSError is of a file in `folder`; one that names no file, whether it is of a disk that takes no more."""
    names = [n for n in (error.filename, error.filename2) if isinstance(n, str | bytes | os.PathLike)]
    if names:
        real = [Path(os.path.realpath(os.fsdecode(name))) for name in names]
        return any(name.is_relative_to(os.path.realpath(folder)) for name in real)
    # numpy gives no number, only "<n> requested and <m> written".
    return error.errno in NO_ROOM or (error.errno is None and str(error).endswith(" written"))


class Rows:
    """Files of a folder that grow piece by piece, so that a split need not be held in memory. A `.npy` file ends as `np.save` of all its
    rows would have left it."""

    def __init__(self, folder):
        self.folder, self.files, self.kinds, self.counts = folder, {}, {}, {}

    def __enter__(self):
        return self

    def append(self, name, array):
        """Rows (N, ...) at the end of a .npy file."""
        array = np.ascontiguousarray(array)
        if name not in self.kinds:
            self.kinds[name], self.counts[name] = (array.dtype, array.shape[1:]), 0
            self._header(name)
        if (array.dtype, array.shape[1:]) != self.kinds[name]:
            raise XkdError(f"{name}: rows of {array.dtype} {array.shape[1:]} after rows of {self.kinds[name]}.")
        self.counts[name] += len(array)
        self.write(name, array.data)

    def write(self, name, data):
        """Bytes at the end of a file."""
        if name not in self.files:
            self.files[name] = open(self.folder / name, "wb")
        self.files[name].write(data)

    def _header(self, name):
        """numpy leaves room in it for a number of rows of any length."""
        dtype, shape = self.kinds[name]
        header = io.BytesIO()
        about = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False}
        np.lib.format.write_array_header_1_0(header, about | {"shape": (self.counts[name], *shape)})
        self.write(name, header.getvalue())

    def __exit__(self, *error):
        try:
            for name in self.kinds:
                self.files[name].seek(0)
                self._header(name)
        finally:
            for file in self.files.values():
                file.close()


def write_json(path, value):
    """JSON with sorted keys and a last newline, so that equal values are equal bytes."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_bytes(path, what="file", read=Path.read_bytes):
    """The bytes of a file that has to be there. read: `overwritten` where they are looked at and not kept."""
    try:
        return read(Path(path))
    except FileNotFoundError:
        raise XkdError(f"{path}: no such {what}.") from None
    except OSError as error:
        raise XkdError(f"{path}: cannot be read ({error.strerror}).") from error
    except ValueError as error:  # what a damaged table says is no file's name
        raise XkdError(f"{str(path)!r}: cannot be read ({error}).") from None


def overwritten(path):
    """The bytes of a file in memory that the next call of this thread fills anew: to be given new memory takes longer than to read."""
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        own = getattr(SCRATCH, "bytes", None)
        if own is None or len(own) < size:
            own = SCRATCH.bytes = bytearray(size + size // 4)
        place, there = memoryview(own)[:size], 0
        while there < size and (more := file.readinto(place[there:])):
            there += more
    return place[:there].toreadonly()


SCRATCH = threading.local()
"""Memory of each thread for `overwritten`."""


def read_text(path):
    """The text of a file in UTF-8, without the mark that some systems begin it with."""
    data = read_bytes(path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise XkdError(f"{path}: is not text ({error.reason} at byte {error.start}).") from None


def read_json(path):
    """The value in a JSON file; a missing or broken file is one sentence."""
    text = read_text(path)
    try:
        return json.loads(text, parse_int=whole)
    except (ValueError, RecursionError) as error:
        raise XkdError(f"{path}: is not JSON ({error}).") from None


def whole(text):
    """The whole number of a text. Errors: ValueError, if it is larger than any float."""
    if len(text) > 300:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def read_yaml(path):
    """The value in a YAML file. Errors: missing, no text, no YAML or several documents, a key twice, dates and numbers that are none,
    aliases that say more than `MOST` values."""
    return yaml_value(read_text(path), path)


def yaml_value(text, where):
    """The value of a text in YAML; `where` opens the sentence of an error."""
    try:
        return yaml.load(text, _Yaml)
    except Exception as error:  # dates, numbers and tags that are none raise what Python raises at them
        raise XkdError(f"{where}: is not YAML ({why(error)}).") from None


class _Yaml(yaml.SafeLoader):
    """Of a key that is there twice the last would count, in silence; and few lines of aliases of aliases say billions of values."""

    def compose_mapping_node(self, anchor):
        node, seen = super().compose_mapping_node(anchor), set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key.value} is there twice", problem_mark=key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else key)
        return node

    def get_single_node(self):
        node = super().get_single_node()
        if node is not None and self._said(node, {}) > MOST:
            raise ValueError(f"its aliases say more than {MOST:,} values")
        return node

    def _said(self, node, known):
        """How many values a node stands for, with what its aliases repeat."""
        if node not in known:
            known[node] = MOST + 1  # what holds itself, holds it
            parts = node.value if isinstance(node, yaml.CollectionNode) else ()
            parts = [part for pair in parts for part in pair] if isinstance(node, yaml.MappingNode) else parts
            known[node] = 1 + sum(self._said(part, known) for part in parts)
        return known[node]

    def construct_yaml_int(self, node):
        whole(self.construct_scalar(node))
        return super().construct_yaml_int(node)


_Yaml.add_constructor("tag:yaml.org,2002:int", _Yaml.construct_yaml_int)
MOST = 100_000
"""Values of a YAML file at most."""


def digest(*parts):
    """Hex SHA-256 of files (a Path: its bytes; a folder: its files' names and bytes) and of JSON values. No file is in memory whole."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path) and part.is_dir():
            for file in sorted(p for p in part.rglob("*") if p.is_file()):
                total.update(str(file.relative_to(part)).encode() + b"\0" + _hashed(file))
        elif isinstance(part, Path):
            total.update(_hashed(part))
        else:
            total.update(json.dumps(part, sort_keys=True).encode() + b"\0")
    return total.hexdigest()


def _hashed(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
