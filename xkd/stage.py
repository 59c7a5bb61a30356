"""Runs one notebook as one stage of the pipeline: `python -m xkd.stage NOTEBOOK OUTPUT [-p name value ...]`.

Papermill executes the notebook; this adds what a versioned pipeline needs: parameters checked by name, progress that is
seen while it runs, an executed notebook with the same bytes whenever the results are the same, and one sentence when it
fails.
"""

import argparse
import ast
import json
import logging
import os
import re
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import xkd
from xkd import XkdError, params
from xkd.errors import of_disk
from xkd.files import atomic, yaml_value
from xkd.tasks import FRAMES

COMPLETE = re.compile(r"\] (\d+)/\1 ")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")
SLOW = "rfc3987_syntax"
"""A URI grammar that takes a second to compile, which jsonschema imports if it can; kept out of stages and kernels."""
VOLATILE = [(re.compile(r"\bipykernel_\d+\b"), "ipykernel"), (re.compile(r"\bat 0x[0-9a-f]{6,}"), "at 0x0")]


def main(arguments=None):
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m xkd.stage", description="Runs one parameterised notebook.")
    parser.add_argument("notebook", type=Path)
    parser.add_argument("output", type=Path, help="where the executed notebook goes")
    about = "a parameter of the notebook; the value is YAML"
    parser.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), dest="given", help=about)
    options = parser.parse_args(arguments)
    try:
        run(options.notebook, options.output, {name: parse(name, value) for name, value in options.given})
    except XkdError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:  # papermill's, which names no file, where it keeps what it has executed so far
        error.filename = error.filename or options.output
        print(f"{options.notebook.name}: {of_disk(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{options.notebook.name}: interrupted.", file=sys.stderr)
        return 130
    return 0


def run(notebook, output, given, root=None):
    """Executes `notebook` with ROOT/params.yaml and `given` (dict name -> value); writes `output` whole or not at all.

    A section of params.yaml is passed if the cell tagged `parameters` names it. Raises XkdError for a parameter that
    the cell does not name, and for a cell that fails.
    """
    root = Path(root or xkd.ROOT)
    names = parameter_names(notebook)
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise XkdError(f"no parameter {unknown[0]!r} in {notebook}: it has {', '.join(names)}.")
    sections = checked(params.read(root / "params.yaml"), "params.yaml")
    for name in sorted(sections.keys() - {"profiles"}):  # what a later stage would refuse, before this one's hours
        params.check(name, sections[name])
    parameters = {name: value for name, value in sections.items() if name in names} | given

    # Under torchrun every process executes the notebook, and the first keeps it.
    rank = int(os.environ.get("RANK", 0))
    partial = root / "out" / "log" / f"failed-{label(output, root)}{f'-{rank}' if rank else ''}.ipynb"
    partial.parent.mkdir(parents=True, exist_ok=True)
    start = time.time()
    with followed(partial.parent):
        executed = execute(notebook, partial, parameters, root)
    partial.unlink(missing_ok=True)
    if rank:
        return
    with atomic(output) as temporary:
        temporary.write_text(stable(executed))
    line = {"notebook": Path(notebook).name, "output": label(output, root), "seconds": round(time.time() - start, 2)}
    with (partial.parent / "times.jsonl").open("a") as times:
        times.write(json.dumps(line) + "\n")


def execute(notebook, partial, parameters, root):
    """The executed notebook (a dict of nbformat 4). `partial` receives it as far as it came."""
    logging.getLogger("papermill").setLevel(logging.ERROR)
    sys.modules.setdefault(SLOW, None)
    import papermill
    from nbclient.exceptions import DeadKernelError
    from traitlets.config import Config

    name = Path(notebook).name
    with tempfile.TemporaryDirectory(prefix="xkd-") as folder:
        # The kernel sees this checkout's package, also where another is the installed one, and nobody's start-up files.
        os.environ["PYTHONPATH"] = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
        os.environ["IPYTHONDIR"] = folder
        profile = Path(folder) / "profile_default"
        profile.mkdir()
        # A kernel that is told to end while it is idle says so, sometimes, before the sentence that matters.
        lines = [f"import sys; sys.modules.setdefault({SLOW!r}, None)"]
        if FRAMES in os.environ:
            lines.append("from xkd import frames; frames.spread()")
        (profile / "ipython_kernel_config.py").write_text(
            f"c.IPKernelApp.log_level = 'CRITICAL'\nc.IPKernelApp.exec_lines = {lines}\n"
        )
        # Local sockets: no open ports, and no warning about them.
        config = Config({"KernelManager": {"transport": "ipc", "ip": f"{folder}/kernel"}})
        try:
            return papermill.execute_notebook(
                notebook,
                partial,
                parameters,
                kernel_name="python3",
                language="python",
                progress_bar=False,
                start_timeout=300,
                config=config,
            )
        except papermill.PapermillExecutionError as error:
            said = error.evalue if error.ename == "XkdError" else COLOUR.sub("", "\n".join(error.traceback))
            raise XkdError(f"{name}: {said}\n(as far as it came: {partial})") from None
        except DeadKernelError:
            raise XkdError(f"{name}: its kernel was killed, most often for want of memory ({partial}).") from None


def parameter_names(notebook):
    """Names assigned in the cell tagged `parameters`, in order. Errors: no notebook, no such cell, one that is not Python."""
    try:
        about = json.loads(Path(notebook).read_text())
        marks = [(cell["metadata"].get("tags", []), cell["source"]) for cell in about["cells"]]
        tagged = ["".join(source) for tags, source in marks if "parameters" in tags]
    except OSError as error:
        raise XkdError(f"{notebook}: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise XkdError(f"{notebook}: is not a notebook ({error!r}).") from None
    if not tagged:
        raise XkdError(f"{notebook}: no cell is tagged `parameters`, so its parameters could not be set.")
    try:
        tree = ast.parse(tagged[0], "cell")
    except (SyntaxError, ValueError) as error:  # ValueError: a byte of value 0
        raise XkdError(f"{notebook}: the cell tagged `parameters` is not Python: {error}.") from None
    targets = [target for node in tree.body for target in getattr(node, "targets", [getattr(node, "target", None)])]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def parse(name, text):
    """The value of `-p name text`, read as YAML."""
    return checked(yaml_value(text, f"-p {name} {text}"), f"-p {name}")


def checked(value, where):
    """`value` itself; XkdError for a `1e-3` anywhere in it, which YAML 1.1 reads as a string."""
    if isinstance(value, dict):
        return {key: checked(item, f"{where}: {key}") for key, item in value.items()}
    if isinstance(value, list):
        return [checked(item, where) for item in value]
    if isinstance(value, str) and EXPONENT.fullmatch(value):
        number = f"{float(value):.15f}".rstrip("0")
        raise XkdError(f"{where}: {value} is text to YAML; write {number}{'0' * number.endswith('.')} instead.")
    return value


def label(output, root):
    """A name for the run that writes `output`: its path under out/, in one word."""
    path = Path(output).resolve()
    for base in (root / "out", root):
        if path.is_relative_to(base.resolve()):
            return "-".join(path.relative_to(base.resolve()).with_suffix("").parts)
    return path.stem


def stable(notebook):
    """JSON text of an executed notebook without what differs between equal runs: times, made-up ids, addresses."""
    import nbformat

    notebook = nbformat.from_dict(json.loads(json.dumps(notebook)))
    parameters = notebook["metadata"].pop("papermill", {}).get("parameters", {})
    notebook["metadata"]["papermill"] = {"parameters": parameters}
    for number, cell in enumerate(notebook["cells"]):
        cell["metadata"].pop("papermill", None)
        cell["metadata"].pop("execution", None)
        if "injected-parameters" in cell["metadata"].get("tags", []) or "id" not in cell:
            cell["id"] = f"cell-{number}"
        for output in cell.get("outputs", []):
            if "text" in output:
                output["text"] = steady(output["text"])
            if "text/plain" in output.get("data", {}):
                output["data"]["text/plain"] = steady(output["data"]["text/plain"])
    return nbformat.writes(notebook) + "\n"


def steady(text):
    """Text without process numbers and memory addresses."""
    for pattern, replacement in VOLATILE:
        text = pattern.sub(replacement, text)
    return text


@contextmanager
def followed(folder, every=0.5, gap=10.0):
    """While the body runs, prints what `xkd.progress` writes to `folder`/*.log.

    Ends the run if it was started by DVC and DVC was killed: an orphan would go on writing beside the next run.
    """
    ends = {path: path.stat().st_size for path in folder.glob("*.log")}
    told = {}
    stop, parent = threading.Event(), os.getppid()
    screen = sys.stderr.isatty()

    def show():
        for path in sorted(folder.glob("*.log")):
            end = ends.get(path, 0)
            if path.stat().st_size <= end:
                continue
            with path.open() as file:
                file.seek(end)
                lines = file.read().splitlines()
                ends[path] = file.tell()
            last, done = lines[-1], bool(COMPLETE.search(lines[-1]))
            # On a screen one line is rewritten; in a log a line now and then is enough.
            if screen or done or time.monotonic() - told.get(path, -gap) >= gap:
                told[path] = time.monotonic()
                text, end = (f"\r{last}\033[K", "\n" if done else "") if screen else (last, "\n")
                print(text, end=end, file=sys.stderr, flush=True)

    def watch():
        while not stop.wait(every):
            show()
            if os.environ.get("DVC_STAGE") and os.getppid() != parent:
                os._exit(1)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        show()


if __name__ == "__main__":
    sys.exit(main())
