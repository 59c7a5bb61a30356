"""A headless Chromium, driven over a pipe by its DevTools protocol (chromedevtools.github.io/devtools-protocol): no package, no port."""

import base64
import json
import os
import select
import shutil
import subprocess
import time

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless=new --no-sandbox --remote-debugging-pipe --enable-unsafe-swiftshader --hide-scrollbars --disable-gpu-sandbox "
    "--disable-dev-shm-usage --no-first-run --disable-background-networking --disable-component-update --disable-sync"
)


def program():
    """The Chromium of this machine, $CHROMIUM first; None where there is none."""
    return next(filter(None, (shutil.which(name) for name in (os.environ.get("CHROMIUM", ""), *NAMES))), None)


def needed():
    """Skips the test where there is no Chromium."""
    if program() is None:
        pytest.skip("no Chromium here: apt-get install chromium, or name one in $CHROMIUM")


class Browser:
    """One tab. `errors`: what its console said at level error, and uncaught exceptions; `requests`: every address that it asked for."""

    def __init__(self, profile, width=1160, height=900, patience=120, more=()):
        self.patience, self.number, self.rest = patience, 0, b""
        self.errors, self.requests, self.answers = [], [], {}
        (take, self.out), (self.into, give) = os.pipe(), os.pipe()
        # Chromium reads from descriptor 3 and writes to 4.
        command = f'exec "$0" "$@" 3<&{take} 4>&{give}'
        given = (*FLAGS.split(), *more, f"--user-data-dir={profile}", f"--window-size={width},{height}", "about:blank")
        self.process = subprocess.Popen(
            ["bash", "-c", command, program(), *given],
            pass_fds=(take, give),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(take)
        os.close(give)
        self.session = None
        tab = self.wait(
            lambda: next((t for t in self.ask("Target.getTargets")["targetInfos"] if t["type"] == "page"), None)
        )
        self.session = self.ask("Target.attachToTarget", targetId=tab["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.out)
        os.close(self.into)

    def ask(self, method, **params):
        """The result of one command."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + self.patience
        while self.number not in self.answers:
            self._read(end - time.monotonic())
        answer = self.answers.pop(self.number)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def _read(self, seconds):
        ready, _, _ = select.select([self.into], [], [], max(seconds, 0))
        data = os.read(self.into, 1 << 20) if ready else b""
        assert data, f"Chromium says nothing any more (exit status {self.process.poll()})"
        *messages, self.rest = (self.rest + data).split(b"\0")
        for message in map(json.loads, messages):
            if "id" in message:
                self.answers[message["id"]] = message
            self._note(message.get("method"), message.get("params"))

    def _note(self, method, params):
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Runtime.consoleAPICalled" and params["type"] == "error":
            self.errors.append(" ".join(str(a.get("value", a.get("description"))) for a in params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"][:200])

    def wait(self, condition):
        """What `condition()` gives once it is true."""
        end = time.monotonic() + self.patience
        while not (found := condition()):
            assert time.monotonic() < end, f"waited {self.patience} s in vain; the console said {self.errors}"
            time.sleep(0.05)
        return found

    def open(self, url, ready="document.readyState === 'complete'"):
        """Opens an address and waits until the expression `ready` is true."""
        self.ask("Page.navigate", url=url)
        self.wait(lambda: self.run(ready))

    def run(self, expression):
        """The JSON value of an expression, awaited if it is a promise."""
        found = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def click(self, x, y):
        """At x, y of the window, in CSS pixels."""
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def screenshot(self, path, whole=True):
        """Writes the page as a PNG file."""
        found = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))
        return path
