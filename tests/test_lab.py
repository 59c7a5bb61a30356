"""The linked views inside JupyterLab itself, in a browser: they are drawn without a kernel, a click works, nothing leaves the machine."""

import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from contextlib import contextmanager

import browser
import nbformat
import pytest
from nbformat import v4
from nbformat.sign import NotebookNotary
from wall import Stripes, Wall

from xkd import linked

FRAME = "[...document.querySelectorAll('iframe')].find(f => f.contentDocument?.body?.dataset.ready === 'yes')?.contentDocument"


def answers(url):
    try:
        return urllib.request.urlopen(url, timeout=5).status == 200
    except OSError:
        return False


@contextmanager
def jupyterlab(folder):
    """A server of `folder` with settings of its own; gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = f"-m jupyterlab --no-browser --allow-root --port={port} --port-retries=0 --IdentityProvider.token="
    process = subprocess.Popen(
        [sys.executable, *command.split(), f"--notebook-dir={folder}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    """As it is saved after it ran: signed, with the page in an output."""
    for name in ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(f"JUPYTER_{name}", str(tmp_path / name))
    (tmp_path / "notebooks").mkdir()
    scene = linked.scene(Wall(tmp_path), 1, (Stripes(), "stripes"), most=1500, superpixels=0)
    html = linked.view(scene)._repr_html_()
    output = v4.new_output("display_data", {"text/html": html})
    book = v4.new_notebook(cells=[v4.new_code_cell("linked.view(scene)", outputs=[output], execution_count=1)])
    NotebookNotary(data_dir=str(tmp_path / "DATA_DIR")).sign(book)
    nbformat.write(book, tmp_path / "notebooks" / "looks.ipynb")
    return tmp_path / "notebooks"


@pytest.mark.skipif(shutil.which("jupyter-lab") is None, reason="JupyterLab is not in this environment")
def test_the_views_are_drawn_in_jupyterlab_and_a_click_moves_the_ring(notebook, tmp_path):
    browser.needed()
    with jupyterlab(notebook) as address, browser.Browser(tmp_path / "profile", patience=200) as tab:
        tab.wait(lambda: answers(f"{address}/api"))
        tab.open(f"{address}/lab/tree/looks.ipynb", f"!!({FRAME})")
        # The file names no kernel, and JupyterLab asks for one, in front of the page.
        tab.wait(lambda: tab.run("!!document.querySelector('.jp-Dialog .jp-mod-reject')"))
        tab.run("document.querySelector('.jp-Dialog .jp-mod-reject').click()")
        tab.wait(lambda: tab.run("!document.querySelector('.jp-Dialog')"))
        # As high as the page: no bar to scroll inside the notebook.
        inside, page = tab.run(f"[({FRAME}).defaultView.innerHeight, ({FRAME}).documentElement.scrollHeight]")
        assert inside >= page
        before = tab.run(f"({FRAME}).getElementById('picked').textContent")
        tab.run(f"({FRAME}).querySelector('#images canvas').scrollIntoView()")
        left, top, width = tab.run(
            "(c => { const f = c.ownerDocument.defaultView.frameElement.getBoundingClientRect(), b = c.getBoundingClientRect(); "
            "return [f.left + b.left, f.top + b.top, c.clientWidth] })"
            f"(({FRAME}).querySelector('#images canvas'))"
        )
        tab.click(left + 0.3 * width, top + 0.4 * width)
        tab.wait(lambda: tab.run(f"({FRAME}).getElementById('picked').textContent") != before)
        assert not tab.errors
        strangers = {url for url in tab.requests if not url.startswith((address, "data:", "blob:"))}
        assert strangers <= {"about:srcdoc", "about:blank"}
        picture = tab.screenshot(tmp_path / "lab.png", whole=False)
        assert os.path.getsize(picture) > 10_000
