"""A column that a model has unlearnt gets the weights of another one, so that training can go on from there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from kaninterp.data import Batch
from kaninterp.measure.host import Columns
from kaninterp.nn import KANHead, entries
from kaninterp.nn.inputs import OTHER
from kaninterp.nn.readers import Narrowed, family_of, input_width

__all__ = ["Lesson", "taught"]

ROOM = 0.1
"""Size of random first weights of a column that has none, against those of all columns: enough for a gradient to tell
them apart, too little to do harm."""

RIDGE = 1e-4
"""Pull of an edge's coefficients towards zero, against the mean square of its basis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """Who learns from whom.

    Attributes
    ----------
    pupil, teacher : int
        Raw columns.
    curve : callable
        Values of the teacher, given those of the pupil.
    slope : float
        Of the best line of the teacher by the pupil.
    means : (float, float)
        Of pupil and teacher.
    """

    pupil: int
    teacher: int
    curve: Callable[[Tensor], Tensor]
    slope: float
    means: tuple[float, float]


def taught(model: nn.Module, batch: Batch, columns: Columns, lesson: Lesson, *, seed: int) -> bool:
    """Give a column, in place, what another one has in every module that reads raw columns.

    Weights of LSTM, GRU, RNN, Linear and Conv1d: the teacher's times the slope are added to the pupil's; weights that
    are all zero get a little noise, too, for the gradient through zeros may be zero. Edges of a KAN: the teacher's
    function of the curve is fitted to them, masked ones come alive with it. Constants keep the node where it is at the
    means of both. Other readers are left as they are.

    Parameters
    ----------
    model : nn.Module
        Changed.
    batch, columns
        Rows, and where the columns are in them.
    lesson : Lesson
    seed : int
        Of the noise.

    Returns
    -------
    bool
        False where no module reads the pupil, or one that does cannot be given weights for it: it was cut out.
    """
    keys = batch.places
    generator = torch.Generator().manual_seed(seed)
    able = []
    for entry in entries(model, batch.rows(slice(0, 4)).arguments):
        mine, theirs = (
            [place for place, column in enumerate(entry.columns) if (entry.key, column) == (keys[which], position)]
            for which, position in (columns.places[c] for c in (lesson.pupil, lesson.teacher))
        )
        if not mine:
            continue
        module = model.get_submodule(entry.path)
        pairs = list(zip(mine, theirs, strict=True)) if len(mine) == len(theirs) else []
        if isinstance(module, KANHead):
            able.append(_edges(module, mine, pairs, columns.values(batch)[:, -1, lesson.pupil], lesson))
        elif entry.kind != OTHER:
            able.append(_weights(module, mine, pairs, lesson, generator))
        else:
            able.append(True)
    return bool(able) and all(able)


@torch.no_grad()
def _weights(
    module: nn.Module, mine: list[int], pairs: list[tuple[int, int]], lesson: Lesson, generator: torch.Generator
) -> bool:
    family = family_of(module)
    if family is None:
        return True
    there = {
        c: at for at, c in enumerate(module.places if isinstance(module, Narrowed) else range(input_width(module)))
    }
    if any(place not in there for place in mine):
        return False
    pairs = [(there[place], there[other]) for place, other in pairs if other in there]
    names = family.first_weights(module)
    if all(getattr(module, bias, None) is not None for bias in names.values()):
        held = torch.zeros(len(there), dtype=torch.float64, device=next(module.parameters()).device)
        for _, other in pairs:
            held[other] = -lesson.slope * lesson.means[0]
        family.fold(module, cast(Narrowed, module), held)
    for name in names:
        weight = family.by_column(module, module.get_parameter(name))
        flat = weight.flatten(-2).clone()
        for at in (there[place] for place in mine):
            if not bool(flat[..., at].any()):
                noise = torch.randn(flat[..., at].shape, generator=generator, dtype=torch.float64)
                flat[..., at] = (ROOM * float(flat.double().square().mean().sqrt()) * noise).to(flat)
        for at, other in pairs:
            flat[..., at] += lesson.slope * flat[..., other]
        weight.copy_(flat.view(weight.shape))
    return True


@torch.no_grad()
def _edges(head: KANHead, mine: list[int], pairs: list[tuple[int, int]], values: Tensor, lesson: Lesson) -> bool:
    layer = head.kan_layers[0]
    there = {c: at for at, c in enumerate(range(head.in_features) if head.select is None else head.select)}
    if any(place not in there for place in mine):
        return False
    mask = layer.mask.clone()
    for at, source in ((there[place], there[other]) for place, other in pairs if other in there):
        x = layer.domain.mean(0).double().expand(len(values) + 1, -1).clone()
        x[:-1, at], x[:-1, source] = values.double(), lesson.curve(values.double())
        x[-1, at], x[-1, source] = lesson.means
        functions, basis = layer.edges(x), layer.basis(x)[:-1, :, at]
        wanted = functions[:-1, :, source] - functions[-1, :, source] + functions[-1, :, at]
        gram = basis.T @ basis
        pull = RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
        if layer.formulas is not None:
            others = torch.ones_like(layer.mask)
            others[:, at] = 0.0
            layer.formulas = layer.formulas.cut(others)
        layer.weight[:, :, at] = torch.linalg.solve(gram + pull, basis.T @ wanted).T.to(layer.weight)
        mask[:, at] = torch.maximum(mask[:, at], mask[:, source])
    layer.set_mask(mask)
    return True
