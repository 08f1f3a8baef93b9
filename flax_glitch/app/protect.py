"""What keeps the app safe, tidy and off the network: own folder, sweeping, headers, accounts."""

import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flax_glitch.config import UsageError

MAX_UPLOAD = "150 MB"
"""Largest file that the server takes, a little over GWOSC's 4,096 s of strain at 4 kHz."""

MAX_BATCH_FILES = 200
"""Most pictures in one batch."""

MAX_AGE = 6 * 3600.0
"""Uploads and results are kept this long, seconds."""

MAX_KEPT = 1_000_000_000
"""Uploads and results take at most this much disk, bytes; the oldest go first."""

# Gradio's pages need inline scripts and styles; what no directive lets in comes from this server.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
        "connect-src 'self' data: blob:; worker-src 'self' blob:; object-src 'none'; "
        "base-uri 'self'; form-action 'self'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

# Gradio would fetch these addresses for whoever asks.
FETCHING_PATHS = ("/gradio_api/proxy=", "/gradio_api/file=http", "/gradio_api/file/http")


class LocalOnly:
    """ASGI middleware: pages load from this server alone, and it relays nothing to them."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        if scope.get("path", "").startswith(FETCHING_PATHS):
            await PlainTextResponse("Not offered here.", 403)(scope, receive, send)
        else:
            await self._app(scope, receive, send_with_headers)


@contextmanager
def own_folder(host: str) -> Iterator[Path]:
    """Gives this process a folder of its own for uploads and results, and removes it at the end.

    To be entered before Gradio is imported, which reads these variables then. The app talks to
    itself at `host` while it starts: that must not go through a proxy.
    """
    with tempfile.TemporaryDirectory(prefix="flax_glitch-", ignore_cleanup_errors=True) as name:
        os.environ["GRADIO_TEMP_DIR"] = str(Path(name).resolve())
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        for variable in ("no_proxy", "NO_PROXY"):
            listed = os.environ.get(variable)
            os.environ[variable] = ",".join(filter(None, [listed, "127.0.0.1", "localhost", host]))
        yield Path(name).resolve()


def start_sweeping(folder: Path) -> None:
    """Sweeps the folder every ten minutes, in the background; what is in it now is kept."""
    keep = frozenset(folder.rglob("*"))

    def sweep_on() -> None:
        while True:
            time.sleep(600)
            sweep(folder, keep)

    threading.Thread(target=sweep_on, name="sweeper", daemon=True).start()


def sweep(
    folder: Path, keep: Set[Path], max_age: float = MAX_AGE, max_bytes: int = MAX_KEPT
) -> None:
    """Deletes files that are older than `max_age` seconds, then the oldest beyond `max_bytes`."""
    found = []
    for path in folder.rglob("*"):
        with suppress(OSError):  # somebody has just removed it
            if path not in keep and path.is_file():
                found.append((path.stat().st_mtime, path.stat().st_size, path))
    kept = 0
    for changed, size, path in sorted(found, reverse=True):
        kept += size
        if changed < time.time() - max_age or kept > max_bytes:
            path.unlink(missing_ok=True)


def fetch_nothing() -> None:
    """Keeps Gradio from downloading what an upload names by its address in place of a file."""
    import gradio
    from gradio import processing_utils

    async def refuse(url: str) -> NoReturn:
        raise gradio.Error("Addresses are not fetched: give a file.", print_exception=False)

    # The one function that all of Gradio's downloads go through.
    processing_utils.async_ssrf_protected_get = refuse


def wanted_port() -> int | None:
    """Returns the port that the environment asks for, None if it doesn't.

    Raises:
        UsageError: if that is no number.
    """
    port = os.environ.get("GRADIO_SERVER_PORT", "")
    if port and not port.isdecimal():
        raise UsageError(f"GRADIO_SERVER_PORT={port}: give a number from 1 to 65535, or unset it")
    return int(port) if port else None


def check_address(host: str, port: int | None) -> None:
    """Checks that the app can listen there (at any port if `port` is None).

    Raises:
        UsageError: if the host is none of this machine's or the port impossible.
        ValueError: if the port is taken.
    """
    if port is not None and not 1 <= port <= 65535:
        raise UsageError(f"--port {port}: give a number from 1 to 65535")
    try:
        family, *_, address = socket.getaddrinfo(host, port or 0, type=socket.SOCK_STREAM)[0]
        with socket.create_server(address[:2], family=family):
            pass
    except PermissionError:
        raise ValueError(f"--port {port}: not allowed to you; give one above 1023") from None
    except socket.gaierror:
        raise UsageError(f"--host {host}: no such host; try 127.0.0.1") from None
    except OSError as error:
        if port is None or error.errno == getattr(os, "EADDRNOTAVAIL", 99):
            raise UsageError(f"--host {host}: not an address of this machine") from None
        raise ValueError(
            f"--port {port}: taken by another program; give another, or none to use a free one"
        ) from None


def read_accounts(path: Path) -> list[tuple[str, str]]:
    """Returns the names and passwords of a file of lines `name:password`.

    Raises:
        UsageError: if the file can't be read or a line is not of that form.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise UsageError(f"--auth-file {path}: no text file that can be read") from None
    accounts = []
    for number, line in enumerate(lines, 1):
        name, _, password = line.strip().partition(":")
        if line.strip() and not (name and password):
            raise UsageError(f"--auth-file {path}: line {number} is not name:password")
        if name:
            accounts.append((name, password))
    if not accounts:
        raise UsageError(f"--auth-file {path}: empty; write one name:password a line")
    return accounts
