"""One loop for all models: what it learns, what it leaves alone, what it refuses."""

import copy
import random
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from kaninterp.core.errors import (
    DataError,
    InputError,
    InputTypeError,
    ModelError,
    NamesError,
    ShapeError,
    StateError,
)
from kaninterp.data import windows
from kaninterp.nn.head import KANHead
from kaninterp.nn.hybrid import Hybrid
from kaninterp.training import Sparsity, fit
from kaninterp.training.domains import effective_edges, follow_inputs
from kaninterp.training.feeds import prepare

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 3)).astype(np.float32)
Y = (X @ np.array([1.0, -2.0, 0.5]) + 0.3).astype(np.float32)


def linear(inputs=3, seed=0):
    torch.manual_seed(seed)
    return nn.Linear(inputs, 1)


def small(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Dropout(0.2), KANHead(8, 1, grid=3))


def weights(model):
    return torch.cat([value.flatten().double() for value in model.state_dict().values()])


def train(model, data=(X, Y), **options):
    return fit(model, data, **{"epochs": 4, "seed": 0, "progress": False, **options})


class Pairs(Dataset):
    def __len__(self):
        return len(X)

    def __getitem__(self, i):
        return X[i], Y[i]


def test_lbfgs_finds_the_least_squares_solution():
    model = linear().double()
    result = train(model, (X.astype(float), Y.astype(float)), optimizer="lbfgs", validation=None, epochs=10)
    exact, *_ = np.linalg.lstsq(np.column_stack([X, np.ones(200)]).astype(float), Y.astype(float), rcond=None)
    assert np.allclose([*model.weight.detach().flatten(), model.bias.item()], exact, atol=1e-6)
    assert result.best_epoch == 10
    assert result.n_validation == 0


@pytest.mark.parametrize("batch_size", [7, 200, None])
def test_lbfgs_does_not_depend_on_its_batches(batch_size):
    models = [linear().double(), linear().double()]
    train(models[0], (X.astype(float), Y.astype(float)), optimizer="lbfgs", batch_size=batch_size, epochs=2)
    train(models[1], (X.astype(float), Y.astype(float)), optimizer="lbfgs", batch_size=31, epochs=2)
    assert torch.allclose(weights(models[0]), weights(models[1]), atol=1e-10)


def test_adam_learns_a_hybrid():
    model = small()
    result = train(model, epochs=40, lr=0.02)
    assert result.history["validation_loss"].iloc[0] > 1
    assert result.best_loss < 0.3
    assert result.history["train_loss"].is_monotonic_decreasing or result.history["train_loss"].iloc[-1] < 0.6
    assert not result.history[["train_loss", "validation_loss", "grad_norm", "edges", "seconds"]].isna().any().any()
    assert result.stopped == "epochs"
    assert list(result.history["epoch"]) == list(range(1, 41))


KINDS = {
    "arrays": lambda: ((X, Y), None),
    "tensors": lambda: ((torch.from_numpy(X), torch.from_numpy(Y)), None),
    "float64": lambda: ((X.astype(float), Y.astype(float)), None),
    "frame": lambda: (pd.DataFrame(X).assign(y=Y), "y"),
    "dataset": lambda: (Pairs(), None),
    "tensor dataset": lambda: (TensorDataset(torch.from_numpy(X), torch.from_numpy(Y)), None),
}


@pytest.mark.parametrize("kind", KINDS)
def test_same_rows_same_weights(kind):
    data, target = KINDS[kind]()
    models = [small(), small()]
    train(models[0], data, target=target)
    train(models[1])
    assert torch.equal(weights(models[0]), weights(models[1]))


def test_seed_decides_and_nothing_global_moves():
    finals = []
    for start, seed in ((0, 5), (1, 5), (1, 6)):
        model = small()
        torch.manual_seed(start)
        np.random.seed(start)  # noqa: NPY002
        random.seed(start)
        before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
        train(model, seed=seed)
        assert torch.equal(before[0], torch.get_rng_state())
        assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002
        assert before[2] == random.getstate()
        finals.append(weights(model))
    assert torch.equal(finals[0], finals[1])
    assert not torch.equal(finals[1], finals[2])


def test_without_a_seed_the_global_state_decides():
    finals = []
    for start in (3, 3, 4):
        model = small()
        torch.manual_seed(start)
        train(model, seed=None)
        finals.append(weights(model))
    assert torch.equal(finals[0], finals[1])
    assert not torch.equal(finals[1], finals[2])


def test_flags_and_gradients_are_as_found():
    model = small()
    model.eval()
    model[2].train()
    train(model)
    assert [module.training for module in model] == [False, False, True, False]
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_loader_keeps_its_order_and_its_batches():
    seen = []

    class Spy(nn.Linear):
        def forward(self, x):
            if self.training:
                seen.append(x.detach().clone())
            return super().forward(x)

    loader = DataLoader(TensorDataset(torch.from_numpy(X), torch.from_numpy(Y)), batch_size=60)
    result = train(Spy(3, 1), loader, validation=(X[:20], Y[:20]), epochs=2)
    assert torch.equal(torch.cat(seen), torch.from_numpy(np.concatenate([X, X])))
    assert [len(batch) for batch in seen] == [60, 60, 60, 20] * 2
    assert (result.n_train, result.n_validation) == (200, 20)


def test_a_shuffling_loader_gives_another_order_every_epoch():
    seen = []

    class Spy(nn.Linear):
        def forward(self, x):
            seen.append(x.detach().clone())
            return super().forward(x)

    loader = DataLoader(TensorDataset(torch.from_numpy(X), torch.from_numpy(Y)), batch_size=200, shuffle=True)
    train(Spy(3, 1), loader, validation=None, epochs=2)
    assert not torch.equal(seen[0], seen[1])


@pytest.mark.parametrize("stream", ["loader", "list"])
def test_streams_cannot_be_split(stream):
    dataset = TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    data = DataLoader(dataset, batch_size=50) if stream == "loader" else [dataset[:100], dataset[100:]]
    with pytest.raises(InputError, match="pass validation data"):
        train(linear(), data)
    assert np.isnan(train(linear(), data, validation=None).history["validation_loss"]).all()


def test_a_generator_is_refused_before_training():
    model = linear()
    before = weights(model)
    with pytest.raises(DataError, match="generator"):
        train(model, ((torch.from_numpy(X), torch.from_numpy(Y)) for _ in range(3)), validation=None)
    assert torch.equal(before, weights(model))


def feeds(data, **options):
    defaults = {"target": None, "validation": 0.2, "gap": None, "shuffle_split": False, "batch_size": 10}
    return prepare(nn.Linear(1, 1), data, **{**defaults, **options}, generator=torch.Generator())


def test_validation_is_the_last_rows():
    parts = feeds((X, Y))
    assert torch.equal(parts.train, torch.arange(160))
    assert torch.equal(parts.held_rows, torch.arange(160, 200))


def test_sequences_leave_a_gap():
    sequence = np.zeros((100, 7, 2), np.float32)
    parts = feeds((sequence, np.zeros(100)))
    assert int(parts.held_rows[0]) - int(parts.train[-1]) == 7 + 1
    assert int(feeds((sequence, np.zeros(100)), gap=0).held_rows[0]) == 80
    with pytest.raises(DataError, match="gap=0"):
        feeds((sequence, np.zeros(100)), validation=0.05)


def test_windows_share_no_row():
    w = windows(np.arange(100.0)[:, None], 0, length=5, horizon=3)
    parts = feeds(w)
    last_known = w.X[parts.train].max() + 3
    assert w.X[parts.held_rows].min() == last_known + 1


def test_a_random_split_has_to_be_asked_for():
    parts = feeds((X, Y), shuffle_split=True)
    assert sorted(torch.cat([parts.train, parts.held_rows]).tolist()) == list(range(200))
    assert not torch.equal(parts.held_rows, torch.arange(160, 200))
    with pytest.raises(InputError, match="gap"):
        feeds((X, Y), shuffle_split=True, gap=3)


def test_every_epoch_sees_every_training_row_once():
    parts = feeds((np.arange(50.0)[:, None], np.zeros(50)))
    generator = torch.Generator().manual_seed(1)
    epochs = [torch.cat([batch.inputs[0] for batch in parts.shuffled(generator)]).flatten() for _ in range(2)]
    assert not torch.equal(epochs[0], epochs[1])
    assert all(sorted(rows.tolist()) == list(range(40)) for rows in epochs)


def test_the_best_weights_come_back():
    model = small()
    held = (X[:40], Y[:40])
    result = train(model, (X[40:], Y[40:]), validation=held, epochs=15, lr=0.3, schedule="constant", clip=None)
    assert result.best_loss == result.history["validation_loss"].min()
    assert result.best_epoch == result.history["validation_loss"].idxmin() + 1
    assert result.best_epoch < 15
    model.eval()
    with torch.no_grad():
        loss = ((model(torch.from_numpy(held[0]))[:, 0] - torch.from_numpy(held[1])) ** 2).mean()
    assert loss.item() == pytest.approx(result.best_loss, rel=1e-5)


def test_patience():
    result = train(linear(), (X, np.zeros(200, np.float32)), epochs=100, patience=3, lr=1.0, schedule="constant")
    assert result.stopped == "patience"
    assert len(result.history) == result.best_epoch + 3


def test_schedules_and_rates():
    cosine = train(linear(), epochs=5, lr=0.1).history["lr"]
    assert cosine.is_monotonic_decreasing
    assert cosine.iloc[0] == 0.1
    assert 0 < cosine.iloc[-1] < 0.01
    assert (train(linear(), epochs=5, lr=0.1, schedule="constant").history["lr"] == 0.1).all()


def test_any_torch_optimizer():
    model = linear()
    result = train(model, optimizer=lambda p: torch.optim.SGD(p, lr=0.05), epochs=30, schedule="constant")
    assert result.best_loss < 1e-3
    with pytest.raises(InputTypeError, match="no torch optimizer"):
        train(model, optimizer=lambda _: None)


def test_clipping_bounds_the_step():
    moved = []
    for clip in (1e-3, None):
        model = linear()
        before = weights(model)
        train(model, optimizer=lambda p: torch.optim.SGD(p, lr=1e-2), clip=clip, epochs=1, batch_size=200)
        moved.append((weights(model) - before).norm().item())
    assert moved[0] == pytest.approx(1e-5, rel=1e-2)
    assert moved[1] > 1e-3


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_classes(optimizer):
    labels = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), KANHead(8, 3))
    train(model, (X, labels), epochs=10 if optimizer == "lbfgs" else 60, lr=None if optimizer == "lbfgs" else 0.02,
          optimizer=optimizer)  # fmt: skip
    model.eval()
    assert (model(torch.from_numpy(X)).argmax(1).numpy() == labels).mean() > 0.85


def test_several_inputs_by_name():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.dense, self.table = nn.Linear(3, 1), nn.Embedding(2, 1)

        def forward(self, x, shop):
            return self.dense(x) + self.table(shop)

    shop = RNG.integers(0, 2, 200)
    model = Two()
    result = train(model, ({"x": X, "shop": shop}, Y + 3 * shop), epochs=60, lr=0.1)
    assert result.best_loss < 0.01
    assert (model.table.weight[1] - model.table.weight[0]).item() == pytest.approx(3, abs=0.1)


def test_a_recurrent_baseline_without_a_kan():
    sequence = RNG.normal(size=(300, 6, 2)).astype(np.float32)
    torch.manual_seed(0)
    model = Hybrid(nn.LSTM(2, 8, batch_first=True), nn.Linear(8, 1))
    result = train(model, (sequence, sequence[:, -1, 0]), epochs=15, lr=0.03)
    assert result.best_loss < 0.2
    assert result.history["edges"].isna().all()
    assert result.history["inputs_alive"].isna().all()
    assert result.dropped_inputs == ()


def test_validation_data_need_the_same_columns():
    table = pd.DataFrame(X, columns=["a", "b", "c"]).assign(y=Y)
    assert train(linear(), table, target="y", validation=table).n_validation == 200
    with pytest.raises(NamesError, match="validation"):
        train(linear(), table, target="y", validation=table.rename(columns={"a": "z"}))
    with pytest.raises(InputError, match="gap and shuffle_split"):
        train(linear(), table, target="y", validation=table, gap=3)


BAD = {
    "no target": ({"data": X}, DataError, "training needs a target"),
    "no data": ({"data": None}, InputTypeError, "NoneType"),
    "nan": ({"data": (np.where(X > 2, np.nan, X), Y)}, DataError, "missing"),
    "nan in validation": ({"validation": (X * np.nan, Y)}, DataError, "missing"),
    "integers": ({"data": (X.astype(int), Y)}, InputTypeError, "integer|floating"),
    "rows": ({"data": (X, Y[:-1])}, ShapeError, "one to one"),
    "width": ({"data": (X[:, :2], Y)}, ModelError, "shapes"),
    "target width": ({"data": (X, np.stack([Y, Y], 1))}, ShapeError, "same shape"),
    "epochs": ({"epochs": 0}, InputError, "epochs"),
    "batch size": ({"batch_size": 0}, InputError, "batch_size"),
    "optimizer": ({"optimizer": "adamw2"}, InputError, "'adam', 'lbfgs'"),
    "optimizer type": ({"optimizer": 3}, InputTypeError, "callable"),
    "schedule": ({"schedule": "step"}, InputError, "'cosine'"),
    "lr": ({"lr": float("nan")}, InputError, "lr"),
    "clip": ({"clip": -1.0}, InputError, "clip"),
    "loss": ({"loss": "nope"}, InputError, "nope"),
    "domain every": ({"domain_every": 0}, InputError, "domain_every"),
    "patience": ({"patience": 0}, InputError, "patience"),
    "validation": ({"validation": 1.5}, InputError, "between 0 and 1"),
    "sparsity": ({"sparsity": 0.1}, InputTypeError, "Sparsity"),
    "sparsity without a head": ({"sparsity": Sparsity()}, ModelError, "head=0"),
    "seed": ({"seed": -1}, InputError, "seed"),
    "checkpoint": ({"checkpoint": "/no/such/folder/x"}, InputError, "existing folder"),
}


@pytest.mark.parametrize("case", BAD)
def test_refused_before_anything_is_changed(case):
    options, error, message = BAD[case]
    model = linear()
    model.eval()
    before, state = weights(model), torch.get_rng_state()
    with pytest.raises(error, match=message):
        train(model, options.pop("data", (X, Y)) if "data" not in options else options["data"],
              **{key: value for key, value in options.items() if key != "data"})  # fmt: skip
    assert torch.equal(before, weights(model))
    assert torch.equal(state, torch.get_rng_state())
    assert not model.training


def test_nothing_to_train():
    with pytest.raises(ModelError, match="nothing to train"):
        train(nn.Flatten())
    with pytest.raises(InputTypeError, match=r"nn\.Module"):
        train("model")
    with pytest.raises(ModelError, match="Hybrid"):
        train(nn.LSTM(3, 2, batch_first=True), (np.zeros((50, 4, 3), np.float32), np.zeros(50)))
    with pytest.raises(StateError, match="meta"):
        train(nn.Linear(3, 1, device="meta"))


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_divergence_is_named_and_undone(optimizer):
    calls = []

    def exploding(output, target):
        calls.append(0)
        return (output.flatten() - target.flatten()) ** 2 * (float("inf") if len(calls) > 30 else 1.0)

    model, twin = linear(), linear()
    with pytest.raises(StateError, match=r"epoch \d+: .*batch.*weights of the epoch before"):
        train(model, loss=exploding, epochs=50, batch_size=40, optimizer=optimizer)
    assert weights(model).isfinite().all()
    assert not torch.equal(weights(model), weights(twin))


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs", "lm"])
def test_an_interrupt_in_an_epoch_leaves_the_weights_before_it(optimizer):
    rows, held = [], []
    model = KANHead(3, 1, hidden=(2,), grid=3, generator=torch.Generator().manual_seed(0))
    forward = model.forward

    def interrupted(x):
        if len(rows) == 2 and not model.training:  # the validation of the third epoch: its steps are made
            assert not torch.equal(held[0], weights(model))
            raise KeyboardInterrupt
        return forward(x)

    def watch(row):
        rows.append(row["epoch"])
        held[:] = [weights(model)]

    model.forward = interrupted
    with pytest.raises(KeyboardInterrupt):
        train(model, (X, Y[:, None]), optimizer=optimizer, epochs=5, on_epoch=watch)
    assert rows == [1, 2]
    assert torch.equal(held[0], weights(model))


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("trained", ["nothing", "bias"])
def test_a_penalty_of_frozen_edges_is_a_constant(optimizer, trained):
    head = KANHead(3, 1, hidden=(3,), domain=(-2, 2), generator=torch.Generator().manual_seed(0))
    for name, parameter in head.named_parameters():
        parameter.requires_grad_(trained in name)
    model = nn.Sequential(nn.Linear(3, 3), head)
    before = [layer.weight.clone() for layer in head.kan_layers]
    result = train(model, optimizer=optimizer, epochs=3, domain_updates=0.0, sparsity=Sparsity(head=1e-3, inputs=0.0))
    assert result.history["train_loss"].iloc[-1] < result.history["train_loss"].iloc[0]
    assert (result.history["penalty"].iloc[1:] > 0).all()
    assert all(torch.equal(a, layer.weight) for a, layer in zip(before, head.kan_layers, strict=True))


def test_a_bad_batch_in_a_stream_costs_one_epoch_at_most():
    class Rotting:
        def __init__(self):
            self.passes = 0

        def __iter__(self):
            self.passes += 1
            yield torch.from_numpy(X[:100]), torch.from_numpy(Y[:100])
            spoilt = X[100:].copy()
            if self.passes > 2:
                spoilt[5, 1] = np.nan
            yield torch.from_numpy(spoilt), torch.from_numpy(Y[100:])

    # telling a one-shot object from others may open it once or twice: count from there
    model, twin = linear(), linear()
    train(twin, [(X[:100], Y[:100]), (X[100:], Y[100:])], validation=None, epochs=2, schedule="constant")
    with pytest.raises(DataError, match=r"x1 \(1\); first at row 105"):
        train(model, Rotting(), validation=None, epochs=5, schedule="constant")
    assert torch.equal(weights(model), weights(twin))


def test_domains_follow_and_functions_stay():
    torch.manual_seed(0)
    head = KANHead(4, 1)
    head.train()
    head(torch.rand(50, 4))
    assert not follow_inputs((head,))
    wide = 3 * torch.rand(200, 4)
    head(wide)
    before = copy.deepcopy(head).eval()(wide)
    assert follow_inputs((head,))
    assert head.layers[0].domain[1].min() > 2.5
    inside = wide[(wide < 1).all(1)]
    assert torch.allclose(head.eval()(inside), before[(wide < 1).all(1)], atol=0.05)
    assert not follow_inputs((head,))


def test_domain_updates_can_be_turned_off():
    ends = []
    for share in (0.0, 1.0):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), KANHead(4, 1))
        with torch.no_grad():
            model[0].weight.mul_(0.01)
        train(model, epochs=20, lr=0.05, domain_updates=share, schedule="constant")
        ends.append(model[1].layers[0].domain.abs().max().item())
    assert ends[1] > 2 * ends[0]


def test_effective_edges_counts():
    head = KANHead(4, 2, noise=0.0, base="identity", domain=(-1, 1))
    with torch.no_grad():
        head.layers[0].weight.zero_()
        assert effective_edges((head,)) == 0
        head.layers[0].weight[0, -1, :3] = 2.0
    assert effective_edges((head,)) == pytest.approx(3)
    assert effective_edges((head, head)) == pytest.approx(6)
    assert np.isnan(effective_edges(()))


def test_without_a_seed_fits_differ_and_repeat_after_manual_seed():
    def first_layer():
        model = linear()
        torch.manual_seed(start)
        train(model, seed=None, epochs=1)
        once = weights(model)
        model = linear()
        torch.manual_seed(start)
        torch.randint(2**62, ())  # what the first fit has drawn
        train(model, seed=None, epochs=1)
        return once, weights(model)

    start = 5
    once, twice = first_layer()
    assert not torch.equal(once, twice)
    assert all(torch.equal(a, b) for a, b in zip((once, twice), first_layer(), strict=True))


def test_domains_move_only_every_so_many_epochs():
    torch.manual_seed(0)
    model, ends = nn.Sequential(nn.Linear(3, 4), KANHead(4, 1)), []
    with torch.no_grad():
        model[0].weight.mul_(0.01)
    train(
        model, epochs=6, lr=0.05, domain_updates=1.0, domain_every=3, schedule="constant",
        on_epoch=lambda _: ends.append(model[1].kan_layers[0].domain.clone()),
    )  # fmt: skip
    assert [not torch.equal(a, b) for a, b in pairwise(ends)] == [False, True, False, False, True]


def test_domains_that_move_by_themselves_are_left_to_do_so():
    x = torch.randn(256, 2, generator=torch.Generator().manual_seed(0))
    data = TensorDataset(x, x[:, :1].sin())
    head = KANHead(2, 1, moving_domain=True, generator=torch.Generator().manual_seed(0))
    with pytest.raises(InputError, match="moving_domain=True: L-BFGS"):
        fit(head, data, epochs=1, optimizer="lbfgs", seed=0, progress=False)
    assert not bool(head.kan_layers[0].calibrated)
    head.kan_layers[0].set_domain(-9.0, 9.0)
    fit(head, data, epochs=1, batch_size=256, seed=0, progress=False)
    assert head.kan_layers[0].domain[1].tolist() == [9.0, 9.0]
