"""SHA-256 of text, arrays and tensors: by what a file, a checkpoint or a trial knows its model and data again."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

__all__ = ["Digest"]


class Digest:
    """SHA-256 of the parts that are added, one after the other; how they were divided makes no difference.

    Examples
    --------
    >>> whole = Digest("weights", np.arange(3.0))
    >>> whole.text == Digest("wei").add("ghts", np.arange(2.0)).add(np.array([2.0])).text
    True
    >>> len(whole.text), len(whole.short)
    (64, 16)
    """

    def __init__(self, *parts: Any) -> None:
        self._code = hashlib.sha256()
        self.add(*parts)

    def add(self, *parts: Any) -> Digest:
        """Add text, arrays, and tensors of any number type and device, by their bytes; None adds nothing."""
        for part in parts:
            if part is not None:
                self._code.update(part.encode() if isinstance(part, str) else _contents(part))
        return self

    @property
    def text(self) -> str:
        """All 64 hexadecimal digits."""
        return self._code.hexdigest()

    @property
    def short(self) -> str:
        """The first 16 of them, enough to tell the data or models of one user apart."""
        return self.text[:16]


def _contents(values: Any) -> memoryview:
    """The bytes in memory, without a copy where they lie there in order."""
    if not isinstance(values, np.ndarray):
        # a tensor, read without torch: numpy has no bfloat16, so it is handed over as bytes
        flat = values.detach().cpu().contiguous().flatten()
        values = flat.view(flat.new_empty(0).byte().dtype).numpy()
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8).data
