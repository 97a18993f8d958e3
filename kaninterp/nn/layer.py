"""One Kolmogorov-Arnold layer: a matrix of learnt univariate functions, summed per output."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from kaninterp.core.errors import DataError, InputError, InputTypeError, ShapeError, StateError
from kaninterp.nn.bspline import MAX_ORDER, OUTSIDE
from kaninterp.nn.domain import interpolate_knots, quantile_knots, rescale_knots, uniform_knots, widen
from kaninterp.nn.kernel import spline_linear
from kaninterp.nn.planes import BASES, Placement, SplineSpec, place, planes
from kaninterp.nn.projection import quadrature, transfer_operator

__all__ = ["DEFAULT_OUTSIDE", "PARTS", "KANLayer"]

DEFAULT_OUTSIDE = "linear"
PARTS = ("all", "spline", "base")
"""Which part of an edge function `KANLayer.edges` evaluates."""

GRAM_POINTS = 8
"""Gauss points per interval for the Gram matrix: exact for products of splines up to order 5, and enough for
silu within a cell."""


def basis_gram(spec: SplineSpec, knots: Tensor) -> Tensor:
    """Covariances of all planes of each input under the uniform measure on its domain: (in, K + 1, K + 1)."""
    points, weights = quadrature(knots, GRAM_POINTS)
    basis = planes(points, spec, place(knots, spec))
    centred = basis - (weights.unsqueeze(1) * basis).sum(0)
    return torch.einsum("qi,qmi,qni->imn", weights, centred, centred)


class KANLayer(nn.Module):
    """A layer of edge functions ``phi_ji(x) = w_ji base(x) + sum_m c_jim B_m(x)`` and a bias per output."""

    knots: Tensor
    mask: Tensor
    calibrated: Tensor
    seen: Tensor
    _lo: Tensor
    _hi: Tensor
    _per_unit: Tensor
    _ladder: Tensor | None
    _tails: Tensor | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        grid: int = 5,
        order: int = 3,
        uniform: bool = True,
        domain: tuple[float | Tensor, float | Tensor] | None = None,
        outside: str = DEFAULT_OUTSIDE,
        base: str = "silu",
        noise: float = 0.1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        _check_options(in_features, out_features, grid, order, outside, base, noise)
        self.in_features, self.out_features = in_features, out_features
        self.spec = SplineSpec(grid=grid, order=order, outside=outside, base=base, uniform=uniform)
        self.noise = float(noise)
        factory: dict[str, Any] = {"device": device, "dtype": dtype}
        self.weight = nn.Parameter(torch.empty(out_features, self.spec.size + 1, in_features, **factory))
        self.bias = nn.Parameter(torch.empty(out_features, **factory))
        ends = torch.ones(in_features, **factory)
        self.register_buffer("knots", uniform_knots(-ends, ends, grid))
        self.register_buffer("mask", torch.ones(out_features, in_features, **factory))
        self.register_buffer("calibrated", torch.tensor(False, device=device))
        self.register_buffer("seen", torch.stack((ends, -ends)) * math.inf)
        for name, part in place(self.knots, self.spec)._asdict().items():
            self.register_buffer(f"_{name}", part, persistent=False)
        self._unpruned = True
        self._calibrated = False
        self._gram: tuple[Tensor, Tensor] | None = None
        self.reset_parameters(generator)
        if domain is not None:
            self.set_domain(*domain)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw new weights: base weights uniform in ``+-1/sqrt(in)`` (as `nn.Linear`), spline coefficients normal
        with standard deviation ``noise / sqrt(in)``, bias 0."""
        width = 1 / math.sqrt(max(self.in_features, 1))
        with torch.no_grad():
            self.coef.normal_(0.0, self.noise * width, generator=generator)
            self.base_weight.uniform_(-width, width, generator=generator)
            self.bias.zero_()

    @property
    def grid(self) -> int:
        """Intervals per input."""
        return self.spec.grid

    @property
    def order(self) -> int:
        """Polynomial degree."""
        return self.spec.order

    @property
    def coef(self) -> Tensor:
        """Spline coefficients, a view of `weight`, shape (K, out, in)."""
        return self.weight[:, :-1].transpose(0, 1)

    @property
    def base_weight(self) -> Tensor:
        """Weights of the base branch, a view of `weight`, shape (out, in)."""
        return self.weight[:, -1]

    @property
    def domain(self) -> Tensor:
        """Ends of every input's domain, shape (2, in)."""
        return torch.stack((self.knots[:, 0], self.knots[:, -1]))

    @property
    def placement(self) -> Placement:
        """Where the splines lie, derived from `knots`."""
        return Placement(self._lo, self._hi, self._per_unit, self._ladder, self._tails)

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate the layer, ``(..., in) -> (..., out)``."""
        _check_input(x, self.in_features)
        rows = x.reshape(-1, self.in_features)
        if self.training:
            self._watch(rows.detach())
        out = spline_linear(rows, self.masked_weight(), self.bias, self.spec, self.placement)
        return out.view(*x.shape[:-1], self.out_features)

    def basis(self, x: Tensor) -> Tensor:
        """Spline planes and the base plane at ``x`` (n, in): (n, K + 1, in)."""
        _check_input(x, self.in_features)
        return planes(x, self.spec, self.placement)

    def edges(self, x: Tensor, part: str = "all") -> Tensor:
        """Every edge function at ``x`` (n, in): (n, out, in); masked edges give 0."""
        if part not in PARTS:
            raise InputError(f"part={part!r} is not a part of an edge; allowed: {', '.join(PARTS)}")
        planes_used = {"all": slice(None), "spline": slice(None, -1), "base": slice(-1, None)}[part]
        weight = self.masked_weight()[:, planes_used]
        return torch.einsum("nmi,omi->noi", self.basis(x)[:, planes_used].to(weight.dtype), weight)

    def gram(self) -> Tensor:
        """Centred Gram matrix of the basis under the uniform measure on the domain: (in, K + 1, K + 1)."""
        return self._gram_and_root()[0]

    def gram_root(self) -> Tensor:
        """Matrices R (in, K + 1, K + 1) with ``R R' = gram()``."""
        return self._gram_and_root()[1]

    def masked_weight(self) -> Tensor:
        """All coefficients with those of masked edges set to 0, shape (out, K + 1, in)."""
        return self.weight if self._unpruned else self.weight * self.mask.unsqueeze(1)

    @torch.no_grad()
    def set_mask(self, mask: Tensor) -> None:
        """Keep the edges where ``mask`` (out, in) is 1 (or True), silence the others."""
        if mask.shape != self.mask.shape:
            raise ShapeError(f"mask has shape {tuple(mask.shape)}; allowed: (out, in) = {tuple(self.mask.shape)}")
        if not bool(((mask == 0) | (mask == 1)).all()):
            raise InputError("mask has values other than 0 and 1")
        self.mask.copy_(mask)
        self._sync_flags()

    @torch.no_grad()
    def set_domain(self, lo: float | Tensor, hi: float | Tensor) -> None:
        """Move the knots to the domain [lo, hi] (numbers or (in,)), in place; coefficients stay as they are."""
        self.knots.copy_(self._knots_on(lo, hi))
        self._domain_changed()
        self._mark_calibrated()

    @torch.no_grad()
    def update(self, lo: float | Tensor | None = None, hi: float | Tensor | None = None) -> None:
        """Move the knots to a new domain, in place, keeping every edge function there as it is."""
        if lo is None or hi is None:
            if not bool(torch.isfinite(self.seen).all()):
                raise StateError("update() without a range needs one training forward since the last update")
            lo, hi = widen(self.seen[0], self.seen[1])
        knots = self._knots_on(lo, hi)
        self.weight[:, :-1] = self._transferred(knots)
        self.knots.copy_(knots)
        self.seen[0], self.seen[1] = math.inf, -math.inf
        self._domain_changed()
        self._mark_calibrated()

    @torch.no_grad()
    def refine(self, grid: int) -> KANLayer:
        """Build a layer with another grid and the same functions; this one is left unchanged."""
        new = KANLayer(
            self.in_features,
            self.out_features,
            grid=grid,
            order=self.order,
            uniform=self.spec.uniform,
            outside=self.spec.outside,
            base=self.spec.base,
            noise=0.0,
            device="meta",
            dtype=self.weight.dtype,
        )
        new = new.to_empty(device=self.weight.device)
        new.noise = self.noise
        new.knots.copy_(interpolate_knots(self.knots, grid))
        new.weight[:, :-1] = self._transferred(new.knots)
        new.weight[:, -1] = self.base_weight
        for name in ("bias", "mask", "calibrated", "seen"):
            getattr(new, name).copy_(getattr(self, name))
        new._domain_changed()
        new._sync_flags()
        return new.train(self.training)

    def extra_repr(self) -> str:
        """Sizes and options, as torch prints modules."""
        kept = "" if self._unpruned else f", kept={int(self.mask.sum())}/{self.mask.numel()}"
        spec = self.spec
        return (
            f"{self.in_features}, {self.out_features}, grid={spec.grid}, order={spec.order}, "
            f"uniform={spec.uniform}, outside={spec.outside!r}, base={spec.base!r}{kept}"
        )

    @torch.no_grad()
    def _gram_and_root(self) -> tuple[Tensor, Tensor]:
        """Gram matrix and root, computed once per domain: they do not depend on the weights."""
        if self._gram is None:
            gram = basis_gram(self.spec, self.knots.double())
            values, vectors = torch.linalg.eigh(gram)
            root = vectors * values.clamp(min=0).sqrt().unsqueeze(-2)
            self._gram = gram.to(self.knots.dtype), root.to(self.knots.dtype)
        return self._gram

    def _transferred(self, knots: Tensor) -> Tensor:
        """Coefficients (out, new K, in) of the same functions on other knots."""
        operator = transfer_operator(self.knots, knots, self.order, self.spec.outside)
        return torch.einsum("inm,omi->oni", operator, self.weight[:, :-1].double()).to(self.weight.dtype)

    def _knots_on(self, lo: float | Tensor, hi: float | Tensor) -> Tensor:
        ends = [torch.as_tensor(e, dtype=self.knots.dtype, device=self.knots.device) for e in (lo, hi)]
        if any(end.dim() > 1 or end.numel() not in {1, self.in_features} for end in ends):
            raise ShapeError(f"domain ends must be numbers or have shape ({self.in_features},), got {[tuple(e.shape) for e in ends]}")
        lo, hi = (end.expand(self.in_features) for end in ends)
        if not bool((torch.isfinite(lo) & torch.isfinite(hi) & (lo < hi)).all()):
            raise InputError("every domain needs finite ends with lo < hi")
        return uniform_knots(lo, hi, self.grid) if self.spec.uniform else rescale_knots(self.knots, lo, hi)

    def _watch(self, rows: Tensor) -> None:
        """Remember the range of training inputs; the first batch sets the domain."""
        if not self._calibrated:
            self._calibrate(rows)
        if rows.shape[0]:
            with torch.no_grad():
                lo, hi = rows.amin(0), rows.amax(0)
                self.seen[0].copy_(torch.minimum(self.seen[0], lo))
                self.seen[1].copy_(torch.maximum(self.seen[1], hi))

    @torch.no_grad()
    def _calibrate(self, rows: Tensor) -> None:
        if rows.shape[0] == 0:
            raise DataError("the first training batch is empty; the domain cannot be set from it")
        rows = rows.to(self.knots.dtype)
        lo, hi = rows.amin(0), rows.amax(0)
        if not torch.compiler.is_compiling() and not bool((torch.isfinite(lo) & torch.isfinite(hi)).all()):
            raise DataError("the first training batch has NaN or infinite values; the domain cannot be set from it")
        lo, hi = widen(lo, hi)
        self.knots.copy_(uniform_knots(lo, hi, self.grid) if self.spec.uniform else quantile_knots(rows, lo, hi, self.grid))
        self._domain_changed()
        self._mark_calibrated()

    def _mark_calibrated(self) -> None:
        self.calibrated.fill_(True)
        self._calibrated = True

    @torch.no_grad()
    def _domain_changed(self) -> None:
        """Forget or rebuild what is derived from the knots."""
        self._gram = None
        for old, new in zip(self.placement, place(self.knots, self.spec), strict=True):
            if old is not None and new is not None:
                old.copy_(new)  # in place: a compiled graph keeps seeing the same tensors

    def _sync_flags(self) -> None:
        """Mirror buffers in Python flags, so that forward never has to look into a tensor."""
        self._unpruned = bool((self.mask == 1).all())
        self._calibrated = bool(self.calibrated)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> KANLayer:
        super()._apply(fn, recurse)
        self._domain_changed()  # in the new dtype, not rounded through the old one
        return self

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *args: Any
    ) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args)
        self._domain_changed()
        self._sync_flags()


def _check_options(
    in_features: int, out_features: int, grid: int, order: int, outside: str, base: str, noise: float
) -> None:
    for name, value, least in (("in_features", in_features, 0), ("out_features", out_features, 0), ("grid", grid, 1)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InputError(f"{name}={value!r}; allowed: an integer of at least {least}")
    if isinstance(order, bool) or not isinstance(order, int) or not 1 <= order <= MAX_ORDER:
        raise InputError(f"order={order!r}; allowed: an integer from 1 to {MAX_ORDER}")
    if outside not in OUTSIDE:
        raise InputError(f"outside={outside!r}; allowed: {', '.join(OUTSIDE)}")
    if base not in BASES:
        raise InputError(f"base={base!r}; allowed: {', '.join(BASES)}")
    if not (math.isfinite(noise) and noise >= 0):
        raise InputError(f"noise={noise!r}; allowed: a finite number of at least 0")


def _check_input(x: Tensor, width: int) -> None:
    if x.dim() == 0 or x.shape[-1] != width:
        raise ShapeError(f"expected input of shape (..., {width}), got {tuple(x.shape)}")
    if not x.is_floating_point():
        raise InputTypeError(f"expected a floating-point input, got {x.dtype}; convert it with x.float()")
