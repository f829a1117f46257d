"""Serves a run's live page to this machine alone."""

import errno
import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from shears.reporting.live import Watched
from shears.runtime.errors import UserError

ADDRESS = "127.0.0.1"
#: The page holds all it needs. Vega compiles expressions, which is called "eval".
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'unsafe-inline'; img-src data:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Server(ThreadingHTTPServer):
    """Listens on loopback for requests about one run."""

    daemon_threads = True

    def __init__(self, watched: Watched, port: int):
        """Takes the run and a port, 0 for any free one.

        Raises:
            UserError: The port cannot be used.
        """
        self.watched = watched
        try:
            super().__init__((ADDRESS, port), Handler)
        except OSError as error:
            reason = os.strerror(error.errno or errno.EIO)
            raise UserError(
                f"--port: {port}: {reason}, expected a free port: give another one, or "
                "--port 0 for any that is free"
            ) from None


class Handler(BaseHTTPRequestHandler):
    """Answers GET for the page and its state, and nothing else."""

    server: Server
    timeout = 10  # seconds; a client that says nothing is dropped
    server_version, sys_version = "shears", ""

    def do_GET(self) -> None:
        """Answers with the page or its state."""
        if not self._is_ours():
            # Another site's name that leads here (DNS rebinding).
            return self._answer(421, b"found another Host, expected 127.0.0.1\n")
        try:
            if self.path == "/":
                return self._answer(200, self.server.watched.page(), "text/html")
            if self.path == "/state":
                state = self.server.watched.state()
                if self.headers.get("If-None-Match") == state["version"]:
                    return self._answer(304)
                content = json.dumps(state).encode()
                return self._answer(200, content, "application/json")
        except OSError as error:
            return self._answer(503, f"{error.strerror}\n".encode())
        return self._answer(404, b"found no such page, expected /\n")

    def _refuse(self) -> None:
        self._answer(405, b"expected GET\n")

    do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _refuse

    def _is_ours(self) -> bool:
        port = self.server.server_port
        hosts = self.headers.get_all("Host") or []
        return len(hosts) == 1 and hosts[0] in {
            f"{ADDRESS}:{port}",
            f"localhost:{port}",
        }

    def _answer(
        self, status: int, content: bytes = b"", kind: str = "text/plain"
    ) -> None:
        try:
            self.send_response(status)
            for name, value in HEADERS.items():
                self.send_header(name, value)
            if status == 405:
                self.send_header("Allow", "GET")
            if status != 304:
                self.send_header("Content-Type", f"{kind}; charset=utf-8")
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)
        except ConnectionError:  # the browser has gone
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: the terminal belongs to the run."""
