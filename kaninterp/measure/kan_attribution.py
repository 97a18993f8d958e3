"""`KANAttribution`: attributions of single rows in captum's way, exact within the KAN."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from captum._utils.common import _select_targets
from captum.attr import Attribution
from captum.log import log_usage
from torch import Tensor, nn

from kaninterp.adapters import as_view
from kaninterp.core.errors import InputError, InputTypeError, ModelError, ShapeError
from kaninterp.data import Batch, called
from kaninterp.measure.host import output_tensor, untouched
from kaninterp.measure.lifted import Lift, lifted
from kaninterp.nn.gradients import with_gradients

__all__ = ["KANAttribution"]

STEPS = 32
"""Gauss-Legendre steps below and above the KAN; the convergence delta says whether they suffice."""

ROWS = 1024
"""Rows of one forward pass."""

Tensors = Tensor | tuple[Tensor, ...] | Mapping[str, Tensor]


class KANAttribution(Attribution):  # type: ignore[misc]
    """Attribution of a model with a KAN inside to its inputs, row by row.

    What the KAN does is attributed exactly, without steps, by secants of its edges (`kaninterp.measure.rescale`); what
    lies below and above it by Integrated Gradients (Sundararajan, Taly & Yan 2017, arXiv 1703.01365) of the effects
    that its inputs and outputs have. For a KAN of one layer on raw columns the attributions are Shapley values.

    Parameters
    ----------
    model : nn.Module
        Any model that `trace` takes. It is run in eval mode and given back as it was.
    path : str, optional
        Where the KAN sits; None: found.
    keys : sequence of str, optional
        Names the model's forward gives its inputs, for callers that hand over tuples (captum's `NoiseTunnel`);
        inputs may also come as a dict.

    Raises
    ------
    ModelError
        The model has no KAN, or a layer whose output for a row depends on the other rows.

    Notes
    -----
    ``NoiseTunnel(KANAttribution(model))``, ``captum.metrics.infidelity`` and ``sensitivity_max`` take it like any other
    method. Where inputs reach the output past the KAN as well (a skip connection), their effect past it is not
    attributed: the convergence delta is that effect. Of indices the effects of what `nn.Embedding` gives for them are
    taken, where it is asked for an input or a column of one.

    Examples
    --------
    >>> import kaninterp as ki
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), ki.KANHead(4, 2, domain=(-1, 1))).eval()
    >>> x = torch.randn(5, 3)
    >>> parts, delta = KANAttribution(model).attribute(x, target=1, return_convergence_delta=True)
    >>> parts.shape, bool((delta.abs() < 1e-3).all())
    (torch.Size([5, 3]), True)
    """

    def __init__(self, model: nn.Module, *, path: str | None = None, keys: Sequence[str] | None = None) -> None:
        self.model, self.view = model, as_view(model, path)
        self.keys = None if keys is None else tuple(keys)
        _refuse_batch_statistics(model)
        super().__init__(self._forward)

    @property
    def multiplies_by_inputs(self) -> bool:
        """True: attributions are effects in units of the output, not slopes."""
        return True

    def has_convergence_delta(self) -> bool:
        """Whether `attribute` can tell what it left unexplained: yes."""
        return True

    @log_usage()  # type: ignore[untyped-decorator]
    @with_gradients
    def attribute(
        self,
        inputs: Tensors,
        baselines: Tensors | float | None = None,
        target: Any = None,
        additional_forward_args: Any = None,
        *,
        n_steps: int = STEPS,
        internal_batch_size: int = ROWS,
        return_convergence_delta: bool = False,
    ) -> Any:
        """Attribute one output of every row to the inputs.

        Parameters
        ----------
        inputs : Tensor, tuple or dict of Tensor, each (n, ...)
            As the model's forward takes them.
        baselines : the same, or a number, optional
            What "absent" means: of the same shapes, or one row for all; None: 0. Indices stay as they are, with
            effects of 0, unless there are indices to hold them against.
        target : int, tuple, Tensor or list, optional
            Which output, in captum's way; None: the model has one.
        additional_forward_args : tuple, optional
            Handed on behind the inputs; of tensors one row per row of the inputs.
        n_steps : int
            Steps of Integrated Gradients.
        internal_batch_size : int
            Rows of one forward pass, at most; memory is bounded by it, whatever the number of rows and steps.
        return_convergence_delta : bool
            Also return the sum of each row's attributions minus what it should be.

        Returns
        -------
        Tensor, tuple or dict of Tensor
            Like ``inputs``; with a Tensor (n,) beside it if asked for.

        Raises
        ------
        ShapeError, InputError, InputTypeError
            Baselines of other shapes; a target that is no output of the model; other kinds of inputs.
        ModelError
            No gradient flows through the model, or its KAN is fed its own outputs.
        """
        keys, values = _split(inputs, self.keys)
        base = _baselines(baselines, values, keys)
        extra = _extra(additional_forward_args, keys)
        for name, number in (("n_steps", n_steps), ("internal_batch_size", internal_batch_size)):
            if type(number) is not int or number < 1:
                raise InputError(f"{name}={number!r}; allowed: a whole number of at least 1")
        rows = len(values[0])
        found: list[Lift] = []
        with untouched(self.model), torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            for start in range(0, rows, internal_batch_size):
                part = slice(start, start + internal_batch_size)
                here, there = (_batch(each, extra, keys, part, rows) for each in (values, base))
                choose = _choose(_some(target, part, rows))
                found.append(lifted(self.model, self.view, here, there, chosen=choose, steps=n_steps))
        parts = tuple(torch.cat([each.parts[i] for each in found]).detach() for i in range(len(values)))
        result = _like(inputs, parts)
        if not return_convergence_delta:
            return result
        total = torch.stack([part.reshape(rows, -1).sum(1) for part in parts]).sum(0)
        return result, total - torch.cat([each.gap for each in found]).detach()

    def _forward(self, *arguments: Any) -> Tensor:
        return output_tensor(called(self.model, Batch(inputs=tuple(arguments), keys=self.keys, target=None)))


def _refuse_batch_statistics(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None:
            raise ModelError(
                f"{name!r} ({type(module).__name__} with track_running_stats=False) makes the output of a row depend "
                "on the other rows, in eval mode too, so no row has effects of its own; track running statistics"
            )


def _split(inputs: Tensors, keys: tuple[str, ...] | None) -> tuple[tuple[str, ...] | None, tuple[Tensor, ...]]:
    """Names, if the model takes its inputs by name, and the tensors."""
    if isinstance(inputs, Mapping):
        keys, inputs = tuple(inputs), tuple(inputs.values())
    values = inputs if isinstance(inputs, tuple) else (inputs,)
    for value in values:
        if not isinstance(value, Tensor):
            raise InputTypeError(
                f"inputs hold {type(value).__name__}; allowed: a tensor, or a tuple or dict of tensors"
            )
    if not values or any(value.dim() == 0 or len(value) != len(values[0]) for value in values):
        shapes = ", ".join(str(tuple(value.shape)) for value in values)
        raise ShapeError(f"inputs have shapes {shapes or 'none'}; allowed: one or more tensors of the same rows")
    if len(values[0]) == 0:
        raise ShapeError("inputs have no rows; allowed: at least one")
    if keys is not None and len(keys) != len(values):
        raise ShapeError(f"there are {len(values)} inputs for the names {keys}; give one tensor for each")
    return keys, tuple(value.detach() for value in values)


def _baselines(given: Any, values: tuple[Tensor, ...], keys: tuple[str, ...] | None) -> tuple[Tensor, ...]:
    if isinstance(given, Mapping):
        if keys is None or set(given) != set(keys):
            raise InputError(
                f"baselines are named {sorted(map(str, given))}, the inputs {keys}; give one for each input"
            )
        given = tuple(given[key] for key in keys)
    if not isinstance(given, tuple):
        given = (given,) * len(values) if given is None or isinstance(given, (int, float)) else (given,)
    if len(given) != len(values):
        raise ShapeError(f"{len(given)} baselines for {len(values)} inputs; give one for each")
    return tuple(_baseline(each, value, i) for i, (each, value) in enumerate(zip(given, values, strict=True)))


def _baseline(given: Any, value: Tensor, place: int) -> Tensor:
    real = value.is_floating_point()
    if given is None or isinstance(given, (int, float)):
        return torch.full_like(value, 0.0 if given is None else float(given)) if real else value
    if not isinstance(given, Tensor) or given.is_floating_point() != real:
        what = str(given.dtype) if isinstance(given, Tensor) else type(given).__name__
        kind = "a floating-point tensor" if real else f"a tensor of indices like the input ({value.dtype})"
        raise InputTypeError(f"baseline {place} is {what}; allowed: {kind}, a number or None")
    one_row = (1, *value.shape[1:])
    if tuple(given.shape) not in {tuple(value.shape), one_row}:
        raise ShapeError(
            f"baseline {place} has shape {tuple(given.shape)}; allowed: that of the input, {tuple(value.shape)}, or "
            f"one row, {one_row}"
        )
    return given.detach().to(value).expand_as(value)


def _extra(given: Any, keys: tuple[str, ...] | None) -> tuple[Any, ...]:
    extra = () if given is None else given if isinstance(given, tuple) else (given,)
    if extra and keys is not None:
        raise InputTypeError("additional_forward_args have no names, the inputs have; put them among the inputs")
    return extra


def _batch(
    values: tuple[Tensor, ...], extra: tuple[Any, ...], keys: tuple[str, ...] | None, part: slice, rows: int
) -> Batch:
    more = tuple(_some(each, part, rows) for each in extra)
    return Batch(inputs=(*(value[part] for value in values), *more), keys=keys, target=None)


def _some(thing: Any, part: slice, rows: int) -> Any:
    """The part of something that has one entry per row; anything else as it is."""
    entries = isinstance(thing, list) or (isinstance(thing, Tensor) and thing.dim() > 0)
    return thing[part] if entries and len(thing) == rows and rows > 1 else thing


def _choose(target: Any) -> Callable[[Tensor], Tensor]:
    def chosen(output: Tensor) -> Tensor:
        if target is None and output[0].numel() == 1:
            return output.flatten()
        try:
            picked: Tensor = _select_targets(output, target)
        except (AssertionError, IndexError, RuntimeError) as error:
            raise InputError(_no_target(target, output)) from error
        if picked.shape != output.shape[:1]:
            raise InputError(_no_target(target, output))
        return picked

    return chosen


def _no_target(target: Any, output: Tensor) -> str:
    last = " and ".join(f"0 to {size - 1}" for size in output.shape[1:]) or "None"
    return (
        f"target={target!r} does not name one output per row: the model returns {tuple(output.shape)}; allowed: {last}"
        + (", as a tuple" if output.dim() > 2 else "")
    )


def _like(inputs: Tensors, parts: tuple[Tensor, ...]) -> Any:
    if isinstance(inputs, Mapping):
        return dict(zip(inputs, parts, strict=True))
    return parts if isinstance(inputs, tuple) else parts[0]
