"""Starts real servers on loopback: `transformers serve`, and one that fails as it is told to."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.tiny_models import set_field

SERVED = "tests/tiny"
SILENT = "tests/silent"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def engine_config(base_url: str, **changes: object) -> dict[str, object]:
    """Configuration of the engine, as ``conf/engine/openai.yaml`` gives it."""
    fixed = {"name": "openai", "base_url": base_url, "model": None, "api_key_env": None}
    return {**fixed, "concurrency": 4, "timeout_s": 60, "retries": 2, **changes}


@contextmanager
def transformers_server(models: dict[str, Path], home: Path) -> Iterator[str]:
    """Serve model folders with ``transformers serve``, laid out as if the hub had been asked before."""
    for name, folder in models.items():
        repository = home / "hub" / f"models--{name.replace('/', '--')}"
        snapshot = repository / "snapshots" / COMMIT
        shutil.copytree(folder, snapshot)
        # Without this the server decodes greedily at any temperature.
        set_field(snapshot / "generation_config.json", "do_sample", True)
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text(COMMIT)
    port = free_port()
    command = [
        Path(sys.executable).with_name("transformers"),
        "serve",
        "--device",
        "cpu",
        "--port",
        str(port),
    ]
    environment = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    with (home / "log.txt").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait(server, f"http://localhost:{port}/health", home / "log.txt")
            yield f"http://localhost:{port}/v1"
        finally:
            server.kill()
            server.wait()


def _wait(server: subprocess.Popen[bytes], url: str, log: Path, limit_s: float = 120) -> None:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"the server did not start: {log.read_text()[-2000:]}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


Reply = Callable[["Scripted", dict[str, Any]], None]
"""What a scripted server does with one request's body."""


class Scripted(BaseHTTPRequestHandler):
    """One connection to a `scripted_server`."""

    protocol_version = "HTTP/1.1"
    server: "ScriptedServer"

    def do_GET(self) -> None:
        self.server.headers_seen.append(self.headers)
        self.server.list_models(self, {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.headers_seen.append(self.headers)
            self.server.requests.append(body)
        self.server.reply(self, body)

    def send(self, content: bytes | object, status: int = 200, **headers: str) -> None:
        """Answer with JSON, or with raw bytes that claim to be JSON."""
        payload = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


class ScriptedServer(ThreadingHTTPServer):
    """Keeps what it was asked; `reply` and `list_models` say what it answers."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, reply: Reply, list_models: Reply) -> None:
        super().__init__(("127.0.0.1", 0), Scripted)
        self.reply, self.list_models = reply, list_models
        self.requests: list[dict[str, Any]] = []
        self.headers_seen: list[Message] = []
        self.lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is no error here."""

    def die(self) -> None:
        """Accept nothing any more, as a killed server does."""
        self.shutdown()
        self.server_close()


def completion(text: object, finish: str | None = "stop", usage: object = (5, 2)) -> dict[str, Any]:
    """A chat completion as servers send it."""
    body: dict[str, Any] = {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": SERVED,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}],
    }
    if isinstance(usage, tuple):
        body["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
    return body


def listing(*names: str, **fields: object) -> Reply:
    """Answer with a list of models."""
    entries = [{"id": name, "object": "model", "created": 0, "owned_by": "x", **fields} for name in names]
    return lambda handler, _: handler.send({"object": "list", "data": entries})


@contextmanager
def scripted_server(reply: Reply, list_models: Reply | None = None) -> Iterator[ScriptedServer]:
    """Serve on a free port of loopback."""
    server = ScriptedServer(reply, list_models or listing(SERVED))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.die()
        thread.join()
