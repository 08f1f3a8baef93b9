"""A host and no other is asked: for blocks of a file, or for all of it."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import requests

from flax_glitch import files
from flax_glitch.files import BROKEN, BrokenOffError, tries, why
from flax_glitch.notes import bar
from flax_glitch.strain.channels import StrainError

HOST = "https://gwosc.org"
"""The Gravitational Wave Open Science Center."""

BLOCK = 1 << 19
"""Bytes that are asked for at once: a minute of strain takes 7 to 9 such, with HDF5's index."""


class NoRangesError(Exception):
    """The server sends only whole files."""


class OfflineError(StrainError):
    """A host can't be reached."""


@contextmanager
def one_line_offline(wanted: str, cure: str = "strain") -> Iterator[None]:
    """Says in one line why something can't be had, and with the cure's key what helps."""
    try:
        yield
        return
    except StrainError:
        raise
    except (BrokenOffError, requests.exceptions.InvalidSchema) as error:
        said = why(error)
    except requests.HTTPError as error:
        said = f"{why(error)}; check name and time"
    except requests.RequestException as error:
        raise OfflineError(f"{wanted}: {why(error)}; offline? try again later", cure) from None
    except (KeyError, TypeError, ValueError) as error:
        said = f"the answer isn't understood ({error!r}); update the package gwosc"
    raise StrainError(f"{wanted}: {said}", cure)


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
        name = Path(url).name
        self._bar = bar(desc=name, unit="B", unit_scale=True, hidden=not progress)
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
        for _ in tries():
            with self._session.get(
                self._url, headers=headers, timeout=files.TIMEOUT, stream=True
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
        raise BrokenOffError(f"broke off {len(files.PAUSES) + 1} times; try again later")
