"""Nouns to one file and back, ``.npz`` or JSON: numpy arrays plus a JSON skeleton, never a pickle.

A noun (frozen dataclass) may hold arrays, numbers, text, None, tuples of these, and other nouns. The skeleton
names each noun's class; only classes handed to `load` are ever built, so a hostile file can do no more than fail.
"""

from __future__ import annotations

import io
import json
import os
import struct
import types
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from .disk import check_is_file, write_atomically
from .errors import FileFormatError

__all__ = ["dump_bytes", "load", "load_text", "save", "save_text"]

FORMAT = "kaninterp-archive"
VERSION = 1
MAX_BYTES = 2**31  # a trace is O(edges x grid); two gigabytes of it is not one of ours

TEXT_DTYPES = {"float64": np.float64, "int64": np.int64, "bool": np.bool_}

T = TypeVar("T")

_DAMAGE = (
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    AttributeError,
    IndexError,
    RecursionError,
    OverflowError,
    MemoryError,
    NotImplementedError,  # a compression that zipfile does not know
    RuntimeError,  # an encrypted member
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
)
"""Whatever numpy, zipfile and our own nouns raise on a file that is not ours or was changed."""


def save(noun: Any, path: str | os.PathLike[str]) -> None:
    """Write a noun to ``path`` (``.npz``), atomically: a failure leaves an old file as it was."""
    write_atomically(Path(path), dump_bytes(noun))


def dump_bytes(noun: Any) -> bytes:
    """Serialise a noun; the same noun gives the same bytes."""
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    skeleton = {"format": FORMAT, "version": VERSION, "noun": _pack(noun, arrays)}
    header = np.frombuffer(json.dumps(skeleton, sort_keys=True).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in {"header": header, **arrays}.items():
            member = io.BytesIO()
            np.save(member, array, allow_pickle=False)
            # a fixed time stamp: zip files carry one, and equal nouns must give equal bytes
            archive.writestr(
                zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), member.getvalue(), zipfile.ZIP_DEFLATED
            )
    return buffer.getvalue()


def load(path: str | os.PathLike[str], expected: type[T], classes: tuple[type[Any], ...]) -> T:
    """Read a noun of class ``expected`` back; ``classes`` are the nouns it may contain.

    Raises
    ------
    MissingFileError
        There is no such file.
    FileFormatError
        The file is not one of ours, is damaged, or holds another noun.
    """
    _check_size(path)
    try:
        # opened here: numpy leaves the file open when it finds it damaged
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            unpacked = sum(member.file_size for member in archive.zip.infolist())
            if unpacked > MAX_BYTES:  # a bomb: small on disk, endless in memory
                raise FileFormatError(f"{path}: unpacks to {unpacked} bytes, more than {MAX_BYTES}; not one of ours")
            return _noun(json.loads(archive["header"].tobytes()), archive, path, expected, classes)
    except FileFormatError:
        raise
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def save_text(noun: Any, path: str | os.PathLike[str]) -> None:
    """Write a small noun as JSON, atomically; readable without this library, and bit for bit the same read back."""
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    skeleton = {"format": FORMAT, "version": VERSION, "noun": _pack(noun, arrays)}
    inlined = {key: {"dtype": str(array.dtype), "values": array.tolist()} for key, array in arrays.items()}
    text = json.dumps({**skeleton, "arrays": inlined}, sort_keys=True)  # infinities as Infinity, like json reads them
    write_atomically(Path(path), text.encode())


def load_text(path: str | os.PathLike[str], expected: type[T], classes: tuple[type[Any], ...]) -> T:
    """Read back what `save_text` wrote; arguments and errors are those of `load`."""
    _check_size(path)
    try:
        skeleton = json.loads(Path(path).read_bytes())
        arrays = {key: _array(item) for key, item in skeleton["arrays"].items()}
        return _noun(skeleton, arrays, path, expected, classes)
    except FileFormatError:
        raise
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def _array(item: Any) -> np.ndarray[Any, Any]:
    """An array of the type it says, with values that are of it: 0.5 is no whole number."""
    values, wanted = np.array(item["values"]), np.dtype(TEXT_DTYPES[item["dtype"]])
    if values.size and values.dtype != wanted and not (wanted.kind == "f" and values.dtype.kind in "fi"):
        raise TypeError(f"{values.dtype} values for an array of {wanted}")
    return values.astype(wanted)


def _check_size(path: str | os.PathLike[str]) -> None:
    check_is_file(Path(path))
    if os.path.getsize(path) > MAX_BYTES:
        raise FileFormatError(f"{path}: larger than {MAX_BYTES} bytes; not a file written by kaninterp")


def _noun(
    skeleton: Any, arrays: Any, path: str | os.PathLike[str], expected: type[T], classes: tuple[type[Any], ...]
) -> T:
    if skeleton["format"] != FORMAT or skeleton["version"] != VERSION:
        raise FileFormatError(
            f"{path}: {skeleton['format']} version {skeleton['version']}; this release reads version {VERSION}"
        )
    noun = _unpack(skeleton["noun"], arrays, {cls.__name__: cls for cls in (*classes, expected)})
    if not isinstance(noun, expected):
        raise FileFormatError(f"{path}: holds a {type(noun).__name__}, asked for a {expected.__name__}")
    return noun


def _damaged(path: str | os.PathLike[str], error: BaseException) -> FileFormatError:
    return FileFormatError(f"{path}: not a file written by kaninterp, or damaged ({error})")


def _pack(value: Any, arrays: dict[str, np.ndarray[Any, Any]]) -> Any:
    if isinstance(value, np.ndarray):
        key = f"a{len(arrays)}"
        arrays[key] = value
        return {"array": key}
    if is_dataclass(value) and not isinstance(value, type):
        return {
            "noun": type(value).__name__,
            "fields": {f.name: _pack(getattr(value, f.name), arrays) for f in fields(value)},
        }
    if isinstance(value, tuple):
        return {"tuple": [_pack(item, arrays) for item in value]}
    if value is None or isinstance(value, (bool, int, float, str)):
        return {"value": value}
    raise TypeError(f"cannot archive a {type(value).__name__}")


def _unpack(node: dict[str, Any], arrays: Any, known: Mapping[str, type[Any]]) -> Any:
    if "array" in node:
        return arrays[node["array"]]
    if "tuple" in node:
        return tuple(_unpack(item, arrays, known) for item in node["tuple"])
    if "noun" in node:
        cls = known[node["noun"]]
        values = {key: _unpack(item, arrays, known) for key, item in node["fields"].items()}
        for name, hint in get_type_hints(cls).items():
            if name in values and not _fits(values[name], hint):
                raise TypeError(f"{cls.__name__}.{name} is a {type(values[name]).__name__}")
        return cls(**values)
    return node["value"]


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is what a noun's annotation says; enough of the type language for the nouns there are."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, one) for one in arguments)
    if origin is Literal:
        return value in arguments
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        items = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        return len(items) == len(value) and all(_fits(v, one) for v, one in zip(value, items, strict=True))
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, origin or hint)
