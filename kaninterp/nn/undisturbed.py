"""Run somebody's model and leave no trace: buffers, random state, train/eval flags stay as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import nn

__all__ = ["measuring", "undisturbed"]

_MEASURING: ContextVar[bool] = ContextVar("measuring", default=False)


def measuring() -> bool:
    """Whether a model is being run by a measurement, inside `undisturbed`, and not by whoever uses it.

    Examples
    --------
    >>> import torch
    >>> with undisturbed(torch.nn.Linear(2, 2)):
    ...     measuring()
    True
    >>> measuring()
    False
    """
    return _MEASURING.get()


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Put `model` into eval mode without gradients for a while; everything is as before afterwards (law 9).

    Restored, also when the body raises: the train/eval flag of every module, every buffer (bit for bit, and
    the tensor object itself if a module replaced it) and the CPU and CUDA random state. A module that keeps
    something else of what is run through it asks `measuring`.

    Parameters
    ----------
    model
        Any module. Parameters are not saved: forward passes do not change them.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout())
    >>> with undisturbed(model):
    ...     model.training
    False
    >>> model.training
    True
    """
    flags = [(module, module.training) for module in model.modules()]
    buffers = [
        (module, name, buffer, buffer.detach().clone(), buffer._version)
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    with torch.random.fork_rng(devices=_cuda_devices(model)), torch.no_grad():
        token = _MEASURING.set(True)
        try:
            for module, _ in flags:
                module.training = False
            yield
        finally:
            _MEASURING.reset(token)
            for module, flag in flags:
                module.training = flag
            for module, name, buffer, saved, version in buffers:
                module._buffers[name] = buffer
                if buffer._version != version:
                    buffer.copy_(saved)


def _cuda_devices(model: nn.Module) -> list[int]:
    tensors = [*model.parameters(), *model.buffers()]
    return sorted({tensor.device.index or 0 for tensor in tensors if tensor.device.type == "cuda"})
