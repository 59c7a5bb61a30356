"""Builds the made data set: which streets, from which seeds, on two processes, in a folder that is whole or absent."""

import ast
import functools
import io
import multiprocessing
import os
import signal
import tempfile
import time
import tokenize
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path

from xkd.errors import XkdError
from xkd.files import atomic, digest, read_json, write_json
from xkd.machine import end_with
from xkd.progress import progress
from xkd.sim import write_cityscapes, write_kitti, write_nuscenes
from xkd.sim.taxonomy import TAXONOMY

# role: (streets, frames of each); a frame is a sweep with its images, for the teacher's corpus one image.
PROFILES = {
    "default": {
        "train": (40, 10),
        "tuning": (62, 2),
        "val": (150, 2),
        "test": (150, 3),
        "kitti": (11, 4),
        "corpus-train": (500, 4),
        "corpus-val": (25, 4),
    },
    "smoke": {
        "train": (3, 2),
        "val": (2, 2),
        "test": (1, 2),
        "kitti": (3, 2),
        "corpus-train": (3, 2),
        "corpus-val": (1, 2),
    },
}
SEQUENCES = {"default": [f"{i:02d}" for i in range(11)], "smoke": ["00", "01", "08"]}
CITIES = {"corpus-train": "madeburg", "corpus-val": "simstadt"}
SENSORS = dict.fromkeys(write_nuscenes.VERSIONS, "nuscenes") | {"kitti": "kitti"} | dict.fromkeys(CITIES, "corpus")
RIGS = {"all": ("nuscenes", "kitti", "corpus"), "nuscenes": ("nuscenes", "corpus"), "kitti": ("kitti", "corpus")}
"""Sensor rigs behind each value of `--rig`; the teacher's image corpus goes with each, because each needs a teacher."""

MARKER = "xkd-sim.json"
README = """This is made data: no real place, person or sensor is in it.

xkd.sim made it: procedural streets, ray-cast by a LiDAR and by cameras from the same geometry, from one seed. The
layouts are the official ones, so that the official tools and the readers for real data open it. A build for one rig
lacks the other's folder.

nuscenes/       nuScenes v1.0 with lidarseg labels: v1.0-trainval (train, val) and v1.0-test (no labels); no boxes
semantickitti/  SemanticKITTI odometry: velodyne, labels, image_2, image_3, calib.txt, poses.txt, times.txt
cityscapes/     leftImg8bit and gtFine (labelIds): images with pixel labels from other cameras, to train a 2D teacher

All streets differ: none of them is in two splits or in two of these folders. {marker} says from which options and
which code the folder was made; the same options and code give the same bytes. Results on it are not about real roads.
"""


@dataclass(frozen=True)
class Street:
    """One street to make: its role (key of `SENSORS`), its number in it, its frames; the build's profile and seed."""

    role: str
    number: int
    frames: int
    profile: str
    build_seed: int

    @property
    def seed(self):
        """31 bits from the build's seed, the role and the number, so that no street occurs twice."""
        return int(digest([self.build_seed, self.role, self.number])[:8], 16) >> 1


def plan(rig="all", profile="default", seed=0):
    """The streets of a build, in the order of the tables. Unknown rig or profile, or a negative seed -> XkdError."""
    if rig not in RIGS:
        raise XkdError(f"rig {rig!r} is not one of {', '.join(RIGS)}.")
    if profile not in PROFILES:
        raise XkdError(f"profile {profile!r} is not one of {', '.join(PROFILES)}.")
    if seed < 0:
        raise XkdError(f"seed {seed} is negative.")
    return [
        Street(role, i, frames, profile, seed)
        for role, (streets, frames) in PROFILES[profile].items()
        if SENSORS[role] in RIGS[rig]
        for i in range(streets)
    ]


def build(out, rig="all", profile="default", seed=0, processes=None, say=print):
    """Makes the data set in the folder `out` and returns True, or False where `out` already holds this very build.

    An older made folder is replaced whole; a folder that xkd.sim did not make is refused by XkdError. `say` takes a
    sentence.
    """
    out = Path(out)
    streets = plan(rig, profile, seed)
    label = {"made_by": "xkd.sim", "rig": rig, "profile": profile, "seed": seed, "code": code_digest()}
    if holds(out, label):
        say(f"{out}: already holds this very build ({rig}, {profile}, seed {seed}); nothing to do.")
        return False
    frames = sum(s.frames for s in streets)
    # Starting a second process costs more than it saves in a small build.
    processes = processes or (2 if frames > 100 else 1)
    say(f"{out}: {len(streets)} streets, {frames} frames, {estimate(streets, processes)}.")
    with atomic(out, folder=True) as root:
        results = make(streets, root, processes)
        for version in ("v1.0-trainval", "v1.0-test") if "nuscenes" in RIGS[rig] else ():
            roles = [role for role, v in write_nuscenes.VERSIONS.items() if v == version]
            write_nuscenes.write_tables(root / "nuscenes", version, [results[s] for s in streets if s.role in roles])
        (root / "README.txt").write_text(README.format(marker=MARKER))
        write_json(root / MARKER, label | {"files": count_files(root)})
    return True


def make(streets, root, processes):
    """{street: result of `write_street`}; made in any order, each street from its own seed and into its own files."""
    if processes == 1:
        return {s: write_street(s, root) for s in progress(streets, "sim")}
    # `spawn`: a fork of a process that has run numba or torch threads can hang.
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), settle, (os.getpid(),)) as pool:
        # Mixed, so that the rate of the first streets tells the time that all of them take.
        jobs = {pool.submit(write_street, s, root): s for s in sorted(streets, key=lambda s: s.seed)}
        try:
            return {jobs[job]: job.result() for job in progress(as_completed(jobs), "sim", total=len(jobs))}
        except BrokenProcessPool:
            raise XkdError(f"{root.name}: a process that made streets was killed (out of memory?).") from None
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def settle(parent):
    """For a new process: one thread, as the processes share the cores already; the first one alone answers Ctrl-C, and none
    outlives it."""
    os.environ |= {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with(parent)


def write_street(street, root):
    """Makes one street and writes its files below `root`; returns its table rows (nuScenes) or None."""
    # Here and not above: options, refusals and "nothing to do" answer at once, without the ray caster's compiler.
    from xkd.sim import sensors, world

    names = {key: [row[key] for row in TAXONOMY] for key in ("nuscenes", "semantickitti", "cityscapes")}
    place = world.street(street.seed, street.profile)
    rig = SENSORS[street.role]
    frames = (sensors.capture(place, rig, i, street.seed) for i in range(street.frames))
    if rig == "nuscenes":
        number = write_nuscenes.role_numbers(street.role)[street.number]
        return write_nuscenes.write_scene(Path(root) / "nuscenes", street.role, number, frames, names["nuscenes"])
    if rig == "kitti":
        sequence = SEQUENCES[street.profile][street.number]
        return write_kitti.write_sequence(Path(root) / "semantickitti", sequence, frames, names["semantickitti"])
    split, city = street.role.split("-")[1], CITIES[street.role]
    images = (shots[0] for _, shots in frames)
    folder = Path(root) / "cityscapes"
    return write_cityscapes.write_images(folder, split, city, street.number, images, names["cityscapes"])


def estimate(streets, processes):
    """How long the build will take, from one short street of every rig that is made and thrown away; a few words."""
    if sum(s.frames for s in streets) < 100:
        return "less than half a minute"
    seconds = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for rig in dict.fromkeys(SENSORS[s.role] for s in streets):
            same = [s for s in streets if SENSORS[s.role] == rig]
            write_street(replace(same[0], frames=1), folder)  # compiles
            took = []
            for frames in (1, 2):
                start = time.perf_counter()
                write_street(replace(same[0], frames=frames), folder)
                took.append(time.perf_counter() - start)
            frame = max(took[1] - took[0], 0.0)
            seconds += sum(took[0] + (s.frames - 1) * frame for s in same)
    seconds /= processes
    return f"about {int(seconds) // 60} min {int(seconds) % 60:02d} s"


def holds(out, label):
    """Whether `out` is a whole build with this label. XkdError where something is there that xkd.sim did not make."""
    if out.is_dir() and not any(out.iterdir()) or not out.exists():
        return False
    there = read_json(out / MARKER) if (out / MARKER).is_file() else None
    if not isinstance(there, dict) or there.get("made_by") != "xkd.sim":
        raise XkdError(f"{out}: was not made by xkd.sim (no {MARKER} of its own in it); choose another folder.")
    return there == label | {"files": there.get("files")} and there["files"] == count_files(out)


def count_files(root):
    """{top folder: number of files in it}."""
    return {p.name: sum(f.is_file() for f in p.rglob("*")) for p in sorted(Path(root).iterdir()) if p.is_dir()}


@functools.cache
def code_digest():
    """Hex digest of the simulator's code and taxonomy; comments and docstrings are left out, as they change no data."""
    folder = Path(__file__).parent
    code = [statements(p.read_text()) for p in sorted(folder.glob("*.py")) if p.name != "__main__.py"]
    return digest([code, TAXONOMY])


def statements(source):
    """Tokens of Python code without comments, line breaks inside statements and string statements (docstrings)."""
    lone = [n.value for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Expr)]
    docs = {value.lineno for value in lone if isinstance(value, ast.Constant)}
    drop = {tokenize.COMMENT, tokenize.NL}
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return [t.string for t in tokens if t.type not in drop and not (t.type == tokenize.STRING and t.start[0] in docs)]
