"""The frames of the prepare, teacher and views stages as tasks of Ray, when a sweep runs these stages on Ray's machines (`xkd.sweep`).

Those stages map a function over frames with a pool of threads. In a task of a sweep `spread` puts `Workers` in the place of that pool,
which maps it over the whole cluster; what the stage then writes is the same. A stage never waits for other machines: what they have not
given, it makes itself.
"""

import copyreg
import logging
import os
import pickle
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import xkd
from xkd.tasks import FRAMES, said

MOST = 16
"""Frames of a task. Neighbours are made together: the teacher keeps the feature maps that a frame shares with the next."""


def spread():
    """Puts `Workers` in the place of the stages' pools of threads, in this process."""
    from xkd import extract, machine
    from xkd.prepared import Prepared

    # Neither a lock nor a memory map travels: both are made anew where they arrive.
    copyreg.pickle(extract.Remembered, lambda r: (extract.Remembered, (r.function, r.count)))
    copyreg.pickle(Prepared, lambda p: (Prepared, (p.path.parent, p.split)))
    machine.pool = Workers
    if "ipykernel" in sys.modules:  # what Ray's C++ prints would be a part of the executed notebook
        with log().open("a") as lines:
            os.dup2(lines.fileno(), 1)
            os.dup2(lines.fileno(), 2)


class Workers:
    """`map` of a ThreadPoolExecutor, over a Ray cluster: this process, and as many tasks beside it as the cluster has room for."""

    def __init__(self, _=None):
        self.address, self.node, cpus, gpus = os.environ[FRAMES].split()
        self.needs = {"num_cpus": float(cpus), "num_gpus": float(gpus)}
        self.threads = max(1, int(float(cpus)))
        self.room = 0

    def __enter__(self):
        try:
            self._connect()
        except Exception as error:  # of many kinds, none of which is the stage's
            tell(f"no other machine helps, because Ray cannot be reached ({said(error)})")
        return self

    def __exit__(self, *_):
        pass  # the next split has the same tasks' processes

    def _connect(self):
        logging.getLogger("ray.widgets").setLevel(logging.ERROR)
        with warnings.catch_warnings():  # they would be a part of the executed notebook, too
            warnings.simplefilter("ignore")
            import ray

            options = {"log_to_driver": False, "logging_level": "error", "_node_ip_address": self.node}
            ray.init(address=self.address, ignore_reinit_error=True, **options)
        self.ray, there = ray, ray.cluster_resources()
        rooms = [
            there.get(kind, 0) / need for kind, need in zip(("CPU", "GPU"), self.needs.values(), strict=True) if need
        ]
        self.room = max(0, int(min(rooms, default=0)) - 1)  # one is this stage's own
        root = str(xkd.ROOT)

        def part(*arguments):
            if root not in sys.path:
                sys.path.insert(0, root)
            from xkd.frames import remote

            return remote(*arguments)

        self.part = ray.remote(**self.needs, max_retries=0, scheduling_strategy="SPREAD")(part)

    def map(self, function, items):
        """Yields function(item) of every item, in their order."""
        items = list(items)
        size = min(MOST, max(1, len(items) // (4 * (self.room + 1))))
        parts = [items[k : k + size] for k in range(0, len(items), size)]
        packed, running, made, given, helped = self._packed(function), {}, {}, 0, 0
        try:
            for number in range(len(parts)):
                # Not far ahead: what is made early is kept until its turn.
                end = min(len(parts), number + 4 * (self.room + 1))
                while number not in made:
                    while packed and given < end and len(running) < 2 * self.room:
                        running[self.part.remote([packed], parts[given], self.threads)] = given
                        given += 1
                    found = {k: part for k, part in self._ended(running) if k >= number and k not in made}
                    made, helped = made | found, helped + len(found)
                    if number not in made:
                        # What nobody has or a machine has lost; else the next, and at the end what another may be at.
                        own = given if number in running.values() and given < end else number
                        made[own] = self.here(function, parts[own])
                        given = max(given, own + 1)
                yield from made.pop(number)
        finally:
            for reference in running:
                self.ray.cancel(reference, force=True)
        if packed:
            tell(f"{helped} of {len(parts)} parts of the {len(items)} frames were made beside this stage")

    def _packed(self, function):
        """The function where every machine can fetch it; None where nobody is to have it."""
        if self.room <= 0:
            return None
        try:
            return self.ray.put(self.ray.cloudpickle.dumps(function))
        except Exception as error:  # whatever a data set or teacher has that cannot be pickled
            return tell(f"no other machine helps, because the work cannot be sent ({said(error)})")

    def _ended(self, running):
        """Takes the tasks that have ended from `running`, a dict reference -> part; yields (part, its results) of those that went well."""
        ended, _ = self.ray.wait(list(running), num_returns=len(running), timeout=0) if running else ([], [])
        for reference in ended:
            part = running.pop(reference)
            try:
                yield part, pickle.loads(self.ray.get(reference))
            except self.ray.exceptions.RayError as error:
                # An error of the frames' own, such as a broken file, comes again here.
                tell(f"part {part} was lost and is made by the stage itself ({said(error)})")

    def here(self, function, part):
        """The results of a part, made by this process."""
        return several(function, part, self.threads)


def several(function, items, threads):
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, items))


def remote(packed, part, threads):
    """The results of a part, made by a task, pickled. packed: a list of one reference, or Ray would fetch it for every part."""
    function = unpacked(*packed)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)  # as `xkd.extract` does
    # Arrays that Ray itself hands over cannot be written to.
    return pickle.dumps(several(function, part, threads), pickle.HIGHEST_PROTOCOL)


@lru_cache(maxsize=1)
def unpacked(reference):
    import ray

    return ray.cloudpickle.loads(ray.get(reference))


def tell(sentence):
    """A line of the stage's log; the stage runner shows it."""
    with log().open("a") as lines:
        lines.write(f"frames: {sentence}\n")


def log():
    path = xkd.ROOT / "out" / "log" / "frames.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
