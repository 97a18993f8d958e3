"""KANHead: Kolmogorov-Arnold layers in a row, put on top of any backbone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn

from kaninterp.core.errors import StateError
from kaninterp.core.families import Family
from kaninterp.nn.calibration import across_processes, rereadable, seen_range
from kaninterp.nn.domain import widen
from kaninterp.nn.head_checks import (
    check_input,
    check_lists,
    checked_formulas,
    checked_ids,
    checked_names,
    checked_select,
    checked_widths,
)
from kaninterp.nn.layer import DEFAULT_OUTSIDE, KANLayer
from kaninterp.nn.penalty import layer_penalty
from kaninterp.nn.symbolic import SymbolicEdges

__all__ = ["KANHead", "head_of", "original_ids", "read_columns", "rebuilt"]


class KANHead(nn.Module):
    """A Kolmogorov-Arnold network (Liu et al. 2024, arXiv 2404.19756) for the top of a model.

    Every layer is ``y_j = b_j + sum_i phi_ji(x_i)``, each edge phi_ji a B-spline plus a base function.

    Parameters
    ----------
    in_features, out_features
        Width of the input it accepts and number of outputs.
    hidden
        Number of nodes of each hidden layer; empty: one layer from inputs to outputs.
    grid, order, uniform, domain, outside, base, noise, moving_domain
        As in `KANLayer`, for every layer: grid intervals, spline order, uniform knots, domain (lo, hi) or
        None (set from the first training batch), what holds outside it, base function, initial noise, whether
        domains follow their inputs while training.
    select
        Ascending indices of the inputs that are read, None for all. A head made smaller by pruning still
        accepts the old width and selects its columns itself.
    node_ids
        For every layer 0..L the original numbers of its nodes; None for 0, 1, 2, ... They survive pruning.
    input_names, output_names
        Names of the `in_features` inputs and of the outputs, or None. Plain attributes, saved with the head.
    formulas
        Edges that are formulas in place of splines, (layer, dst, src, family) each, with a family of
        `kaninterp.core.families.FAMILIES` by name; see `kaninterp.nn.formulas.with_formulas`.
    device, dtype
        As for every torch module.
    generator
        Source of the initial noise; None uses torch's global one.

    Attributes
    ----------
    layers : nn.ModuleList of KANLayer
    widths : tuple of int
        Number of nodes of layers 0..L; ``widths[0]`` counts the inputs that are read.
    config : dict
        JSON-able; ``KANHead(**head.config)`` has exactly the same structure.

    Raises
    ------
    InputError
        Widths below 1. PlanError, NamesError for `select`, `node_ids` and names that do not fit.

    Examples
    --------
    >>> import torch
    >>> head = KANHead(8, 1, (3,), generator=torch.Generator().manual_seed(0))
    >>> head(torch.randn(5, 24, 8)).shape
    torch.Size([5, 24, 1])
    >>> KANHead(**head.config).widths
    (8, 3, 1)
    """

    _version = 1
    select_index: Tensor | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        hidden: Sequence[int] = (),
        *,
        grid: int = 5,
        order: int = 3,
        uniform: bool = True,
        domain: tuple[float, float] | None = None,
        outside: str = DEFAULT_OUTSIDE,
        base: str = "silu",
        noise: float = 0.1,
        moving_domain: bool = False,
        select: Sequence[int] | None = None,
        node_ids: Sequence[Sequence[int]] | None = None,
        input_names: Sequence[str] | None = None,
        output_names: Sequence[str] | None = None,
        formulas: Sequence[tuple[int, int, int, str | Family]] = (),
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        check_lists(hidden=hidden, select=select, node_ids=node_ids, domain=domain, formulas=formulas)
        (in_features,), (out_features,) = checked_widths((in_features,)), checked_widths((out_features,))
        selected = checked_select(select, in_features)
        read = in_features if selected is None else len(selected)
        widths = checked_widths((in_features, read, *hidden, out_features))[1:]
        edges = checked_formulas(formulas, widths)
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.select = selected
        self.node_ids = checked_ids(node_ids, widths, selected)
        self.input_names = checked_names(input_names, in_features, "input")
        self.output_names = checked_names(output_names, out_features, "output")
        self.options: dict[str, Any] = {
            "grid": grid,
            "order": order,
            "uniform": uniform,
            "domain": None if domain is None else (float(domain[0]), float(domain[1])),
            "outside": outside,
            "base": base,
            "noise": noise,
            "moving_domain": moving_domain,
        }
        places: dict[str, Any] = {"device": device, "dtype": dtype, "generator": generator}
        self.layers = nn.ModuleList(KANLayer(n_in, n_out, **self.options, **places) for n_in, n_out in pairwise(widths))
        for depth, found in edges.items():
            layer, size = self.kan_layers[depth], widths[depth + 1]
            layer.formulas = SymbolicEdges(
                tuple(found.values()), tuple(found), out_features=size, device=device, dtype=dtype
            )
        index = None if selected is None else torch.tensor(selected, dtype=torch.long, device=device)
        self.register_buffer("select_index", index)

    @property
    def kan_layers(self) -> tuple[KANLayer, ...]:
        """The layers as a tuple, for the type checker's sake."""
        return cast("tuple[KANLayer, ...]", tuple(self.layers))

    @property
    def widths(self) -> tuple[int, ...]:
        """Number of nodes of layers 0..L."""
        return (self.kan_layers[0].in_features, *(layer.out_features for layer in self.kan_layers))

    @property
    def config(self) -> dict[str, Any]:
        """Everything that rebuilds the structure, as JSON-able values (no weights, dtype or device).

        Formulas name their families; put a family of your own in the place of its name to build the head anew.
        """
        domain = self.options["domain"]
        formulas = [
            [depth, dst, src, family.name]
            for depth, layer in enumerate(self.kan_layers)
            for dst, src, family in (layer.formulas.named() if layer.formulas is not None else ())
        ]
        return {
            "in_features": self.in_features,
            "out_features": self.out_features,
            "hidden": list(self.widths[1:-1]),
            **self.options,
            "domain": None if domain is None else list(domain),
            "select": None if self.select is None else list(self.select),
            "node_ids": None if self.node_ids is None else [list(ids) for ids in self.node_ids],
            "input_names": None if self.input_names is None else list(self.input_names),
            "output_names": None if self.output_names is None else list(self.output_names),
            **({"formulas": formulas} if formulas else {}),
        }

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate the head: x (..., in_features) -> (..., out_features).

        Raises
        ------
        ShapeError
            A single number or another width. InputTypeError: not a tensor, integers, or another dtype than
            the weights (outside autocast). StateError: another device.
        """
        self._check(x)
        x = read_columns(self, x)
        for layer in self.layers:
            x = layer(x)
        return x

    @torch.no_grad()
    def calibrate(self, batches: Tensor | Iterable[Tensor]) -> KANHead:
        """Set the domain of every layer from data, layer by layer, in place.

        Each layer's knots go where its inputs are; the coefficients are kept, so the function changes: call
        it before training (which otherwise does it by itself with the first batch). Use `update` later.

        Parameters
        ----------
        batches
            Head inputs (..., in_features): one tensor, or several. Read once per layer; an iterator is
            held in memory if there is more than one layer.

        Returns
        -------
        KANHead
            Itself.

        Raises
        ------
        DataError
            No rows, NaN or inf. Nothing is changed then.
        """
        held = [read_columns(self, batch) for batch in rereadable(batches, self._check)]
        for depth, layer in enumerate(self.kan_layers):
            layer.set_domain(*widen(*seen_range(self.kan_layers[:depth], held)))
        return self

    @torch.no_grad()
    def update(self, batches: Tensor | Iterable[Tensor] | None = None) -> KANHead:
        """Move every domain to the range of the data and refit, so that the function stays the same there.

        Parameters
        ----------
        batches
            Head inputs, as for `calibrate`; None: the range that training has seen since the last update, in all
            processes of a distributed training (then every process has to call this).

        Returns
        -------
        KANHead
            Itself.
        """
        if batches is None:
            ranges = [_range_in_training(layer, depth) for depth, layer in enumerate(self.kan_layers)]
        else:
            held = [read_columns(self, batch) for batch in rereadable(batches, self._check)]
            ranges = [seen_range(self.kan_layers[:depth], held) for depth in range(len(self.layers))]
        for layer, (lo, hi) in zip(self.kan_layers, ranges, strict=True):
            layer.update(*widen(lo, hi))
        return self

    def refine(self, grid: int) -> KANHead:
        """Make a new head with `grid` intervals per edge that computes the same function; this one stays.

        Exact when every old knot is a new one (`grid` a multiple of the old), otherwise a least-squares fit.
        """
        return rebuilt(self, [layer.refine(grid) for layer in self.kan_layers], grid=grid)

    def penalty(
        self, edge: float = 1.0, entropy: float = 1.0, smooth: float = 0.0, *, src: float = 0.0, dst: float = 0.0
    ) -> Tensor:
        """Sparsity and smoothness penalty for any training loop, a scalar: `layer_penalty` summed over layers.

        Costs O(edges x grid^2), independent of the batch: it needs weights only.

        Parameters
        ----------
        edge, entropy, smooth, src, dst
            Weights of the terms, as in `kaninterp.nn.penalty.layer_penalty`.
        """
        weights = {"edge": edge, "entropy": entropy, "smooth": smooth, "src": src, "dst": dst}
        return torch.stack([layer_penalty(layer, **weights) for layer in self.kan_layers]).sum()

    def extra_repr(self) -> str:
        """Show widths, grid and what is read."""
        read = "" if self.select is None else f", reads {len(self.select)} of {self.in_features} inputs"
        shape = " -> ".join(map(str, self.widths))
        return f"{shape}, grid={self.options['grid']}, order={self.options['order']}{read}"

    def _check(self, x: Any) -> None:
        check_input(x, self.in_features, self.kan_layers[0].weight)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], *args: Any
    ) -> None:
        errors: list[str] = args[-1]
        version = local_metadata.get("version", self._version)
        if version > self._version:
            errors.append(
                f"{prefix or 'the head'}: saved by a newer kaninterp (head format {version}, this one reads "
                f"up to {self._version}); update kaninterp"
            )
            return
        saved = state_dict.get(prefix + "select_index")
        before = None if saved is None else tuple(saved.tolist())
        if before != self.select:
            errors.append(
                f"{prefix}select_index: the saved head reads inputs {before or 'all'}, this one "
                f"{self.select or 'all'}; build this one with KANHead(**config) of the saved head"
            )
            return
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)


def rebuilt(head: KANHead, layers: Sequence[KANLayer], **changes: Any) -> KANHead:
    """Make a new head from finished layers and the config of another; torch's global generator stays."""
    new = KANHead(**{**head.config, "formulas": (), **changes}, generator=torch.Generator())
    new.layers = nn.ModuleList(layers)
    return new.to(device=layers[0].weight.device).train(head.training)


def head_of(layer: KANLayer) -> KANHead:
    """Wrap one layer (not copied) as a head."""
    spec = layer.spec
    new = KANHead(
        layer.in_features, layer.out_features, grid=spec.grid, order=spec.order, uniform=spec.uniform,
        outside=spec.outside, base=spec.base, noise=layer.noise, moving_domain=layer.moving_domain,
        generator=torch.Generator(),
    )  # fmt: skip
    return rebuilt(new.train(layer.training), [layer])


def original_ids(head: KANHead) -> tuple[tuple[int, ...], ...]:
    """Original numbers of the nodes of layers 0..L, also where the head does not spell them out."""
    if head.node_ids is not None:
        return head.node_ids
    first = head.select if head.select is not None else tuple(range(head.widths[0]))
    return (first, *(tuple(range(width)) for width in head.widths[1:]))


def read_columns(head: KANHead, x: Tensor) -> Tensor:
    """Select the inputs a head reads: (..., in_features) -> (..., widths[0])."""
    if head.select_index is not None:
        x = x.index_select(-1, head.select_index)
    first = head.kan_layers[0]
    if first._unpruned:
        return x
    # an input without live edges is not read at all: 0 times NaN would be NaN
    return torch.where((first.mask != 0).any(0), x, torch.zeros_like(x))


def _range_in_training(layer: KANLayer, depth: int) -> tuple[Tensor, Tensor]:
    if not bool(layer.seen.isfinite().all()):
        raise StateError(
            f"update() without batches needs training since the last one, layer {depth} has seen no batch; "
            "train first, or give batches of head inputs"
        )
    return across_processes(layer.seen[0], layer.seen[1])
