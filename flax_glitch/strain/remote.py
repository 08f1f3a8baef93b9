"""Files at one host and no other: blocks of one, or all of it."""

import hashlib
import io
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter, Retry
from requests.exceptions import ChunkedEncodingError, ConnectionError, InvalidSchema
from tqdm import tqdm

from flax_glitch.strain.formats import StrainError

# What went wrong is said in one line by ourselves.
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)

HOST = "https://gwosc.org"
"""The Gravitational Wave Open Science Center."""

TIMEOUT = 15.0
"""Seconds without an answer after which a request is given up."""

PAUSES = (1.0, 2.0, 4.0)
"""Seconds to wait after the first, second and third try that failed."""

BUSY = (408, 413, 429, 500, 501, 502, 503, 504)
"""Answers after which one may ask again; gwosc would do so ten times by itself."""

BLOCK = 1 << 19
"""Bytes that are asked for at once: a minute of strain takes 7 to 9 such, with HDF5's index."""

BROKEN = (ChunkedEncodingError, ConnectionError)
"""What requests raises where an answer breaks off."""

CURE = "give the strain file with --strain"

_downloading = threading.Lock()


class NoRangesError(Exception):
    """The server sends only whole files."""


class OfflineError(StrainError):
    """A host can't be reached."""


def open_session(host: str) -> requests.Session:
    """Returns a session that asks one host alone, and again after a pause where it is busy."""
    retry = Retry(
        len(PAUSES),
        connect=1,
        backoff_factor=PAUSES[0],
        status_forcelist=BUSY,
        respect_retry_after_header=False,  # it may say hours
    )
    session = requests.Session()
    # Requests refuses an address, also of a redirect, that none of its adapters is for.
    session.adapters.clear()
    session.mount(f"{host}/", _Adapter(max_retries=retry))
    session.headers["Accept-Encoding"] = "identity"
    return session


class _Adapter(HTTPAdapter):
    """Tells of a missing answer as of a lost connection, which gwosc doesn't try ten times."""

    def send(self, *args: Any, **options: Any) -> requests.Response:
        try:
            return super().send(*args, **options)
        except requests.Timeout as error:
            raise ConnectionError("no answer in time") from error


@contextmanager
def one_line_offline(wanted: str, cure: str = CURE) -> Iterator[None]:
    """Says in one line why something can't be had."""
    try:
        yield
        return
    except StrainError:
        raise
    except InvalidSchema as error:
        said = f"leads to another host, which isn't asked ({error}); try again later"
    except requests.HTTPError as error:
        answer = error.response
        said = f"the answer is {answer.status_code} {answer.reason}; check name and time, or {cure}"
    except requests.RequestException as error:
        cause = getattr(error.args[0], "reason", error) if error.args else type(error).__name__
        reason = f"can't be reached ({str(cause).rpartition(': ')[2]})"
        raise OfflineError(f"{wanted}: {reason}; offline? {cure}") from None
    except (KeyError, TypeError, ValueError) as error:
        said = f"the answer isn't understood ({error!r}); update the package gwosc, or {cure}"
    raise StrainError(f"{wanted}: {said}")


class RangeFile(io.RawIOBase):
    """A file at an address, of which only the blocks that are read are fetched, once each.

    Raises:
        NoRangesError: at the start, if the server sends only whole files.
        StrainError: if a block can't be had.
    """

    def __init__(self, session: requests.Session, url: str, progress: bool = False) -> None:
        self._session, self._url = session, url
        self._blocks: dict[int, bytes] = {}
        self._position, self._size = 0, 0
        self._bar = tqdm(desc=Path(url).name, unit="B", unit_scale=True, disable=not progress)
        self._block(0)

    def readable(self) -> bool:
        """Returns that it can be read."""
        return True

    def seekable(self) -> bool:
        """Returns that it can be read anywhere."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Goes to a place, and returns it."""
        self._position = offset + (0, self._position, self._size)[whence]
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fills the buffer as far as the file goes, and returns the number of bytes."""
        wanted = memoryview(buffer).cast("B")[: max(self._size - self._position, 0)]
        done = 0
        while done < len(wanted):
            index, offset = divmod(self._position, BLOCK)
            piece = self._block(index)[offset : offset + len(wanted) - done]
            wanted[done : done + len(piece)] = piece
            done += len(piece)
            self._position += len(piece)
        return done

    def close(self) -> None:
        """Ends the progress bar too."""
        self._bar.close()
        super().close()

    def _block(self, index: int) -> bytes:
        if index not in self._blocks:
            with one_line_offline(self._url):
                self._blocks[index] = self._fetch(index * BLOCK)
            self._bar.update(len(self._blocks[index]))
        return self._blocks[index]

    def _fetch(self, first: int) -> bytes:
        headers = {"Range": f"bytes={first}-{first + BLOCK - 1}"}
        for pause in (*PAUSES, 0.0):
            with self._session.get(
                self._url, headers=headers, timeout=TIMEOUT, stream=True
            ) as answer:
                answer.raise_for_status()
                if answer.status_code != HTTPStatus.PARTIAL_CONTENT:
                    raise NoRangesError
                self._size = int(answer.headers["Content-Range"].rpartition("/")[2])
                try:
                    content = answer.content
                except BROKEN:
                    content = b""
            if len(content) == min(BLOCK, self._size - first):
                return content
            time.sleep(pause)
        raise StrainError(f"{self._url}: broke off {len(PAUSES) + 1} times; try again later")


def download(
    session: requests.Session, url: str, goal: Path, progress: bool = False, cure: str = CURE
) -> Path:
    """Returns the file of an address, fetched unless it is there intact.

    What is there of a broken download is gone on with.
    """
    part = goal.with_name(f"{goal.name}.part")
    with _downloading, one_line_offline(url, cure):
        if is_intact(goal):
            return goal
        goal.parent.mkdir(parents=True, exist_ok=True)
        for pause in (*PAUSES, 0.0):
            if _go_on(session, url, part, progress):
                part.replace(goal)
                return seal(goal)
            time.sleep(pause)
    raise StrainError(
        f"{url}: broke off {len(PAUSES) + 1} times, at last after {part.stat().st_size:,} bytes; "
        "try again, it goes on from there"
    )


def _go_on(session: requests.Session, url: str, part: Path, progress: bool) -> bool:
    """Fetches what `part` doesn't hold yet; whether that ended well."""
    done = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={done}-"} if done else {}
    with session.get(url, headers=headers, timeout=TIMEOUT, stream=True) as answer:
        if answer.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink()
            return False
        answer.raise_for_status()
        if answer.status_code != HTTPStatus.PARTIAL_CONTENT:
            done = 0
        rest = int(answer.headers.get("Content-Length", 0))
        bar = tqdm(
            desc=Path(url).name,
            initial=done,
            total=done + rest,
            unit="B",
            unit_scale=True,
            disable=not progress,
        )
        try:
            with bar, part.open("ab" if done else "wb") as file:
                for chunk in answer.iter_content(1 << 16):
                    file.write(chunk)
                    bar.update(len(chunk))
        except BROKEN:
            return False
    return True


def seal(path: Path) -> Path:
    """Writes a file's checksum beside it, as `sha256sum` does, and returns the file."""
    _seal_of(path).write_text(f"{_sha256(path)}  {path.name}\n")
    return path


def is_intact(path: Path) -> bool:
    """Returns whether a file is there that has the checksum beside it."""
    seal_of = _seal_of(path)
    return path.is_file() and seal_of.is_file() and seal_of.read_text()[:64] == _sha256(path)


def _seal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
