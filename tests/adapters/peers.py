"""Every family of KANs that is read, as makers of a small one: widths -> module."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import warnings
from itertools import pairwise

import pytest
import torch
from torch import nn

from tests.adapters import layers_cheby, layers_efficient, layers_fast


def library(name):
    """Another KAN library; without it the test is skipped, or fails where libraries are required (as in CI)."""
    if os.environ.get("KANINTERP_REQUIRE_PEERS"):
        with warnings.catch_warnings():  # of what they do while they are imported, as importorskip does
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    return pytest.importorskip(name)


def pykan(widths, seed=0, **options):
    kan = library("kan")
    state = torch.get_rng_state()
    with contextlib.redirect_stdout(io.StringIO()):  # it prints, and sets every seed there is
        model = kan.KAN(width=list(widths), grid=5, k=3, seed=seed, auto_save=False, **options)
    torch.set_rng_state(state)
    return model


def symbolic_pykan(widths):
    model = pykan(widths)
    with contextlib.redirect_stdout(io.StringIO()):
        model.fix_symbolic(0, 0, 0, "sin", verbose=False, fit_params_bool=False, log_history=False)
        model.fix_symbolic(0, 1, 0, "x^2", verbose=False, fit_params_bool=False, log_history=False)
    with torch.no_grad():
        model.symbolic_fun[0].affine[0, 0] = torch.tensor([1.5, 0.2, 0.7, -0.3])
        for depth in range(len(model.act_fun)):
            for part in (model.node_scale, model.node_bias, model.subnode_scale, model.subnode_bias):
                part[depth].add_(torch.linspace(0.1, 0.4, part[depth].numel()))
        model.act_fun[0].mask[1, 1] = 0.0
    return model


def inkan(widths):
    layer = library("inkan").KANLayer
    pairs = pairwise(widths)
    return nn.Sequential(*(layer(*pair, compile_basis=False) for pair in pairs))


def flashkan(widths):
    flashkan = library("flashkan")
    flashkan.layer.bspline_basis = flashkan.basis.bspline_basis_eager  # the same sum, without a compiler
    return flashkan.KANNetwork(list(widths))


def kanditioned(widths):
    layer = library("KANditioned").KANLayer
    pairs = pairwise(widths)
    return nn.Sequential(*(layer(*pair, init="random_normal", impl="embedding") for pair in pairs))


def cheby(widths):
    pairs = pairwise(widths)
    return nn.Sequential(*(layers_cheby.ChebyKANLayer(*pair, degree=4) for pair in pairs))


PEERS = {
    "pykan": pykan,
    "pykan, symbolic": symbolic_pykan,
    "efficient-kan": layers_efficient.KAN,
    "efficient-kan, unscaled": lambda widths: layers_efficient.KAN(widths, scaled=False),
    "fast-kan": lambda widths: layers_fast.FastKAN(widths, use_layernorm=False),
    "fast-kan, no base": lambda widths: layers_fast.FastKAN(widths, use_layernorm=False, use_base_update=False),
    "ChebyKAN": cheby,
    "inkan": inkan,
    "flashkan": flashkan,
    "kanditioned": kanditioned,
}
