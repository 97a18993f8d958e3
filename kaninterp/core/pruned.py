"""What a pruning did, as data: sizes and running costs before and after, what went and why, step by step."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from .errors import ShapeError
from .evidence import Estimate
from .plan import Reason
from .survival import SurvivalTable

__all__ = ["Efficiency", "HeldOut", "PruneReport", "StepLine"]


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
        Multiplications with an addition for one row, in the matrix products, convolutions and attentions that the
        model ran.
    bytes_on_disk : int
        Size of its state as a safetensors file.
    latency_ms, latency_iqr_ms : float
        Median time of one call on ``batch`` rows, and the distance between its quartiles (eager mode).
    latency_best_ms : float
        The fastest of these times: what the machine does when nothing else keeps it busy.
    throughput : float
        Rows per second at the median.
    compiled_ms, compiled_iqr_ms : float or None
        The same under ``torch.compile``; None if it was not measured.
    batch, threads, repeats : int
        Rows per call, threads of torch, times taken.
    """

    parameters: int
    nonzero: int
    multiply_adds: int
    bytes_on_disk: int
    latency_ms: float
    latency_iqr_ms: float
    latency_best_ms: float
    throughput: float
    batch: int
    threads: int
    repeats: int
    compiled_ms: float | None = None
    compiled_iqr_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Two models on the same held-out rows.

    Attributes
    ----------
    loss : str
        Name of the loss.
    rows : int
        Rows it was measured on.
    before, after, difference : Estimate
        Mean loss of each, and after - before (paired).
    score : str
        "R2", "accuracy", or "" where neither makes sense (no target, a loss of one's own kind of output).
    score_before, score_after, score_difference : Estimate or None
        The same for the score, where larger is better.
    """

    loss: str
    rows: int
    before: Estimate
    after: Estimate
    difference: Estimate
    score: str = ""
    score_before: Estimate | None = None
    score_after: Estimate | None = None
    score_difference: Estimate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLine:
    """One step of a run in numbers; step 0 is the start.

    Attributes
    ----------
    step, label
        Number of the step, and what was done.
    edges, nodes, parameters : int
        What is left of the head's edges and nodes, and of the model's trainable numbers.
    inputs : int or None
        Raw columns left; None where no plan spoke of them.
    train, held_out : Estimate or None
        Mean loss; ends of the interval are NaN where only the number is known.
    multiply_adds, latency_ms
        See `Efficiency`; None where not measured.
    """

    step: int
    label: str
    edges: int
    nodes: int
    inputs: int | None
    parameters: int
    train: Estimate | None = None
    held_out: Estimate | None = None
    multiply_adds: int | None = None
    latency_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneReport:
    """What a pruning did, in one step or in many.

    Attributes
    ----------
    kept_inputs, dropped_inputs : tuple of str
        Raw columns by name; both empty if the plan said nothing of them.
    node_ids : tuple of tuple of int
        Original index of every node that is left, per layer 0..L.
    widths, edges, nodes, parameters
        (before, after): nodes per layer, live edges, live nodes, trainable numbers of the whole model.
    reasons : tuple of Reason
        Why each edge, node or input went; places are original indices.
    input_ids : tuple of int
        Original index of every raw column that is kept.
    node_names : tuple of tuple of str
        Name of every node that is left, in the order of ``node_ids``.
    model : str
        What was pruned.
    held_out : HeldOut or None
        Loss and accuracy before and after on held-out data.
    efficiency : (Efficiency, Efficiency) or None
        What the model costs to run before and after.
    steps : tuple of StepLine
        The run, if there was one; `PruneRun.undo` takes its steps back.
    survival : SurvivalTable or None
        The curves the choice was made from, if data chose; not looked at when reports are compared.
    """

    kept_inputs: tuple[str, ...]
    dropped_inputs: tuple[str, ...]
    node_ids: tuple[tuple[int, ...], ...]
    widths: tuple[tuple[int, ...], tuple[int, ...]]
    edges: tuple[int, int]
    nodes: tuple[int, int]
    parameters: tuple[int, int]
    reasons: tuple[Reason, ...]
    input_ids: tuple[int, ...] = ()
    node_names: tuple[tuple[str, ...], ...] = ()
    model: str = ""
    held_out: HeldOut | None = None
    efficiency: tuple[Efficiency, Efficiency] | None = None
    steps: tuple[StepLine, ...] = ()
    survival: SurvivalTable | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if len(self.input_ids) != len(self.kept_inputs):
            raise ShapeError(
                f"PruneReport: {len(self.kept_inputs)} kept inputs, but {len(self.input_ids)} original indices of them"
            )

    def to_json(self) -> str:
        """The same as JSON, keys sorted; what is not a finite number is null."""
        return json.dumps(_plain(asdict(self)), sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)

    def __str__(self) -> str:
        sizes = (
            f"edges {self.edges[0]} -> {self.edges[1]}, nodes {self.nodes[0]} -> {self.nodes[1]}, "
            f"parameters {self.parameters[0]} -> {self.parameters[1]}, "
            f"widths {list(self.widths[0])} -> {list(self.widths[1])}"
        )
        lines = [sizes]
        if self.dropped_inputs:
            total = len(self.kept_inputs) + len(self.dropped_inputs)
            lines.append(f"inputs {total} -> {len(self.kept_inputs)}: dropped {', '.join(self.dropped_inputs)}")
        lines += _held_out_lines(self.held_out) + _efficiency_lines(self.efficiency) + [_step(s) for s in self.steps]
        return "\n".join(lines)


def _held_out_lines(held: HeldOut | None) -> list[str]:
    if held is None:
        return []
    lines = [f"held-out {held.loss} {held.before} -> {held.after}, difference {held.difference} ({held.rows} rows)"]
    if held.score_before is not None:
        lines.append(f"held-out {held.score} {held.score_before} -> {held.score_after}")
    return lines


def _efficiency_lines(pair: tuple[Efficiency, Efficiency] | None) -> list[str]:
    if pair is None:
        return []
    before, after = pair
    text = (
        f"multiply-adds {before.multiply_adds} -> {after.multiply_adds}, "
        f"bytes on disk {before.bytes_on_disk} -> {after.bytes_on_disk}, "
        f"latency {before.latency_ms:.3g} -> {after.latency_ms:.3g} ms for {after.batch} rows"
    )
    return [text]


def _step(line: StepLine) -> str:
    loss = "" if line.held_out is None else f", held-out {line.held_out.value:.4g}"
    return f"step {line.step}: {line.label}: edges {line.edges}, parameters {line.parameters}{loss}"


def _plain(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
