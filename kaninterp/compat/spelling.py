"""What pykan's arguments mean here: old and new spellings in one place, and calls that are refused by name.

pykan 0.0.x and 0.2.x call the same things differently. Every translation is a function of this file from what a user
wrote to what the floors below take.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kaninterp.core.errors import InputError, InputTypeError, ShapeError
from kaninterp.core.families import ALIASES, FAMILIES, Family, families_of
from kaninterp.core.frozen import Array

__all__ = [
    "NOT_HERE", "OWN", "active_nodes", "base_of", "check_labels", "families_given", "index", "optimizer_named",
    "parts_of",
    "penalty_weights", "widths_of",
]  # fmt: skip

NOT_HERE: Mapping[str, str] = {
    "rewind": "keep versions with model.copy(), or on disk with model.saveckpt(path)",
    "checkout": "keep versions with model.copy(), or on disk with model.saveckpt(path)",
    "log_history": "nothing is written behind your back; save with model.saveckpt(path)",
    "history": "nothing is written behind your back; save with model.saveckpt(path)",
    "expand_width": "make a wider KAN and train it",
    "expand_depth": "make a deeper KAN and train it",
    "perturb": "make a KAN with another seed",
    "swap": "nodes keep their numbers; use model.plot(in_vars=...) to name them",
    "auto_swap": "nodes keep their numbers; use model.plot(in_vars=...) to name them",
    "tree": "use model.symbolic_formula(), or kaninterp.report(model.head, data) for interactions",
    "feature_interaction": "use kaninterp.report(model.head, data), which measures interactions",
    "module": "use kaninterp.check, or a backbone in front of model.head",
    "set_mode": "use fix_symbolic, unfix_symbolic or remove_edge",
    "acts": "use model.get_act(), the values of all nodes by layer",
    "spline_preacts": "use x, y = model.get_fun(l, i, j)",
    "spline_postacts": "use x, y = model.get_fun(l, i, j)",
    "spline_postsplines": "use x, y = model.get_fun(l, i, j)",
    "acts_scale": "use model.edge_scores",
    "act_fun": "use model.head.layers[l]: its weight, knots, mask and, by edge, edges(x)",
    "symbolic_fun": "use kaninterp.nn.formulas.formulas_of(model.head), a dict of (layer, dst, src) to formula",
    "biases": "use model.head.layers[l].bias",
    "reg": "use model.head.penalty(edge=1.0, entropy=2.0) in a training loop of your own",
    "get_reg": "use model.head.penalty(edge=1.0, entropy=2.0) in a training loop of your own",
    "lock": "edges do not share functions; use fix_symbolic to fix some",
    "unlock": "edges do not share functions; use unfix_symbolic to free some",
    "save_ckpt": "use model.saveckpt(path)",
    "load_ckpt": "use KAN.loadckpt(path)",
    "clear_ckpts": "nothing is written behind your back; delete the files that you saved",
    "initialize_grid_from_another_model": "initialize_from_another_model fits the functions on the other's domains; to "
    "move grids alone use model.update_grid(x)",
    "node_attribute": "use model.node_scores, which are measured when you ask",
    "subnode_scores": "use model.node_scores; there are no multiplication nodes, so no subnodes",
    "connection_cost": "nodes keep their numbers; use model.plot(in_vars=...) to name them",
    "auto_swap_l": "nodes keep their numbers; use model.plot(in_vars=...) to name them",
    "disable_symbolic_in_fit": "formulas train and are evaluated only where an edge is one; nothing to switch off",
    "symbolic_enabled": "formulas count; model.unfix_symbolic_all() makes them splines again",
    "cache_data": "use model.get_act()[0], the rows that are measured",
    "input_layer": "use model.head, or model.head.layers[0]",
    "base_fun": "use model.head.options['base']",
    "base_fun_name": "use model.head.options['base']",
    "grid_range": "use model.head.layers[l].domain, (2, inputs)",
    "grid_eps": "grids are even; use model.head.layers[l].knots",
    "mult_arity": "there are no multiplication nodes",
    "mult_homo": "there are no multiplication nodes",
    "affine_trainable": "use model.head.layers[l].bias.requires_grad; a node's scale is part of the edges",
    "sp_trainable": "use model.head.layers[l].weight.requires_grad; the scale of a spline is part of its coefficients",
    "sb_trainable": "use model.head.layers[l].weight.requires_grad; base functions train with their splines",
    "node_bias": "use model.head.layers[l].bias",
    "node_scale": "the scale of a node is part of the edges that leave it; use model.head.layers[l].weight",
    "subnode_bias": "use model.head.layers[l].bias; there are no multiplication nodes, so no subnodes",
    "subnode_scale": "the scale of a node is part of the edges that leave it; use model.head.layers[l].weight",
    "save_act": "activations are computed when you ask; use model.get_act()",
    "auto_save": "nothing is written behind your back; save with model.saveckpt(path)",
    "ckpt_path": "nothing is written behind your back; save with model.saveckpt(path)",
    "state_id": "nothing is written behind your back; save with model.saveckpt(path)",
    "round": "nothing is written behind your back; save with model.saveckpt(path)",
}
"""Calls of pykan that are not here, and what to do."""


def _fifth(u: Array) -> Array:
    return np.asarray(u, dtype=np.float64) ** -5.0


def _fifth_slope(u: Array) -> Array:
    return -5.0 * np.asarray(u, dtype=np.float64) ** -6.0


OWN: Mapping[str, Family] = {
    "1/x^5": Family(
        name="1/x^5", function=_fifth, sympy="1/u**5", complexity=5, parameters=3, slope=_fifth_slope,
        defined=FAMILIES["1/x"].defined,
    )
}  # fmt: skip
"""Functions of pykan's library that no fit tries unasked: with a shift of x the data hardly tell them from 1/x^4."""

OPTIMIZERS: Mapping[str, str] = {"lbfgs": "lbfgs", "adam": "adam", "lm": "lm"}

BASES: Mapping[type, str] = {nn.SiLU: "silu", nn.Identity: "identity"}
PARTS = ("train_input", "train_label", "test_input", "test_label")


def widths_of(width: Any) -> tuple[int, ...]:
    """Nodes per layer, from ``[2, 5, 1]`` or pykan 0.2's ``[[2, 0], [5, 0], [1, 0]]``.

    Raises
    ------
    InputError
        Fewer than two layers, a width below 1, or multiplication nodes.
    InputTypeError
        Something else.

    Examples
    --------
    >>> widths_of([2, [5, 0], 1])
    (2, 5, 1)
    """
    if isinstance(width, (str, bytes)) or not isinstance(width, Iterable):
        raise InputTypeError(f"width={width!r}: expected a list with the nodes of each layer, such as [2, 5, 1]")
    found = []
    for layer, given in enumerate(width):
        sums, products = (given, 0) if isinstance(given, Integral) else _pair(given, layer)
        if products:
            raise InputError(
                f"width[{layer}]={given!r}: {products} multiplication nodes; kaninterp has nodes that add; products "
                "grow out of two layers of these (x y = ((x + y)^2 - (x - y)^2) / 4). Use "
                f"{int(sums) + 2 * int(products)} nodes in their place"
            )
        if int(sums) < 1:
            raise InputError(f"width[{layer}]={given!r}: a layer has one node or more")
        found.append(int(sums))
    if len(found) < 2:
        raise InputError(f"width={list(found)}: expected inputs and outputs at least, such as [2, 5, 1]")
    return tuple(found)


def base_of(base_fun: Any) -> str:
    """Name of a base function, from a name or a torch module."""
    if isinstance(base_fun, str):
        return base_fun
    for kind, name in BASES.items():
        if isinstance(base_fun, kind):
            return name
    raise InputError(
        f"base_fun={base_fun!r}: allowed are 'silu', 'identity', 'zero', torch.nn.SiLU() and torch.nn.Identity()"
    )


def optimizer_named(opt: Any) -> str:
    """Name of an optimizer of `kaninterp.fit`."""
    name = OPTIMIZERS.get(str(opt).lower())
    if name is None:
        raise InputError(
            f"opt={opt!r}: allowed are 'LBFGS', 'Adam' and 'LM' (Levenberg-Marquardt, for squared errors); for others "
            "use kaninterp.fit(model, data, optimizer=...)"
        )
    return name


def penalty_weights(
    lamb: float, lamb_l1: float, lamb_entropy: float, lamb_coef: float, lamb_coefdiff: float
) -> dict[str, float]:
    """Weights of `KANHead.penalty` and `coefficient_penalty` and, as ``head``, of the whole: the lambdas of pykan.

    Raises
    ------
    InputError
        A weight below zero or not finite.
    """
    given = {
        "lamb": lamb, "lamb_l1": lamb_l1, "lamb_entropy": lamb_entropy, "lamb_coef": lamb_coef,
        "lamb_coefdiff": lamb_coefdiff,
    }  # fmt: skip
    for name, value in given.items():
        if isinstance(value, bool) or not 0 <= float(value) < float("inf"):
            raise InputError(f"{name}={value!r}: a weight is a finite number of 0 or more")
    return {
        "head": float(lamb), "edge": float(lamb_l1), "entropy": float(lamb_entropy), "size": float(lamb_coef),
        "step": float(lamb_coefdiff),
    }  # fmt: skip


def active_nodes(ids: Any, widths: Sequence[int]) -> list[tuple[int, int]]:
    """Hidden nodes to keep, (layer, index), from pykan's ``active_neurons_id``.

    pykan 0.0.x lists every layer from the inputs to the outputs, 0.2.x the hidden layers only. They are told apart by
    the number of lists.

    Raises
    ------
    InputError
        Another number of lists, a node that is not there, a layer without nodes, inputs or outputs left out.

    Examples
    --------
    >>> active_nodes([[0, 1], [2], [0]], (2, 5, 1)), active_nodes([[2]], (2, 5, 1))
    ([(1, 2)], [(1, 2)])
    """
    hidden = len(widths) - 2
    if isinstance(ids, (str, bytes)) or not isinstance(ids, Iterable):
        raise InputTypeError(f"active_neurons_id={ids!r}: expected one list of nodes per layer")
    lists = [[index("active_neurons_id", each) for each in layer] for layer in ids]
    if len(lists) == hidden + 2:
        chosen = lists[1:-1]
        if sorted(lists[0]) != list(range(widths[0])) or sorted(lists[-1]) != list(range(widths[-1])):
            raise InputError(
                f"active_neurons_id keeps inputs {lists[0]} and outputs {lists[-1]} of {list(widths)}; list all of "
                "them, and take inputs away with prune_input(active_inputs=...)"
            )
    elif len(lists) == hidden:
        chosen = lists
    else:
        raise InputError(
            f"active_neurons_id has {len(lists)} lists; expected {hidden} (the hidden layers of {list(widths)}) or "
            f"{hidden + 2} (all layers, from the inputs to the outputs)"
        )
    for layer, nodes in enumerate(chosen, start=1):
        wrong = [node for node in nodes if not 0 <= node < widths[layer]]
        if wrong or not nodes:
            raise InputError(
                f"active_neurons_id, layer {layer}: got {nodes}; keep one node or more of 0 to {widths[layer] - 1}"
            )
    return [(layer, node) for layer, nodes in enumerate(chosen, start=1) for node in dict.fromkeys(nodes)]


def families_given(lib: Any) -> tuple[Family, ...]:
    """Families of a ``lib``: names as pykan writes them, or families of one's own; all of them if None."""
    if lib is None or isinstance(lib, str):
        return families_of(lib)
    found = [OWN.get(each, ALIASES.get(each, each)) if isinstance(each, str) else each for each in lib]
    return families_of(dict.fromkeys(found))


def index(what: str, value: Any) -> int:
    """A whole number, from an int, a numpy integer or a tensor of one."""
    if isinstance(value, Tensor) and value.numel() == 1 and not value.is_floating_point():
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InputTypeError(f"{what}: expected a whole number, got {value!r}")
    return int(value)


def parts_of(dataset: Any) -> dict[str, Tensor]:
    """The tensors of a dataset that `create_dataset` made, or one like it; the test part may be missing.

    Raises
    ------
    InputTypeError
        No dict, or no tensors in it.
    InputError
        A part is missing. ShapeError: inputs and labels of different lengths.
    """
    if not isinstance(dataset, Mapping):
        raise InputTypeError(
            f"dataset: expected a dict with train_input, train_label, test_input and test_label, got "
            f"{type(dataset).__name__}; make one with create_dataset, or use kaninterp.fit(model, (X, y))"
        )
    missing = [name for name in PARTS[:2] if name not in dataset]
    if missing or ("test_input" in dataset) != ("test_label" in dataset):
        raise InputError(f"dataset has {sorted(map(str, dataset))}; expected {', '.join(PARTS)}")
    parts = {name: dataset[name] for name in PARTS if name in dataset}
    for name, part in parts.items():
        if not torch.is_tensor(part):
            raise InputTypeError(f"dataset[{name!r}]: expected a tensor, got {type(part).__name__}")
    for part in ("train", "test"):
        if f"{part}_input" in parts and len(parts[f"{part}_input"]) != len(parts[f"{part}_label"]):
            raise ShapeError(
                f"dataset: {len(parts[f'{part}_input'])} rows of {part}_input, {len(parts[f'{part}_label'])} of "
                f"{part}_label"
            )
    return parts


def check_labels(parts: Mapping[str, Tensor], outputs: int, loss_fn: Any) -> None:
    """Refuse labels that a loss function of the user's own would broadcast against the outputs, row by row.

    Losses by name, modules of torch and the default bring (rows,) and (rows, 1) to one shape themselves.

    Raises
    ------
    ShapeError
        Labels (rows,) for outputs (rows, 1).
    """
    if loss_fn is None or isinstance(loss_fn, nn.Module) or outputs != 1:
        return
    for name in PARTS[1::2]:
        if name in parts and parts[name].ndim == 1:
            raise ShapeError(
                f"dataset[{name!r}] has shape {tuple(parts[name].shape)}, the model gives ({len(parts[name])}, 1): "
                "loss_fn would compare every row with every other; give labels[:, None], in both parts of the dataset"
            )


def _pair(given: Any, layer: int) -> tuple[int, int]:
    if isinstance(given, (list, tuple)) and len(given) == 2 and all(isinstance(n, Integral) for n in given):
        return int(given[0]), int(given[1])
    raise InputTypeError(f"width[{layer}]={given!r}: expected a whole number, or [adding, multiplying]")
