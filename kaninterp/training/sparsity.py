"""Push raw columns to exactly zero, and keep them there."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from kaninterp.core.errors import FileFormatError, ModelError
from kaninterp.data import Batch, Batches
from kaninterp.nn import Entry, KANHead, column_norms, entries, gated_columns, proximal_step_
from kaninterp.training.options import Sparsity

__all__ = ["InputShrinkage", "RawColumns", "check_possible"]

OTHER = "other"
NEGLIGIBLE = 0.01
"""A smooth optimiser brings a column near zero, never onto it: below this share of the largest it is set to zero."""

WEAKEST = 2.0
"""Largest adaptive weight: a column that has not been learnt yet by the end of the warm-up still has a chance."""

HOVERING = 2.0
"""Norms up to this multiple of where noise and push balance are noise: from 32 weights on they spread by under 20 %."""

ENOUGH = 1.5
"""How often over a typical column without support must be brought to zero before the debias phase."""

STRONGEST, HARDEST = 0.5, 0.75
"""Largest push, without and with the adaptive weight, as shares of a full stride of Adam: at 1 nothing can resist."""

TINY = 1e-12


class RawColumns:
    """Where a model reads raw columns, and which of them are exactly zero.

    Parameters
    ----------
    model
        Left bit-identical.
    batch
        Some rows of its data.
    widths
        Raw columns per input of the batch.
    """

    def __init__(self, model: nn.Module, batch: Batch, widths: tuple[int, ...]) -> None:
        few = batch.rows(slice(0, 4))
        self.found: tuple[Entry, ...] = ()
        if any(x.is_floating_point() for x in few.inputs):
            self.found = entries(model, few.arguments)
        self.readers = tuple((e, model.get_submodule(e.path)) for e in self.found if e.kind != OTHER)
        starts = [sum(widths[:k]) for k in range(len(widths))]
        self._start: dict[int | str, int] = dict(zip(few.places, starts, strict=True))
        self._total = sum(widths)
        self._opaque = torch.ones(self._total, dtype=torch.bool)
        for entry in self.found:
            self._opaque[self._places(entry)] = False
        for entry in self.found:
            if entry.kind == OTHER:
                self._opaque[self._places(entry)] = True
        for key, held in gated_columns(model).items():
            if key in self._start:
                self._opaque[torch.tensor(held) + self._start[key]] = False

    @classmethod
    def of(cls, model: nn.Module, batches: Batches) -> RawColumns:
        """The same from data with names."""
        return cls(model, batches.first, tuple(len(names) for names in batches.names_per_input))

    @torch.no_grad()
    def alive(self) -> Tensor:
        """Flags (raw columns,) of columns that some module may read; what cannot be seen into counts as alive."""
        flags: Tensor = self._opaque.clone()
        for entry, module in self.readers:
            norms = column_norms(module, entry.columns).cpu()
            columns = torch.tensor(entry.raw_columns, dtype=torch.long)
            flags[columns + self._start[entry.key]] |= norms[columns] > 0
        return flags

    def _places(self, entry: Entry) -> Tensor:
        return torch.tensor(entry.raw_columns, dtype=torch.long) + self._start[entry.key]


class InputShrinkage:
    """Group lasso on raw columns by proximal steps; see `Sparsity` for what the numbers mean.

    Holds per reading module: the square roots of the group sizes; the limits, which are what a column's
    norm loses per step at full push and learning rate 1; and which columns are frozen at zero.
    """

    def __init__(self, raw: RawColumns, sparsity: Sparsity) -> None:
        self.readers = raw.readers
        self.sparsity = sparsity
        self._roots = [_root_sizes(module, entry) for entry, module in self.readers]
        self._limits = [torch.zeros_like(root) for root in self._roots]
        self._frozen = [torch.zeros_like(root, dtype=torch.bool) for root in self._roots]
        self._rate: float | None = None

    @property
    def pushing(self) -> bool:
        """Whether this epoch pushes at all (neither warm-up nor debiasing)."""
        return self._rate is not None and self._rate > 0

    def begin_epoch(self, epoch: int, epochs: int, *, lr: float) -> None:
        """Set this epoch's push."""
        push = lr * self.sparsity.push(epoch, epochs)
        anything = push > 0 or any(bool(frozen.any()) for frozen in self._frozen)
        self._rate = push if anything else None

    def take_pilot(self, *, noise: float, budget: float) -> None:
        """Fix the limits for small steps from the norms at the end of the warm-up.

        Parameters
        ----------
        noise
            sqrt(rows per batch / rows): the standard error of a gradient in units of Adam.
        budget
            Sum over the steps to come of learning rate x push.
        """
        for k, (norms, root) in enumerate(zip(self.norms(), self._roots, strict=True)):
            least = root.clamp_min(1.0)
            share = self.sparsity.inputs * noise * self._groups(root) / least
            enough = ENOUGH * norms[root > 0].median() / (least * max(budget, TINY))
            share = torch.maximum(share, enough).clamp(max=STRONGEST) * self._adaptive(norms, root)
            self._limits[k] = root * share.clamp(max=HARDEST)

    def take_pilot_in_loss(self, *, errors: list[Tensor]) -> None:
        """Fix the limits for a penalty in the loss; `errors`: standard errors of the columns' gradients."""
        for k, (norms, level) in enumerate(zip(self.norms(), self._noise_levels(errors), strict=True)):
            self._limits[k] = level * self._adaptive(norms, self._roots[k])

    def recall(self, *, means: list[Tensor], errors: list[Tensor]) -> bool:
        """Let go of frozen columns whose gradient stands out from its noise; say whether there was any.

        Asked once the survivors have recovered: what is still missing then shows in the gradient.
        """
        again = [
            frozen & (mean > level)
            for frozen, mean, level in zip(self._frozen, means, self._noise_levels(errors), strict=True)
        ]
        self._frozen = [frozen & ~back for frozen, back in zip(self._frozen, again, strict=True)]
        return any(bool(back.any()) for back in again)

    def reads_by(self, head: KANHead) -> bool:
        """Whether this head, or a layer of it, reads raw columns itself."""
        own = {id(module) for module in head.modules()}
        return any(id(module) in own for _, module in self.readers)

    def step(self) -> None:
        """Shrink after an optimiser step."""
        if self._rate is None:
            return
        for (entry, module), limits, frozen in zip(self.readers, self._limits, self._frozen, strict=True):
            threshold = (self._rate * limits).masked_fill(frozen, math.inf)
            proximal_step_(module, threshold, entry.columns)

    def penalty(self, push: float) -> Tensor:
        """The same group lasso as a term of the loss, for full-batch optimisers."""
        terms = [
            (column_norms(module, entry.columns) * limits).sum()
            for (entry, module), limits in zip(self.readers, self._limits, strict=True)
        ]
        return push * torch.stack(terms).sum()

    def settle(self, *, lr: float) -> None:
        """Set to zero for good what is zero or hovers where noise keeps it; `lr` of the steps before."""
        for k, (norms, root) in enumerate(zip(self.norms(), self._roots, strict=True)):
            hover = root.square() * lr / (2 * self._limits[k].clamp_min(TINY))
            self._frozen[k] = norms <= torch.where(self._limits[k] > 0, HOVERING * hover, 0.0)
        self._zero_frozen()

    def zero_negligible(self) -> bool:
        """Set to zero for good what a smooth optimiser has brought near zero; say whether there was any."""
        before = [frozen.clone() for frozen in self._frozen]
        for k, (norms, root) in enumerate(zip(self.norms(), self._roots, strict=True)):
            typical = norms / root.clamp_min(1.0)
            self._frozen[k] = self._frozen[k] | (typical <= NEGLIGIBLE * typical.max())
        self._zero_frozen()
        return any(bool((new != old).any()) for new, old in zip(self._frozen, before, strict=True))

    def mask_gradients(self) -> None:
        """Set the gradients of frozen columns to zero, so that no optimiser step can leave zero."""
        for (entry, mirror), frozen in zip(self._gradients(), self._frozen, strict=True):
            threshold = torch.zeros(frozen.shape).masked_fill(frozen.cpu(), math.inf)
            proximal_step_(mirror, threshold, entry.columns)

    @torch.no_grad()
    def norms(self) -> list[Tensor]:
        """Group norms per reading module."""
        return [column_norms(module, entry.columns) for entry, module in self.readers]

    @torch.no_grad()
    def gradient_norms(self) -> list[Tensor]:
        """Group norms of the gradients per reading module."""
        return [column_norms(mirror, entry.columns) for entry, mirror in self._gradients()]

    def state_dict(self) -> dict[str, list[Tensor]]:
        """What a resumed run needs."""
        return {"limits": self._limits, "frozen": self._frozen}

    def load_state_dict(self, state: dict[str, list[Tensor]]) -> None:
        """Go on from `state_dict()`."""
        shapes = [[tuple(t.shape) for t in state[key]] for key in ("limits", "frozen")]
        if any(found != [tuple(root.shape) for root in self._roots] for found in shapes):
            raise FileFormatError("the checkpoint's input sparsity belongs to another model.")
        devices = [root.device for root in self._roots]
        self._limits = [t.to(device) for t, device in zip(state["limits"], devices, strict=True)]
        self._frozen = [t.to(device) for t, device in zip(state["frozen"], devices, strict=True)]

    def _zero_frozen(self) -> None:
        rate, self._rate = self._rate, 0.0
        self.step()
        self._rate = rate

    def _noise_levels(self, errors: list[Tensor]) -> list[Tensor]:
        """Gradient norms that noise does not reach."""
        return [
            self.sparsity.inputs * error * self._groups(root) / root.clamp_min(1.0)
            for error, root in zip(errors, self._roots, strict=True)
        ]

    def _groups(self, root: Tensor) -> Tensor:
        """sqrt(p) + sqrt(2 log F): how far the norm of p noisy numbers gets, at most, over F columns."""
        return root + math.sqrt(2 * math.log(max(int((root > 0).sum()), 1)))

    def _adaptive(self, norms: Tensor, root: Tensor) -> Tensor:
        """(median / norm) ** gamma per column, norms per weight so that group sizes do not matter."""
        typical = norms / root.clamp_min(1.0)
        median = typical[root > 0].median()
        if self.sparsity.gamma == 0 or not bool(median > 0):
            return torch.ones_like(norms)
        return (median / typical.clamp_min(TINY)).pow(self.sparsity.gamma).clamp(max=WEAKEST)

    def _gradients(self) -> list[tuple[Entry, nn.Module]]:
        """Copies of the reading modules whose weights are the gradients themselves, in shared memory."""
        mirrors = []
        for entry, module in self.readers:
            mirror = copy.deepcopy(module)
            for own, weight in zip(mirror.parameters(), module.parameters(), strict=True):
                own.data = torch.zeros_like(weight) if weight.grad is None else weight.grad
            mirrors.append((entry, mirror))
        return mirrors


def check_possible(sparsity: Sparsity, heads: tuple[KANHead, ...], raw: RawColumns) -> None:
    """Refuse a sparsity that has nothing to act on.

    Raises
    ------
    ModelError
        A head penalty without a KAN head, or input sparsity where no module is known to read raw columns, or
        where one that does is frozen: proximal steps would move weights that were to stay.
    """
    if sparsity.head > 0 and not heads:
        raise ModelError(
            f"sparsity: head={sparsity.head} penalises the edges of a KANHead, and the model has none; pass "
            "Sparsity(head=0, ...) to drop raw inputs only, or sparsity=None."
        )
    if sparsity.inputs > 0 and not raw.readers:
        found = ", ".join(f"{entry.path or 'the model itself'}" for entry in raw.found) or "nothing"
        raise ModelError(
            f"sparsity: inputs={sparsity.inputs} needs a module whose first weights read raw columns (nn.LSTM, nn.GRU, "
            f"nn.RNN, nn.Linear, nn.Conv1d or KANHead); the raw inputs go to: {found}. Pass Sparsity(inputs=0, ...)."
        )
    frozen = [
        entry.path or "the model itself"
        for entry, module in raw.readers
        if not all(parameter.requires_grad for name, parameter in module.named_parameters() if _reads(name))
    ]
    if sparsity.inputs > 0 and frozen:
        raise ModelError(
            f"sparsity: inputs={sparsity.inputs} shrinks the weights that read raw columns, and those of "
            f"{', '.join(frozen)} are frozen (requires_grad=False). Unfreeze them or pass Sparsity(inputs=0, ...)."
        )


def _reads(name: str) -> bool:
    """Whether a parameter of a reader holds input weights: not a bias, not a recurrent weight, not a later layer."""
    later = name.startswith("layers.") and not name.startswith("layers.0.")
    recurrent = name.startswith(("weight_hh", "weight_hr")) or (name.startswith("weight_ih_l") and name[11] != "0")
    return "weight" in name and not later and not recurrent


def _root_sizes(module: nn.Module, entry: Entry) -> Tensor:
    """Square root of the number of weights in each column's group: its norm when every weight is 1."""
    ones = copy.deepcopy(module)
    with torch.no_grad():
        for parameter in ones.parameters():
            parameter.fill_(1.0)
        return column_norms(ones, entry.columns)
