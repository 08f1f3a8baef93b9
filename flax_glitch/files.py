"""Files written whole, hashed and named: what every room needs of the disk."""

import hashlib
import os
import uuid
from pathlib import Path

SIMULATED_MARK = "SIMULATED.txt"
"""The file by which a folder is known to hold simulated pictures."""


def write_whole(target: Path, content: bytes | str) -> None:
    """Writes a file that nobody ever sees half written, however many write it at once.

    Args:
        target: the file, replaced if it is there.
        content: bytes, or text for UTF-8; a file name in it that is no valid text is escaped.
    """
    if isinstance(content, str):
        content = content.encode(errors="backslashreplace")
    unfinished = target.with_name(f".{uuid.uuid4().hex}.unfinished")
    try:
        with unfinished.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """Returns the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def printable(text: str) -> str:
    """Returns text that stays on one line, whatever a file is called."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
