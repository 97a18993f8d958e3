"""What the arguments of a command name: a model, a table."""

from __future__ import annotations

import importlib
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from kaninterp.core.errors import DataError, FileFormatError, InputError, InputTypeError, MissingFileError
from kaninterp.nn import load_head

__all__ = ["data_of", "model_of"]

CODE = ":"
"""Stands between a module and a name in it."""


def model_of(text: str) -> nn.Module:
    """The head in a safetensors file, or what ``package.module:name`` is: a module, or a function that makes one.

    The second form runs code of the caller's, with the working directory on the path as ``python -m`` has it. A file
    never does.

    Raises
    ------
    MissingFileError, FileFormatError
        No such file, or none of ours.
    InputError, InputTypeError
        No such module or name; what it names is no model.
    """
    if Path(text).exists() or CODE not in text:
        return load_head(text)
    place, _, name = text.partition(CODE)
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found: Any = getattr(importlib.import_module(place), name)
        model = found if isinstance(found, nn.Module) or not callable(found) else found()
    except (Exception, SystemExit) as error:  # the caller's code may fail in any way, and even leave
        raise InputError(
            f"model: {text!r} is no file, and cannot be made from code ({type(error).__name__}: {error})"
        ) from error
    if not isinstance(model, nn.Module):
        raise InputTypeError(f"model: {text!r} gives a {type(model).__name__}; expected a torch.nn.Module")
    return model


def data_of(text: str) -> Any:
    """A table from a CSV file with a header, or an array (n, columns) or (n, lags, columns) from an ``.npy`` file.

    Raises
    ------
    MissingFileError, FileFormatError
        No such file; not what its name says.
    DataError
        An empty table.
    """
    path = Path(text)
    if not path.is_file():
        raise MissingFileError(f"data: there is no file {text!r}; give a .csv or .npy file")
    try:
        if path.suffix == ".npy":
            return _array(np.load(path, allow_pickle=False))
        table = pd.read_csv(path)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:  # pandas' errors are ValueErrors
        raise FileFormatError(f"data: {text!r} cannot be read as {path.suffix or '.csv'} ({error})") from error
    if table.empty:
        raise DataError(f"data: {text!r} holds no rows")
    return table


def _array(found: object) -> Any:
    if not isinstance(found, np.ndarray):
        raise ValueError(f"it holds a {type(found).__name__} and no array")
    return found
