"""Every public name of pykan is there, or says what to do; what its notebooks import from ``kan.utils``."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

import kaninterp.compat
from kaninterp.compat import KAN, create_dataset, utils
from kaninterp.compat.spelling import NOT_HERE, families_given
from kaninterp.core.errors import InputError
from kaninterp.core.families import Family
from tests.adapters.peers import library, pykan


def public(of):
    return {name for name in dir(of) if not name.startswith("_")} - set(dir(torch.nn.Module()))


def test_every_name_of_pykan_is_there_or_says_what_to_do():
    theirs = pykan([2, 3, 1])
    names = public(theirs) | public(type(theirs))
    numbered = {name for name in names if re.fullmatch(r"(sub)?node_(bias|scale)_\d+", name)}  # its parameters
    ours = KAN([2, 3, 1], seed=0)
    known = set(dir(ours)) | set(NOT_HERE)
    assert "n_edge" in names
    assert names - numbered <= known
    assert not set(dir(ours)) & set(NOT_HERE)


def test_sizes_are_those_of_pykan():
    theirs = pykan([3, 4, 2, 1])
    ours = KAN([3, 4, 2, 1], seed=0)
    for name in ("width_in", "width_out", "n_sum", "n_mult", "n_edge"):
        assert getattr(ours, name) == getattr(theirs, name), name


def test_edges_that_are_left_are_counted():
    model = KAN([2, 3, 1], seed=0)
    model(torch.rand(50, 2, generator=torch.Generator().manual_seed(0)))
    assert model.n_edge == 9
    model.remove_edge(0, 0, 1)
    model.fix_symbolic(0, 1, 1, "sin")
    assert model.n_edge == 8
    assert [id(each) for each in model.get_params()] == [id(each) for each in model.parameters()]


def test_a_star_import_brings_no_other_libraries():
    space: dict[str, object] = {}
    exec("from kaninterp.compat import *", space)
    assert set(space) - {"__builtins__"} == set(kaninterp.compat.__all__)
    assert {"torch", "np", "plt", "sympy"}.isdisjoint(space)


def test_functions_go_by_the_names_of_pykan():
    theirs = library("kan.utils").SYMBOLIC_LIB
    assert set(theirs) <= set(utils.SYMBOLIC_LIB)
    x = torch.linspace(0.1, 0.9, 20, dtype=torch.float64)
    for name in theirs:
        function = theirs[name][0]
        ours = utils.SYMBOLIC_LIB[name]
        np.testing.assert_allclose(ours.function(x.numpy()), function(x).numpy(), rtol=1e-9, err_msg=name)
        assert families_given([name]) == (ours,)
    with pytest.raises(TypeError):
        utils.SYMBOLIC_LIB["mine"] = utils.SYMBOLIC_LIB["sin"]


def test_a_function_of_ones_own_is_given_where_it_is_used():
    size = len(utils.SYMBOLIC_LIB)
    with pytest.raises(InputError, match=r"add_symbolic\('cosh'\).*Family\(name='cosh'.*complexity=3.*fix_symbolic"):
        utils.add_symbolic("cosh", torch.cosh, c=3)
    with pytest.raises(InputError, match="there already"):
        utils.add_symbolic("sin", torch.sin)
    assert len(utils.SYMBOLIC_LIB) == size
    cosh = Family(name="cosh", function=np.cosh, sympy="cosh(u)", complexity=3)
    model = KAN([1, 1], seed=0)
    model.fit(utils.create_dataset(lambda x: torch.cosh(2 * x), n_var=1, train_num=200), steps=10, log=0)
    assert model.auto_symbolic(lib=["x", cosh])[0, 0, 0][0] == "cosh"
    assert "cosh" in str(model.symbolic_formula()[0][0])
    assert utils.create_dataset is create_dataset
