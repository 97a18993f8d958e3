"""Cut the head of a whole model, and the raw columns its backbone reads: a new model comes back."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor, nn

from kaninterp.core.errors import ModelError, PlanError
from kaninterp.nn.gate import hold_inputs_
from kaninterp.nn.head import KANHead
from kaninterp.nn.inputs import NOT_RAW, OTHER, Entry
from kaninterp.nn.narrow import narrow
from kaninterp.nn.surgery import prune_head

__all__ = ["prune_model"]


def prune_model(  # noqa: PLR0917 (a plan is these parts; pass the later ones by name)
    model: nn.Module,
    head_path: str,
    keep: Sequence[npt.ArrayLike],
    constants: Sequence[npt.ArrayLike] | None = None,
    entries: Sequence[Entry] = (),
    keep_columns: Sequence[int] | Mapping[int | str, Sequence[int]] | None = None,
    fill: Tensor | Mapping[int | str, Tensor] | None = None,
    *,
    compact: bool = True,
) -> nn.Module:
    """Prune the head of a model and the raw columns its backbone reads; a new model comes back.

    Parameters
    ----------
    model
        Not changed; the new one is a deep copy in which the pruned parts are replaced wherever they are used.
        Columns that are read in a way that cannot be narrowed are held by an input gate in front of the copy, see
        `kaninterp.nn.gate`; what `gate_notes` says of it belongs in front of the user.
    head_path
        Dotted path of its `KANHead` ("" if the model is the head).
    keep, constants
        As for `prune_head`.
    entries
        The modules that read raw columns, from `kaninterp.nn.inputs.entries`.
    keep_columns
        Raw columns that stay: of the only input, or a mapping from input (`Entry.key`) to its columns; inputs
        that are not mentioned stay whole. None: all stay.
    fill
        A tensor (width of the input,), or a mapping as above: what dropped columns are held at. None: 0.
    compact
        As for `prune_head`; with False the weights of dropped columns are set to 0 instead of removed.

    Returns
    -------
    nn.Module
        Takes the same inputs as before.

    Raises
    ------
    ModelError
        No KANHead at the path, or a column to be gated of a model that cannot carry a gate.
    PlanError
        A plan that does not fit. Nothing is changed in either case.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from kaninterp.nn.inputs import entries
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 2), KANHead(2, 1))
    >>> found = entries(model, torch.randn(5, 4))
    >>> small = prune_model(model, "1", [np.ones((1, 2), bool)], entries=found, keep_columns=(0, 3))
    >>> small[0].kept_columns, small(torch.randn(5, 4)).shape
    ((0, 3), torch.Size([5, 1]))
    """
    head = _part(model, head_path)
    if not isinstance(head, KANHead):
        raise ModelError(f"there is no KANHead at {head_path!r}, but a {type(head).__name__}")
    losses = _losses(entries, keep_columns, fill)
    replaced: dict[int, Any] = {id(head): prune_head(head, keep, constants, compact=compact)[0]}
    for loss in losses:
        if loss.entry.kind == OTHER:
            continue
        old = _part(model, loss.entry.path)
        replaced[id(old)] = narrow(replaced.get(id(old), old), loss.places, loss.fill, compact=compact)
    # the memo of deepcopy says what stands in for a part, at every place that refers to it
    new: nn.Module = copy.deepcopy(model, replaced)
    for loss in losses:
        if loss.entry.kind == OTHER:
            _gate_(new, loss)
    return new


def _device(model: nn.Module) -> torch.device:
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


@dataclass(frozen=True, slots=True)
class _Loss:
    """A reader that loses columns: which of its own places stay, which raw columns go, what these are held at."""

    entry: Entry
    places: tuple[int, ...]
    gone: tuple[int, ...]
    fill: Tensor | None


def _gate_(model: nn.Module, loss: _Loss) -> None:
    key = loss.entry.key
    fill = torch.zeros(loss.entry.width, device=_device(model)) if loss.fill is None else loss.fill
    why = dict.fromkeys(loss.gone, f"in {loss.entry.path or 'the model itself'}, {loss.entry.reason}")
    hold_inputs_(model, {key: loss.gone}, {key: fill}, axis={key: loss.entry.axis}, reasons={key: why})


def _losses(
    entries: Sequence[Entry],
    keep_columns: Sequence[int] | Mapping[int | str, Sequence[int]] | None,
    fill: Tensor | Mapping[int | str, Tensor] | None,
) -> list[_Loss]:
    """Every reader that loses columns."""
    keys = {entry.key for entry in entries}
    kept_by_key = _by_key(keep_columns, keys, "keep_columns")
    fill_by_key = _by_key(fill, keys, "fill")
    losing = []
    for entry in entries:
        if entry.key not in kept_by_key:
            continue
        kept = {NOT_RAW, *(int(column) for column in kept_by_key[entry.key])}
        gone = tuple(column for column in entry.raw_columns if column not in kept)
        if not gone:
            continue
        held = fill_by_key.get(entry.key)
        if entry.kind != OTHER and held is not None:
            held = held[list(entry.columns)]
        places = tuple(place for place, raw in enumerate(entry.columns) if raw in kept)
        losing.append(_Loss(entry, places, gone, held))
    return losing


def _by_key(values: Any, keys: set[int | str], what: str) -> dict[int | str, Any]:
    if values is None:
        return {}
    if isinstance(values, Mapping):
        unknown = [key for key in values if key not in keys]
        if unknown:
            raise PlanError(f"{what} names inputs {unknown}; the model's raw inputs are {sorted(keys, key=str)}")
        return dict(values)
    if len(keys) != 1:
        raise PlanError(
            f"{what} was given for one input, the entries read {sorted(keys, key=str) or 'none'}; give the "
            f"entries, or a mapping from input to its {what}"
        )
    return {next(iter(keys)): values}


def _part(model: nn.Module, path: str) -> nn.Module:
    try:
        return model.get_submodule(path)
    except AttributeError as error:
        raise ModelError(f"the model has no part {path!r}: {error}") from None
