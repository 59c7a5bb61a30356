"""A Ray cluster of several nodes on one machine, and sweeps on it that are waited for."""

import os
import subprocess
import sys
import time

import psutil

from xkd import ROOT

PATIENT = {
    "RAY_worker_register_timeout_seconds": "900",
    "RAY_health_check_failure_threshold": "20",
    "RAY_worker_niceness": "0",
}
"""Ray gives up on processes that do not start within a minute, and lets them wait for all others, which on a machine with other work is
long."""


class Nodes:
    """A cluster of a head without cores and nodes of two, each with an address of its own as if it were a machine."""

    def __init__(self):
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        self.count = 1

    def filled(self, count, **resources):
        """Nodes are started until there are so many besides the head -> the head's address."""
        while len(self.cluster.worker_nodes) < count:
            self.count += 1
            self.cluster.add_node(node_ip_address=f"127.0.0.{self.count}", **({"num_cpus": 2} | resources))
        self.cluster.wait_for_nodes(timeout=300)
        # Ray notes "this machine's" address in a file; by that of the node added last, whoever uses the cluster would die with that node.
        from ray._private.services import write_node_ip_address

        head = self.cluster.head_node
        write_node_ip_address(head.get_session_dir_path(), head.node_ip_address)
        return self.cluster.address

    def kill_node_of(self, process):
        """Kills the node, as a machine that loses its power, on which the Ray process `process` runs."""
        (node,) = (n for n in self.cluster.worker_nodes if raylet(n) == psutil.Process(process).ppid())
        self.cluster.remove_node(node, allow_graceful=False)

    def kill_all(self):
        for node in list(self.cluster.worker_nodes):
            self.cluster.remove_node(node, allow_graceful=False)


def raylet(node):
    return node.all_processes["raylet"][0].process.pid


def start(folder, address, code=None):
    """A sweep in the checkout `folder`: by the command line of the package in it, or this code."""
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PATH": path, "PYTHONHASHSEED": "0"}  # DVC's order hangs on it
    words = ["-c", code] if code else ["-m", "xkd", "sweep", "--engine", "ray", "--address", address]
    if code:
        environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    with (folder / "said.txt").open("w") as said:
        return subprocess.Popen(
            [sys.executable, *words], cwd=folder, env=environment, stdout=said, stderr=subprocess.STDOUT
        )


def said(folder):
    return (folder / "said.txt").read_text()


def wait(process, folder, until, seconds=600):
    """Waits for a condition that comes while the sweep runs."""
    end = time.monotonic() + seconds
    while not until():
        assert process.poll() is None and time.monotonic() < end, said(folder)
        time.sleep(0.1)


def process_of(folder, stage):
    """The Ray process that runs a stage, by the first line of its log; None before it does."""
    log = folder / "out" / "log" / "sweep" / f"{stage}.txt"
    lines = log.read_text().splitlines() if log.exists() else []
    return int(lines[0].rpartition(" ")[2]) if lines else None
