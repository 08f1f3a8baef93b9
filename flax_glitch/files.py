"""Files written whole, hashed, named and fetched: what every room needs of disk and network."""

import hashlib
import logging
import os
import re
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from filelock import FileLock, Timeout
from requests.adapters import HTTPAdapter, Retry
from requests.exceptions import ChunkedEncodingError, ConnectionError, HTTPError, InvalidSchema

from flax_glitch.notes import LOG, bar

# What went wrong is said in one line by ourselves.
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)

TIMEOUT = 15.0
"""Seconds without an answer after which a request is given up."""

PAUSES = (1.0, 2.0, 4.0)
"""Seconds to wait after the first, second and third try that failed."""

BUSY = (408, 413, 429, 500, 501, 502, 503, 504)
"""Answers after which one may ask again."""

BROKEN = (ChunkedEncodingError, ConnectionError)
"""What requests raises where an answer breaks off."""


class BrokenOffError(OSError):
    """A download that broke off at each try."""


ODD_NAMES = "backslashreplace"
"""How file names that are no UTF-8 are written."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_FORMULA = re.compile(r"\s*[=+\-@]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]inf", re.IGNORECASE)

SIMULATED_MARK = "SIMULATED.txt"
"""The file by which a folder is known to hold simulated pictures."""


def write_whole(target: Path, content: bytes | str | Iterable[str]) -> None:
    """Writes a file that nobody ever sees half written, however many write it at once.

    Text becomes UTF-8; a file name in it that is no valid text is escaped. An iterable of text is
    written as it comes.
    """
    parts = [content] if isinstance(content, bytes | str) else content
    unfinished = target.with_name(f".{uuid.uuid4().hex}.unfinished")
    try:
        with unfinished.open("xb") as file:
            for part in parts:
                encoded = part if isinstance(part, bytes) else part.encode(errors=ODD_NAMES)
                file.write(encoded)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def locked(file: Path, progress: bool = False) -> Iterator[None]:
    """Holds a lock that the system frees even if the process is killed; its file stays, empty."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(file)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        if progress:
            LOG.warning(f"{file}: another process prepares this; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def sha256(path: Path) -> str:
    """Returns the SHA-256 of a file in hexadecimal."""
    return _digest(path, "sha256")


def _digest(path: Path, method: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, method).hexdigest()


def seal(path: Path, content: Path | None = None) -> Path:
    """Writes a file's checksum beside it, as `sha256sum` does, and returns the file.

    `content` has what it will hold, if it isn't there yet.
    """
    write_whole(_seal_of(path), f"{sha256(content or path)}  {path.name}\n")
    return path


def is_intact(path: Path, md5: str = "") -> bool:
    """Returns whether a file is there that has this MD5 or, without one, the seal beside it."""
    try:
        if md5:
            return _digest(path, "md5") == md5
        return _seal_of(path).read_text()[:64] == sha256(path)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return False


def _seal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def printable(text: str) -> str:
    """Returns text that stays on one line, whatever a file is called."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def harmless(cell: str) -> str:
    """Returns a cell of CSV that is no formula to a spreadsheet, nor a command to a terminal."""
    cell = _CONTROL.sub(" ", cell)
    return f"'{cell}" if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell


def restored(cell: str) -> str:
    """Returns a cell as it was before it was made `harmless`."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell[1:]) else cell


def shown(text: str) -> str:
    """Returns lines of text without any other letters that a terminal takes for commands."""
    return "".join(c if c in "\n\t" else _CONTROL.sub("?", c) for c in text)


def download(url: str, goal: Path, *, host: str = "", md5: str = "", progress: bool = True) -> Path:
    """Returns the file of an address, fetched unless it is there intact.

    What is there of a broken download is gone on with. Of all who want a file of the goal's folder
    at once, one fetches it and the others wait. Only the host given is asked, or that of the
    address. Without an MD5 a checksum is kept beside the file.

    Raises:
        OSError: if the file can't be had; `why` says it in a few words.
    """
    if is_intact(goal, md5):
        LOG.debug(f"{goal} is here already")
        return goal
    part = goal.with_name(f"{goal.name}.part")
    with locked(goal.with_name("lock"), progress), open_session(host or url) as session:
        if is_intact(goal, md5):  # another has fetched it meanwhile
            return goal
        LOG.debug(f"fetching {url} to {goal}")
        for _ in tries():
            if _go_on(session, url, part, progress):
                _accept(part, goal, md5)
                return part.replace(goal)
    raise BrokenOffError(
        f"broke off {len(PAUSES) + 1} times, at last after {_size(part):,} bytes; try again, it "
        "goes on from there"
    )


def tries() -> Iterator[None]:
    """Yields for each try at a server, the later ones after a pause."""
    for pause in (0.0, *PAUSES):
        time.sleep(pause)
        yield


def _go_on(session: requests.Session, url: str, part: Path, progress: bool) -> bool:
    """Fetches what `part` doesn't hold yet; whether that ended well."""
    done = _size(part)
    headers = {"Range": f"bytes={done}-"} if done else {}
    with session.get(url, headers=headers, timeout=TIMEOUT, stream=True) as answer:
        if answer.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            whole = answer.headers.get("Content-Range", "").endswith(f"/{done}")
            if not whole:
                part.unlink()
            return whole
        answer.raise_for_status()
        if answer.status_code != HTTPStatus.PARTIAL_CONTENT:
            done = 0
        total = done + int(answer.headers.get("Content-Length", 0))
        sizes: dict[str, Any] = {"initial": done, "total": total, "unit": "B", "unit_scale": True}
        shown = bar(desc=Path(url).name, hidden=not progress, **sizes)
        try:
            with shown, part.open("ab" if done else "wb") as file:
                for chunk in answer.iter_content(1 << 16):
                    file.write(chunk)
                    shown.update(len(chunk))
        except BROKEN:
            return False
    return True


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _accept(part: Path, goal: Path, md5: str) -> None:
    """Seals a download that has no MD5 to be checked by."""
    if not md5:
        seal(goal, part)
    elif (found := _digest(part, "md5")) != md5:
        part.unlink()
        raise OSError(f"its MD5 is {found} and should be {md5}")


def open_session(address: str) -> requests.Session:
    """Returns a session that asks the host of an address alone, again after a pause if it's busy.

    Requests refuses an address, also of a redirect, that none of its adapters is for.
    """
    retry = Retry(
        len(PAUSES),
        connect=1,
        backoff_factor=PAUSES[0],
        status_forcelist=BUSY,
        respect_retry_after_header=False,  # it may say hours
    )
    parts = urlsplit(address)
    session = requests.Session()
    session.adapters.clear()
    session.mount(f"{parts.scheme}://{parts.netloc}/", _Adapter(max_retries=retry))
    session.headers["Accept-Encoding"] = "identity"
    return session


class _Adapter(HTTPAdapter):
    """Tells of a missing answer as of a lost connection, which gwosc doesn't try ten times."""

    def send(self, *args: Any, **options: Any) -> requests.Response:
        try:
            return super().send(*args, **options)
        except requests.Timeout as error:
            raise ConnectionError("no answer in time") from error


def why(error: Exception) -> str:
    """Returns in a few words why something couldn't be fetched."""
    match error:
        case InvalidSchema():
            return f"leads to another host, which isn't asked ({error}); try again later"
        case HTTPError(response=answer):
            return f"the answer is {answer.status_code} {answer.reason}"
        case requests.RequestException():
            cause = getattr(error.args[0], "reason", error) if error.args else type(error).__name__
            return f"can't be reached ({str(cause).rpartition(': ')[2]})"
    return str(error)
