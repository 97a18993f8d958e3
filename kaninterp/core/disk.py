"""Files: written whole or not at all, and missed clearly."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from .errors import FileAccessError, MissingFileError

__all__ = ["check_is_file", "write_atomically"]


def write_atomically(path: Path, content: bytes) -> None:
    """Write through a temporary file in the same folder and a rename; an old file stays whole if anything fails.

    Raises
    ------
    MissingFileError
        The folder is not there.
    FileAccessError
        The folder or the file cannot be written to.
    """
    if not path.parent.is_dir():
        raise MissingFileError(
            f"cannot write {str(path)!r}: the folder {str(path.parent)!r} does not exist; make it first"
        )
    try:
        _write_and_move(path, content)
    except OSError as error:
        raise FileAccessError(f"cannot write {str(path)!r} ({error}); an old file there is unchanged") from error


def check_is_file(path: Path) -> None:
    """Raise `MissingFileError` if there is no file to read."""
    if not path.is_file():
        raise MissingFileError(f"there is no file {str(path)!r}; give the path of a file that kaninterp wrote")


def _write_and_move(path: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # a rename may reach the disk before the content does
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
