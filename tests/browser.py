"""A headless Chromium, driven by its DevTools protocol."""

import base64
import contextlib
import itertools
import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request

from websockets.sync import client

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")
SWITCHES = (
    "--headless",
    "--no-sandbox",  # Root cannot use one.
    "--disable-gpu",
    "--disable-dev-shm-usage",  # Containers have little shared memory.
    "--no-first-run",
    "--remote-debugging-port=0",
    "--window-size=1400,1000",
)


class Page:
    """An open page.

    Args:
      socket: connection to the DevTools of the page.
    """

    def __init__(self, socket):
        self._socket = socket
        self._numbers = itertools.count(1)

    def open(self, url: str) -> None:
        """Goes to an address, without waiting for the page to load."""
        self._call("Page.navigate", url=url)

    def evaluate(self, expression: str):
        """The value of a JavaScript expression, which may be a promise."""
        answer = self._call(
            "Runtime.evaluate",
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def wait_for(self, expression: str, seconds: float = 120):
        """The value of a JavaScript expression, once it is truthy.

        Raises:
          TimeoutError: it never is.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            value = self.evaluate(expression)
            if value:
                return value
            time.sleep(0.2)
        raise TimeoutError(f"{expression} is still {value!r}")

    def screenshot(self, path: pathlib.Path) -> None:
        """Writes the visible part of the page as PNG."""
        answer = self._call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(answer["data"]))

    def _call(self, method: str, **params) -> dict:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        self._socket.send(json.dumps(message))
        while True:  # Events come in between.
            answer = json.loads(self._socket.recv(timeout=120))
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(answer["error"])
                return answer["result"]


@contextlib.contextmanager
def page():
    """An empty page in a Chromium of its own."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [PROGRAM, *SWITCHES, f"--user-data-dir={profile}", "about:blank"],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        try:
            port = find_in(process.stderr, r"DevTools listening on ws://[^:]*:(\d+)/")
            url = f"http://127.0.0.1:{port}/json/list"
            with urllib.request.urlopen(url, timeout=60) as response:
                targets = json.load(response)
            (address,) = (
                target["webSocketDebuggerUrl"]
                for target in targets
                if target["type"] == "page"
            )
            with client.connect(address, max_size=None) as socket:
                yield Page(socket)
        finally:
            process.terminate()
            process.wait(60)


def find_in(stream, pattern: str) -> str:
    """The group of a pattern in the first matching line of a stream."""
    for line in stream:
        if match := re.search(pattern, line):
            return match[1]
    raise EOFError(f"no line matched {pattern}")
