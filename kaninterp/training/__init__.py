"""Training: one loop for hybrids and baselines, with sparsity that makes raw inputs exactly zero."""

from __future__ import annotations

from kaninterp.training.fit import fit
from kaninterp.training.history import FitResult
from kaninterp.training.options import Sparsity

__all__ = ["FitResult", "Sparsity", "fit"]
