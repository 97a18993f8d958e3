"""Every error the library raises on purpose, in one tree.

::

    KanInterpError(Exception)
    ├── InputError(ValueError)           a value of the right type that is not allowed
    │   ├── ShapeError                   wrong rank or width of an array, tensor or table
    │   ├── DataError                    NaN, infinite, empty or exhausted data
    │   ├── NamesError                   names that do not match, are duplicated or are empty
    │   ├── PlanError                    a prune plan that does not fit the model
    │   │   └── NothingLeftError         a plan after which no input would reach an output
    │   └── FileFormatError              a saved file that is damaged, foreign or of another version
    ├── InputTypeError(TypeError)        a value of the wrong type (integer tensors among them)
    ├── ModelError(ValueError)           no KAN in the model, several, or one that cannot be read
    ├── StateError(RuntimeError)         the right call at the wrong time or on another device
    └── FileAccessError(OSError)         a file that cannot be written
        ├── MissingFileError(FileNotFoundError)  a file or folder that is not there
        └── ReportWriteError             a report that cannot be written

Each message says what was asked, what arrived, what is allowed and what to do. Catch `KanInterpError` for
all of them, or the builtin on the right for the one you would have guessed.
"""

from __future__ import annotations

__all__ = [
    "DataError",
    "FileAccessError",
    "FileFormatError",
    "InputError",
    "InputTypeError",
    "KanInterpError",
    "MissingFileError",
    "ModelError",
    "NamesError",
    "NothingLeftError",
    "PlanError",
    "ReportWriteError",
    "ShapeError",
    "StateError",
]


class KanInterpError(Exception):
    """Base of every error that kaninterp raises on purpose.

    Examples
    --------
    >>> from kaninterp.core.errors import KanInterpError, ShapeError
    >>> issubclass(ShapeError, KanInterpError) and issubclass(ShapeError, ValueError)
    True
    """


class InputError(KanInterpError, ValueError):
    """A value of the right type that is not allowed."""


class ShapeError(InputError):
    """Wrong rank or width of an array, tensor or table."""


class DataError(InputError):
    """NaN, infinite, empty or exhausted data."""


class NamesError(InputError):
    """Names that do not match the data, are duplicated or are empty."""


class PlanError(InputError):
    """A prune plan that does not fit the model or cannot be carried out."""


class NothingLeftError(PlanError):
    """A plan after which no path leads from an input to an output: the head would be a constant."""


class FileFormatError(InputError):
    """A saved file that is damaged, foreign or of another version."""


class InputTypeError(KanInterpError, TypeError):
    """A value of the wrong type, integer tensors where numbers are learnt from among them."""


class ModelError(KanInterpError, ValueError):
    """No KAN in the model, several of them, or one that cannot be read."""


class StateError(KanInterpError, RuntimeError):
    """The right call at the wrong time, or on another device than its data."""


class FileAccessError(KanInterpError, OSError):
    """A file that cannot be written."""


class MissingFileError(FileAccessError, FileNotFoundError):
    """A file or folder that is not there."""


class ReportWriteError(FileAccessError):
    """A report that cannot be written where it was asked for."""
