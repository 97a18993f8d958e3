"""Find the KAN in a model: families are known by the name of their class or by their structure; none is imported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from torch import nn

from kaninterp.adapters.families import FAMILIES
from kaninterp.adapters.kan_head import view_kan_head
from kaninterp.adapters.pykan import is_pykan, view_pykan
from kaninterp.adapters.runs import RunOfLayers, runs
from kaninterp.adapters.stack import is_stack, view_parts, view_stack
from kaninterp.adapters.view import ModelView, names_or_none
from kaninterp.core.errors import InputTypeError, ModelError, StateError

__all__ = ["ADAPTERS", "as_view", "column_names", "find_kans"]

Adapter = Callable[[nn.Module, str], ModelView]

ADAPTERS: dict[str, Adapter] = {
    "kaninterp.nn.head.KANHead": view_kan_head,
    "kan.MultKAN.MultKAN": view_pykan,
}
"""Families with a class for the whole: qualified class name -> adapter. Layers known by their structure are in
`kaninterp.adapters.families.FAMILIES`; stacks and rows of them are found by `stack.is_stack` and `runs.runs`."""


def find_kans(model: nn.Module) -> dict[str, Adapter]:
    """Paths of all KANs in a model, outermost only, with the adapter that reads each.

    Examples
    --------
    >>> import torch
    >>> find_kans(torch.nn.Linear(2, 1))
    {}
    """
    found: dict[str, Adapter] = {}
    inside: set[int] = set()
    for path, module in model.named_modules():
        if id(module) in inside:
            continue
        adapter = _adapter_of(module)
        if adapter is not None:
            found[path] = adapter
            inside.update(map(id, module.modules()))
            continue
        for name, parts in runs(module).items():
            found[f"{path}.{name}".lstrip(".")] = partial(_view_run, parts)
            inside.update(id(inner) for part in parts for inner in part.modules())
    return found


def as_view(model: nn.Module, path: str | None = None) -> ModelView:
    """View of the KAN inside a model.

    Parameters
    ----------
    model
        Any module with a KAN somewhere inside, or a KAN.
    path
        Where the KAN sits, if there are several ("decoder.head"); for layers that follow each other in a Sequential,
        that of the first. That of a single layer inside a KAN gives this layer alone.

    Raises
    ------
    InputTypeError
        Not a module.
    StateError
        The model has no numbers (device "meta").
    ModelError
        No KAN, or several and no ``path``; the message lists what was found.
    """
    if not isinstance(model, nn.Module):
        raise InputTypeError(f"model: expected a torch.nn.Module with a KAN inside, got {type(model).__name__}")
    if any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers())):
        raise StateError("model: its tensors are on the device 'meta' and hold no numbers; load or create them first")
    found = find_kans(model)
    if path is not None:
        module = dict(model.named_modules(remove_duplicate=False)).get(path)
        adapter = found.get(path) or (None if module is None else _adapter_of(module))
        if module is None or adapter is None:
            raise ModelError(f"no KAN at {path!r}; found at: {_listed(found, model)}")
        return _placed(adapter(module, path), model)
    if not found:
        kinds = sorted({type(module).__name__ for module in model.modules()})
        raise ModelError(
            f"no KAN in {type(model).__name__}: its modules are {', '.join(kinds[:12])}; known KANs are "
            f"{', '.join((*ADAPTERS, *(family.name for family in FAMILIES)))}. Put a kaninterp.KANHead on top of the "
            "backbone, or register a view of your own KAN, see 'Your own KAN' in CONTRIBUTING.md"
        )
    if len(found) > 1:
        raise ModelError(
            f"{len(found)} KANs in the model, say which with path=...: {_listed(found, model)}. Layers that follow "
            "each other are one KAN when they sit in an nn.Sequential of their own"
        )
    only = next(iter(found))
    return _placed(found[only](model.get_submodule(only), only), model)


def column_names(model: nn.Module) -> tuple[str, ...] | None:
    """What a model that is nothing but a KAN calls the columns of its data; None: it has no names for them.

    Examples
    --------
    >>> import torch, kaninterp as ki
    >>> head = ki.KANHead(2, 1, input_names=["temp", "wind"])
    >>> column_names(head), column_names(torch.nn.Sequential(torch.nn.Linear(2, 2), head))
    (('temp', 'wind'), None)
    """
    path = getattr(type(model), "only_kan", "")
    module = dict(model.named_modules(remove_duplicate=False)).get(path)
    if module is None or _adapter_of(module) is not view_kan_head:
        return None
    names = names_or_none(getattr(module, "input_names", None))
    return names if names is not None and all(name.strip() for name in names) else None


def _placed(view: ModelView, model: nn.Module) -> ModelView:
    """Ask the class of a model whether this KAN is all that it is."""
    return replace(view, wrapped=view.path != "" and _only_kan(model) == view.path)


def _only_kan(model: nn.Module) -> str | None:
    """What a class says beside its own ``forward``; not of a subclass with another one, nor of one with hooks."""
    if "forward" in vars(model) or model._forward_pre_hooks or model._forward_hooks:
        return None
    calling = next(cls for cls in type(model).__mro__ if "forward" in vars(cls))
    said = vars(calling).get("only_kan")
    return said if isinstance(said, str) else None


def _adapter_of(module: nn.Module) -> Adapter | None:
    for cls in type(module).__mro__:
        adapter = ADAPTERS.get(f"{cls.__module__}.{cls.__qualname__}")
        if adapter is not None:
            return adapter
    if is_pykan(module):
        return view_pykan
    return view_stack if is_stack(module) else None


def _view_run(parts: tuple[nn.Module, ...], module: nn.Module, path: str) -> ModelView:
    del module  # the first of the parts
    names = dict.fromkeys(type(part).__name__ for part in parts if next(part.parameters(), None) is not None)
    return replace(view_parts(RunOfLayers(*parts), path, parts), title=f"row of {' and '.join(names)}")


def _listed(found: dict[str, Adapter], model: nn.Module) -> str:
    names = [f"{path!r} ({type(model.get_submodule(path)).__name__})" for path in found]
    return ", ".join(names) or "nowhere"
