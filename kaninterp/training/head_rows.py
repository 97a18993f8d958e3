"""What a head that is trained alone learns from: its inputs and targets over all rows, and what stands against it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from kaninterp.core.errors import InputError, ModelError, ShapeError, StateError
from kaninterp.data import Batch
from kaninterp.nn.head import KANHead, read_columns
from kaninterp.nn.undisturbed import undisturbed
from kaninterp.training.options import Sparsity

__all__ = ["MAX_PARAMETERS", "HeadRows", "check_squared", "trained_head"]

MAX_PARAMETERS = 3000
"""Trainable numbers, at most: the normal equations are then 72 MB. A step of 2661 numbers takes .9 s on 1000 rows and
5 s on 10 000, on one thread."""

OTHERWISE = "Use optimizer='lbfgs' or 'adam'"


@dataclass(frozen=True, slots=True, eq=False)
class HeadRows:
    """Inputs and targets of a head, rows of all batches and time steps together.

    Attributes
    ----------
    features : Tensor, shape (n, in_features)
        What the head is given, in the model's number type.
    x : Tensor, shape (n, widths[0]) float64
        What its first layer reads.
    target : Tensor, shape (n, out) float64
    scale : Tensor, shape (n,) float64
        Roots of the rows' weights: the loss is the sum of ``(scale * (output - target)) ** 2``.
    rows : int
        Rows of the data.
    """

    features: Tensor
    x: Tensor
    target: Tensor
    scale: Tensor
    rows: int

    @classmethod
    def collect(cls, model: nn.Module, head: KANHead, batches: Iterable[Batch]) -> HeadRows:
        """Run everything in front of the head once, in eval mode; the model is left as it was.

        Raises
        ------
        ModelError
            The head is not the last thing the model does. StateError: NaN or inf.
        """
        features, targets, shares, rows = [], [], [], 0
        for batch in batches:
            given, out = _seen_by_head(model, head, batch)
            assert batch.target is not None  # noqa: S101 - for the type checker; the data were checked
            target = batch.target
            if target.numel() != out.numel() or target.shape[0] != out.shape[0]:
                raise ShapeError(
                    f"loss 'mse' got an output {tuple(out.shape)} and a target {tuple(target.shape)}; they must have "
                    "the same shape (a trailing axis of length 1 is matched for you)"
                )
            features.append(given.reshape(-1, head.in_features))
            targets.append(target.reshape(-1, head.out_features).double())
            shares.append(torch.full((len(targets[-1]),), batch.n_rows / target.numel(), dtype=torch.float64))
            rows += batch.n_rows
        whole, target = torch.cat(features), torch.cat(targets)
        if not bool(whole.isfinite().all() and target.isfinite().all()):
            raise StateError("the inputs of the head or the targets have NaN or inf; remove or fill those rows.")
        scale = (torch.cat(shares) / rows).sqrt().to(whole.device)
        return cls(whole, read_columns(head, whole).double(), target.to(whole.device), scale, rows)

    @property
    def spread(self) -> float:
        """Loss of the best constants."""
        share = self.scale.square()[:, None]
        mean = (share * self.target).sum(0) / share.sum()
        return float((share * (self.target - mean).square()).sum())


def trained_head(model: nn.Module, heads: tuple[KANHead, ...], sparsity: Sparsity | None) -> KANHead:
    """Find the one head that Levenberg-Marquardt can train.

    Raises
    ------
    ModelError
        Nothing to train, something besides one head to train, or more than `MAX_PARAMETERS` numbers.
    InputError
        A sparsity other than of the edges of the head.
    """
    ours = [head for head in heads if any(p.requires_grad for p in head.parameters())]
    inside = {id(p) for head in ours for p in head.parameters()}
    outside = [name for name, p in model.named_parameters() if p.requires_grad and id(p) not in inside]
    if outside:
        more = f" and {len(outside) - 3} more" if len(outside) > 3 else ""
        raise ModelError(
            f"optimizer='lm' trains one KANHead and nothing else, but {', '.join(outside[:3])}{more} would be trained "
            "too. Freeze the rest of the model with requires_grad_(False) (its features are then computed once), or "
            "use optimizer='lbfgs' or 'adam'."
        )
    if len(ours) != 1:
        found = "no KANHead with trainable parameters" if not ours else f"{len(ours)} of them"
        raise ModelError(f"optimizer='lm' trains one KANHead, the model has {found}. {OTHERWISE}.")
    size = sum(p.numel() for p in ours[0].parameters() if p.requires_grad)
    if size > MAX_PARAMETERS:
        raise ModelError(
            f"optimizer='lm' solves for all numbers of the head at once: it has {size}, allowed are {MAX_PARAMETERS}. "
            f"{OTHERWISE}, or a smaller head (fewer hidden nodes, a coarser grid)."
        )
    if sparsity is not None and sparsity.inputs > 0:
        raise InputError(
            f"optimizer='lm' with Sparsity(inputs={sparsity.inputs:g}): it can push edges to zero, not raw "
            "inputs. Pass Sparsity(inputs=0, ...), or use optimizer='lbfgs' or 'adam'."
        )
    if sparsity is not None and sparsity.smooth > 0:
        raise InputError(
            f"optimizer='lm' with Sparsity(smooth={sparsity.smooth:g}): it knows the edge and entropy terms only. Pass "
            "smooth=0, or use optimizer='lbfgs' or 'adam'."
        )
    return ours[0]


def check_squared(loss: object, target: Tensor | None) -> None:
    """Raise `InputError` unless the loss is the mean squared error."""
    squared = loss in (None, "mse") or type(loss) is nn.MSELoss
    if not squared:
        name = repr(loss) if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
        raise InputError(
            f"optimizer='lm' minimises squared errors, got loss={name}. {OTHERWISE} for it, or loss='mse'."
        )
    if target is not None and not target.is_floating_point():
        raise InputError(
            f"optimizer='lm' minimises squared errors, but the target is of {target.dtype}: classes. {OTHERWISE}; if "
            "it holds quantities give it as float."
        )


def _seen_by_head(model: nn.Module, head: KANHead, batch: Batch) -> tuple[Tensor, Tensor]:
    """What the head is given for a batch, and what it makes of it."""
    calls: list[tuple[Tensor, Tensor]] = []

    def note(_module: nn.Module, given: Any, named: Any, made: Any) -> None:
        calls.append((given[0] if given else named["x"], made))

    hook = head.register_forward_hook(note, with_kwargs=True)
    try:
        with undisturbed(model):
            output = batch.call(model)
    finally:
        hook.remove()
    if not isinstance(output, Tensor):
        raise ModelError(
            f"the model returned a {type(output).__name__}, training needs one tensor; for a recurrent backbone "
            "wrap it: kaninterp.Hybrid(backbone, head)."
        )
    if len(calls) != 1 or not _same_values(calls[0][1], output):
        what = f"is called {len(calls)} times" if len(calls) != 1 else "is followed by something else"
        raise ModelError(
            f"optimizer='lm' needs a head that is the last thing the model does, once per batch; here it {what}. "
            f"{OTHERWISE}."
        )
    return calls[0][0], output


def _same_values(made: Tensor, output: Tensor) -> bool:
    return made is output or (
        made.numel() == output.numel() and torch.equal(made.reshape(-1).nan_to_num(), output.reshape(-1).nan_to_num())
    )
