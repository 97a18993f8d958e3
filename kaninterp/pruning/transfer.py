"""A pruned head on another backbone, or on other data: its mask goes along."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn

from kaninterp.adapters import as_view
from kaninterp.adapters.registry import find_kans
from kaninterp.core.errors import InputError, ModelError, ShapeError
from kaninterp.data import called
from kaninterp.measure.host import untouched, watched
from kaninterp.measure.tracing import prepared
from kaninterp.nn import Hybrid, KANHead, rows_first
from kaninterp.pruning.finetune import EPOCHS, fine_tune
from kaninterp.training import FitResult

__all__ = ["DOMAINS", "transfer", "transplant"]

DOMAINS = ("refit", "stretch", "keep")
"""What becomes of the head's domain on new data: its functions are kept there, or stretched along, or nothing moves."""


def transplant(
    source: nn.Module,
    onto: nn.Module | None = None,
    data: Any = None,
    *,
    domain: str = "refit",
    target: Any = None,
    path: str | None = None,
    onto_path: str | None = None,
    readout: str = "last",
) -> nn.Module:
    """Put a copy of a pruned head on another model, and its domain where the new data are.

    Parameters
    ----------
    source : nn.Module
        The pruned head, or a model that has it at ``path``.
    onto : nn.Module, optional
        A model with a `KANHead` at ``onto_path`` that gives way; or a backbone without a KAN, which becomes
        ``Hybrid(backbone, head, readout)``; None: the source itself, for new data.
    data, target
        Rows of the new data in any form `trace` takes; needed unless ``domain`` is "keep".
    domain : {"refit", "stretch", "keep"}
        "refit": the domain of every layer moves to the data and its functions stay what they are there. "stretch":
        the functions are stretched along with the domain, right where the new units are the old ones on another
        scale. "keep": nothing moves.
    path, onto_path : str, optional
        Where the KANs sit, if there are several.
    readout : str
        For a bare backbone, see `Hybrid`.

    Returns
    -------
    nn.Module
        New; nothing given is changed. The mask, names and original node numbers are those of the pruned head.

    Raises
    ------
    ShapeError
        The interfaces differ: another number of features, or of outputs.
    InputError
        An unknown ``domain``, or one that needs data and has none.
    ModelError
        No `KANHead` in the source, or the model cannot be called with the data.

    Examples
    --------
    >>> import torch, kaninterp as ki
    >>> head = ki.KANHead(4, 1, domain=(-1, 1))
    >>> model = transplant(head, torch.nn.Linear(3, 4), torch.randn(50, 3))
    >>> type(model).__name__, model(torch.randn(2, 3)).shape
    ('Hybrid', torch.Size([2, 1]))
    """
    if domain not in DOMAINS:
        raise InputError(f"domain: {domain!r} is unknown; allowed: {', '.join(DOMAINS)}")
    if domain != "keep" and data is None:
        raise InputError(f"domain={domain!r} needs rows of the new data; give them, or choose domain='keep'")
    new = _joined(source, onto, path, onto_path, readout)
    if domain != "keep":
        view = as_view(new, _path_in(source, onto, path, onto_path))
        inputs = _head_inputs(new, view, data, target)
        head = _head(new, view.path)
        _ = head.update(inputs) if domain == "refit" else head.calibrate(inputs)
    return new


def transfer(
    source: nn.Module,
    onto: nn.Module | None,
    data: Any,
    *,
    domain: str = "refit",
    target: Any = None,
    path: str | None = None,
    onto_path: str | None = None,
    readout: str = "last",
    freeze_backbone: bool = False,
    epochs: int = EPOCHS,
    **options: Any,
) -> tuple[nn.Module, FitResult]:
    """`transplant` a pruned head and train the whole on the new data, its mask kept.

    Parameters
    ----------
    source, onto, data, domain, target, path, onto_path, readout
        As for `transplant`.
    freeze_backbone : bool
        Train the head only.
    epochs, **options
        As for `fine_tune`.

    Returns
    -------
    model : nn.Module
    result : FitResult

    Examples
    --------
    >>> import torch, kaninterp as ki
    >>> x = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    >>> head = ki.KANHead(4, 1, domain=(-1, 1))
    >>> model, result = transfer(head, torch.nn.Linear(3, 4), (x, x[:, 0]), epochs=2, seed=0, progress=False)
    >>> len(result.history)
    2
    """
    shape = {"domain": domain, "path": path, "onto_path": onto_path, "readout": readout}
    new = transplant(source, onto, data, target=target, **shape)  # type: ignore[arg-type]
    flags = [parameter.requires_grad for parameter in new.parameters()]
    if freeze_backbone:
        _freeze_around(new, _path_in(source, onto, path, onto_path))
    tuned, result = fine_tune(new, data, target=target, epochs=epochs, **options)
    for parameter, flag in zip(tuned.parameters(), flags, strict=True):
        parameter.requires_grad_(flag)
    return tuned, result


def _joined(
    source: nn.Module, onto: nn.Module | None, path: str | None, onto_path: str | None, readout: str
) -> nn.Module:
    head = copy.deepcopy(_head(source, as_view(source, path).path))
    if onto is None:
        return copy.deepcopy(source)
    if not find_kans(onto):
        return Hybrid(copy.deepcopy(onto), head, readout).train(onto.training)
    old = _head(onto, as_view(onto, onto_path).path)
    for what in ("in_features", "out_features"):
        has, asked = getattr(head, what), getattr(old, what)
        if has != asked:
            raise ShapeError(f"the pruned head has {what} = {has}, the head it would replace {asked}; they must agree")
    return copy.deepcopy(onto, {id(old): head})


def _path_in(source: nn.Module, onto: nn.Module | None, path: str | None, onto_path: str | None) -> str:
    """Where the head sits in the new model."""
    if onto is None:
        return as_view(source, path).path
    return as_view(onto, onto_path).path if find_kans(onto) else "head"


def _head(model: nn.Module, path: str) -> KANHead:
    module = model.get_submodule(path)
    if not isinstance(module, KANHead):
        raise ModelError(f"only a KANHead can move, at {path!r} is a {type(module).__name__}")
    return module


def _head_inputs(model: nn.Module, view: Any, data: Any, target: Any) -> list[Tensor]:
    """What the head is given, batch by batch."""
    batches = prepared(model, data, target=target)
    found: list[Tensor] = []
    with untouched(model), watched(view) as seen:
        for batch in batches:
            with rows_first(model, batch.inputs):
                called(model, batch)
            found += [x.detach().reshape(-1, x.shape[-1]) for x in seen]
            seen.clear()
    if not found:
        raise ModelError(f"the forward pass never calls the KAN at {view.path!r}; its domain cannot be set")
    return found


def _freeze_around(model: nn.Module, path: str) -> None:
    own = {id(parameter) for parameter in model.get_submodule(path).parameters()}
    for parameter in model.parameters():
        parameter.requires_grad_(parameter.requires_grad and id(parameter) in own)
