"""The same rows in whatever form they arrive give the same batches."""

import random

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from kaninterp.core.errors import DataError, InputTypeError, NamesError, ShapeError, StateError
from kaninterp.data import Windows, as_batches, placement, preserved_rng, windows

N, F = 23, 3
X = np.random.default_rng(0).normal(size=(N, F)).astype(np.float32)
Y = X.sum(axis=1) ** 2
NAMES = ("a", "b", "c")


class Pairs(Dataset):
    def __len__(self):
        return N

    def __getitem__(self, i):
        return X[i], Y[i]


class Dicts(Pairs):
    def __getitem__(self, i):
        return {"x": X[i], "label": Y[i]}


class Flowing(IterableDataset):
    def __iter__(self):
        return iter(zip(X, Y, strict=True))


class Sized:
    """Random access without torch's base class."""

    def __len__(self):
        return N

    def __getitem__(self, i):
        return torch.from_numpy(X[i]), torch.tensor(Y[i])


def chunks(size=5):
    return [(torch.from_numpy(X[i : i + size]), torch.from_numpy(Y[i : i + size])) for i in range(0, N, size)]


def frame():
    return pd.DataFrame(X, columns=list(NAMES)).assign(y=Y)


def a_windows():
    return Windows(
        X=X[:, None].astype(float), y=Y.astype(float), names=NAMES, target_name="y", times=np.arange(N),
        length=1, horizon=0, stride=1, n_dropped=0,
    )  # fmt: skip


KINDS = {
    "tensors": lambda: ((torch.from_numpy(X), torch.from_numpy(Y)), None),
    "double tensors": lambda: ((torch.from_numpy(X).double(), torch.from_numpy(Y).double()), None),
    "arrays": lambda: ((X, Y), None),
    "float64 arrays": lambda: ((X.astype(float), Y.astype(float)), None),
    "read-only arrays": lambda: ((np.broadcast_to(X, X.shape), np.broadcast_to(Y, Y.shape)), None),
    "fortran order, big endian": lambda: ((np.asfortranarray(X.astype(">f8")), Y), None),
    "target apart": lambda: (X, Y),
    "frame and series": lambda: ((frame()[list(NAMES)], frame()["y"]), None),
    "frame, target column": lambda: (frame(), "y"),
    "dict": lambda: ({"x": X, "label": Y}, "label"),
    "dict and target": lambda: (({"x": torch.from_numpy(X)}, Y), None),
    "TensorDataset": lambda: (TensorDataset(torch.from_numpy(X), torch.from_numpy(Y)), None),
    "Dataset of pairs": lambda: (Pairs(), None),
    "Dataset of dicts": lambda: (Dicts(), "label"),
    "sized": lambda: (Sized(), None),
    "IterableDataset": lambda: (Flowing(), None),
    "DataLoader": lambda: (DataLoader(Pairs(), batch_size=5), None),
    "DataLoader of dicts": lambda: (DataLoader(Dicts(), batch_size=5), "label"),
    "list of batches": lambda: (chunks(), None),
    "list of frames": lambda: (
        [(frame()[list(NAMES)][i : i + 5], Y[i : i + 5]) for i in range(0, N, 5)],
        None,
    ),
    "generator": lambda: ((item for item in chunks()), None),
    "Batches": lambda: (as_batches((X, Y)), None),
    "Windows": lambda: (a_windows(), None),
}


def batches_of(kind, **options):
    data, target = KINDS[kind]()
    return as_batches(data, target=target, batch_size=5, dtype=torch.float32, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_same_rows_same_batches(kind):
    got = list(batches_of(kind))
    assert [batch.n_rows for batch in got] == [5, 5, 5, 5, 3]
    assert all(batch.inputs[0].dtype == batch.target.dtype == torch.float32 for batch in got)
    inputs = torch.cat([batch.inputs[0] for batch in got]).reshape(N, F)
    assert torch.equal(inputs, torch.from_numpy(X))
    assert torch.equal(torch.cat([batch.target for batch in got]), torch.from_numpy(Y))


@pytest.mark.parametrize("kind", KINDS)
def test_looking_first_loses_nothing_and_draws_nothing(kind):
    batches = batches_of(kind)
    before = torch.get_rng_state(), random.getstate()
    assert len(batches.names) == F
    assert batches.first.n_rows == 5
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()
    assert sum(batch.n_rows for batch in batches) == N


@pytest.mark.parametrize("kind", KINDS)
def test_second_pass_is_the_same_or_refused(kind):
    batches = batches_of(kind)
    first = torch.cat([batch.inputs[0] for batch in batches])
    if kind == "generator":
        with pytest.raises(DataError, match="generator"):
            batches.again()
        with pytest.raises(DataError, match="generator"):
            list(batches)
    else:
        assert torch.equal(first, torch.cat([batch.inputs[0] for batch in batches.again()]))


@pytest.mark.parametrize("kind", KINDS)
def test_sample_is_the_rows_asked_for(kind):
    sample = batches_of(kind).sample(7)
    assert sample.n_rows == 7
    rows = [int(np.abs(X - row.numpy().ravel()).sum(axis=1).argmin()) for row in sample.inputs[0]]
    assert torch.equal(sample.target, torch.from_numpy(Y[rows]))
    assert rows == sorted(set(rows))
    assert rows[0] == 0
    assert max(np.diff(rows)) <= 2 * N / 7
    assert batches_of(kind).sample(1000).n_rows == N


@pytest.mark.parametrize("kind", KINDS)
def test_random_sample_needs_only_its_generator(kind):
    pick = [batches_of(kind).sample(7, np.random.default_rng(seed)).target for seed in (1, 1, 2)]
    assert torch.equal(pick[0], pick[1])
    assert not torch.equal(pick[0], pick[2])
    assert len(set(pick[0].tolist())) == 7


@pytest.mark.parametrize("size", [1, 4, 9, 40])
def test_random_sample_of_a_stream_does_not_depend_on_its_batches(size):
    stream = (item for item in chunks(size))
    sample = as_batches(stream).sample(6, np.random.default_rng(3))
    keys = np.random.default_rng(3).random(N)
    assert torch.equal(sample.target, torch.from_numpy(Y[np.sort(np.argsort(keys)[:6])]))


@pytest.mark.parametrize("total", [1, 9, 64, 65, 1000])
def test_even_sample_of_a_stream_is_spread_over_all_of_it(total):
    stream = (torch.arange(i, min(i + 7, total), dtype=torch.float32)[:, None] for i in range(0, total, 7))
    rows = as_batches(stream).sample(8).inputs[0].flatten()
    assert len(rows) == min(8, total)
    assert rows[0] == 0
    assert rows[-1] >= 0.85 * (total - 1)
    if total > 8:
        assert rows.diff().max() <= 2.5 * rows.diff().min() + 1


def test_names():
    assert as_batches(X).names == ("x0", "x1", "x2")
    assert as_batches(X, names=NAMES).names == NAMES
    assert as_batches(frame(), target="y").names == NAMES
    assert as_batches(frame(), target=["y", "c"]).names == ("a", "b")
    assert as_batches({"x": X, "one": X[:, :1], "flat": Y, "ids": np.zeros((N, 4), int)}).names == (
        "x.0", "x.1", "x.2", "one", "flat", "ids",
    )  # fmt: skip
    assert as_batches({"x": frame()[["a"]]}).names == ("x.a",)
    assert as_batches(((X, X[:, :1]), Y)).names_per_input == (
        ("input0.0", "input0.1", "input0.2"),
        ("input1.0",),
    )
    two_levels = pd.DataFrame(X, columns=pd.MultiIndex.from_tuples([("t", "min"), ("t", "max"), ("p", "")]))
    assert as_batches(two_levels).names == ("t.min", "t.max", "p.")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("a", "b"), "3 raw columns, got 2"),
        (("a", "b", "b"), "duplicated"),
        (("a", "b", " "), "not empty"),
        (("a", "b", 3), "must be a text"),
    ],
)
def test_wrong_names(names, message):
    with pytest.raises(NamesError, match=message):
        as_batches(X, names=names)


def test_a_table_keeps_its_names():
    assert as_batches(frame(), target="y", names=NAMES).names == NAMES
    with pytest.raises(NamesError, match="has its own"):
        as_batches(frame(), target="y", names=("b", "a", "c"))
    with pytest.raises(NamesError, match="duplicated"):
        as_batches(pd.DataFrame(X, columns=["a", "a", "b"]))


def test_calling_a_model():
    class Two(torch.nn.Module):
        def forward(self, x, ids):
            return x.sum(1) + ids

    ids = torch.arange(N)
    by_key = next(iter(as_batches({"ids": ids, "x": X})))
    by_place = next(iter(as_batches(((X, ids[:, None].float()), Y))))
    assert by_key.inputs[0].dtype == torch.int64
    assert torch.equal(by_key.call(Two()), torch.from_numpy(X).sum(1) + ids)
    assert by_place.call(Two()).shape == (N, N)


def test_targets():
    targets = {
        "int": np.arange(N, dtype=np.int32),
        "bool": Y > 1,
        "frame": frame()[["y"]],
        "wide": frame()[["y", "a"]],
        "labels": pd.Series(np.arange(N, dtype=np.int8)),
        "nullable": pd.Series(np.arange(N), dtype="Int64"),
    }
    kind = {key: as_batches((X, value)).first.target for key, value in targets.items()}
    assert {key: (value.dtype, value.ndim) for key, value in kind.items()} == {
        "int": (torch.int64, 1),
        "bool": (torch.bool, 1),
        "frame": (torch.float32, 1),
        "wide": (torch.float32, 2),
        "labels": (torch.int64, 1),
        "nullable": (torch.int64, 1),
    }
    double = as_batches((X.astype(float), Y), dtype=torch.float64).first
    assert double.target.dtype == torch.float64


def test_memory_mapped_data_stay_on_disk(tmp_path):
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    batches = as_batches(mapped, batch_size=5)
    assert batches._source.block.columns[0].values is mapped
    assert torch.equal(torch.cat([b.inputs[0] for b in batches]), torch.from_numpy(X))


def test_batches_do_not_write_to_the_users_data():
    mine = X.copy()
    for batch in as_batches(mine, batch_size=5):
        batch.inputs[0].zero_()
    assert np.array_equal(mine, X)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("Windows", "Batches")])
def test_missing_values_are_named_and_counted(kind, monkeypatch):
    spoilt = X.copy()
    spoilt[[7, 11], 1] = np.nan
    spoilt[12, 2] = np.inf
    monkeypatch.setitem(globals(), "X", spoilt)
    batches = batches_of(kind)
    with pytest.raises(DataError, match="missing or infinite") as caught:
        list(batches)
    assert f"{batches.names[1]} (1)" in str(caught.value)
    assert "row 7" in str(caught.value)


def test_missing_targets_are_found():
    y = Y.copy()
    y[4] = np.nan
    with pytest.raises(DataError, match=r"target \(1\); first at row 4"):
        list(as_batches((X, y)))


def test_huge_but_finite_values_pass():
    for big in (torch.full((10, 2), 3e38), torch.full((10, 2), 1e69, dtype=torch.float64)):
        assert len(list(as_batches(big))) == 1


def test_values_whose_squares_have_no_room_are_refused_by_name():
    x = torch.zeros(10, 2, dtype=torch.float64)
    x[4, 1] = -3e250
    message = r"too large in rain \(up to 3e\+250\); first at row 4; allowed: up to 1e\+70.*larger unit"
    with pytest.raises(DataError, match=message):
        list(as_batches(x, names=["wind", "rain"]))
    with pytest.raises(DataError, match=r"too large in target \(up to 3e\+250\)"):
        list(as_batches((torch.zeros(10, 2, dtype=torch.float64), x[:, 1])))


def test_values_that_a_number_type_does_not_hold_are_told_from_missing_ones():
    with pytest.raises(DataError, match=r"x0 \(2\).*beyond 3.4e\+38 are infinite in float32"):
        list(as_batches(np.array([[1e60], [1e60], [0.0]]), dtype=torch.float32))
    with pytest.raises(DataError, match=r"drop those rows.$"):
        list(as_batches(torch.tensor([[np.nan], [0.0]])))


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (None, InputTypeError, "got a NoneType"),
        ("x.csv", InputTypeError, "got a str"),
        (3.0, InputTypeError, "got a float"),
        (np.arange(6).reshape(3, 2), InputTypeError, "integer|floating"),
        (torch.arange(6).reshape(3, 2), InputTypeError, "x.float()"),
        (np.array([["a"]]), InputTypeError, "floating"),
        (torch.zeros(2, 2, dtype=torch.complex64), InputTypeError, "complex64"),
        (np.zeros(5), ShapeError, "x\\[:, None\\]"),
        (torch.tensor(1.0), ShapeError, "rows x columns"),
        (pd.Series([1.0]), ShapeError, "to_frame"),
        (np.zeros((0, 2)), DataError, "empty"),
        (pd.DataFrame({"a": []}), DataError, "empty"),
        ([], DataError, "not one batch"),
        (iter([]), DataError, "not one batch"),
        ([torch.zeros(0, 2)], DataError, "no rows"),
        ({}, DataError, "no input"),
        ({1: X}, NamesError, "names of the model's arguments"),
        (pd.DataFrame({"a": ["x"], "b": [1.0]}), InputTypeError, "'a'"),
        (pd.DataFrame({"t": pd.to_datetime(["2020-01-01"])}), InputTypeError, "'t'"),
        ((X, Y[:-1]), ShapeError, "23 rows but the target .* has 22"),
        ((X, Y, Y), InputTypeError, "a tuple of 3"),
        ({"a": X, "b": X[:4]}, ShapeError, "differ in rows"),
        ([X[:5], X[5:, :2]], ShapeError, "stay the same"),
        ([X[:5], X[5:, None]], ShapeError, "stay the same"),
        ([(X[:5], Y[:5]), X[5:]], ShapeError, "some have none"),
        ([1.0, 2.0], InputTypeError, "got a float"),
        ([X[0], X[1]], ShapeError, "list of batches"),
        ((pd.DataFrame(X), pd.Series(Y[::-1], index=range(N)[::-1])), DataError, "row labels"),
        (torch.nn.utils.rnn.pack_sequence([torch.zeros(2, 1)]), InputTypeError, "PackedSequence"),
        (torch.zeros(3, 2, device="meta"), None, None),
    ],
)  # fmt: skip
def test_what_cannot_be_understood_is_refused(data, error, message):
    if error is None:
        with pytest.raises(StateError, match="meta"):
            as_batches(data).check_device(torch.nn.Linear(2, 1))
        return
    with pytest.raises(error, match=message):
        list(as_batches(data))


@pytest.mark.parametrize(
    ("data", "target", "error", "message"),
    [
        (frame(), "z", NamesError, "no column \\['z'\\]"),
        ({"x": X}, "z", NamesError, "not a key"),
        (X, "z", InputTypeError, "only a DataFrame or a dict"),
        ((X, Y), Y, InputTypeError, "once"),
        ((X, Y), "y", InputTypeError, "second target"),
        ([X], Y, InputTypeError, "in each batch"),
        (X, 3.0, InputTypeError, "expected a tensor"),
        (X, np.array(["a"] * N), InputTypeError, "floating"),
        (a_windows(), Y, InputTypeError, "own target"),
    ],
)
def test_wrong_targets(data, target, error, message):
    with pytest.raises(error, match=message):
        list(as_batches(data, target=target))


def test_an_iterator_in_disguise_is_found_out():
    class Disguised:
        def __init__(self):
            self.items = iter(chunks())

        def __iter__(self):
            yield from self.items

    batches = as_batches(Disguised())
    assert sum(batch.n_rows for batch in batches) == N
    with pytest.raises(DataError, match="used up"):
        list(batches.again())


def test_random_access_is_refused_for_streams():
    with pytest.raises(StateError, match="cannot be chosen"):
        as_batches(chunks()).take(slice(3))


@pytest.mark.parametrize("kind", ["arrays", "Dataset of pairs", "frame, target column"])
def test_take(kind):
    batch = batches_of(kind).take(torch.tensor([3, 1, 3]))
    assert torch.equal(batch.inputs[0], torch.from_numpy(X[[3, 1, 3]]))
    assert torch.equal(batch.target, torch.from_numpy(Y[[3, 1, 3]]))


@pytest.mark.parametrize("drop_last", [False, True])
def test_rows_of_a_loader_are_known(drop_last):
    batches = as_batches(DataLoader(Pairs(), batch_size=5, drop_last=drop_last, shuffle=True))
    assert batches.n_rows == sum(batch.n_rows for batch in batches)


def test_preserved_rng_gives_everything_back():
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    with preserved_rng():
        list(as_batches(DataLoader(Pairs(), batch_size=5, shuffle=True)))
        np.random.rand(3), random.random()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert random.getstate() == before[2]


def test_seeded_rng_repeats():
    drawn = []
    for _ in range(2):
        with preserved_rng(7):
            drawn.append((torch.rand(2).tolist(), np.random.rand(2).tolist(), random.random()))  # noqa: NPY002
        torch.rand(1)
    assert drawn[0] == drawn[1]


def test_devices():
    assert placement(torch.nn.Linear(1, 1).double()) == (torch.device("cpu"), torch.float64)
    assert placement(torch.nn.ReLU()) == (torch.device("cpu"), torch.float32)
    with pytest.raises(StateError, match="meta"):
        placement(torch.nn.Linear(1, 1, device="meta"))
    with pytest.raises(StateError, match="meta"):
        as_batches(X).check_device(torch.nn.Linear(3, 1, device="meta"))
    as_batches(X).check_device(torch.nn.Linear(3, 1))


def test_windows_are_read_lazily():
    table = np.random.default_rng(1).normal(size=(200, 4))
    w = windows(table, 2, length=24, horizon=6)
    batch = as_batches(w, batch_size=16).take(torch.tensor([5]))
    assert np.shares_memory(w.X[0], w.X[1])
    assert torch.equal(batch.inputs[0][0], torch.from_numpy(table[5:29]).float())
    assert batch.target.item() == pytest.approx(table[5 + 23 + 6, 2])
