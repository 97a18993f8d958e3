"""`KANSelector`: selection of inputs as a scikit-learn transformer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectorMixin
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted, check_random_state, column_or_1d, validate_data

from kaninterp.core.errors import DataError, InputError
from kaninterp.core.frozen import Array, BoolArray
from kaninterp.selection import Selection, Survivor, select

__all__ = ["KANSelector"]


class KANSelector(SelectorMixin, BaseEstimator):  # type: ignore[misc]
    """Keep the inputs a target depends on, found with a KAN as the proxy model.

    Parameters
    ----------
    alpha : float
        Chance that a step of the search takes noise; divided by the number of classes if there are more than two.
    swap : bool
        Search again without each kept input: slower, and inputs that only resemble the target go.
    in_time : bool, optional
        Whether rows are in the order of time; None: for windows.
    most_rows : int
        Rows used at most, evenly spaced.
    random_state : int, RandomState or None
        Of the null distributions.
    progress : bool
        Show a bar.

    Attributes
    ----------
    support_ : ndarray of bool, shape (inputs,)
        Inputs kept.
    scores_ : ndarray, shape (inputs,)
        Share of the target's variance that goes with each input; the largest over classes.
    p_values_ : ndarray, shape (inputs,)
        Corrected for the number of inputs; the smallest over classes.
    survival_curve_ : DataFrame
        Held-out loss with its 95 % interval against the number of inputs kept; ``chosen`` marks the fewest within one
        standard error of the best. Several classes: one curve each, column ``target``.
    selections_ : tuple of Selection
        One per target: one for numbers and two classes, else one per class.
    n_features_in_ : int
        Inputs seen in `fit`.
    feature_names_in_ : ndarray of str
        Their names, where the data had some.

    Notes
    -----
    Method and references: `kaninterp.selection.select`. Windows (n, time, inputs) are taken too; then `transform` keeps
    the inputs along the last axis.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x = rng.uniform(-1, 1, (300, 6))
    >>> selector = KANSelector(random_state=0).fit(x, x[:, 0] * x[:, 2] + 0.1 * rng.normal(size=300))
    >>> selector.get_support(indices=True), selector.transform(x).shape
    (array([0, 2]), (300, 2))
    >>> print(selector.why("x5"))
    x5: drop - nothing of it stands out from noise, alone or in a product
    """

    def __init__(
        self,
        *,
        alpha: float = 0.05,
        swap: bool = True,
        in_time: bool | None = None,
        most_rows: int = 4000,
        random_state: Any = None,
        progress: bool = False,
    ) -> None:
        self.alpha = alpha
        self.swap = swap
        self.in_time = in_time
        self.most_rows = most_rows
        self.random_state = random_state
        self.progress = progress

    def fit(self, X: ArrayLike, y: ArrayLike) -> KANSelector:
        """Find the inputs.

        Parameters
        ----------
        X : array-like, shape (n, inputs) or (n, time, inputs)
            Numbers, finite. The last step of a window is lag 0.
        y : array-like, shape (n,)
            Numbers, or labels of classes.

        Returns
        -------
        KANSelector
            Itself.
        """
        if _are_windows(X):
            x = self._windows(X, reset=True)
            y = column_or_1d(y, warn=True)
        else:
            x, y = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=10)
        targets = _targets(y)
        names = tuple(getattr(self, "feature_names_in_", [f"x{i}" for i in range(x.shape[-1])]))
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        self.selections_: tuple[Selection, ...] = tuple(
            select(
                x,
                values,
                names=names,
                alpha=self.alpha / len(targets),
                in_time=self.in_time,
                swap=self.swap,
                most_rows=self.most_rows,
                seed=seed,
                progress=self.progress,
            )
            for values in targets.values()
        )
        self._conclude(list(targets))
        return self

    def _conclude(self, labels: list[str]) -> None:
        inputs = [selection.inputs for selection in self.selections_]
        self.support_ = np.any([[found.verdict == "keep" for found in one] for one in inputs], axis=0)
        self.scores_ = np.max([[found.share for found in one] for one in inputs], axis=0)
        self.p_values_ = np.min([[found.p_value for found in one] for one in inputs], axis=0)
        rows = [
            {"target": label, "inputs": p.inputs, "added": p.added, "loss": p.loss}
            | {"low": p.interval[0], "high": p.interval[1], "chosen": p.chosen}
            for label, selection in zip(labels, self.selections_, strict=True)
            for p in selection.curve
        ]
        curve = pd.DataFrame(rows)
        self.survival_curve_ = curve if len(labels) > 1 else curve.drop(columns="target")

    def _get_support_mask(self) -> BoolArray:
        check_is_fitted(self)
        mask: BoolArray = self.support_
        return mask

    def transform(self, X: ArrayLike) -> Any:
        """Keep the inputs that survived.

        Parameters
        ----------
        X : array-like, shape (n, inputs) or (n, time, inputs)
            As in `fit`.

        Returns
        -------
        array or DataFrame
            With the kept inputs, in their order.
        """
        if _are_windows(X):
            check_is_fitted(self)
            return self._windows(X, reset=False)[:, :, self.support_]
        return super().transform(X)

    def why(self, name: str) -> str:
        """Say why an input is kept or not, with the evidence; of several classes, for the one that needs it most.

        Parameters
        ----------
        name : str
            Of the input; x0, x1, ... if the data had no names.

        Raises
        ------
        InputError
            There is no such input.
        """
        check_is_fitted(self)
        known = [found.name for found in self.selections_[0].inputs]
        if name not in known:
            raise InputError(f"why({name!r}): there is no such input; allowed: {', '.join(known)}")
        found = [selection.inputs[known.index(name)] for selection in self.selections_]
        return _sentence(min(found, key=lambda one: (VERDICTS.index(one.verdict), one.p_value)))

    def _windows(self, X: ArrayLike, *, reset: bool) -> Array:
        x = np.asarray(X, dtype=np.float64)
        if reset:
            self.n_features_in_ = x.shape[2]
            if hasattr(self, "feature_names_in_"):  # of an earlier table
                del self.feature_names_in_
        elif x.shape[2] != self.n_features_in_:
            raise DataError(
                f"windows have {x.shape[2]} inputs; {type(self).__name__} was fitted on {self.n_features_in_}"
            )
        return x

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.three_d_array = True
        return tags


def _are_windows(X: Any) -> bool:
    dimensions = getattr(X, "ndim", None)
    return (np.ndim(X) if dimensions is None and isinstance(X, (list, tuple)) else dimensions) == 3


def _targets(y: Any) -> dict[str, Array]:
    """One target of numbers, or one of zeros and ones per class (one for two classes)."""
    kind = type_of_target(y, input_name="y", raise_unknown=True)
    if kind in {"binary", "multiclass"} and not _are_numbers(y):
        classes = np.unique(y)
        if len(classes) > 2:
            return {str(label): (y == label).astype(np.float64) for label in classes}
        return {"": (y == classes[-1]).astype(np.float64)}
    return {"": np.asarray(y, dtype=np.float64)}


def _are_numbers(y: Any) -> bool:
    """Labels are strings, flags or at most 20 different whole numbers; everything else is an amount."""
    values = np.asarray(y)
    if values.dtype.kind in "OUSb":
        return False
    return values.dtype.kind == "f" or len(np.unique(values)) > MOST_CLASSES


MOST_CLASSES = 20
VERDICTS = ("keep", "tentative", "drop")


def _sentence(found: Survivor) -> str:
    text = f"{found.name}: {found.verdict} - {found.why}"
    if found.terms:
        text += f"; enters as {', '.join(found.terms)}"
    if found.replaced_by:
        text += f"; without it {', '.join(found.replaced_by)} would come in, {found.regret:.1%} less explained"
    if found.substitutes:
        text += f"; carries nearly the same as {', '.join(found.substitutes)}"
    return text
