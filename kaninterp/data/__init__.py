"""User data as batches of tensors: any accepted kind in, the same checked batches out."""

from __future__ import annotations

from kaninterp.data.batch import Batch, called
from kaninterp.data.batches import Batches, as_batches
from kaninterp.data.checks import LARGEST, placement
from kaninterp.data.labels import given_labels, row_labels
from kaninterp.data.rng import check_seed, preserved_rng
from kaninterp.data.splits import time_split
from kaninterp.data.standardize import Standardizer
from kaninterp.data.windows import Windows, windows

__all__ = [
    "LARGEST",
    "Batch",
    "Batches",
    "Standardizer",
    "Windows",
    "as_batches",
    "called",
    "check_seed",
    "given_labels",
    "placement",
    "preserved_rng",
    "row_labels",
    "time_split",
    "windows",
]
