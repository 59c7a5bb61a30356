"""Commands of stages as tasks of Ray, on the machines of its cluster: `Tasks` hands them out, `work` is what a machine does with one.

The machines share the checkout's folder, the data and the Python environment, each under the same path everywhere.
"""

import os
import platform
import socket
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass

from xkd.errors import XkdError

WAIT = 60.0
"""Seconds that a file system of several machines is given to show everywhere what one of them has written."""
PAUSE = 10.0
"""Seconds before a lost job starts again, twice as many each time: until Ray sees that a machine is gone, it gives it jobs."""
LOOK = 30.0
"""Seconds after which a cluster is looked at again, whether a machine is left that has what a stage needs."""
FRAMES = "XKD_FRAMES"
"""Variable of a stage that maps over frames: where it runs (`place`)."""


@dataclass
class Run:
    """A job, how often it was lost, the time it is not to start before, and its Ray task once it is handed out."""

    job: dict
    tries: int = 0
    due: float = 0.0
    task: object = None


class Tasks:
    """A Ray cluster that runs jobs (`xkd.sweep.job`), each on one machine. What is lost with a machine or a process of Ray's starts again.

    address: of a cluster; None: that of $RAY_ADDRESS, one that runs on this machine, or one that is started here and ends with this.
    cpus, gpus: what each job is given; gpus None: a whole one where there are any. Errors: no Ray, no cluster, no machine with so much.
    """

    def __init__(self, address=None, cpus=1.0, gpus=None, retries=3):
        try:
            import ray
        except ImportError:
            raise XkdError(
                "--engine ray: Ray is not installed here; `pip install -r requirements-ray.txt` does."
            ) from None
        self.ray, self.retries, self.running = ray, retries, {}
        where = address or os.environ.get("RAY_ADDRESS", "none")
        try:
            reach(where)
            with warnings.catch_warnings():  # that a later Ray may not hide the GPUs from tasks without a share of them
                warnings.simplefilter("ignore", FutureWarning)
                ray.init(address=address, log_to_driver=False, logging_level="error", include_dashboard=False)
        except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
            raise XkdError(f"--address {where}: no Ray cluster answers there ({said(error)}).") from None
        machines = self._machines()
        if gpus is None:
            gpus = float(any(machine.get("GPU") for machine in machines))
        self.needs, self.told = {"CPU": cpus, "GPU": gpus}, False
        self.what = f"{cpus:g} cores and {gpus:g} GPUs for a stage (--cpus, --gpus)"
        if not self._able():
            ray.shutdown()
            raise XkdError(f"No machine of the Ray cluster has {self.what}.")
        print(
            f"xkd: {len(machines)} Ray nodes; a stage takes {cpus:g} of their cores and {gpus:g} of their GPUs.",
            flush=True,
        )
        # The function travels with the task, and no machine has to find this package for it.
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
        # Lost ones start again here and not in Ray, so that it is said.
        needs = {"num_cpus": cpus, "num_gpus": gpus}
        self.remote = ray.remote(**needs, max_retries=0, scheduling_strategy="SPREAD")(work)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ray.shutdown()  # ends what still runs

    def _machines(self):
        """What each machine of the cluster has: {"CPU": cores, "GPU": ...}."""
        return [node["Resources"] for node in self.ray.nodes() if node["Alive"]]

    def _able(self):
        """Whether a machine has what a stage needs, busy or not."""
        return any(all(own.get(key, 0) >= share for key, share in self.needs.items()) for own in self._machines())

    def start(self, name, job):
        """Takes a job, which `next` gives to Ray, which starts it when a machine has room."""
        open(job["log"], "w").close()
        self.running[name] = Run(job)

    def next(self):
        """Waits for a job that ends -> its name, and None or one sentence on what went wrong."""
        while True:
            name, task = self._ended()
            run = self.running.pop(name)
            wrong, lost = self._result(task)
            if not lost:
                return name, wrong
            if run.tries >= self.retries:
                return name, f"was lost {run.tries + 1} times ({wrong})."
            pause = PAUSE * 2**run.tries
            print(f"xkd: {name} was lost with its machine and starts again in {pause:.0f} s ({wrong}).", flush=True)
            self.running[name] = Run(run.job, run.tries + 1, time.monotonic() + pause)

    def _ended(self):
        """Gives Ray the jobs that are due, until one has ended -> its name, and its task."""
        while True:
            now = time.monotonic()
            for name, run in self.running.items():
                if run.task is None and run.due <= now:
                    run.task = self.remote.options(name=name).remote(run.job)
            tasks = {run.task: name for name, run in self.running.items() if run.task is not None}
            pause = min([LOOK, *(run.due - now for run in self.running.values() if run.task is None)])
            ended = self.ray.wait(list(tasks), timeout=pause)[0] if tasks else time.sleep(pause)
            if ended:
                return tasks[ended[0]], ended[0]
            able = self._able()
            if not (able or self.told):
                print(f"xkd: No machine is left that has {self.what}; what is to run waits for one.", flush=True)
            self.told = not able

    def _result(self, task):
        """None or what went wrong with a task that has ended, and whether it was lost with its machine."""
        errors = self.ray.exceptions
        try:
            return self.ray.get(task)
        except errors.RayTaskError as error:
            return f"could not be started ({said(error.cause)}).", False
        except errors.RayError as error:
            return said(error), True


def reach(address):
    """Errors (OSError): nobody answers at HOST:PORT, where Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if port.isdigit() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=10).close()


def said(error):
    """The first line of an error's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def missing(paths, seconds=WAIT):
    """The first of `paths` that is not there, not after so many seconds either; None if all are."""
    end = time.monotonic() + seconds
    while True:
        lost = next((path for path in paths if not os.path.exists(path)), None)
        if lost is None or time.monotonic() > end:
            return lost
        time.sleep(0.5)


def work(job):
    """Runs a job's commands on this machine until one fails; -> None or one sentence on what went wrong, and whether a command was killed,
    as those of a machine that goes down are, some before Ray's process there. What they print goes to the job's `log`."""
    here = platform.node()
    for path in (job["token"], *job["deps"]):
        if missing([path]):
            return (
                f"{here} does not see {path}: every machine needs the checkout, the data and the environment under the same path.",
                False,
            )
    environment = os.environ | job["environment"]
    environment = {name: value for name, value in environment.items() if value is not None}
    if job["frames"]:
        environment[FRAMES] = place()
    with open(job["log"], "a") as log:
        print(f"on {here}, process {os.getpid()}", file=log, flush=True)
        for command in job["commands"]:
            status = guarded([environment.get("SHELL", "/bin/sh"), "-c", command], job["folder"], environment, log)
            if status:
                break
        else:
            return None, False
    with open(job["log"], errors="replace") as log:
        last = [line.strip() for line in log if line.strip()][-1]
    return f"exit status {status} on {here}: {last} (all it said: {job['log']})", status < 0 or status > 128


def place():
    """Of the Ray task that this is: the cluster's address, its node's, its cores, its GPUs; four words."""
    import ray

    context = ray.get_runtime_context()
    needs = context.get_assigned_resources()
    return f"{context.gcs_address} {ray.util.get_node_ip_address()} {needs.get('CPU', 0)} {needs.get('GPU', 0)}"


def guarded(command, folder, environment, log):
    """Exit status of a command that does not outlive this process, however that ends: a shell of its own kills its process group when the
    pipe from here breaks. It is nobody's child, so that what ends Ray's process with its children cannot end it first."""
    running = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    watch = f"exec 3<&0; (read _ <&3 || kill -9 -{running.pid}) &"
    guard = subprocess.Popen(["/bin/sh", "-c", watch], stdin=subprocess.PIPE, start_new_session=True)
    try:
        status = running.wait()
        guard.stdin.write(b"\n")
        return status
    finally:
        guard.stdin.close()
        guard.wait()
