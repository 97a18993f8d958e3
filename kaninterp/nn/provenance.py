"""Which numbers inside a running model are copies of which raw columns, and which operations compute with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from kaninterp.nn.raw import RawInput, tensors_in

__all__ = ["FOREIGN", "BesideOperations", "Provenance"]

FOREIGN = -1
"""The id of a number that is not a copy of any raw column."""

_COPIES = frozenset({"clone", "_to_copy", "nan_to_num"})
"""Same place, same (finite) value, perhaps another float type."""

_MOVES = frozenset(
    {
        "index_select", "index", "gather", "roll", "flip", "repeat", "_pack_padded_sequence", "unfold_copy",
        "expand_copy", "replication_pad1d", "reflection_pad1d", "slice_copy", "select_copy", "permute_copy",
    }
)  # fmt: skip
"""The first argument's numbers in other places; the other arguments say where."""

_VALUE_FREE = frozenset(
    {
        "zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like", "new_zeros", "new_ones",
        "new_empty", "new_full", "new_empty_strided", "is_same_size", "sym_size", "sym_stride", "sym_numel",
        "isnan",
    }
)  # fmt: skip
"""They look at shapes only, or at what no finite change of a number can alter."""

_FINITENESS = frozenset({torch.isfinite, torch.Tensor.isfinite, torch.isinf, torch.Tensor.isinf})
"""torch builds them from arithmetic; no finite change of a number alters their answer either."""

_WAYS_OUT = frozenset({torch.Tensor.numpy, torch.Tensor.__array__, torch.Tensor.data_ptr, torch.Tensor.__dlpack__})
"""What happens to the numbers outside torch is not seen."""


class Provenance(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While active, know for every tensor which of its numbers are copies of raw columns.

    Every operation that torch carries out passes through here. Views share their storage with the raw input;
    copies (`cat`, `stack`, `pad`, packing, other float types, writing into a buffer, ...) are repeated on the
    column ids. Everything else computes with the numbers, and is reported.

    Parameters
    ----------
    raws
        The raw inputs, each with a storage of its own. Ids count their columns one input after the other.
    read
        Called with the ids and the name of each operation that computes with raw numbers.
    """

    def __init__(self, raws: Sequence[RawInput], read: Callable[[set[int], str], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._read = read
        self._paused = False
        self._ids: dict[int, Tensor] = {}
        self._owners: dict[int, Tensor] = {}  # kept alive: a freed address may come back as another tensor's
        start = 0
        for raw in raws:
            ids = torch.arange(start, start + raw.width, dtype=torch.float32, device=raw.tensor.device)
            shape = [1] * raw.tensor.dim()
            shape[raw.axis] = raw.width
            self._remember(raw.tensor, ids.reshape(shape).expand(raw.tensor.shape))
            start += raw.width

    def ids_of(self, value: Tensor) -> Tensor | None:
        """Ids of the raw columns of a tensor's numbers, in its shape; None if there are none in it."""
        ids = self._region(value)
        return ids if ids is not None and bool((ids >= 0).any()) else None

    def columns_in(self, *values: Any) -> set[int]:
        """Ids of all raw columns in some tensors."""
        found: set[int] = set()
        for value in tensors_in(values):
            ids = self._region(value)
            if ids is None:  # read through another type (bits of a float): any of its columns
                ids = self._ids.get(_address(value))
            if ids is not None:
                found |= {int(number) for number in torch.unique(ids).tolist() if number >= 0}
        return found

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let operations pass unseen: the inside of a module that is known."""
        before, self._paused = self._paused, True
        try:
            yield
        finally:
            self._paused = before

    def note_read(self, name: str, *values: Any) -> None:
        """Report that something computes with the raw numbers in some tensors, if there are any."""
        columns = set() if self._paused else self.columns_in(values)
        if columns:
            self._read(columns, name)

    def pause(self, on: bool) -> None:
        """Switch `paused` from hooks, which cannot hold a context open."""
        self._paused = on

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, then follow what it did."""
        call = _Call(func, args, kwargs or {})
        known = not self._paused and any(_address(value) in self._ids for value in call.given)
        columns = self.columns_in(call.given) if known else set()
        output = func(*args, **call.kwargs)
        if known and call.written:
            self._follow_writing(call, call.written[0], columns)
        elif columns:
            self._follow(call, list(tensors_in(output)), columns)
        return output

    def _follow(self, call: _Call, made: list[Tensor], columns: set[int]) -> None:
        if call.name in _VALUE_FREE or (made and all(self._region(value) is not None for value in made)):
            return  # nothing was looked at, or the output is a view
        ids = self._moved(call) if made and made[0].is_floating_point() else None
        if ids is None:
            self._read(columns, call.name)
        else:
            self._remember(made[0], ids)

    def _moved(self, call: _Call) -> Tensor | None:
        """Ids of the output of an operation that only moves numbers; None for all others."""
        name, args = call.name, call.args
        if name in _COPIES:
            return self._known(args[0])
        if name in {"cat", "stack"}:
            return call.again([self._known(value) for value in args[0]], *args[1:])
        if name == "where" and len(args) == 3 and not self.columns_in(args[0]):
            return torch.where(args[0], self._known(args[1]), self._known(args[2]))
        if name == "constant_pad_nd":
            return torch.constant_pad_nd(self._known(args[0]), args[1], FOREIGN)
        if name in _MOVES and not self.columns_in(args[1:], call.kwargs):
            return call.again(self._known(args[0]), *args[1:])
        return None

    def _follow_writing(self, call: _Call, target: Tensor, columns: set[int]) -> None:
        region = self._region(target)
        if call.name == "copy_" and target.is_floating_point() and call.args[1].is_floating_point():
            if region is None:
                self._remember(target, torch.full_like(target, FOREIGN, dtype=torch.float32))
                region = self._region(target)
            if region is not None:
                region.copy_(self._known(call.args[1]))
            return
        overwritten = call.name == "zero_" or (call.name == "fill_" and not self.columns_in(call.args[1:]))
        if columns and not overwritten:
            self._read(columns, call.name)
        if region is not None:
            region.fill_(FOREIGN)

    def _known(self, value: Tensor) -> Tensor:
        ids = self._region(value)
        return torch.full_like(value, FOREIGN, dtype=torch.float32) if ids is None else ids

    def _region(self, value: Tensor) -> Tensor | None:
        """The part of a known storage's ids that a tensor shows, writable."""
        ids = self._ids.get(_address(value))
        if ids is None or value.dtype != self._owners[_address(value)].dtype:
            return None
        return ids.as_strided(value.shape, value.stride(), value.storage_offset())

    def _remember(self, value: Tensor, ids: Tensor) -> None:
        if value.numel() == 0:
            return
        count = value.untyped_storage().nbytes() // value.element_size()
        self._owners[_address(value)] = value
        self._ids[_address(value)] = torch.full((count,), FOREIGN, dtype=torch.float32, device=value.device)
        region = self._region(value)
        if region is not None:
            region.copy_(ids)


class _Call:
    """One operation that torch carries out."""

    def __init__(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.name: str = func._schema.name.removeprefix("aten::")
        self.args, self.kwargs = args, kwargs
        self._func = func

    @property
    def given(self) -> list[Tensor]:
        """Every tensor among its arguments."""
        return list(tensors_in((self.args, self.kwargs)))

    @property
    def written(self) -> list[Tensor]:
        """Tensors that it changes in place."""
        places = enumerate(self._func._schema.arguments)
        changed = [(place, a.name) for place, a in places if a.alias_info is not None and a.alias_info.is_write]
        return list(tensors_in([self.args[p] if p < len(self.args) else self.kwargs.get(n) for p, n in changed]))

    def again(self, *args: Any) -> Tensor:
        """Do the same to other tensors; the first tensor of what comes out."""
        return next(tensors_in(self._func(*args, **self.kwargs)))


class BesideOperations(TorchFunctionMode):
    """What `Provenance` cannot see by operations alone: checks that hide arithmetic, and ways out of torch."""

    def __init__(self, provenance: Provenance) -> None:
        super().__init__()
        self._provenance = provenance

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Let questions for finiteness pass; report numbers that leave torch."""
        if func in _WAYS_OUT:
            self._provenance.note_read(func.__name__, args)
        if func not in _FINITENESS:
            return func(*args, **(kwargs or {}))
        with self._provenance.paused():
            return func(*args, **(kwargs or {}))


def _address(value: Tensor) -> int:
    """Address of a tensor's storage; 0 where there is none to speak of (sparse, nested, functional tensors)."""
    if value.layout != torch.strided or value.is_nested:
        return 0
    return value.untyped_storage().data_ptr()
