"""scikit-learn's own checks, and what the selector adds to them."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from kaninterp.core.errors import DataError, InputError, ShapeError
from kaninterp.estimators import KANSelector
from tests.planted import additive, lagged


@parametrize_with_checks([KANSelector(random_state=0)])
def test_scikit_learn_checks(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(estimator)


@pytest.fixture(scope="module")
def problem():
    return additive(n=300, noise_columns=3, seed=100)


@pytest.fixture
def frame(problem):
    return pd.DataFrame(problem.X, columns=["load", "wave", "bowl", "n1", "n2", "n3"])


def test_names_come_from_the_table_and_go_to_the_output(problem, frame):
    selector = KANSelector(random_state=0).fit(frame, problem.y)
    assert list(selector.feature_names_in_) == list(frame.columns)
    assert list(selector.get_feature_names_out()) == ["load", "wave", "bowl"]
    out = selector.set_output(transform="pandas").transform(frame)
    pd.testing.assert_frame_equal(out, frame[["load", "wave", "bowl"]])
    with pytest.raises(ValueError, match="feature names"):
        selector.transform(frame.rename(columns={"load": "other"}))


def test_attributes_agree_with_each_other(problem):
    selector = KANSelector(random_state=0).fit(problem.X, problem.y)
    assert set(np.flatnonzero(selector.support_)) == problem.keep
    np.testing.assert_array_equal(selector.transform(problem.X), problem.X[:, selector.support_])
    assert (selector.scores_[selector.support_] > 0).all()
    assert (selector.scores_[~selector.support_] == 0).all()
    assert (selector.p_values_[selector.support_] <= selector.alpha).all()
    assert (selector.p_values_[~selector.support_] > selector.alpha).all()
    np.testing.assert_array_equal(
        selector.inverse_transform(selector.transform(problem.X))[:, selector.support_], problem.X[:, :3]
    )


def test_survival_curve_has_one_chosen_row_and_falls(problem):
    curve = KANSelector(random_state=0).fit(problem.X, problem.y).survival_curve_
    assert list(curve.columns) == ["inputs", "added", "loss", "low", "high", "chosen"]
    assert curve["chosen"].sum() == 1
    assert (curve["low"] <= curve["loss"]).all()
    assert (curve["loss"] <= curve["high"]).all()
    assert curve["loss"].is_monotonic_decreasing
    assert set(curve["added"][1:]) == {"x0", "x1", "x2"}


def test_why_says_what_was_measured(problem, frame):
    frame = frame.assign(again=-frame["load"], flat=1.0)
    selector = KANSelector(random_state=0).fit(frame, problem.y)
    kept, other = ("load", "again") if selector.support_[0] else ("again", "load")
    said = selector.why(kept)
    assert said.startswith(f"{kept}: keep - ")
    share = selector.scores_[list(frame.columns).index(kept)]
    assert f"{share:.1%} of the target's variance" in said
    assert f"without it {other} would come in, 0.0% less explained" in said
    assert selector.why(other).startswith(f"{other}: tentative - redundant given {kept}")
    assert selector.why("flat") == "flat: drop - constant in these data"
    assert "drop" in selector.why("n1")
    with pytest.raises(InputError, match=r"why\('nothing'\): there is no such input; allowed: load, wave"):
        selector.why("nothing")


def test_windows_keep_the_inputs_of_every_step():
    problem = lagged(n=400, length=4, seed=100)
    selector = KANSelector(random_state=0).fit(problem.X, problem.y)
    assert set(selector.get_support(indices=True)) == problem.keep
    assert selector.n_features_in_ == 5
    np.testing.assert_array_equal(selector.transform(problem.X), problem.X[:, :, :2])
    assert "at lag 1" in selector.why("x0")
    with pytest.raises(DataError, match="windows have 3 inputs; KANSelector was fitted on 5"):
        selector.transform(problem.X[:, :, :3])
    with pytest.raises(ShapeError):
        KANSelector().fit(problem.X, problem.y[:-1])


def test_windows_may_be_a_tensor_or_lists():
    problem = lagged(n=120, length=3, noise_columns=1, seed=100)
    plain = KANSelector(random_state=0).fit(problem.X, problem.y)
    for kind in (torch.from_numpy(problem.X), problem.X.tolist()):
        other = KANSelector(random_state=0).fit(kind, problem.y)
        np.testing.assert_array_equal(other.scores_, plain.scores_)


def test_windows_after_a_table_forget_its_names(problem, frame):
    selector = KANSelector(random_state=0).fit(frame, problem.y)
    sequence = lagged(n=200, length=3, seed=100)
    selector.fit(sequence.X, sequence.y)
    assert not hasattr(selector, "feature_names_in_")
    assert "keep" in selector.why("x0")


def classes(seed=100):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(400, 6))
    return x, np.where(x[:, 1] > 0.5, "high", np.where(x[:, 4] ** 2 > 1, "far", "rest"))


def test_several_classes_are_one_selection_each_and_any_of_them_keeps():
    x, y = classes()
    selector = KANSelector(random_state=0).fit(x, y)
    assert len(selector.selections_) == 3
    assert list(selector.get_support(indices=True)) == [1, 4]
    assert list(selector.survival_curve_["target"].unique()) == ["far", "high", "rest"]
    assert (selector.survival_curve_.groupby("target")["chosen"].sum() == 1).all()
    by_class = dict(zip(["far", "high", "rest"], selector.selections_, strict=True))
    assert by_class["high"].inputs[4].verdict != "keep"
    assert selector.why("x4").startswith("x4: keep")


@pytest.mark.parametrize("labels", [("no", "yes"), (0, 1), (False, True), (-1, 1)])
def test_two_classes_are_one_selection_however_they_are_called(labels):
    x = np.random.default_rng(100).normal(size=(300, 5))
    y = np.array(labels)[(x[:, 2] > 0).astype(int)]
    selector = KANSelector(random_state=0).fit(x, y)
    assert len(selector.selections_) == 1
    assert list(selector.get_support(indices=True)) == [2]
    np.testing.assert_allclose(selector.scores_, KANSelector(random_state=0).fit(x, x[:, 2] > 0).scores_)


def test_whole_numbers_of_many_values_are_an_amount():
    x = np.random.default_rng(100).normal(size=(300, 5))
    counts = np.random.default_rng(101).poisson(np.exp(2 + 0.5 * x[:, 3]))
    assert len(np.unique(counts)) > 20
    selector = KANSelector(random_state=0).fit(x, counts)
    assert len(selector.selections_) == 1
    assert list(selector.get_support(indices=True)) == [3]


def test_pipelines_clones_and_searches(problem):
    pipeline = make_pipeline(KANSelector(random_state=0, swap=False), LinearRegression())
    search = GridSearchCV(pipeline, {"kanselector__alpha": [1e-12, 0.05]}, cv=3).fit(problem.X, problem.y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    alone = cross_val_score(LinearRegression(), problem.X[:, :3], problem.y, cv=3).mean()
    assert search.best_score_ == pytest.approx(alone, abs=0.02)

    again = clone(search.best_estimator_.named_steps["kanselector"])
    assert not hasattr(again, "support_")
    assert again.get_params() == search.best_estimator_.named_steps["kanselector"].get_params()

    x, y = classes()
    classifier = make_pipeline(KANSelector(random_state=0, swap=False), LogisticRegression()).fit(x, y)
    assert classifier[-1].n_features_in_ == 2


def test_same_seed_same_answer_and_the_global_generator_is_left_alone(problem):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    one, two = (KANSelector(random_state=3).fit(problem.X, problem.y) for _ in range(2))
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    np.testing.assert_array_equal(one.p_values_, two.p_values_)
    pd.testing.assert_frame_equal(one.survival_curve_, two.survival_curve_)


def test_nothing_survives_of_noise_and_says_so():
    rng = np.random.default_rng(100)
    x, y = rng.normal(size=(2, 100, 4))[0], rng.normal(size=100)
    selector = KANSelector(random_state=0).fit(x, y)
    assert not selector.support_.any()
    assert list(selector.survival_curve_["inputs"]) == [0]
    with pytest.warns(UserWarning, match="No features were selected"):
        assert selector.transform(x).shape == (100, 0)


def test_a_progress_bar_on_request(problem, capsys):
    KANSelector(random_state=0, progress=True).fit(problem.X, problem.y)
    assert "selecting" in capsys.readouterr().err
    KANSelector(random_state=0).fit(problem.X, problem.y)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("shape", [(3, 2), (3, 4, 2)])
def test_asking_too_early(shape):
    with pytest.raises(NotFittedError):
        KANSelector().transform(np.zeros(shape))
    with pytest.raises(NotFittedError):
        KANSelector().why("x0")


@pytest.mark.parametrize("alpha", [0, 1, -0.1])
def test_bad_alpha_is_refused(problem, alpha):
    with pytest.raises(InputError, match="alpha="):
        KANSelector(alpha=alpha).fit(problem.X, problem.y)


def test_a_constant_target_is_refused(problem):
    with pytest.raises(DataError, match="in every row"):
        KANSelector().fit(problem.X, np.ones(len(problem.X)))
