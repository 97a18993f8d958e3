"""`Efficiency`: what a model costs to keep and to run."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Efficiency"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Efficiency:
    """What a model costs to keep and to run, measured on one machine.

    Attributes
    ----------
    parameters : int
        Trainable numbers.
    nonzero : int
        Of these, the ones that take part: not exactly zero, and not on a masked edge.
    multiply_adds : int
        Multiplications with an addition for one row, counted while the model ran.
    bytes_on_disk : int
        Size of its state as a safetensors file.
    latency_ms, latency_iqr_ms : float
        Median time of one call on ``batch`` rows, and the distance between its quartiles (eager mode).
    throughput : float
        Rows per second at that median.
    compiled_ms, compiled_iqr_ms : float or None
        The same under ``torch.compile``; None if it was not measured.
    batch, threads, repeats : int
        Rows per call, threads of torch, calls timed.
    """

    parameters: int
    nonzero: int
    multiply_adds: int
    bytes_on_disk: int
    latency_ms: float
    latency_iqr_ms: float
    throughput: float
    batch: int
    threads: int
    repeats: int
    compiled_ms: float | None = None
    compiled_iqr_ms: float | None = None
