"""What keeps the app safe, tidy and off the network: own folder, sweeping, a guard, accounts."""

import asyncio
import ipaddress
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flax_glitch.config import UsageError
from flax_glitch.files import printable
from flax_glitch.notes import LOG

if TYPE_CHECKING:
    import gradio as gr

MAX_UPLOAD = "150 MB"
"""Largest file that the server takes, a little over GWOSC's 4,096 s of strain at 4 kHz."""

MAX_BATCH_FILES = 200
"""Most pictures in one batch."""

MAX_AGE = 6 * 3600.0
"""Uploads and results are kept this long, seconds."""

MAX_KEPT = 1_000_000_000
"""Uploads and results take at most this much disk, bytes; the oldest go first."""

MAX_REQUEST = MAX_KEPT // 2
"""Files that are uploaded at once have at most this many bytes together."""

RECENT = 300.0
"""Files of the last so many seconds may be in use: no upload drives them out."""

MIN_FREE = 100_000_000
"""Bytes of the disk that uploads leave free."""

PATIENCE = 900.0
"""Seconds that an upload may take."""

LOGIN_PAUSE = 1.0
"""Seconds before a wrong password is told, and the next one looked at."""

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

UNFRAMED = {
    "Content-Security-Policy": HEADERS["Content-Security-Policy"] + "; frame-ancestors 'none'"
}

# Gradio would fetch these addresses for whoever asks.
FETCHING_PATHS = ("/gradio_api/proxy=", "/gradio_api/file=http", "/gradio_api/file/http")

UPLOAD = "/gradio_api/upload"

# Gradio takes files and code at more addresses, which no part of this page needs.
WRITING_PATHS = (
    "/login",
    UPLOAD,
    *(f"/gradio_api/{name}" for name in ("call/", "queue/join", "cancel", "reset")),
)


class RefusedError(Exception):
    """A request that isn't answered: HTTP status and a sentence."""


class Guard:
    """ASGI middleware: pages load from this server alone, and strangers can't wear it out.

    Args:
        app: what answers the requests that are let in.
        folder: where uploads are kept.
        host: the name that the server listens at.
        links: hosts of public links to it, which may be added to.
        embed: whether it may have any name, and pages of others may show it in a frame.
    """

    def __init__(
        self,
        app: ASGIApp,
        folder: Path,
        host: str,
        links: Set[str] = frozenset(),
        embed: bool = False,
    ):
        self._app, self._folder, self._links, self._embed = app, folder, links, embed
        self._names = {host.lower(), socket.gethostname().lower()}
        self._keep = frozenset(folder.rglob("*"))
        self._coming = 0  # bytes of the uploads that are under way
        self._login = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message).update(HEADERS if self._embed else HEADERS | UNFRAMED)
            await send(message)

        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._check(scope)
            await self._pass_on(scope, receive, send_with_headers)
        except RefusedError as error:
            status, said = error.args
            await PlainTextResponse(said, status)(scope, receive, send_with_headers)
        except Exception as error:
            if not scope["path"].startswith("/gradio_api/"):
                raise
            LOG.warning(f"{printable(scope['path'])}: no answer ({type(error).__name__})")
            if started:
                await send({"type": "http.response.body"})
                return
            said = "Not understood; the page's ?view=api says what can be asked."
            await PlainTextResponse(said, 400)(scope, receive, send_with_headers)

    def _check(self, scope: Scope) -> None:
        headers, path = Headers(scope=scope), scope["path"]
        host = headers.get("host", "")
        if not self._is_ours(_name_of(host)):
            raise RefusedError(
                421, "Not known by this name: ask by address, or start the app with --embed."
            )
        if path.startswith(FETCHING_PATHS):
            raise RefusedError(403, "Not offered here.")
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return
        origin = urlsplit(headers.get("origin", f"//{host}")).netloc
        if not (origin in (host, headers.get("x-forwarded-host")) or origin in self._links):
            raise RefusedError(403, "Not for pages of other sites.")
        if not path.startswith(WRITING_PATHS):
            raise RefusedError(403, "Not offered here.")

    def _is_ours(self, name: str) -> bool:
        """Whether no stranger's domain can have the name, which may lead here all the same."""
        if self._embed or name in self._links | self._names:
            return True
        with suppress(ValueError):
            return bool(ipaddress.ip_address(name))
        return "." not in name or name.endswith((".localhost", ".local"))

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST" and scope["path"].startswith(UPLOAD):
            await self._take(scope, receive, send)
        elif scope["method"] == "POST" and scope["path"].startswith("/login"):
            await self._let_in(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _take(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Takes an upload if there is room for it."""
        length = Headers(scope=scope).get("content-length", "")
        if not length.isdecimal():
            raise RefusedError(411, "Say how long it is.")
        size = int(length)
        if size > MAX_REQUEST:
            raise RefusedError(413, f"Too much at once: at most {MAX_REQUEST // 10**6} MB.")
        self._coming += size
        try:
            if not await asyncio.to_thread(has_room, self._folder, self._keep, self._coming):
                raise RefusedError(507, "No room for it just now: try again in some minutes.")
            async with asyncio.timeout(PATIENCE):
                await self._app(scope, receive, send)
        finally:
            self._coming -= size

    async def _let_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Looks at one password at a time, and is slow to say that it is wrong."""

        async def send_late(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= 400:
                await asyncio.sleep(LOGIN_PAUSE)
            await send(message)

        async with self._login:
            await self._app(scope, receive, send_late)


def _name_of(host: str) -> str:
    """The name in a Host header, without port and brackets."""
    with suppress(ValueError):
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    return "not.a.name"


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
    """Sweeps the folder every minute, in the background; what is in it now is kept."""
    keep = frozenset(folder.rglob("*"))

    def sweep_on() -> None:
        while True:
            time.sleep(60)
            sweep(folder, keep)

    threading.Thread(target=sweep_on, name="sweeper", daemon=True).start()


def sweep(
    folder: Path,
    keep: Set[Path],
    max_age: float = MAX_AGE,
    max_bytes: int = MAX_KEPT,
    spared: float = 0.0,
) -> int:
    """Deletes files that are older than `max_age` seconds, then the oldest beyond `max_bytes`.

    Those of the last `spared` seconds stay. Returns how many bytes are left.
    """
    found = []
    for path in folder.rglob("*"):
        with suppress(OSError):  # somebody has just removed it
            if path not in keep and path.is_file():
                found.append((path.stat().st_mtime, path.stat().st_size, path))
    kept = 0
    for changed, size, path in sorted(found, reverse=True):
        age = time.time() - changed
        if age > spared and (age > max_age or kept + size > max_bytes):
            path.unlink(missing_ok=True)
        else:
            kept += size
    return kept


def has_room(folder: Path, keep: Set[Path], size: int) -> bool:
    """Makes room for so many bytes, as far as old files take it, and returns whether there is."""
    kept = sweep(folder, keep, max_bytes=MAX_KEPT - size, spared=RECENT)
    return kept + size <= MAX_KEPT and shutil.disk_usage(folder).free >= size + MIN_FREE


def tame_gradio() -> None:
    """Keeps Gradio from fetching what an upload names by its address, and from inviting others.

    By CORS it lets pages of other sites read the answers wherever it isn't asked as localhost.
    """
    import gradio
    from gradio import processing_utils, route_utils

    async def refuse(url: str) -> NoReturn:
        raise gradio.Error("Addresses are not fetched: give a file.", print_exception=False)

    # The one function that all of Gradio's downloads go through.
    processing_utils.async_ssrf_protected_get = refuse
    route_utils.CustomCORSMiddleware.is_valid_origin = lambda *_: False


def check_arguments(page: "gr.Blocks") -> None:
    """Lets Gradio refuse arguments that a function can't take before it queues for them: by 400."""
    from gradio import Dropdown, Error, Number, Slider, route_utils
    from gradio.context import LocalContext

    right = {Dropdown: str | None, Number: float | int | None, Slider: float | int}
    push = page._queue.push

    async def checked(body: Any, request: Any, username: str | None) -> tuple[bool, Any, Any]:
        LocalContext.blocks.set(page)  # or Gradio takes files that nobody has uploaded
        try:
            function = route_utils.get_fn(page, None, body)
            session = page.state_holder[body.session_hash] if body.session_hash else None
            given = await page.preprocess_data(function, list(body.data), session)
            for part, value in zip(function.inputs, given, strict=True):
                # Gradio lets pass a list of choices in place of one, and text as a number.
                if not isinstance(value, right.get(type(part), object)):
                    raise TypeError
        except Exception as error:
            said = error.message if isinstance(error, Error) else "of the wrong number or type"
            return False, f"Arguments: {said}; the page's ?view=api lists them.", "error"
        return await push(body, request, username)

    page._queue.push = checked


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
