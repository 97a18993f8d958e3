"""Options of pykan: those that change a result are honoured or refused by name, pykan's defaults are taken."""

from __future__ import annotations

import inspect
import math

import pytest
import torch

from kaninterp.compat import KAN, create_dataset
from kaninterp.compat.options import OPTIONS
from kaninterp.core.errors import InputError

EMPTY = inspect.Parameter.empty


@pytest.fixture(scope="module")
def dataset():
    return create_dataset(lambda x: x[:, [0]] ** 2 + x[:, [1]], n_var=2, train_num=60, test_num=20)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("reg_metric", "edge_backward"), ("reg_metric", "node_backward"), ("reg_metric", "nonsense"),
        ("reg_metric", None), ("start_grid_update_step", 1000), ("start_grid_update_step", 0.5),
        ("small_mag_threshold", 0.1), ("small_reg_factor", 2.0), ("y_th", "high"), ("singularity_avoiding", "no"),
        ("device", 1.5),
    ],
)  # fmt: skip
def test_fit_refuses_what_it_would_not_do(dataset, name, value):
    model = KAN([2, 1], seed=0)
    before = [each.clone() for each in model.parameters()]
    with pytest.raises(InputError, match=rf"fit\({name}=.*only .* is taken; \w+"):
        model.fit(dataset, steps=1, log=0, **{name: value})
    assert all(torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("symbolic_enabled", False), ("affine_trainable", True), ("affine_trainable", 0), ("grid_eps", 0.0),
        ("grid_eps", torch.tensor([1.0, 2.0])), ("sb_trainable", False), ("sparse_init", True), ("scale_base", 2.0),
        ("noise_scale_base", 0.5), ("sp_trainable", "yes"),
    ],
)  # fmt: skip
def test_a_model_refuses_what_it_would_not_be(name, value):
    with pytest.raises(InputError, match=rf"KAN\({name}=.*only .* is taken; \w+"):
        KAN([2, 1], **{name: value})


def test_every_default_of_pykan_is_taken(dataset):
    kan = pytest.importorskip("kan")
    for call, theirs in (("KAN", kan.KAN.__init__), ("fit", kan.KAN.fit)):
        parameters = inspect.signature(theirs).parameters
        defaults = {
            name: each.default
            for name, each in parameters.items()
            if name in OPTIONS[call] and each.default is not EMPTY
        }
        assert defaults
        if call == "KAN":
            KAN([2, 1], **defaults)
        else:
            KAN([2, 1], seed=0).fit(dataset, steps=1, log=0, **defaults)


def test_what_changes_no_result_is_taken(dataset, tmp_path):
    plain = KAN([2, 1], seed=0)
    busy = KAN([2, 1], seed=0, auto_save=True, ckpt_path=str(tmp_path / "none"), save_act=False, round=3, device="cpu")
    losses = plain.fit(dataset, steps=2, lamb=1e-3, log=0)
    again = busy.fit(
        dataset, steps=2, lamb=1e-3, log=0, device="cpu", display_metrics=["reg"], start_grid_update_step=0, y_th=10.0,
        singularity_avoiding=True, reg_metric="edge_forward_spline_n",
    )  # fmt: skip
    assert losses == again
    assert not (tmp_path / "none").exists()


def test_base_functions_start_where_pykan_has_them():
    plain, moved, still = (
        KAN([4, 3, 1], seed=2, **options)
        for options in ({}, {"scale_base_mu": 5, "scale_base_sigma": 0.5}, {"scale_base_mu": 5, "scale_base_sigma": 0})
    )
    for old, new, fixed in zip(plain.head.layers, moved.head.layers, still.head.layers, strict=True):
        root = math.sqrt(old.in_features)
        torch.testing.assert_close(fixed.base_weight, torch.full_like(fixed.base_weight, 5 / root))
        torch.testing.assert_close(new.base_weight, 5 / root + 0.5 * old.base_weight)
        assert float(old.base_weight.detach().abs().max()) <= 1 / root
        torch.testing.assert_close(new.coef, old.coef)
    for wrong in ({"scale_base_mu": math.nan}, {"scale_base_sigma": "wide"}, {"scale_base_sigma": True}):
        with pytest.raises(InputError, match="expected a finite number"):
            KAN([2, 1], **wrong)


def test_base_functions_start_as_in_the_installed_pykan():
    """The share of the spread and the mean are those of pykan's own layer."""
    kan = pytest.importorskip("kan")
    before = torch.get_rng_state()
    try:
        theirs = kan.KANLayer(in_dim=50, out_dim=40, scale_base_mu=2.0, scale_base_sigma=0.5).scale_base.detach()
    finally:
        torch.set_rng_state(before)
    ours = KAN([50, 40], seed=0, scale_base_mu=2.0, scale_base_sigma=0.5).head.layers[0].base_weight.detach()
    assert float(ours.mean()) == pytest.approx(float(theirs.mean()), rel=0.02)
    assert float(ours.std()) == pytest.approx(float(theirs.std()), rel=0.05)
