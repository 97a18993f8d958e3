"""An input gate: dropped columns are held at constants in front of a model, before anything can read them."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from kaninterp.core.errors import ModelError, PlanError, ShapeError
from kaninterp.nn.raw import Key

__all__ = ["InputGate", "gate_inputs", "gate_notes", "gated_columns"]

_GATES = "input_gates"


@dataclass(frozen=True, slots=True, kw_only=True)
class InputGate:
    """One input of a gated model.

    Attributes
    ----------
    key : int or str
        Which input: its position, or its keyword.
    position, keyword : int or None, str or None
        Both ways in which the model's forward may be given it.
    axis : int
        Axis that holds the columns.
    columns : tuple of int
        The columns that are held, ascending.
    width : int
        Columns the input has.
    reasons : tuple of str
        Per held column: why it could not be cut out.
    """

    key: Key
    position: int | None
    keyword: str | None
    axis: int
    columns: tuple[int, ...]
    width: int
    reasons: tuple[str, ...]

    @property
    def buffers(self) -> tuple[str, str]:
        """Names of the model's buffers: which columns are held (a mask), and at what."""
        return f"input_gate_{self.key}_held", f"input_gate_{self.key}_fill"

    def hold(self, value: Any, held: Tensor, fill: Tensor) -> Any:
        """Replace the held columns of what the model is given; the others keep their bits."""
        if isinstance(value, PackedSequence):
            return value._replace(data=self.hold(value.data, held, fill))
        if not isinstance(value, Tensor) or value.dim() < -self.axis or value.shape[self.axis] != self.width:
            got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ShapeError(
                f"input {self.key!r} passes a gate that holds columns {self.columns} of {self.width} on axis "
                f"{self.axis}; got {got}"
            )
        shape = (self.width, *[1] * (-self.axis - 1))
        return torch.where(held.reshape(shape), fill.to(value.dtype).reshape(shape), value)


def gate_inputs(
    model: nn.Module,
    columns: Mapping[Key, Sequence[int]],
    fill: Mapping[Key, Tensor],
    *,
    axis: Mapping[Key, int] | None = None,
    reasons: Mapping[Key, Mapping[int, str]] | None = None,
) -> nn.Module:
    """Copy a model and put a gate in front of it: columns are replaced by constants before anything reads them.

    This is what is left for a model whose readers of raw columns cannot be narrowed. The prediction then depends on
    the held columns in not one bit; but the weights that read them stay, so that the model **does not get smaller
    or faster**.

    Parameters
    ----------
    model
        Not changed. A gate it has already is extended.
    columns
        Per input (position or keyword) the columns to hold.
    fill
        Per input a float tensor (width of the input,): what each held column is replaced by.
    axis
        Per input the axis of its columns, negative; -1 where it says nothing.
    reasons
        Per input and column a text why.

    Returns
    -------
    nn.Module
        Of the same class, with the same paths; a pre-hook of its own holds the columns whenever it is *called*
        (``model(x)``; ``model.forward(x)`` goes around every hook of torch). Mask and constants are buffers: they
        move with the model and are saved with it, and its state dict does not load into a model without the gate.

    Raises
    ------
    PlanError
        A column that the input does not have, or a constant that is not finite.
    ModelError
        The model has attributes of the gate's names, or is scripted and cannot carry hooks.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.LayerNorm(3), torch.nn.Linear(3, 1))
    >>> gated = gate_inputs(model, {0: (2,)}, {0: torch.zeros(3)})
    >>> x = torch.randn(4, 3)
    >>> held = x.clone()
    >>> held[:, 2] = 0.0
    >>> torch.equal(gated(x), model(held)), gated_columns(gated)
    (True, {0: (2,)})
    """
    new = copy.deepcopy(model)
    hold_inputs_(new, columns, fill, axis=axis, reasons=reasons)
    return new


def hold_inputs_(
    model: nn.Module,
    columns: Mapping[Key, Sequence[int]],
    fill: Mapping[Key, Tensor],
    *,
    axis: Mapping[Key, int] | None = None,
    reasons: Mapping[Key, Mapping[int, str]] | None = None,
) -> None:
    """Do to a model itself what `gate_inputs` does to a copy of it."""
    model = getattr(model, "_orig_mod", model)  # a compiled model calls the one it was made from, with its hooks
    if isinstance(model, torch.jit.ScriptModule):
        raise ModelError("a scripted model cannot carry an input gate; gate the model it was made from, then script it")
    gates = {gate.key: gate for gate in _gates_of(model)}
    first = not gates
    for key, dropped in columns.items():
        if dropped:
            why = {} if reasons is None else dict(reasons.get(key, {}))
            along = -1 if axis is None else axis.get(key, -1)
            gates[key] = _extended_(model, gates.get(key), key, tuple(dropped), fill[key], along, why)
    setattr(model, _GATES, tuple(gates.values()))
    if first and gates:
        model.register_forward_pre_hook(_through_gates, with_kwargs=True)


def gated_columns(model: nn.Module) -> dict[Key, tuple[int, ...]]:
    """Per input the columns that an input gate of this model holds; empty without a gate."""
    return {gate.key: gate.columns for gate in _gates_of(model)}


def gate_notes(model: nn.Module, names: Mapping[Key, Sequence[str]] | None = None) -> tuple[str, ...]:
    """What to tell a person about the gate of a model, one sentence per input; empty without a gate.

    Parameters
    ----------
    model
        Any module.
    names
        Per input the names of its columns; without them they are numbered.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.LayerNorm(2), torch.nn.Linear(2, 1))
    >>> print(*gate_notes(gate_inputs(model, {0: (1,)}, {0: torch.zeros(2)}), {0: ("load", "wind")}))
    wind: held at a constant by a gate in front of the model, not cut out of it (it cannot be narrowed). No change of
    it moves the prediction, but the weights that read it stay: the model does not get smaller.
    """
    return tuple(_note(gate, None if names is None else names.get(gate.key)) for gate in _gates_of(model))


def _note(gate: InputGate, names: Sequence[str] | None) -> str:
    shown = [f"column {column} of input {gate.key!r}" if names is None else names[column] for column in gate.columns]
    why = "; ".join(dict.fromkeys(reason for reason in gate.reasons if reason)) or "it cannot be narrowed"
    it, reads = ("it", "reads") if len(shown) == 1 else ("them", "read")
    return (
        f"{', '.join(shown)}: held at a constant by a gate in front of the model, not cut out of it ({why}). No change "
        f"of {it} moves the prediction, but the weights that read {it} stay: the model does not get smaller."
    ).replace("reads", reads)


def _gates_of(model: nn.Module) -> tuple[InputGate, ...]:
    return tuple(getattr(model, _GATES, ()))


def _extended_(  # noqa: PLR0917 (internal; the parts of one gate)
    model: nn.Module, old: InputGate | None, key: Key, dropped: tuple[int, ...], fill: Tensor, axis: int,
    why: Mapping[int, str],
) -> InputGate:  # fmt: skip
    width = fill.numel()
    if any(not 0 <= column < width for column in dropped):
        raise PlanError(f"a gate for columns {dropped} of input {key!r}, which has {width}")
    if not bool(fill[list(dropped)].isfinite().all()):
        raise PlanError(f"fill of input {key!r} is not finite at columns {dropped}; give the constant each is held at")
    known = {} if old is None else dict(zip(old.columns, old.reasons, strict=True))
    known = {**{column: why.get(column, "") for column in dropped}, **known}
    position, keyword = _both_names(model, key)
    gate = InputGate(
        key=key, position=position, keyword=keyword, axis=axis, columns=tuple(sorted(known)), width=width,
        reasons=tuple(known[column] for column in sorted(known)),
    )  # fmt: skip
    if old is None:
        _add_buffers(model, gate, fill)
    held, values = (model.get_buffer(name) for name in gate.buffers)
    new = [column for column in dropped if old is None or column not in old.columns]
    held[new] = True
    values[new] = fill.detach()[new].to(values)
    return gate


def _add_buffers(model: nn.Module, gate: InputGate, fill: Tensor) -> None:
    held, values = gate.buffers
    taken = [name for name in (held, values) if hasattr(model, name)]
    if taken:
        raise ModelError(f"{type(model).__name__} already has {', '.join(taken)}; an input gate needs these names")
    model.register_buffer(held, torch.zeros(gate.width, dtype=torch.bool, device=fill.device))
    model.register_buffer(values, torch.zeros_like(fill.detach()))


def _both_names(model: nn.Module, key: Key) -> tuple[int | None, str | None]:
    """Position and keyword of an input of the model's forward."""
    parameters = list(inspect.signature(model.forward).parameters.values())
    named = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    if isinstance(key, str):
        return (named.index(key) if key in named else None), key
    return key, named[key] if key < len(named) else None


def _through_gates(
    module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Forward pre-hook of a gated model."""
    given, named = list(args), dict(kwargs)
    for gate in _gates_of(module):
        held, fill = (module.get_buffer(name) for name in gate.buffers)
        if gate.keyword is not None and gate.keyword in named:
            named[gate.keyword] = gate.hold(named[gate.keyword], held, fill)
        elif gate.position is not None and gate.position < len(given):
            given[gate.position] = gate.hold(given[gate.position], held, fill)
    return tuple(given), named
