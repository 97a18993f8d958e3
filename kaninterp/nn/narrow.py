"""Backbones that no longer read some of their raw columns: same interface, physically smaller weights."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized
from torch.nn.utils.rnn import PackedSequence

from kaninterp.core.errors import InputTypeError, ModelError, PlanError, ShapeError
from kaninterp.nn.head import KANHead, head_of
from kaninterp.nn.layer import KANLayer
from kaninterp.nn.surgery import narrow_head

__all__ = ["NarrowGRU", "NarrowLSTM", "NarrowLinear", "NarrowRNN", "Narrowed", "input_kind", "narrow"]

Readable = TypeVar("Readable", Tensor, PackedSequence)


class Narrowed(nn.Module):
    """Mixin of a module that accepts its full-width input and reads only some of its columns.

    Attributes
    ----------
    kept_columns : tuple of int
        Indices of the columns it reads, ascending, in the numbering of the full-width input.
    full_width : int
        Width of the input it accepts; any other width is an error, never read silently.

    Notes
    -----
    The inner module (`in_features` of a linear, `input_size` of a recurrent one) is as narrow as its weights.
    With no column left it reads a constant zero, so that it stays a valid module. The kept columns are part
    of the state dict: loading the weights of another selection is refused.
    """

    kept_columns: tuple[int, ...]
    full_width: int
    kept_index: Tensor
    narrow_kind: ClassVar[str]

    def remember(self, kept: tuple[int, ...], full_width: int, device: torch.device) -> None:
        """Write down which columns of how many are read."""
        self.kept_columns = kept
        self.full_width = full_width
        self.register_buffer("kept_index", torch.tensor(kept, dtype=torch.long, device=device))

    def select_columns(self, x: Readable) -> Readable:
        """Pick the kept columns of x (..., full_width), padded or packed; refuse any other width."""
        if isinstance(x, PackedSequence):
            return PackedSequence(self._pick(x.data), x.batch_sizes, x.sorted_indices, x.unsorted_indices)
        return self._pick(x)

    def _pick(self, x: Tensor) -> Tensor:
        if x.dim() == 0 or x.shape[-1] != self.full_width:
            raise ShapeError(
                f"a narrowed {self.narrow_kind} takes its full-width input, {self.full_width} columns on the "
                f"last axis, and selects {len(self.kept_columns)} of them itself; got shape {tuple(x.shape)}"
            )
        if not self.kept_columns:
            return x.new_zeros(*x.shape[:-1], 1)
        return x.index_select(-1, self.kept_index)

    def extra_repr(self) -> str:
        """Add the width it accepts to the repr of the module it came from."""
        return f"{super().extra_repr()}, reads {len(self.kept_columns)} of {self.full_width} columns"

    def _load_from_state_dict(  # noqa: PLR0917 (the signature torch calls)
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], strict: bool,
        missing_keys: list[str], unexpected_keys: list[str], error_msgs: list[str],
    ) -> None:  # fmt: skip
        saved = state_dict.get(prefix + "kept_index")
        if isinstance(saved, Tensor) and tuple(saved.tolist()) != self.kept_columns:
            error_msgs.append(
                f"{prefix}kept_index: the saved module reads columns {tuple(saved.tolist())}, this one reads "
                f"{self.kept_columns}; narrow it the same way before loading"
            )
            return
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )


class NarrowLinear(Narrowed, nn.Linear):
    """An `nn.Linear` that accepts the full width (..., full_width) and reads only its kept columns."""

    narrow_kind = "linear"

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (the name torch gives it)
        """Apply the smaller linear map to the kept columns."""
        return super().forward(self.select_columns(input))


class NarrowLSTM(Narrowed, nn.LSTM):
    """An `nn.LSTM` that accepts full-width sequences (padded, packed, unbatched), reads its kept columns."""

    narrow_kind = "lstm"

    def forward(self, input: Any, hx: Any = None) -> Any:  # noqa: A002
        """Run the smaller LSTM on the kept columns."""
        return super().forward(self.select_columns(input), hx)


class NarrowGRU(Narrowed, nn.GRU):
    """An `nn.GRU` that accepts full-width sequences (padded, packed, unbatched), reads its kept columns."""

    narrow_kind = "gru"

    def forward(self, input: Any, hx: Any = None) -> Any:  # noqa: A002
        """Run the smaller GRU on the kept columns."""
        return super().forward(self.select_columns(input), hx)


class NarrowRNN(Narrowed, nn.RNN):
    """An `nn.RNN` that accepts full-width sequences (padded, packed, unbatched), reads its kept columns."""

    narrow_kind = "rnn"

    def forward(self, input: Any, hx: Any = None) -> Any:  # noqa: A002
        """Run the smaller RNN on the kept columns."""
        return super().forward(self.select_columns(input), hx)


_FAMILIES: dict[str, tuple[type[nn.Module], type[Narrowed]]] = {
    "linear": (nn.Linear, NarrowLinear),
    "lstm": (nn.LSTM, NarrowLSTM),
    "gru": (nn.GRU, NarrowGRU),
    "rnn": (nn.RNN, NarrowRNN),
}


def input_kind(module: nn.Module) -> str:
    """Name what kind of reader of raw columns a module is.

    Parameters
    ----------
    module
        Any module.

    Returns
    -------
    str
        "linear", "lstm", "gru", "rnn" (torch's own, or narrowed ones), "kan" (KANHead, KANLayer), or
        "other". A subclass with a forward of its own and a module with parametrizations (weight norm) are
        "other": what they do with their weights is not known.

    Examples
    --------
    >>> import torch
    >>> input_kind(torch.nn.GRU(3, 4)), input_kind(torch.nn.ReLU())
    ('gru', 'other')
    """
    if isinstance(module, (KANHead, KANLayer)):
        return "kan"
    for kind, (plain, narrowed) in _FAMILIES.items():
        if isinstance(module, plain) and type(module).forward in (plain.forward, narrowed.forward):
            return "other" if is_parametrized(module) else kind
    return "other"


def narrow(module: nn.Module, keep: Sequence[int], fill: Tensor | None = None, *, compact: bool = True) -> nn.Module:
    """Make a smaller module of the same family that reads only some columns of its full-width input.

    Parameters
    ----------
    module
        `nn.LSTM`, `nn.GRU`, `nn.RNN`, `nn.Linear`, `KANHead`, or one narrowed before. Not changed. A
        `KANLayer` comes back as a `KANHead` of one layer, which can select.
    keep
        Indices of the columns that may still be read, in the numbering of the full-width input (also when
        the module was narrowed before: the maps compose, what was dropped stays dropped). Empty: none.
    fill
        Shape (full_width,): the constant each dropped column is held at, for example its training mean
        (entries of kept columns are not used). It is folded into the input bias; a module without bias gains
        one. None: 0.
    compact
        True: the weights of dropped columns are removed. False: they are set to 0 (finite values there have
        no effect, NaN has); for comparing with the compact module.

    Returns
    -------
    nn.Module
        A new module with ``new(x) == module(x with dropped columns set to fill)`` for every x. It does not
        read the dropped columns at all: NaN or inf there changes no bit of the output.

    Raises
    ------
    ModelError
        A module of another kind. PlanError, ShapeError, InputTypeError for `keep` or `fill` that do not fit.

    Examples
    --------
    >>> import torch
    >>> lstm = torch.nn.LSTM(4, 8, batch_first=True)
    >>> small = narrow(lstm, (0, 2), fill=torch.ones(4))
    >>> isinstance(small, torch.nn.LSTM), small.weight_ih_l0.shape
    (True, torch.Size([32, 2]))
    >>> x = torch.randn(5, 7, 4)
    >>> held = x.clone()
    >>> held[..., [1, 3]] = 1.0
    >>> torch.allclose(small(x)[0], lstm(held)[0], atol=1e-6)
    True
    """
    kind = input_kind(module)
    if kind == "other":
        raise ModelError(
            f"cannot narrow a {type(module).__name__}; allowed: nn.LSTM, nn.GRU, nn.RNN, nn.Linear (without "
            "parametrizations or a forward of their own) and KANHead"
        )
    full_width = input_width(module)
    kept = _checked_columns(keep, full_width)
    _check_fill(fill, kept, full_width)
    if kind == "kan":
        return _narrow_kan(module, kept, fill, compact=compact)
    if isinstance(module, Narrowed):
        kept = tuple(column for column in kept if column in set(module.kept_columns))
    return _rebuilt(module, kind, kept, fill, compact=compact)


def input_width(module: nn.Module) -> int:
    """Width of the input a module of a known kind accepts (the full width if it was narrowed)."""
    if isinstance(module, Narrowed):
        return module.full_width
    width = module.input_size if isinstance(module, nn.RNNBase) else module.in_features
    return int(width)  # type: ignore[arg-type]


def _checked_columns(keep: Sequence[int], full_width: int) -> tuple[int, ...]:
    columns = [int(column) for column in keep]
    if len(set(columns)) != len(columns) or any(not 0 <= column < full_width for column in columns):
        raise PlanError(
            f"keep must be distinct column indices from 0 to {full_width - 1}, got {tuple(columns)}; "
            "give the columns to keep, in the numbering of the full-width input"
        )
    return tuple(sorted(columns))


def _check_fill(fill: Any, kept: tuple[int, ...], full_width: int) -> None:
    if fill is None:
        return
    if not isinstance(fill, Tensor) or not fill.is_floating_point():
        got = fill.dtype if isinstance(fill, Tensor) else type(fill).__name__
        raise InputTypeError(f"fill must be a float tensor of shape ({full_width},), got {got}")
    if fill.shape != (full_width,):
        raise ShapeError(f"fill must have one value per column, shape ({full_width},), got {tuple(fill.shape)}")
    dropped = [column for column in range(full_width) if column not in kept]
    bad = [column for column in dropped if not bool(fill[column].isfinite())]
    if bad:
        raise PlanError(f"fill is not finite at dropped columns {bad}; give the constant each is held at")


def _narrow_kan(module: nn.Module, kept: tuple[int, ...], fill: Tensor | None, *, compact: bool) -> nn.Module:
    head = head_of(module) if isinstance(module, KANLayer) else cast("KANHead", module)
    return narrow_head(head, kept, fill, compact=compact)


def _rebuilt(module: nn.Module, kind: str, kept: tuple[int, ...], fill: Tensor | None, *, compact: bool) -> nn.Module:
    full_width = input_width(module)
    before = module.kept_columns if isinstance(module, Narrowed) else tuple(range(full_width))
    places = [place for place, column in enumerate(before) if column in kept]
    dropped = [place for place, column in enumerate(before) if column not in kept]
    after = kept if compact else before
    new = _empty_like(module, kind, max(1, len(after)), with_bias=fill is not None)
    state = {name: parameter.detach() for name, parameter in module.named_parameters()}
    first = _first_weights(module)
    with torch.no_grad():
        for name, parameter in new.named_parameters():
            parameter.zero_()
            if name in first:
                to = [after.index(before[place]) for place in places]
                parameter[..., to] = state[name][..., places]
            elif name in state:
                parameter.copy_(state[name])
            parameter.requires_grad_(_wants_grad(module, name))
        for weight, bias in first.items() if fill is not None and dropped else ():
            held = fill[[before[place] for place in dropped]].to(state[weight].device)  # type: ignore[index]
            shift = state[weight][..., dropped].double() @ held.double()
            target = new.get_parameter(bias)
            target.copy_(target.double() + shift)
    new.remember(after, full_width, next(new.parameters()).device)
    new.train(module.training)
    return new


def _first_weights(module: nn.Module) -> dict[str, str]:
    """Map the names of the weights that read the raw columns to the bias each one's constant folds into."""
    if isinstance(module, nn.RNNBase):
        ends = ["l0", "l0_reverse"] if module.bidirectional else ["l0"]
        return {f"weight_ih_{end}": f"bias_ih_{end}" for end in ends}
    return {"weight": "bias"}


def _wants_grad(module: nn.Module, name: str) -> bool:
    parameter = getattr(module, name, None)
    source = parameter if parameter is not None else next(module.parameters())
    return bool(source.requires_grad)


def _empty_like(module: nn.Module, kind: str, width: int, *, with_bias: bool) -> Narrowed:
    """Build the narrow twin of a module without drawing random numbers (the global RNG does not move)."""
    weight = next(module.parameters())
    options: dict[str, Any] = {"dtype": weight.dtype}
    if isinstance(module, nn.RNNBase):
        names = ("hidden_size", "num_layers", "batch_first", "dropout", "bidirectional")
        options |= {name: getattr(module, name) for name in names}
        options |= {"input_size": width, "bias": bool(module.bias) or with_bias}
        options |= {"proj_size": module.proj_size} if kind == "lstm" else {}
        options |= {"nonlinearity": module.nonlinearity} if isinstance(module, nn.RNN) else {}
    else:
        bias = module.bias is not None or with_bias
        options |= {"in_features": width, "out_features": module.out_features, "bias": bias}
    with torch.device("meta"):
        new = _FAMILIES[kind][1](**options)
    new = new.to_empty(device=weight.device)
    for name in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks"):
        getattr(new, name).update(copy.copy(getattr(module, name)))
    return new
