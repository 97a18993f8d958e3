"""One forward pass in which raw columns are followed to whoever reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from kaninterp.nn.provenance import FOREIGN, BesideOperations, Provenance
from kaninterp.nn.raw import RawInput, tensors_in
from kaninterp.nn.readers import column_axis, input_kind
from kaninterp.nn.undisturbed import undisturbed

__all__ = ["Read", "all_reads"]


_SEVERAL = "each of its columns holds several raw ones; the raw columns are taken to lie along another axis"
_IN_PARTS = "its columns are raw only in part (padded or overwritten), so that none of them can be held at a constant"


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """One call of a module that reads raw columns, or one operation that computes with them.

    Attributes
    ----------
    path : str
        Of the module, or of the innermost one in which the operation runs.
    kind : str
        What `input_kind` says; "other" where its columns are not raw columns one by one.
    places : tuple of int
        Id of the raw column at each of its columns, `FOREIGN` for the others; kind "other": all ids in sight.
    reason : str
        Why it is "other".
    """

    path: str
    kind: str
    places: tuple[int, ...]
    reason: str = ""


def all_reads(
    model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], raws: Sequence[RawInput]
) -> tuple[Read, ...]:
    """Run the model once and note everything that reads one of the raw inputs, in calling order."""
    listener = _Listener(model, raws)
    seen = listener.provenance
    with undisturbed(model), _hooked(model, listener), seen, BesideOperations(seen):
        model(*args, **kwargs)
    return tuple(listener.reads)


class _Listener:
    """Knows in which module the forward pass is, and notes who reads."""

    def __init__(self, model: nn.Module, raws: Sequence[RawInput]) -> None:
        self.provenance = Provenance(raws, self._operation)
        self.reads: list[Read] = []
        self._model = model
        self._inside: list[str] = []
        self._known: int | None = None  # depth at which a module of a known kind reads: what it does is clear

    def enter(self, path: str, module: nn.Module, given: Any) -> None:
        """Note a call of a module before it runs."""
        self._inside.append(path)
        kind = input_kind(module)
        if self._known is not None or kind == "other":
            return
        places, reason = _columns_given(module, list(tensors_in(given)), self.provenance)
        read = Read(path=path, kind="other" if reason else kind, places=places, reason=reason)
        self.reads.append(read)
        if any(place != FOREIGN for place in read.places):
            self._known = len(self._inside)
            self.provenance.pause(True)

    def leave(self, *call: Any) -> None:
        """Note that the innermost module is done; a forward hook."""
        del call
        if self._known == len(self._inside):
            self._known = None
            self.provenance.pause(False)
        self._inside.pop()

    def _operation(self, columns: set[int], name: str) -> None:
        path = self._inside[-1] if self._inside else ""
        reason = f"{type(self._model.get_submodule(path)).__name__} computes with them ({name})"
        self.reads.append(Read(path=path, kind="other", places=tuple(sorted(columns)), reason=reason))


def _columns_given(module: nn.Module, given: list[Tensor], seen: Provenance) -> tuple[tuple[int, ...], str]:
    """Raw column at each column of a module of a known kind; or all in sight, and why they cannot be told apart."""
    everything = tuple(sorted(seen.columns_in(given)))
    ids = seen.ids_of(given[0]) if given else None
    if seen.columns_in(given[1:]):
        return everything, "they arrive in its state too"
    axis = column_axis(module)
    if ids is None or ids.dim() < -axis:
        return everything, ""
    rows = ids.movedim(axis, -1).reshape(-1, ids.shape[axis])
    if bool((rows == rows[0]).all()):
        return tuple(int(number) for number in rows[0].tolist()), ""
    several = any(len(set(column.tolist()) - {FOREIGN}) > 1 for column in rows.unbind(1))
    return everything, _SEVERAL if several else _IN_PARTS


@contextmanager
def _hooked(model: nn.Module, listener: _Listener) -> Iterator[None]:
    handles = []
    try:
        for path, module in model.named_modules():
            if isinstance(module, torch.jit.ScriptModule):
                continue  # no hooks there; its operations are seen all the same

            def before(module: nn.Module, args: Any, kwargs: Any, path: str = path) -> None:
                listener.enter(path, module, (args, kwargs))

            handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
            handles.append(module.register_forward_hook(listener.leave, always_call=True))
        yield
    finally:
        for handle in handles:
            handle.remove()
