"""KAN layers that follow each other somewhere inside a Sequential: one KAN, though no module holds just them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import nn
from torch.utils.hooks import RemovableHandle

from kaninterp.adapters.families import family_of
from kaninterp.adapters.stack import PASSING, follow, is_plain

__all__ = ["RunOfLayers", "runs"]


class RunOfLayers(nn.Sequential):
    """Consecutive modules of a host, as one module: given what the first is given, it gives what the last gives.

    A host never calls it, only its parts, so its hooks are put on these.
    """

    def register_forward_pre_hook(self, hook: Callable[..., Any], **options: Any) -> Any:
        """Let a hook see, or change, what the first module is given."""
        return self[0].register_forward_pre_hook(hook, **options)

    def register_forward_hook(self, hook: Callable[..., Any], *, with_kwargs: bool = False, **options: Any) -> Any:
        """Let a hook see what the first module is given, and see, or change, what the last one gives."""
        given: list[tuple[Any, Any]] = []

        def note(module: nn.Module, args: Any, kwargs: Any) -> None:
            del module
            given[:] = [(args, kwargs)]

        def after(module: nn.Module, args: Any, output: Any) -> Any:
            del module, args
            first = given[0] if with_kwargs else given[0][:1]
            return hook(self, *first, output)

        handles = (
            self[0].register_forward_pre_hook(note, with_kwargs=True),
            self[len(self) - 1].register_forward_hook(after, **options),
        )
        return _Handles(handles)


class _Handles(NamedTuple):
    """Hooks that go together."""

    parts: tuple[RemovableHandle, ...]

    def remove(self) -> None:
        for part in self.parts:
            part.remove()


def runs(module: nn.Module) -> dict[str, tuple[nn.Module, ...]]:
    """Longest runs of at least two layers inside a Sequential, with what lies between, each under its first name.

    Examples
    --------
    >>> import kaninterp as ki
    >>> model = nn.Sequential(nn.Linear(4, 3), ki.KANLayer(3, 2), nn.Dropout(), ki.KANLayer(2, 1), nn.Tanh())
    >>> [(name, len(parts)) for name, parts in runs(model).items()]
    [('1', 3)]
    """
    if not is_plain(module):
        return {}
    found: dict[str, list[nn.Module]] = {}
    current: list[nn.Module] = []
    for name, child in module.named_children():
        layer = family_of(child) is not None
        if current and (isinstance(child, PASSING) or (layer and follow([_last(current), child]))):
            current.append(child)
        else:
            current = [child] if layer else []
            found[name] = current
    ended = {name: parts[: parts.index(_last(parts)) + 1] for name, parts in found.items() if parts}
    return {name: tuple(parts) for name, parts in ended.items() if len(parts) > 1}


def _last(parts: list[nn.Module]) -> nn.Module:
    """The last layer of a run."""
    return next(part for part in reversed(parts) if not isinstance(part, PASSING))
