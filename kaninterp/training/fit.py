"""Train a model: the one verb of the package that changes what it is given."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from kaninterp.core.errors import InputTypeError
from kaninterp.data import called, preserved_rng
from kaninterp.nn import rows_first, undisturbed
from kaninterp.nn.gradients import with_gradients
from kaninterp.nn.losses import resolve_loss
from kaninterp.training.checkpoint import Checkpoint
from kaninterp.training.damped_steps import DampedSteps
from kaninterp.training.domains import check_still, heads_of
from kaninterp.training.feeds import EVALUATION_ROWS, Feeds, prepare
from kaninterp.training.head_rows import check_squared, trained_head
from kaninterp.training.history import FitResult, as_history
from kaninterp.training.kept_rows import keep_rows
from kaninterp.training.objective import Objective
from kaninterp.training.optimisers import as_stepper
from kaninterp.training.options import FitOptions, OptimizerChoice, Sparsity
from kaninterp.training.run import Run, repeat
from kaninterp.training.sparsity import InputShrinkage, RawColumns, check_possible
from kaninterp.training.stepping import Stepper

__all__ = ["fit"]


@with_gradients
def fit(
    model: nn.Module,
    data: Any,
    *,
    target: Any = None,
    validation: Any = 0.2,
    gap: int | None = None,
    shuffle_split: bool = False,
    epochs: int = 100,
    batch_size: int | None = None,
    optimizer: OptimizerChoice = "adam",
    lr: float | None = None,
    schedule: str = "cosine",
    clip: float | None = 1.0,
    lbfgs_steps: int = 20,
    loss: str | Callable[[Tensor, Tensor], Tensor] | None = None,
    sparsity: Sparsity | None = None,
    domain_updates: float = 0.5,
    domain_every: int = 1,
    patience: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = True,
    seed: int | None = None,
    on_epoch: Callable[[Mapping[str, float | str]], object] | None = None,
    progress: bool = True,
) -> FitResult:
    """Train `model` in place.

    Works for any module; one without a `KANHead` is trained by the same loop, for baselines. In the end the
    model has the weights of its best epoch, its train/eval flags as they were, and no gradients. If
    anything goes wrong it has the weights of the last epoch that went well. What keeps rows to be measured on
    (`kaninterp.compat.KAN`) has the training rows then, as they reach it after training.

    Parameters
    ----------
    model
        Trained in place, where it is (its device, its dtype).
    data
        Anything `as_batches` takes. Arrays, tables and Datasets are shuffled anew every epoch; a DataLoader
        or a list of batches is used in its own order and with its own batches.
    target
        Column of a DataFrame, key of a dict, or one entry per row; None: `data` brings it along.
    validation
        A share of the rows (the last ones, in time order), data, or None. Streams cannot be split: pass data.
    gap
        Rows left out between training and validation. None: the window length for sequences (B, T, F) so that
        overlapping windows share nothing (`Windows` know their exact embargo), else 0.
    shuffle_split
        Validate on randomly chosen rows instead of the last ones; right only for rows without an order.
    epochs, batch_size
        Passes over the data, and rows per step. None: a power of two from 16 to 256 that makes an epoch
        about 64 to 128 steps. L-BFGS always steps on all rows, `batch_size` only bounds its memory (None: 1024).
    optimizer
        "adam"; "lbfgs": all rows at once, one outer step of `lbfgs_steps` iterations with a strong Wolfe
        line search per epoch, edges under a penalty as a scale times numbers (Hoff 2017), of which fewer stay (not
        in a head whose own raw columns are pushed to zero);
        "lm": Levenberg-Marquardt, see Notes; or a callable that makes a torch optimizer from the parameters.
    lr, schedule
        Learning rate (Adam 3e-3, L-BFGS 1, none for Levenberg-Marquardt), following a "cosine" down over the
        epochs, or "constant".
    clip
        Largest gradient norm per step; None: no clipping. Used by Adam and its kind.
    loss
        "mse", "mae", "huber", "cross_entropy", "bce", a callable, or None: chosen by the target's dtype.
    sparsity
        Pushes edges and raw inputs to zero; see `Sparsity` for its schedule. Epochs count for the best
        weights and for patience only once the schedule has settled, so that a penalty that is growing
        cannot stop the run early.
    domain_updates
        In this first share of the epochs, after each of them, KAN layers whose inputs have left their
        domain or use little of it are moved there, without changing their functions. (The first batch sets
        the first domain.) 0: off.
    domain_every
        Look after every so many epochs only; for L-BFGS, which has to find the curvature anew after each move.
    patience
        Stop after so many epochs without a better validation loss. None: run all epochs.
    checkpoint
        A file that is replaced after every epoch. If it exists the run goes on from it and ends with the
        same weights, bit for bit, as if it had never been interrupted.
    resume
        False: start anew and overwrite the checkpoint.
    seed
        Makes dropout, shuffling and random Datasets repeat, and leaves every global generator as it was found.
        None: one number drawn from torch's global generator is the seed, so that two fits differ, and both
        repeat after `torch.manual_seed`; that one draw is all that moves (and none if the run fails).
    on_epoch
        Called after every epoch with its row of the history, to watch or to draw; the model has the weights of that
        epoch then. What it raises ends the run.
    progress
        Show a progress bar.

    Returns
    -------
    FitResult
        History and outcome.

    Raises
    ------
    InputError, InputTypeError, ShapeError, DataError, NamesError
        Options or data that cannot be used; the model is as it was.
    ModelError
        The model cannot be called with the data or takes their rows for time steps, nothing to train, or a
        sparsity that has nothing to act on.
    StateError
        The loss is not finite (the epoch and batch are named), or the checkpoint belongs to another run.
    FileFormatError
        The checkpoint is damaged or something else.

    Notes
    -----
    ``optimizer="lm"`` makes one damped Gauss-Newton step on all rows per epoch, in float64 whatever the model's type.
    It is for squared errors and for one `KANHead` of up to 3000 numbers that is all that is trained: freeze what is in
    front of it, which then runs once, in eval mode, and whose features of all rows are kept in memory. A step that
    would raise loss plus penalty is not made. Stuck at a poor loss a head that was not trained before is given fresh
    starts, once per run, all within one epoch; stuck again it stops ("converged"). History: losses after the step. Of
    `Sparsity` it knows `head`, `edge` and `entropy`. Heads with ``outside="linear"`` train better with it: there is a
    slope wherever inputs leave a domain.

    Examples
    --------
    >>> import torch
    >>> x = torch.linspace(-1, 1, 64)[:, None]
    >>> result = fit(torch.nn.Linear(1, 1), (x, 3 * x), epochs=20, optimizer="lbfgs", seed=0, progress=False)
    >>> result.best_loss < 1e-2, result.n_train, result.n_validation
    (True, 51, 13)
    """
    options = FitOptions(
        epochs=epochs,
        batch_size=batch_size,
        optimizer=optimizer,
        lr=lr,
        schedule=schedule,
        clip=clip,
        lbfgs_steps=lbfgs_steps,
        sparsity=sparsity,
        domain_updates=domain_updates,
        domain_every=domain_every,
        patience=patience,
        seed=seed,
    )
    row_loss = resolve_loss(loss)
    if optimizer == "lm":
        check_squared(loss, None)
    if not isinstance(model, nn.Module):
        raise InputTypeError(f"model: expected a torch.nn.Module, got a {type(model).__name__}.")
    with _seeded(seed), _training_mode(model):
        generator = torch.Generator()
        generator.manual_seed(int(torch.randint(2**62, ())))  # in its own stream: dropout does not change the order
        feeds = prepare(
            model,
            data,
            target=target,
            validation=validation,
            gap=gap,
            shuffle_split=shuffle_split,
            batch_size=EVALUATION_ROWS if batch_size is None and options.full_batch else batch_size,
            generator=generator,
        )
        if optimizer == "lm":
            check_squared(loss, feeds.data.first.target)
        run = _assemble(model, options, feeds, row_loss, generator)
        file = None if checkpoint is None else Checkpoint(checkpoint, _fingerprint(run, loss))
        state = file.load() if file is not None and resume else None
        if state is not None:
            run.load_state_dict(state)
        with tqdm(total=epochs, initial=run.epoch, disable=not progress, unit="epoch", desc="fit") as bar:
            repeat(run, file, lambda row: _after(row, bar, on_epoch))
        run.restore_best()
        keep_rows(model, feeds)
    return _result(run)


def _assemble(model: nn.Module, options: FitOptions, feeds: Feeds, row_loss: Any, generator: torch.Generator) -> Run:
    """Put the parts of a run together; nothing is changed yet."""
    few = feeds.data.first.rows(slice(0, 4))
    with undisturbed(model), rows_first(model, few.inputs):
        called(model, few)  # what cannot run is refused before anything is changed
    heads = heads_of(model)
    if options.full_batch:
        check_still(heads, str(options.optimizer))
    sparsity = options.sparsity
    alone = trained_head(model, heads, sparsity) if options.optimizer == "lm" else None
    raw = shrinkage = None
    if sparsity is not None:
        raw = RawColumns.of(model, feeds.data)
        check_possible(sparsity, heads, raw)
        shrinkage = InputShrinkage(raw, sparsity) if sparsity.inputs > 0 else None
    objective = Objective(
        model, row_loss, heads=heads, sparsity=sparsity, shrinkage=shrinkage, in_loss=options.full_batch
    )
    stepper: Stepper
    if alone is None:
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        stepper = as_stepper(options, objective, parameters, shrinkage)
    else:
        stepper = DampedSteps(alone, objective, sparsity=sparsity, follow=options.follows)
    return Run(
        model,
        options,
        feeds=feeds,
        objective=objective,
        stepper=stepper,
        heads=heads,
        raw=raw,
        shrinkage=shrinkage,
        generator=generator,
    )


def _fingerprint(run: Run, loss: object) -> dict[str, Any]:
    """What a checkpoint must agree with to be resumed."""
    return {
        "options": run.options.described(),
        "loss": loss if isinstance(loss, str) or loss is None else getattr(loss, "__name__", type(loss).__name__),
        "data": run.feeds.described(),
        "model": {
            key: [str(value.dtype), *value.shape]
            for key, value in run.model.state_dict().items()
            if isinstance(value, Tensor)
        },
    }


@contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    """Seed a run and give the global generators back; without a seed it is the next number of torch's own."""
    if seed is not None:
        with preserved_rng(seed):
            yield
        return
    before = torch.get_rng_state()
    drawn = int(torch.randint(2**62, ()))
    try:
        with preserved_rng(drawn):
            yield
    except BaseException:
        torch.set_rng_state(before)
        raise


@contextmanager
def _training_mode(model: nn.Module) -> Iterator[None]:
    """Train mode for a while; flags as before and no gradients afterwards."""
    flags = [(module, module.training) for module in model.modules()]
    model.train()
    try:
        yield
    finally:
        for module, flag in flags:
            module.training = flag
        model.zero_grad(set_to_none=True)


def _after(
    row: dict[str, float | str], bar: Any, on_epoch: Callable[[Mapping[str, float | str]], object] | None
) -> None:
    _show(bar, row)
    if on_epoch is not None:
        on_epoch(dict(row))


def _show(bar: Any, row: dict[str, float | str]) -> None:
    shown = {"train": f"{row['train_loss']:.4g}"}
    if row["validation_loss"] == row["validation_loss"]:
        shown["validation"] = f"{row['validation_loss']:.4g}"
    if row["inputs_alive"] == row["inputs_alive"]:
        shown["inputs"] = f"{row['inputs_alive']}"
    bar.set_postfix(shown, refresh=False)
    bar.update(1)


def _result(run: Run) -> FitResult:
    dropped: tuple[str, ...] = ()
    if run.raw is not None:
        alive = run.raw.alive().tolist()
        dropped = tuple(name for name, flag in zip(run.feeds.data.names, alive, strict=True) if not flag)
    return FitResult(
        history=as_history(run.history),
        best_epoch=run.best_epoch,
        best_loss=run.best_loss,
        stopped=run.stopped,
        n_train=run.feeds.n_train,
        n_validation=run.feeds.n_validation,
        dropped_inputs=dropped,
    )
