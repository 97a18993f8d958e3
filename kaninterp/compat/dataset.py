"""`create_dataset`: rows of a known function, drawn as pykan draws them but from a generator of their own.

`create_dataset_from_data`: rows one has, split.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from kaninterp.core.errors import InputError, InputTypeError, ShapeError
from kaninterp.data.rng import check_seed

from .spelling import index

__all__ = ["create_dataset", "create_dataset_from_data"]

MODES = ("col", "row")


def create_dataset(  # noqa: PLR0917 (pykan's order)
    f: Callable[[Tensor], Tensor],
    n_var: int = 2,
    f_mode: str = "col",
    ranges: Sequence[float] | Sequence[Sequence[float]] = (-1, 1),
    train_num: int = 1000,
    test_num: int = 1000,
    normalize_input: bool = False,
    normalize_label: bool = False,
    device: torch.device | str = "cpu",
    seed: int = 0,
) -> dict[str, Tensor]:
    """Uniform inputs and the values of a function there.

    Parameters
    ----------
    f : callable
        Of the inputs (rows, n_var), or (n_var, rows) with ``f_mode="row"``, to one label per row or several.
    n_var : int
        Number of inputs.
    f_mode : {"col", "row"}
        How ``f`` reads the inputs: ``x[:, [i]]``, or ``x[i]``.
    ranges : (low, high) or one such pair per input
        Where the inputs lie.
    train_num, test_num : int
        Rows of each part.
    normalize_input, normalize_label : bool
        Take the mean of the training rows away and divide by their standard deviation, in both parts; a constant
        column is only centred.
    device
        Where the tensors live.
    seed : int
        Of the rows. They are the very rows that pykan draws with this seed; no global generator is touched.

    Returns
    -------
    dict of Tensor
        ``train_input``, ``test_input`` (rows, n_var), ``train_label``, ``test_label`` (rows, labels).

    Raises
    ------
    InputError
        Counts below 1, an unknown mode, a range that is none. ShapeError: ``f`` gives another number of rows.
    InputTypeError
        ``f`` cannot be called or gives no tensor.

    Examples
    --------
    >>> data = create_dataset(lambda x: x[:, [0]] * x[:, [1]], n_var=2, train_num=50)
    >>> data["train_input"].shape, data["train_label"].shape
    (torch.Size([50, 2]), torch.Size([50, 1]))
    """
    check_seed(seed)
    if not callable(f):
        raise InputTypeError(f"create_dataset: f is the function to learn, got {type(f).__name__}; give a callable")
    if f_mode not in MODES:
        raise InputError(f"f_mode={f_mode!r}: allowed are 'col' (x[:, [i]]) and 'row' (x[i])")
    for name, count in (("n_var", n_var), ("train_num", train_num), ("test_num", test_num)):
        if index(name, count) < 1:
            raise InputError(f"{name}={count!r}: expected a whole number from 1 on")
    limits = _limits(ranges, n_var)
    generator = torch.Generator().manual_seed(seed)
    columns = [
        [torch.rand(rows, generator=generator) * (high - low) + low for rows in (train_num, test_num)]
        for low, high in limits
    ]
    inputs = [torch.stack(part, dim=1) for part in zip(*columns, strict=True)]
    labels = [_labels(f, x, f_mode) for x in inputs]
    train_input, test_input = _normalised(inputs) if normalize_input else inputs
    train_label, test_label = _normalised(labels) if normalize_label else labels
    found = {
        "train_input": train_input, "test_input": test_input, "train_label": train_label, "test_label": test_label,
    }  # fmt: skip
    return {name: part.to(device) for name, part in found.items()}


def create_dataset_from_data(
    inputs: Tensor,
    labels: Tensor,
    train_ratio: float = 0.8,
    device: torch.device | str = "cpu",
    *,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Rows one has, split at random as pykan does; right only for rows without an order in time.

    Parameters
    ----------
    inputs : Tensor, shape (rows, n_var)
    labels : Tensor, shape (rows, labels)
    train_ratio : float
        Share of the rows to train on, between 0 and 1; at least one row goes to each part.
    device
        Where the tensors live.
    seed : int
        Of the split; no global generator is touched.

    Returns
    -------
    dict of Tensor
        As `create_dataset`, rows in their order within each part.

    Raises
    ------
    InputTypeError
        Something else than tensors. ShapeError: not two tables with as many rows, or fewer than two rows.
    InputError
        A ratio that leaves a part empty.

    Examples
    --------
    >>> data = create_dataset_from_data(torch.zeros(10, 3), torch.zeros(10, 1))
    >>> len(data["train_input"]), len(data["test_label"])
    (8, 2)
    """
    check_seed(seed)
    for name, given in (("inputs", inputs), ("labels", labels)):
        if not isinstance(given, Tensor):
            raise InputTypeError(f"{name}: expected a tensor, got {type(given).__name__}; use torch.as_tensor({name})")
    rows = len(inputs) if inputs.ndim else 0
    if inputs.ndim != 2 or labels.ndim != 2 or len(labels) != rows or rows < 2:
        raise ShapeError(
            f"inputs {tuple(inputs.shape)}, labels {tuple(labels.shape)}: expected (rows, n_var) and (rows, labels), "
            "two rows or more"
        )
    part = int(rows * train_ratio) if 0 < train_ratio < 1 else 0
    if not 1 <= part < rows:
        raise InputError(f"train_ratio={train_ratio!r}: expected a share that leaves rows of the {rows} in both parts")
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
    train, test = (each.sort().values for each in (order[:part], order[part:]))
    found = {"train": train, "test": test}
    return {
        f"{name}_{what}": whole[each.to(whole.device)].to(device)
        for what, whole in (("input", inputs), ("label", labels))
        for name, each in found.items()
    }


def _limits(ranges: object, n_var: int) -> list[tuple[float, float]]:
    given = torch.as_tensor(ranges, dtype=torch.float64)
    pairs = given.expand(n_var, 2) if given.shape == (2,) else given
    if pairs.shape != (n_var, 2) or not bool(pairs.isfinite().all()) or not bool((pairs[:, 0] <= pairs[:, 1]).all()):
        raise InputError(f"ranges={ranges!r}: expected [low, high], or one such pair for each of the {n_var} inputs")
    return [(float(low), float(high)) for low, high in pairs]


def _labels(f: Callable[[Tensor], Any], x: Tensor, mode: str) -> Tensor:
    labels = f(x if mode == "col" else x.T)
    if not isinstance(labels, Tensor):
        raise InputTypeError(f"f gave {type(labels).__name__}; it has to give a tensor, one label per row")
    if labels.ndim == 2 and mode == "row" and labels.shape[0] != len(x):
        labels = labels.T
    if labels.ndim == 1:
        labels = labels[:, None]
    if labels.ndim != 2 or len(labels) != len(x):
        raise ShapeError(
            f"f gave labels of shape {tuple(labels.shape)} for {len(x)} rows; expected (rows, labels) or (rows,)"
        )
    return labels


def _normalised(parts: Sequence[Tensor]) -> list[Tensor]:
    mean, std = parts[0].mean(0, keepdim=True), parts[0].std(0, keepdim=True, correction=0)
    size = torch.where(std > 0, std, torch.ones_like(std))
    return [(part - mean) / size for part in parts]
