"""Keep your own training loop: a GRU + KANHead in plain torch, then one call to explain it.

Nothing of kaninterp's training is used. The three lines that concern the head are marked. The data are made here:
two columns count, at known lags, and three are noise. Writes ``reports/own_loop.html``.

With Lightning the same three lines go into a module (Lightning is not a dependency)::

    class Forecaster(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.gru = nn.GRU(5, 16, batch_first=True)
            self.head = ki.KANHead(16, 1, hidden=(4,))

        def forward(self, x):
            return self.head(self.gru(x)[0][:, -1])

        def training_step(self, batch, _):
            x, y = batch
            return nn.functional.mse_loss(self(x), y) + 1e-3 * self.head.penalty()

        def on_train_epoch_end(self):
            self.head.update()

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=1e-2)

    model = Forecaster()
    lightning.Trainer(max_epochs=30).fit(model, train_loader)
    ki.report(model.cpu(), test_loader, out="report.html")
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import kaninterp as ki

STEPS, ROWS, EPOCHS = 8, 3000, 30
NAMES = ("load", "wind", "noise a", "noise b", "noise c")
OUT = Path(__file__).resolve().parent.parent / "reports" / "own_loop.html"


class Forecaster(nn.Module):
    """A GRU with a KAN on top."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(len(NAMES), 16, batch_first=True)
        self.head = ki.KANHead(16, 1, hidden=(4,))  # 1: instead of nn.Linear(16, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Predict from the last state."""
        out: Tensor = self.head(self.gru(x)[0][:, -1])
        return out


def made_up(rows: int, seed: int) -> TensorDataset:
    """Load one step ago, plus the sine of the wind two steps ago, plus a little noise."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, STEPS, len(NAMES), generator=generator)
    y = x[:, -2, :1] + torch.sin(x[:, -3, 1:2]) + 0.1 * torch.randn(rows, 1, generator=generator)
    return TensorDataset(x, y)


def main() -> None:
    """Train, explain, say where the report is."""
    torch.manual_seed(0)
    model = Forecaster()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(EPOCHS):
        for x, y in DataLoader(made_up(ROWS, seed=0), batch_size=128, shuffle=True):
            loss = nn.functional.mse_loss(model(x), y) + 1e-3 * model.head.penalty()  # 2: few and simple edges
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.head.update()  # 3: the grids follow the activations, the function stays

    OUT.parent.mkdir(exist_ok=True)
    page = ki.report(model, made_up(1000, seed=1), feature_names=NAMES, target_names=["demand"], out=OUT)
    print(page)
    print(f"\nReport: {OUT}")


if __name__ == "__main__":
    main()
