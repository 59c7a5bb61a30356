"""The teacher's features on the disk: fp16 memory maps, announced before they are made, taken up again where a killed extraction left
them, and checked."""

import os
import shutil
import sys
import time
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

import xkd
from xkd.arrays import map_npy
from xkd.errors import XkdError
from xkd.files import digest, read_json, write_json
from xkd.progress import note

EVERY = 10.0
"""Seconds between two records of what is done."""


class Unfinished:
    """The maps of one split while they are filled, in out/resume/<key>: outside every stage's outs, which DVC deletes.

    `key` stands for all that a feature hangs on: an extraction of another teacher, other images or other code finds nothing here.
    `shapes`: {name: (rows, channels)}. The first `done` frames are in the maps; a frame's rows hang on no other frame.
    """

    def __init__(self, split, key, shapes):
        self.split, self.shapes = split, shapes
        self.folder, self.maps = xkd.ROOT / "out" / "resume" / key, {}
        self.record = self.folder / "done.json"
        there = [path.stat().st_size for path in self.paths() if path.is_file()]
        # Maps that were cut short since are begun anew.
        whole = [size > 2 * rows * channels for size, (rows, channels) in zip(there, shapes.values(), strict=False)]
        self.begun = self.record.exists() and len(there) == len(shapes) and all(whole)
        self.done = read_json(self.record) if self.begun else 0
        self.size = sum(2 * rows * channels for rows, channels in shapes.values())
        self.missing = max(0, self.size - sum(there))
        self.told = time.monotonic()

    def paths(self):
        return [self.folder / f"{name}.npy" for name in self.shapes]

    def open(self):
        """Opens what is there, or makes the maps. Their room on the disk is taken at once: a full disk is an error here, and would be
        a crash later."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for path, (name, shape) in zip(self.paths(), self.shapes.items(), strict=True):
            if self.begun:
                self.maps[name] = map_npy(path, "r+")
                continue
            self.record.unlink(missing_ok=True)
            self.maps[name] = open_memmap(path, "w+", np.float16, shape)
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        return self.maps

    def frame(self, done):
        """So many frames are in the maps; written down now and then."""
        self.done = done
        if time.monotonic() - self.told > EVERY:
            self.keep()

    def keep(self):
        """Writes down how many frames are in the maps, and before that the maps; those that hold none yet go."""
        if not self.done:
            return self.forget()
        for values in self.maps.values():
            values.flush()
        write_json(self.record, self.done)
        self.told = time.monotonic()

    def move(self, folder):
        """The whole maps into `folder`, on another disk too."""
        self.maps = {}
        for path in self.paths():
            shutil.move(path, folder / path.name)

    def forget(self):
        shutil.rmtree(self.folder, ignore_errors=True)


def announce(parts, out):
    """Says on the screen and in out/log how large the features of the `parts` (`Unfinished`) will be, and what others left behind.

    Errors: more than the disk takes."""
    size, missing = sum(part.size for part in parts), sum(part.missing for part in parts)
    channels = next(iter(parts[0].shapes.values()))[1]
    rows = [sum(part.shapes[name][0] for part in parts) for name in parts[0].shapes]
    begun = "".join(f"; {part.split} goes on at frame {part.done}" for part in parts if part.done)
    resume, place = _standing(xkd.ROOT / "out" / "resume"), _standing(out)
    needs = {resume: missing} if resume.stat().st_dev == place.stat().st_dev else {resume: missing, place: size}
    own, maps = {part.folder for part in parts}, (xkd.ROOT / "out" / "resume").glob("*/*features.npy")
    if others := sum(path.stat().st_size for path in maps if path.parent not in own):
        tell(f"teacher: {resume} holds {mib(others)} more that extractions with other settings or code have left there")
    for disk, need in needs.items():
        free = shutil.disk_usage(disk).free
        tell(
            f"teacher: {rows[0]:,} pairs and {rows[1]:,} superpixels of {channels} channels in fp16 take {mib(size)}, "
            f"{mib(need)} more than now, and {disk} has {mib(free)} free{begun}"
        )
        if need > free:
            raise XkdError(f"{out}: features take {mib(need)} more, and the disk of {disk} has {mib(free)} free.")


def mib(size):
    return f"{size / 2**20:,.1f} MiB"


def _standing(path):
    """The path, or the nearest folder above it that is there."""
    path = Path(path).absolute()
    return next(place for place in (path, *path.parents) if place.exists())


def tell(line, label="teacher-size"):
    """One line to stderr and, as an executed notebook's output may not hold it (`xkd.progress`), to out/log."""
    note(label, line)
    if "ipykernel" not in sys.modules:
        print(line, file=sys.stderr, flush=True)


def verify(folder):
    """Reads a split of out/teacher whole -> its facts (features.json). Errors: none there, bytes that are not those that were written."""
    about = read_json(folder / "features.json")
    if not isinstance(about, dict):
        raise XkdError(f"{folder / 'features.json'}: holds no facts of features but {str(about)[:60]!r}.")
    files = sorted(path for path in folder.iterdir() if path.name != "features.json")
    for path in files:
        map_npy(path)
    found = digest(*files, {name: value for name, value in about.items() if name != "digest"})
    if found != about.get("digest"):
        told = str(about.get("digest"))
        raise XkdError(f"{folder}: its files have the SHA-256 {found[:12]}, and features.json says {told[:12]}.")
    return about
