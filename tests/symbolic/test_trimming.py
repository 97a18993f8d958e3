"""Terms that data do not support go, those they do support stay, and rounding costs what it says."""

from __future__ import annotations

import numpy as np
import pytest
import sympy

from kaninterp.core.errors import DataError, ShapeError
from kaninterp.symbolic import Formula
from kaninterp.symbolic.compose import symbol_of
from kaninterp.symbolic.trimming import ROUNDING, trimmed

A, B = symbol_of(0), symbol_of(1)


def of(*expressions):
    return Formula(expressions=expressions, input_names=("a", "b"), output_names=tuple("yz"[: len(expressions)]))


def cut(formula, x, y):
    return trimmed(formula, x, lambda outputs: ((outputs - y) ** 2).mean(1))


def rows(noise, n=400, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (n, 2))
    return x, np.exp(np.sin(np.pi * x[:, :1]) + x[:, 1:] ** 2) + noise * rng.normal(size=(n, 1))


def test_the_getting_started_formula():
    spoilt = 1.0003 * sympy.exp(1.0002 * sympy.sin(3.14161 * A) + 0.9997 * B**2 + 0.0002 * A) - 0.0004
    x, y = rows(0.05)
    found = cut(of(spoilt), x, y)
    assert found.formula.text() == "exp(b**2 + sin(pi*a))"
    assert found.dropped == ("0.0002*a",)
    assert found.loss <= found.loss_before * (1 + ROUNDING) * (1 + np.log(400) / 400) ** 2


def test_without_noise_small_terms_stay():
    exact = sympy.exp(sympy.sin(sympy.pi.evalf() * A) + B**2) + 1e-3 * A
    x, y = rows(0.0)
    found = cut(of(exact), x, y + 1e-3 * x[:, :1])
    assert found.dropped == ()
    assert "0.001*a" in found.formula.text()
    assert found.loss < 1e-9


@pytest.mark.parametrize("seed", range(5))
def test_a_term_of_noise_goes_and_one_of_signal_stays(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(500, 2))
    y = x[:, :1] + 0.3 * x[:, 1:] + rng.normal(size=(500, 1))
    found = cut(of(1.0 * A + 0.3 * B + 0.01 * sympy.sin(7.0 * B)), x, y)
    assert found.dropped == ("0.01*sin(7.0*b)",)
    assert found.formula.inputs_of() == (0, 1)


def test_terms_of_a_column_that_cancel_go_together():
    x, y = rows(0.02)
    pair = 0.9 * sympy.sin(2.003 * B) - 0.9 * sympy.sin(2.0 * B)
    found = cut(of(sympy.exp(sympy.sin(sympy.pi.evalf() * A) + B**2 + pair)), x, y)
    assert found.formula.text() == "exp(b**2 + sin(pi*a))"
    assert len(found.dropped) == 2


def test_outputs_are_trimmed_each_for_itself():
    x, y = rows(0.05)
    found = cut(of(sympy.exp(sympy.sin(3.1416 * A) + B**2), sympy.Float(2.00001) * A), x, np.hstack([y, 2 * x[:, :1]]))
    assert found.formula.text(1) == "2*a"


def test_bad_rows():
    x, y = rows(0.0)
    with pytest.raises(ShapeError, match="rows, 2"):
        cut(of(A, B), x[:, :1], y)
    with pytest.raises(DataError, match="leave"):
        cut(of(sympy.log(A)), x, y)


def test_a_classifier_is_trimmed_by_its_likelihood():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 2))
    y = rng.uniform(size=2000) < 1 / (1 + np.exp(-3 * x[:, 0]))

    def losses(outputs):
        return np.logaddexp(0, np.where(y, -outputs[:, 0], outputs[:, 0]))

    found = trimmed(of(2.9874 * A + 0.004 * B), x, losses, kind="nats")
    assert found.dropped == ("0.004*b",)
    assert found.formula.text() == "3*a"


def test_a_loss_that_is_no_number_stands_for_a_bad_trial():
    """A loss refuses outputs that it cannot be computed of; that ends the trial, not the trimming."""
    x, _ = rows(0.0)
    y = 2 * x[:, 0] + x[:, 1] + 100

    def losses(outputs):
        if np.abs(outputs[:, 0] - y).max() > 50:
            raise DataError("the loss is not finite")
        return (outputs[:, 0] - y) ** 2

    found = trimmed(of(sympy.Float(2.0000001) * A + B + sympy.Float(100.0000001)), x, losses)
    assert found.formula.text() == "2*a + b + 100"


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("kind", ["squared", "absolute"])
def test_units_of_the_target_decide_nothing(kind, scale):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 2))
    y = scale * (x[:, :1] + 0.1 * rng.laplace(size=(400, 1)))
    power = 2 if kind == "squared" else 1
    found = trimmed(
        of(scale * A + 0.001 * scale * B), x, lambda outputs: np.abs(outputs - y).mean(1) ** power, kind=kind
    )
    assert [found.formula.inputs_of(), len(found.dropped)] == [(0,), 1]
