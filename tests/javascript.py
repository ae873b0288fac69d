"""ONNX files run by JavaScript: Node's onnxruntime, and onnxruntime-web in a browser without a window.

``EXPORT_PREPROCESSOR_NODE_MODULES`` names the ``node_modules`` folder that holds ``onnxruntime-node`` and
``onnxruntime-web``. Only the CPU runs here: WebGPU and WebNN have kernels, and with them roundings, of their own.
"""

import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pytest

WEB = Path(__file__).parent / "web"
MODULES = Path(os.environ.get("EXPORT_PREPROCESSOR_NODE_MODULES", "node_modules")).absolute()
NODE = shutil.which("node")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
TYPES = {".html": "text/html", ".mjs": "text/javascript", ".wasm": "application/wasm"}
SECONDS = 240


def runner(name):
    """The function that runs jobs in ``Node`` or a ``browser``; skips the test where that is not installed."""
    program, package, run = RUNTIMES[name]
    if reason := lacking(program, package):
        pytest.skip(reason)
    return run


def lacking(program, package):
    """What is not installed of a program and the npm package that runs in it, or None."""
    if program is None:
        return f"needs {'Node' if package == 'onnxruntime-node' else ' or '.join(BROWSERS)}"
    if not (MODULES / package).is_dir():
        return f"needs the npm package {package} in the folder EXPORT_PREPROCESSOR_NODE_MODULES"
    return None


class Server(ThreadingHTTPServer):
    """Hands out jobs and their files, and collects the outputs.

    Args:
        jobs: for each model, its path and the batches of ``images`` that it is fed, uint8.
    """

    daemon_threads = True

    def __init__(self, jobs):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/"
        self.files, listed = {}, []
        for i, (model, images) in enumerate(jobs):
            self.files[f"/model/{i}"] = Path(model)
            feeds = {}
            for j, image in enumerate(images):
                self.files[f"/feed/{i}/{j}"] = image.tobytes()
                feeds[f"{i}/{j}"] = {"path": f"/feed/{i}/{j}", "dims": image.shape}
            listed.append({"model": f"/model/{i}", "feeds": feeds})
        self.files["/jobs.json"] = json.dumps(listed).encode()
        self.outputs = [[{} for _ in images] for _, images in jobs]
        self.done = threading.Event()
        self.error = ""

    def find(self, path):
        """The bytes behind a URL's path, or None."""
        found = self.files.get(path)
        if found is None:
            folder, _, name = path[1:].rpartition("/")
            found = (MODULES / folder / "dist" if folder == "onnxruntime-web" else WEB) / name
        if isinstance(found, bytes):
            return found
        return found.read_bytes() if found.is_file() else None


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        path = urlsplit(self.path).path
        body = self.server.find(path)
        self.answer(404 if body is None else 200, body or b"", TYPES.get(Path(path).suffix, "application/octet-stream"))

    def do_POST(self):
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if url.path == "/done":
            self.server.error = body.decode()
            self.server.done.set()
        else:
            header = dict(parse_qsl(url.query))
            i, j = map(int, header["feed"].split("/"))
            shape = [int(size) for size in header["dims"].split(",")]
            self.server.outputs[i][j][header["name"]] = np.frombuffer(body, header["type"]).reshape(shape)
        self.answer(200, b"", "text/plain")

    def answer(self, status, body, content_type):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *arguments):
        pass


def in_node(jobs):
    return run(jobs, lambda url, _: [NODE, str(WEB / "node.mjs"), url, str(MODULES)])


def in_browser(jobs):
    """A profile of its own, no sandbox (which root cannot have) and no proxy between it and this machine."""
    flags = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server")
    return run(jobs, lambda url, profile: [BROWSER, *flags, f"--user-data-dir={profile}", f"{url}page.html"])


def run(jobs, command):
    """The outputs by name, for every model and image; ``command`` starts what runs the jobs."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, Server(jobs) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        log, end = Path(folder, "log"), time.monotonic() + SECONDS
        with log.open("wb") as stream:
            process = subprocess.Popen(command(server.url, folder), stdout=stream, stderr=stream)
            while not server.done.wait(0.1) and process.poll() is None and time.monotonic() < end:
                pass
            process.terminate()
            process.wait(30)
        server.shutdown()
        assert server.done.is_set(), f"ended without an answer: {log.read_text(errors='replace')[-2000:]}"
    assert not server.error, server.error
    return server.outputs


RUNTIMES = {"Node": (NODE, "onnxruntime-node", in_node), "browser": (BROWSER, "onnxruntime-web", in_browser)}
