"""Levenberg-Marquardt: damped Gauss-Newton steps on all rows, for heads of up to some thousand numbers.

Levenberg 1944, Marquardt 1963. A step solves ``(J'J + damping * D) step = -J'r`` with the Jacobian J of the weighted
residuals r and D the diagonal of J'J (numbers with little curvature get more). The damping follows the gain ratio
(Nielsen 1999, IMM-REP-1999-05): a step that does what the quadratic model promised makes it smaller, a step that does
not lower the objective is not taken and makes it larger. Everything is float64, whatever the model's number type.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kaninterp.nn.head import KANHead
from kaninterp.training.edge_push import EdgePush
from kaninterp.training.head_rows import HeadRows
from kaninterp.training.jacobian import HeadTwin, Passed

__all__ = ["Descent", "StepTaken"]

CHUNK_VALUES = 2**21
"""Values of the Jacobian at a time (16 MB): rows come in chunks of that, so memory does not grow with them."""

START_DAMPING = 1e-2
"""Damping at the start, as a share of the curvature; 1e-4 and 1 came to about the same loss after 50 steps."""

LINEAR_DAMPING = 1e-12
"""Damping of a head of one layer: it is linear in its numbers, and the first step is the last one."""

LEAST_DAMPING, MOST_DAMPING = 1e-14, 1e14
"""Beyond these nothing changes any more in float64."""

FLATTEST, FLATTEST_OF_EDGE = 1e-6, 1e-2
"""Numbers that the data hardly touch are damped as if they had these shares of the largest curvature: of all, and of
their edge. Without the second, held-out errors are higher, since they run wild; a larger first one keeps edges asleep
that a penalty has put to sleep (20 steps with and 50 without, eight seeds: an error of .03 is left in the worst)."""

MOST_TRIALS = 12
"""Trials of one step. Damping doubles faster and faster: twelve rejected trials raise it by 2^78."""


@dataclass(frozen=True, slots=True)
class StepTaken:
    """Loss and penalty after a step, gradient norm before it, and whether there was a step that lowered their sum."""

    loss: float
    penalty: float
    grad_norm: float
    accepted: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Point:
    """Loss and penalty at the twin's numbers, and the forward pass if it fits in one chunk."""

    loss: float
    penalty: float
    passed: Passed | None

    @property
    def value(self) -> float:
        return self.loss + self.penalty


class Descent:
    """Steps of one head.

    Parameters
    ----------
    head : KANHead
        Trained in place.
    data : HeadRows
        Its rows.

    Attributes
    ----------
    damping, growth : float
        Present damping, and what the next rejected trial multiplies it with.
    push : EdgePush or None
        Penalty to come; set it before a step.

    Examples
    --------
    >>> import torch
    >>> from kaninterp.data import as_batches
    >>> x = torch.linspace(-1, 1, 50)[:, None]
    >>> head = KANHead(1, 1, domain=(-1, 1))
    >>> descent = Descent(head, HeadRows.collect(head, head, as_batches((x, x ** 3))))
    >>> descent.step().loss < 1e-12
    True
    """

    def __init__(self, head: KANHead, data: HeadRows) -> None:
        self.head, self.data = head, data
        linear = len(head.kan_layers) == 1 and head.kan_layers[0].formulas is None
        self.damping = LINEAR_DAMPING if linear else START_DAMPING
        self.growth = 2.0
        self.push: EdgePush | None = None
        self.reread()

    def reread(self) -> None:
        """Take the head as it is now: somebody has moved its domains or its numbers."""
        self.twin = HeadTwin(self.head)
        outputs = self.data.target.shape[1]
        self._chunk = max(1, CHUNK_VALUES // max(1, self.twin.size * outputs))
        self._point: _Point | None = None

    def set_push(self, push: EdgePush | None) -> None:
        """Change the penalty."""
        self.push, self._point = push, None

    def value(self) -> float:
        """Loss plus penalty now."""
        return self._here().value

    @property
    def passed(self) -> Passed | None:
        """Forward pass at the present numbers, if it is known."""
        return None if self._point is None else self._point.passed

    def step(self) -> StepTaken:
        """Make one step if there is one that lowers loss plus penalty, and write it into the head."""
        here = self._here()
        normal, gradient = self._normal_equations(here)
        grad_norm = 2 * float(gradient.norm())
        if self.twin.size == 0 or not grad_norm > 0:
            return StepTaken(here.loss, here.penalty, grad_norm, accepted=False)
        diagonal = normal.diagonal().clone()
        least = max(FLATTEST * float(diagonal.max()), torch.finfo(diagonal.dtype).tiny)
        damped = torch.maximum(diagonal, FLATTEST_OF_EDGE * self.twin.largest(diagonal)).clamp(min=least)
        start = self.twin.read().clone()
        for _ in range(MOST_TRIALS):
            if self.damping > MOST_DAMPING:
                break
            step = _solved(normal, diagonal + self.damping * damped, gradient)
            there = None
            if step is not None:
                self.twin.write(start + step)
                there = self._evaluate()
            if step is not None and there is not None and there.value < here.value:
                promised = float(step @ (self.damping * damped * step - gradient))
                self._relax((here.value - there.value) / max(promised, torch.finfo(step.dtype).tiny))
                self._point = there
                self.twin.store()
                return StepTaken(there.loss, there.penalty, grad_norm, accepted=True)
            self.damping, self.growth = self.damping * self.growth, self.growth * 2
        self.twin.write(start)
        self.damping, self.growth = min(self.damping, MOST_DAMPING), 2.0
        return StepTaken(here.loss, here.penalty, grad_norm, accepted=False)

    def _relax(self, gain: float) -> None:
        factor = max(1 / 3, 1 - (2 * gain - 1) ** 3)
        self.damping, self.growth = max(self.damping * factor, LEAST_DAMPING), 2.0

    def _here(self) -> _Point:
        if self._point is None:
            self._point = self._evaluate()
        return self._point

    def _rows(self) -> list[slice]:
        n = len(self.data.x)
        return [slice(start, start + self._chunk) for start in range(0, n, self._chunk)]

    def _evaluate(self) -> _Point:
        """Loss and penalty at the twin's numbers."""
        loss, passed, chunks = 0.0, None, self._rows()
        for rows in chunks:
            passed = self.twin.run(self.data.x[rows])
            loss += float(self._residuals(passed, rows).square().sum())
        penalty = 0.0 if self.push is None else self.push.value(self.twin)
        return _Point(loss, penalty, passed if len(chunks) == 1 else None)

    def _residuals(self, passed: Passed, rows: slice) -> Tensor:
        return self.data.scale[rows, None] * (passed.output - self.data.target[rows])

    def _normal_equations(self, here: _Point) -> tuple[Tensor, Tensor]:
        """J'J and J'r, with the penalty's part: half the curvature and half the gradient of the objective."""
        size = self.twin.size
        normal, gradient = self.data.x.new_zeros(size, size), self.data.x.new_zeros(size)
        for rows in self._rows():
            passed = self.twin.run(self.data.x[rows]) if here.passed is None else here.passed
            jacobian = self.twin.jacobian(passed, self.data.scale[rows])
            normal.addmm_(jacobian.t(), jacobian)
            gradient.addmv_(jacobian.t(), self._residuals(passed, rows).flatten())
        if self.push is not None:
            self.push.add_to(normal, gradient, self.twin)
        return normal, gradient


def _solved(normal: Tensor, diagonal: Tensor, gradient: Tensor) -> Tensor | None:
    """The step for another diagonal; None if rounding leaves no positive definite matrix."""
    matrix = normal.clone()
    matrix.diagonal().copy_(diagonal)
    factor, info = torch.linalg.cholesky_ex(matrix)
    if int(info):
        return None
    step: Tensor = torch.cholesky_solve(-gradient.unsqueeze(1), factor).squeeze(1)
    return step
