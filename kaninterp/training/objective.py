"""What training minimises: mean loss over the rows plus the penalties of the epoch."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from kaninterp.core.errors import ModelError
from kaninterp.data import Batch
from kaninterp.nn.head import KANHead
from kaninterp.nn.losses import RowLoss
from kaninterp.training.options import Sparsity
from kaninterp.training.sparsity import InputShrinkage

__all__ = ["Objective"]


class Objective:
    """Loss and penalties of one model.

    Parameters
    ----------
    model, row_loss
        The model and its loss per row.
    heads, sparsity
        The KAN heads and the plan that penalises them; None: no penalty.
    shrinkage
        Input sparsity, added to the penalty (`in_loss`) or left to proximal steps.
    """

    def __init__(
        self,
        model: nn.Module,
        row_loss: RowLoss,
        *,
        heads: tuple[KANHead, ...],
        sparsity: Sparsity | None,
        shrinkage: InputShrinkage | None,
        in_loss: bool,
    ) -> None:
        self.model = model
        self._row_loss = row_loss
        self._heads = heads
        self._sparsity = sparsity
        self._shrinkage = shrinkage if in_loss else None
        self._head_weight = 0.0
        self._push = 0.0

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Set the weights of the penalties."""
        if self._sparsity is not None:
            self._head_weight = self._sparsity.head * self._sparsity.ramped(epoch, epochs)
            self._push = self._sparsity.push(epoch, epochs)

    @property
    def head_weight(self) -> float:
        """Weight of the head penalty in this epoch."""
        return self._head_weight

    @property
    def penalised(self) -> tuple[KANHead, ...]:
        """The heads whose edges are penalised, in this or another epoch."""
        return self._heads if self._sparsity is not None and self._sparsity.head > 0 else ()

    def loss(self, batch: Batch) -> Tensor:
        """Mean loss over the rows of a batch."""
        output = batch.call(self.model)
        if not isinstance(output, Tensor):
            raise ModelError(
                f"the model returned a {type(output).__name__}, training needs one tensor; for a recurrent backbone "
                "wrap it: kaninterp.Hybrid(backbone, head)."
            )
        assert batch.target is not None  # noqa: S101 - for the type checker; the data were checked
        return self._row_loss(output, batch.target).mean()

    def penalty(self) -> Tensor | None:
        """All penalties of this epoch, weighted; None when there are none."""
        parts = []
        if self._head_weight > 0 and self._sparsity is not None:
            options = {key: getattr(self._sparsity, key) for key in ("edge", "entropy", "smooth")}
            parts += [self._head_weight * head.penalty(**options) for head in self._heads]
        if self._push > 0 and self._shrinkage is not None:
            parts.append(self._shrinkage.penalty(self._push))
        return torch.stack(parts).sum() if parts else None

    @torch.no_grad()
    def mean_loss(self, batches: Iterable[Batch]) -> float:
        """Mean loss over the rows of all batches, in eval mode; NaN without batches."""
        flags = [(module, module.training) for module in self.model.modules()]
        self.model.eval()
        try:
            total, rows = 0.0, 0
            for batch in batches:
                total += float(self.loss(batch)) * batch.n_rows
                rows += batch.n_rows
        finally:
            for module, flag in flags:
                module.training = flag
        return total / rows if rows else float("nan")
