"""scikit-learn's own checks, and what the selector adds to them."""

from __future__ import annotations

import warnings

from sklearn.utils.estimator_checks import parametrize_with_checks

from kaninterp.estimators import KANSelector


@parametrize_with_checks([KANSelector(random_state=0)])
def test_scikit_learn_checks(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(estimator)
