"""`python -m xkd sweep [--engine ray] [TARGET ...]`: the stages that are left, by `dvc repro` or many at a time on Ray's machines.

DVC runs one stage at a time, and two `dvc repro` in one checkout get into each other's way. So with Ray one process keeps the books, as
`dvc repro` would have kept them: it asks DVC whether a stage is up to date or in the run-cache, removes old outs, hands the command to a
task, and has what that leaves hashed into the cache. dvc.lock lists stages in the order in which they were first written there, so an
entry waits for those that `dvc repro` would have made before it. Until then the run-cache has it: after a kill, a sweep goes on from
there, and so does `dvc repro`.
"""

import fcntl
import os
import platform
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from pathlib import Path

import xkd
from xkd.books import books_of, tell
from xkd.errors import XkdError
from xkd.tasks import Tasks

GIVEN = ("PATH", "PYTHONPATH", "SHELL", "CXX", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Variables that a stage has from here, wherever it runs, or has not if they are unset here."""


def add(commands):
    """The command line's part of it."""
    parser = commands.add_parser("sweep", help="run the stages that are left, on this machine or on many")
    parser.add_argument(
        "--engine", choices=("local", "ray"), default="local", help="local: plain `dvc repro` (default)"
    )
    parser.add_argument(
        "--address", help="of Ray's head, HOST:PORT or auto (default: $RAY_ADDRESS, or this machine alone)"
    )
    parser.add_argument("--cpus", type=float, default=1, help="cores that a stage is given (1)")
    parser.add_argument("--gpus", type=float, help="share of a GPU that a stage is given (1 where there are GPUs)")
    parser.add_argument(
        "--retries", type=int, default=3, help="how often a stage lost with its machine starts again (3)"
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="as of `dvc repro` (default: all of dvc.yaml)")


def main(options):
    """Runs it; returns the exit status. Errors: params.yaml holds what a stage would refuse, no Ray, another DVC at work here."""
    if options.engine == "local":
        if options.address:
            raise XkdError(f"--address {options.address}: is for --engine ray; `dvc repro` runs on this machine alone.")
        environment = os.environ | {"PATH": given()["PATH"]}
        command = [sys.executable, "-m", "dvc", "repro", *options.targets]
        return subprocess.run(command, cwd=xkd.ROOT, env=environment).returncode
    from xkd.estimate import checked

    checked()
    if not (options.cpus > 0 and (options.gpus is None or options.gpus >= 0) and options.retries >= 0):
        raise XkdError("--cpus has to be above 0, --gpus and --retries not below it.")
    try:
        with Tasks(options.address, options.cpus, options.gpus, options.retries) as tasks:
            failed = sweep(xkd.ROOT, options.targets, tasks)
    except KeyboardInterrupt:
        print("xkd: interrupted; the same command goes on from here.", file=sys.stderr)
        return 130
    for name, sentence in failed.items():
        print(f"xkd: {name}: {sentence}", file=sys.stderr)
    return int(bool(failed))


def sweep(root, targets, tasks):
    """Runs what is left of `targets` (none: dvc.yaml) in the checkout `root`; -> what went wrong, stage's name -> one sentence.

    tasks: `start(name, job)`, `next()` -> (name, a sentence or None) of the next that ends, `running`. After a failure all goes on that
    does not need the failed stage.
    """
    log = Path(root).absolute() / "out" / "log" / "sweep"
    log.mkdir(parents=True, exist_ok=True)
    # Machines that do not share the checkout would train for hours, and leave the result in a folder of their own.
    token = log / f"{uuid.uuid4().hex}.run"
    failed, started = {}, {}
    with alone(log / "lock"), books_of(root, targets) as books:
        token.touch()
        try:
            waiting = list(books.plan)
            while True:
                for stage in list(waiting):
                    if not books.needs(stage) <= books.over.keys():
                        continue
                    waiting.remove(stage)
                    name = stage.addressing
                    found = books.turn(stage)
                    if not found:
                        started[name] = stage, time.monotonic()
                        tasks.start(name, job(stage, token))
                    tell(f"{name} {found or 'runs'}")
                books.write()
                if not tasks.running:
                    break
                name, wrong = tasks.next()
                stage, start = started[name]
                wrong = wrong or books.keep(stage)
                if wrong:
                    failed[name] = wrong
                tell(f"{name} {'failed' if wrong else 'is done'} after {time.monotonic() - start:.0f} s")
            books.write(gaps=True)
            return failed | {stage.addressing: "was not run, because it needs what failed." for stage in waiting}
        finally:
            token.unlink(missing_ok=True)


@contextmanager
def alone(path):
    """Holds the file `path` while the body runs. DVC's own locks know processes of one machine only. Errors: another sweep holds it."""
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            if isinstance(error, BlockingIOError):
                raise XkdError(f"{path.parents[3]}: another sweep is at work there, {file.read()}.") from None
            raise XkdError(f"{path}: this file system cannot lock it ({error.strerror}).") from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}")
        file.flush()
        yield


def given():
    """`GIVEN` variables as a stage has them: its `python` is the one that runs this."""
    found = {name: os.environ[name] for name in GIVEN if name in os.environ}
    return found | {"PATH": os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])}


def job(stage, token):
    """What a task has to know of a stage. DVC_STAGE is none of it: no training of a later stage beside it (`xkd.companion`), and
    Ray's number of threads is not that of `dvc repro`, on which the bytes could hang."""
    environment = dict.fromkeys((*GIVEN, "DVC_STAGE")) | given() | {"DVC_ROOT": stage.repo.root_dir}
    return {
        "commands": stage.cmd if isinstance(stage.cmd, list) else stage.cmd.splitlines(),
        "folder": stage.wdir,
        "deps": sorted({dep.fs_path for dep in stage.deps}),
        "frames": any(dep.def_path.endswith("xkd/prepare.py") for dep in stage.deps),
        "environment": environment,
        "token": str(token),
        "log": str(token.with_name(stage.addressing.replace("/", "-") + ".txt")),
    }
