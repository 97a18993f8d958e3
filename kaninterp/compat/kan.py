"""`KAN`: pykan's class on a `KANHead`."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from kaninterp.core.errors import InputError, InputTypeError
from kaninterp.data.rng import check_seed

from .base import rows_of
from .checkpoints import read_checkpoint, write_checkpoint
from .fitting import GridUpdates, Results, as_head, fit_kan, root_loss, row_loss
from .options import check_options
from .spelling import check_labels, index, parts_of, widths_of
from .starting import started_head
from .taking_over import taken_over
from .written import Written

__all__ = ["KAN"]


class KAN(Written):
    """A Kolmogorov-Arnold network with pykan's calls (Liu et al., arXiv 2404.19756 and 2408.10205).

    Parameters
    ----------
    width : list
        Nodes per layer: ``[2, 5, 1]``, or ``[[2, 0], [5, 0], [1, 0]]``. Multiplication nodes are refused.
    grid, k : int
        Grid intervals and spline order.
    noise_scale : float
        Size of the initial spline coefficients, see `KANLayer`.
    base_fun : str or torch module
        "silu", "identity", "zero", torch.nn.SiLU() or torch.nn.Identity().
    scale_base_mu, scale_base_sigma : float
        Weights of the base functions start at ``(mu + sigma U) / sqrt(inputs)``, U uniform on [-1, 1].
    grid_range : (low, high)
        Domain of every layer until `fit` moves it to the data.
    bias_trainable : bool
        Whether the constants of the nodes are trained.
    device
        Where the weights are.
    seed : int
        Of the initial noise; no global generator is touched.
    **ignored
        Other arguments of pykan: taken where they mean what is done here, else refused, see
        `kaninterp.compat.options.OPTIONS`.

    Notes
    -----
    Scores, prunes, plots and formulas are measured on the training rows of the last `fit` (`kaninterp.compat.base`).
    Layers and nodes are counted as in pykan: edge (l, i, j) leads from node i of layer l to node j above. Several
    outputs count at their largest, not at their mean. Nothing is printed and no file is written unless asked for.

    Raises
    ------
    InputError
        Widths or options that cannot be met.
    InputTypeError
        Something of the wrong kind.

    Examples
    --------
    >>> import torch
    >>> from kaninterp.compat import KAN, create_dataset
    >>> data = create_dataset(lambda x: torch.exp(torch.sin(torch.pi * x[:, [0]]) + x[:, [1]] ** 2), n_var=2)
    >>> model = KAN(width=[2, 5, 1], grid=5, k=3, seed=0)
    >>> losses = model.fit(data, opt="LBFGS", steps=20, lamb=0.01, lamb_entropy=10.0, log=0)
    >>> small = model.prune()
    >>> model.width, small.width[1] < 5, losses["test_loss"][-1] < 0.2
    ([2, 5, 1], True, True)
    """

    def __init__(
        self,
        width: Sequence[Any],
        grid: int = 3,
        k: int = 3,
        noise_scale: float = 0.1,
        base_fun: Any = "silu",
        *,
        scale_base_mu: float = 0.0,
        scale_base_sigma: float = 1.0,
        grid_range: Sequence[float] = (-1.0, 1.0),
        bias_trainable: bool = True,
        device: torch.device | str = "cpu",
        seed: int = 1,
        **ignored: Any,
    ) -> None:
        check_options(ignored, "KAN", base_fun)
        check_seed(seed)
        head = started_head(
            widths_of(width), grid=grid, k=k, noise=noise_scale, base_fun=base_fun, base_mu=scale_base_mu,
            base_sigma=scale_base_sigma, grid_range=grid_range, bias_trainable=bool(bias_trainable), seed=int(seed),
        )  # fmt: skip
        super().__init__(head.to(device), seed=int(seed))

    only_kan: ClassVar[str] = "head"
    """Says of the `forward` below to everything that explains a model: it calls this part alone, on the columns
    themselves. It does not hold for a subclass with a `forward` of its own."""

    def forward(self, x: Tensor, singularity_avoiding: bool = False, y_th: float = 10.0) -> Tensor:
        """Evaluate: x (..., inputs) -> (..., outputs).

        Parameters
        ----------
        x
            All inputs of the data, also after `prune_input`.
        singularity_avoiding, y_th
            Taken and not needed: a formula goes on as a constant where its function is not defined.

        Raises
        ------
        ShapeError
            Another width. InputTypeError: integers, or another number type than that of the weights.
        """
        del singularity_avoiding, y_th
        y: Tensor = self.head(x)
        self._see(x)
        return y

    def fit(  # noqa: PLR0917 (pykan's order)
        self,
        dataset: Mapping[str, Tensor],
        opt: str = "LBFGS",
        steps: int = 100,
        log: int = 1,
        lamb: float = 0.0,
        lamb_l1: float = 1.0,
        lamb_entropy: float = 2.0,
        lamb_coef: float = 0.0,
        lamb_coefdiff: float = 0.0,
        update_grid: bool = True,
        grid_update_num: int = 10,
        loss_fn: Callable[[Tensor, Tensor], Tensor] | None = None,
        lr: float | None = None,
        *,
        stop_grid_update_step: int = 50,
        batch: int = -1,
        metrics: Sequence[Callable[[], Any]] | None = None,
        save_fig: bool = False,
        in_vars: Sequence[Any] | None = None,
        out_vars: Sequence[Any] | None = None,
        beta: float = 3.0,
        save_fig_freq: int = 1,
        img_folder: str | os.PathLike[str] = "./video",
        progress: bool = True,
        **ignored: Any,
    ) -> Results:
        """Train in place.

        Parameters
        ----------
        dataset : dict
            As `create_dataset` makes it. The test part is reported on and decides nothing.
        opt : {"LBFGS", "Adam", "LM"}
            A step is up to 20 iterations of L-BFGS on all rows, one step of Adam on a batch, or one step of
            Levenberg-Marquardt.
        steps : int
            With Adam and batches: rounded to whole passes over the rows, at least one.
        log : int
            0 or less: no progress bar.
        lamb : float
            Weight of the penalty, from the second pass on: ``lamb_l1`` times the sum of the edges' standard deviations
            on their domain, ``lamb_entropy`` times the entropy (in nats) of their shares per layer, ``lamb_coef`` and
            ``lamb_coefdiff`` times the absolute coefficients and their differences
            (`kaninterp.nn.penalty.coefficient_penalty`; these from the first pass on, not with "LM").
        update_grid, stop_grid_update_step, grid_update_num
            Whether, up to which step, and how often till then domains follow their inputs, where they no longer fit
            them; functions stay. "LM": after any step. Where the rows do not fit the first layer: before the first
            step, too.
        loss_fn : callable, optional
            (outputs, labels) to their mean loss or to one per row, both with the shape (rows, outputs); None: the
            squared error, or what the labels' dtype asks for.
        lr : float, optional
            1 for L-BFGS, 0.003 for Adam if not given.
        batch : int
            Rows per step of Adam, and at once in memory for the others; -1: all.
        metrics : sequence of callable, optional
            Without arguments; called after every step in eval mode.
        save_fig, save_fig_freq, img_folder, in_vars, out_vars, beta
            Whether to write the plot after every so many steps, where, and how it looks.
        progress : bool
            Show a progress bar.
        **ignored
            Other arguments of pykan: taken where they mean what is done here, else refused, see
            `kaninterp.compat.options.OPTIONS`.

        Returns
        -------
        dict of list of float
            After every step: ``train_loss`` and ``test_loss`` (square roots of the mean loss: RMSE), ``reg`` (the
            penalty without ``lamb``), and each metric under its name.

        Raises
        ------
        InputError, InputTypeError, ShapeError, DataError
            Arguments or data that cannot be used; the model is as it was.
        StateError
            The loss is not finite; the model has the weights of the last step that went well.
        """
        check_options(ignored, "fit")
        parts = parts_of(dataset)
        check_labels(parts, self.width[-1], loss_fn)
        rows = rows_of(parts["train_input"], self.head)

        def after(step: int) -> None:
            if save_fig and step % index("save_fig_freq", save_fig_freq) == 0:
                self._saved(Path(img_folder) / f"{step}.png", beta=beta, in_vars=in_vars, out_vars=out_vars)

        before, self._rows = self._rows, rows
        weights = [parameter.detach().clone() for parameter in self.head.parameters()]
        try:
            return fit_kan(
                self.head,
                dataset,
                opt=opt,
                steps=steps,
                lambdas=(lamb, lamb_l1, lamb_entropy, lamb_coef, lamb_coefdiff),
                grid=GridUpdates.of(update_grid, grid_update_num, stop_grid_update_step),
                loss_fn=loss_fn,
                lr=lr,
                batch=batch,
                metrics=tuple(metrics or ()),
                after_step=after,
                seed=self.seed,
                progress=progress and log > 0,
            )
        except BaseException:
            if all(torch.equal(old, new) for old, new in zip(weights, self.head.parameters(), strict=True)):
                self._rows = before  # no step was made: also an interrupt or a metric that fails may end it after some
            raise

    def train(self, mode: Any = True, *args: Any, **options: Any) -> Any:
        """``train()``, ``train(True)``, ``train(False)`` as for every torch module; with a dataset it is `fit`."""
        if "dataset" in options or isinstance(mode, Mapping):
            given = (options.pop("dataset"), *args) if "dataset" in options else (mode, *args)
            return self.fit(*given, **options)
        if not isinstance(mode, bool) or args or options:
            raise InputError(
                f"train({mode!r}): give True or False for the mode of the module, or a dataset (a dict with "
                "train_input, train_label, test_input, test_label) to train on"
            )
        return super().train(mode)

    def evaluate(self, dataset: Mapping[str, Tensor]) -> dict[str, float]:
        """RMSE on the test part of a dataset, as ``{"test_loss": ...}``."""
        parts = parts_of(dataset)
        if "test_input" not in parts:
            raise InputError("evaluate needs test_input and test_label in the dataset")
        x, y = (as_head(parts[name], self.head) for name in ("test_input", "test_label"))
        return {"test_loss": root_loss(self.head, x, y, row_loss(None))}

    def refine(self, new_grid: int) -> KAN:
        """A new model with more grid intervals that computes the same; exact for a multiple of the present number."""
        new: KAN = self._of(self.head.refine(index("new_grid", new_grid)))
        return new

    def initialize_from_another_model(self, another_model: KAN, x: Tensor | None = None) -> KAN:
        """Take over what another model of the same widths computes, in place.

        This model's grid, order, base functions and frozen parameters stay: every function of the other model is fitted
        on its domain, exactly where this model's splines can hold it (see `kaninterp.compat.taking_over.taken_over`).

        Parameters
        ----------
        another_model
            Left as it is.
        x : Tensor, optional
            Rows that everything is measured on from now on, with all inputs of the other model's data; those of the
            other model if not given.

        Raises
        ------
        InputTypeError
            Something else than a KAN of this face. InputError: other widths. ShapeError: rows of another width.
        """
        if not isinstance(another_model, KAN):
            raise InputTypeError(
                f"another_model: got {type(another_model).__name__}; expected a KAN of kaninterp.compat, as this one "
                "is (kaninterp.from_kan reads other libraries, as a KANHead)"
            )
        if another_model.width != self.width:
            raise InputError(
                f"the other model has widths {another_model.width}, this one {self.width}; make them alike"
            )
        head = taken_over(self.head, another_model.head)
        rows = another_model._rows if x is None else rows_of(x, head)
        self.head, self._rows = head, rows
        return self

    def update_grid_from_samples(self, x: Tensor) -> None:
        """Move every domain to the range of some rows, in place; the functions stay there."""
        self.head.update(rows_of(x, self.head).to(self.device))

    update_grid = update_grid_from_samples

    def copy(self) -> KAN:
        """A deep copy."""
        return copy.deepcopy(self)

    def speed(self, compile: bool = False) -> KAN:  # noqa: A002, ARG002 (pykan's name)
        """Return this model; there is nothing to switch off."""
        return self

    def saveckpt(self, path: str | os.PathLike[str] = "model") -> None:
        """Write ``<path>_head.safetensors`` and ``<path>_rows.npz`` (the rows it is measured on, at most 5000)."""
        write_checkpoint(path, self.head, self._rows, {"seed": self.seed})

    @staticmethod
    def loadckpt(path: str | os.PathLike[str] = "model") -> KAN:
        """Read what `saveckpt` wrote; no generator is seeded.

        Raises
        ------
        MissingFileError, FileFormatError
            A file that is not there, or is damaged or something else.
        """
        head, rows, facts = read_checkpoint(path)
        new = KAN.__new__(KAN)
        Written.__init__(new, head, seed=int(facts.get("seed", 0)), rows=rows)
        return new

    def _saved(self, path: Path, **looks: Any) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.plot(**looks).savefig(path)
