"""One Kolmogorov-Arnold layer: a matrix of learnt univariate functions, summed per output."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from kaninterp.core.errors import DataError, InputError, ShapeError, StateError
from kaninterp.nn.domain import interpolate_knots, quantile_knots, rescale_knots, uniform_knots, widen
from kaninterp.nn.gram import basis_gram, matrix_root
from kaninterp.nn.kernel import function_transform_active, spline_linear, write_planes
from kaninterp.nn.layer_checks import (
    check_input,
    check_kind,
    check_moving,
    check_noise,
    check_sizes,
    check_spec,
    state_problems,
)
from kaninterp.nn.moving import MovingDomain
from kaninterp.nn.planes import Placement, SplineSpec, place, planes
from kaninterp.nn.projection import transfer_operator
from kaninterp.nn.room import with_room
from kaninterp.nn.start import carried, started, untouched
from kaninterp.nn.symbolic import SymbolicEdges

__all__ = ["DEFAULT_OUTSIDE", "PARTS", "KANLayer"]

DEFAULT_OUTSIDE = "clamp"
"""How splines go on outside the domain unless told otherwise; see `KANLayer` for the figures behind it."""

PARTS = ("all", "spline", "base")
"""Which part of an edge function `KANLayer.edges` evaluates."""


class KANLayer(nn.Module):
    """Edge functions ``phi_ji(x) = w_ji base(x) + sum_m c_jim B_m(x)``, summed per output, plus a bias.

    Parameters
    ----------
    in_features, out_features : int
        Widths.
    grid : int
        Intervals G per input.
    order : int
        Polynomial degree k of the splines, 1 to 5; ``K = G + k`` coefficients per edge.
    uniform : bool
        Equally spaced knots (fast). False: every input has knots of its own, denser where its first batch is.
    domain : (lo, hi), optional
        Domain ends, numbers or tensors (in,). None: [-1, 1] until the first training batch, which sets them to its
        range widened by `kaninterp.nn.domain.DOMAIN_MARGIN`.
    outside : {"base", "linear", "clamp"}
        How the spline part goes on outside the domain: fade to 0, go on straight, stay constant. The base branch
        always sees the true x. Notes has the figures behind the default.
    base : {"silu", "identity", "zero"}
        The base branch.
    noise : float
        Scale of the initial spline coefficients.
    moving_domain : bool
        Whether the domain follows its inputs while training, see `kaninterp.nn.moving.MovingDomain`; for uniform knots.
    device, dtype
        As for `torch.nn.Linear`.
    generator : torch.Generator, optional
        Source of the initial values; None: torch's default, as for `torch.nn.Linear`.

    Attributes
    ----------
    weight : Parameter, shape (out, K + 1, in)
        Spline coefficients and, as the last plane, base weights: the layout of one matrix product.
    bias : Parameter, shape (out,)
        Constants.
    knots : Tensor, shape (in, grid + 1)
        Inner knots; the outer two are the domain.
    mask : Tensor, shape (out, in)
        1 for a live edge, 0 for a silenced one; change it with `set_mask`.
    calibrated : Tensor, shape (), bool
        Whether the domain has been set.
    seen : Tensor, shape (2, in)
        Smallest and largest training inputs since the last `update`.
    start : Tensor, shape (2, out, in)
        What the splines started from, see `kaninterp.nn.start`.
    formulas : SymbolicEdges or None
        Edges that are formulas in place of splines, see `kaninterp.nn.formulas.with_formulas`.

    Raises
    ------
    InputError
        An option out of its range.

    Notes
    -----
    Base weights start uniform in ``+-1/sqrt(in)`` (Kaiming, as `torch.nn.Linear`), spline coefficients normal with
    standard deviation ``noise / sqrt(in)`` (small, as in the KAN paper, arXiv 2404.19756, section 2.2), biases at 0.

    The default of `outside` is the one that errs least when inputs leave the training range. Held-out error against
    the noise-free target, in its training standard deviations, in range / inputs spread by 15 % / drifted, median of
    7 seeds, on three planted problems (laws with heavy tails; shifted and widened columns; a sequence with one column
    three times as wide):

    ======  =====================  =====================  =====================
    clamp   .096 / .137 /  .286    .083 / .118 /  .773    .153 / .184 /  .431
    base    .102 / .154 /  .385    .094 / .175 /  .877    .175 / .281 /  .807
    linear  .118 / .169 /  .359    .080 / .136 /  .517    .161 / .230 / 2.828
    ======  =====================  =====================  =====================

    ``"linear"`` wins where the truth goes on straight (second problem) and fails where it does not (worst seed of the
    third: 6.9). Measure again with ``python -m pytest tests/benchmarks/test_outside_domain.py -q -s``.

    Large inputs on a CPU are computed in chunks that stay in cache, see `kaninterp.nn.kernel`. ``torch.compile`` of
    the layer or the model fuses the planes; it takes no graph break.

    Examples
    --------
    >>> layer = KANLayer(3, 2, generator=torch.Generator().manual_seed(0))
    >>> x = torch.linspace(-2, 2, 30).view(10, 3)
    >>> y = layer(x)  # the first training batch sets the domain
    >>> layer.domain.shape, y.shape
    (torch.Size([2, 3]), torch.Size([10, 2]))
    >>> torch.allclose(layer.edges(x).sum(-1) + layer.bias, y, atol=1e-5)
    True
    """

    knots: Tensor
    mask: Tensor
    calibrated: Tensor
    seen: Tensor
    start: Tensor
    formulas: SymbolicEdges | None
    _lo: Tensor
    _hi: Tensor
    _per_unit: Tensor
    _ladder: Tensor | None
    _centres: Tensor | None
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
        moving_domain: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_sizes(in_features, out_features)
        check_noise(noise)
        self.in_features, self.out_features = in_features, out_features
        self.spec = SplineSpec(grid=grid, order=order, outside=outside, base=base, uniform=uniform)
        check_spec(self.spec)
        check_moving(moving_domain, uniform)
        self.noise, self.moving_domain = float(noise), moving_domain
        self._mover = MovingDomain() if moving_domain else None
        factory: dict[str, Any] = {"device": device, "dtype": dtype}
        self.weight = nn.Parameter(torch.empty(out_features, self.spec.size + 1, in_features, **factory))
        self.bias = nn.Parameter(torch.empty(out_features, **factory))
        ends = torch.ones(in_features, **factory)
        self.register_buffer("knots", uniform_knots(-ends, ends, grid))
        self.register_buffer("mask", torch.ones(out_features, in_features, **factory))
        self.register_buffer("calibrated", torch.tensor(False, device=device))
        self.register_buffer("seen", torch.stack((ends, -ends)) * math.inf)  # nothing seen yet
        self.register_buffer("start", torch.empty(2, out_features, in_features, **factory))
        for name, part in place(self.knots, self.spec)._asdict().items():
            self.register_buffer(f"_{name}", part, persistent=False)
        self.formulas = None
        self._unpruned = True
        self._calibrated = False
        self._gram: tuple[Tensor, Tensor, Tensor] | None = None
        self.reset_parameters(generator)
        if domain is not None:
            self.set_domain(*domain)

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw new weights, see Notes of the class; the domain and formulas stay."""
        width = 1 / math.sqrt(max(self.in_features, 1))
        self.coef.normal_(0.0, self.noise * width, generator=generator)
        self.base_weight.uniform_(-width, width, generator=generator)
        self.bias.zero_()
        self.start.copy_(started(self.coef))

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
    def spline_mask(self) -> Tensor:
        """1 for a live edge that is a spline, 0 for a silenced one and for one that is a formula; (out, in)."""
        return self.mask if self.formulas is None else self.formulas.without(self.mask)

    @property
    def untouched(self) -> Tensor:
        """Whether a spline still is what it started from, (out, in); only its base branch was trained then, if any."""
        return untouched(self.coef, self.start)

    @property
    def placement(self) -> Placement:
        """Where the splines lie, derived from `knots`."""
        return Placement(self._lo, self._hi, self._per_unit, self._ladder, self._centres, self._tails)

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate the layer.

        Parameters
        ----------
        x : Tensor, shape (..., in)
            Any leading dimensions.

        Returns
        -------
        Tensor, shape (..., out)

        Raises
        ------
        ShapeError, InputTypeError, StateError
            Wrong width; integers or another dtype than the layer's; another device than the layer's.
        DataError
            The first training batch is empty or has NaN or infinite values.
        """
        check_input(x, self.in_features)
        check_kind(x, self.weight)
        rows = x.reshape(-1, self.in_features)
        if self.training:
            self._watch(rows.detach())
        return self._evaluate(rows).view(*x.shape[:-1], self.out_features)

    def basis(self, x: Tensor) -> Tensor:
        """Evaluate the spline planes and the base plane.

        Parameters
        ----------
        x : Tensor, shape (n, in)
            Of any floating dtype: float64 points give float64 planes.

        Returns
        -------
        Tensor, shape (n, K + 1, in)
        """
        check_input(x, self.in_features)
        return planes(x, self.spec, self.placement)

    def basis_into(self, out: Tensor, x: Tensor) -> None:
        """Write the planes over ``out``, (n, K + 1, in) of any float type and memory layout; faster than `basis`."""
        check_input(x, self.in_features)
        write_planes(x, self.weight, self.spec, self.placement, out)

    def edges(self, x: Tensor, part: str = "all") -> Tensor:
        """Evaluate every edge function.

        Parameters
        ----------
        x : Tensor, shape (n, in)
            Of any floating dtype.
        part : {"all", "spline", "base"}
            Which part of the functions; that of a formula is "spline".

        Returns
        -------
        Tensor, shape (n, out, in)
            Masked edges give 0. Summed over inputs, plus the bias: the output of the layer.
        """
        if part not in PARTS:
            raise InputError(f"part={part!r} is not a part of an edge; allowed: {', '.join(PARTS)}")
        chosen = {"all": slice(None), "spline": slice(None, -1), "base": slice(-1, None)}[part]
        basis = self.basis(x)[:, chosen]
        values = torch.einsum("nmi,omi->noi", basis, self.masked_weight()[:, chosen].to(basis.dtype))
        return values if self.formulas is None or part == "base" else self.formulas.put(values, x, self.mask)

    def gram(self) -> Tensor:
        """Centred Gram matrix of the basis under the uniform measure on the domain: (in, K + 1, K + 1)."""
        return self._gram_and_root()[0]

    def gram_root(self) -> Tensor:
        """Matrices R (in, K + 1, K + 1) with ``R R' = gram()``."""
        return self._gram_and_root()[1]

    def masked_weight(self) -> Tensor:
        """All coefficients with those of masked edges and of formulas set to 0, shape (out, K + 1, in)."""
        plain = self._unpruned and self.formulas is None
        return self.weight if plain else self.weight * self.spline_mask.unsqueeze(1)

    @torch.no_grad()
    def set_mask(self, mask: Tensor) -> None:
        """Silence edges, in place.

        Parameters
        ----------
        mask : Tensor, shape (out, in)
            1 or True keeps an edge, 0 or False silences it.

        Raises
        ------
        ShapeError, InputError
            Another shape; other values.
        """
        if mask.shape != self.mask.shape:
            raise ShapeError(f"mask has shape {tuple(mask.shape)}; allowed: (out, in) = {tuple(self.mask.shape)}")
        if not bool(((mask == 0) | (mask == 1)).all()):
            raise InputError("mask has values other than 0 and 1; allowed: 1 keeps an edge, 0 silences it")
        self.mask.copy_(mask)
        self._sync_flags()

    @torch.no_grad()
    def set_domain(self, lo: float | Tensor, hi: float | Tensor) -> None:
        """Move the knots to another domain, in place; coefficients stay, so the functions stretch along.

        Parameters
        ----------
        lo, hi : float or Tensor, shape (in,)
            New ends. Non-uniform knots keep the ratios of their cells.

        Raises
        ------
        ShapeError, InputError
            Ends of another shape; ends that are not finite with lo < hi.
        """
        self._move(self._knots_on(lo, hi))

    @torch.no_grad()
    def update(self, lo: float | Tensor | None = None, hi: float | Tensor | None = None) -> None:
        """Move the knots to another domain, in place, keeping every edge function as it is there.

        Coefficients are fitted by least squares at fixed points of the new domain (exactly, when the new knots
        contain the old ones), whatever the data look like. The range in `seen` starts anew.

        Parameters
        ----------
        lo, hi : float or Tensor, shape (in,), optional
            New ends. None: the range in `seen`, widened as for the first batch.

        Raises
        ------
        StateError
            No range given and no training batch seen since the last update.
        ShapeError, InputError
            As for `set_domain`.
        """
        if (lo is None) != (hi is None):
            raise InputError(f"update() takes both ends or none, got lo={lo!r}, hi={hi!r}")
        if lo is None or hi is None:
            if not bool(torch.isfinite(self.seen).all()):
                raise StateError(
                    "update() without a range needs finite training inputs since the last update; "
                    "run a training batch through the layer or give lo and hi"
                )
            lo, hi = widen(self.seen[0], self.seen[1])
        knots = self._knots_on(lo, hi)
        before = self.coef.clone()
        self.weight[:, :-1] = self._transferred(knots)
        self.start.copy_(carried(self.start, before, self.coef))
        self._move(knots)
        self.seen.copy_(_nothing_seen(self.seen))

    @torch.no_grad()
    def refine(self, grid: int) -> KANLayer:
        """Build a layer with another grid and the same functions; this one is left unchanged.

        Parameters
        ----------
        grid : int
            New number of intervals. A multiple of the old one keeps every function exactly, any other gives the
            least-squares best on the domain.

        Returns
        -------
        KANLayer
            With the same domain, mask, bias and base weights.
        """
        new = KANLayer(
            self.in_features,
            self.out_features,
            grid=grid,
            order=self.order,
            uniform=self.spec.uniform,
            outside=self.spec.outside,
            base=self.spec.base,
            noise=0.0,
            moving_domain=self.moving_domain,
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
        new.start.copy_(carried(self.start, self.coef, new.coef))
        new.weight.requires_grad_(self.weight.requires_grad)
        new.bias.requires_grad_(self.bias.requires_grad)
        new.formulas = copy.deepcopy(self.formulas)
        new._domain_changed()
        new._sync_flags()
        return new.train(self.training)

    def extra_repr(self) -> str:
        """Sizes and options, as torch prints modules."""
        kept = "" if self._unpruned else f", kept={int(self.mask.sum())}/{self.mask.numel()}"
        spec, moving = self.spec, ", moving_domain=True" if self.moving_domain else ""
        return (
            f"{self.in_features}, {self.out_features}, grid={spec.grid}, order={spec.order}, "
            f"uniform={spec.uniform}, outside={spec.outside!r}, base={spec.base!r}{moving}{kept}"
        )

    @torch.no_grad()
    def _gram_and_root(self) -> tuple[Tensor, Tensor]:
        """Gram matrix and root, computed once per domain: they do not depend on the weights."""
        # compared by value: distributed training overwrites the knots of a rank without telling anybody
        if self._gram is None or not torch.equal(self._gram[2], self.knots):
            gram = basis_gram(self.spec, self.knots.double())
            self._gram = gram.to(self.knots.dtype), matrix_root(gram).to(self.knots.dtype), self.knots.clone()
        return self._gram[:2]

    def _transferred(self, knots: Tensor) -> Tensor:
        """Coefficients (out, new K, in) of the same functions on other knots."""
        operator = transfer_operator(self.knots, knots, self.order, self.spec.outside)
        return torch.einsum("inm,omi->oni", operator, self.weight[:, :-1].double()).to(self.weight.dtype)

    def _knots_on(self, lo: float | Tensor, hi: float | Tensor) -> Tensor:
        """Knots of the present kind on a checked domain."""
        lo, hi = (torch.as_tensor(end, dtype=self.knots.dtype, device=self.knots.device) for end in (lo, hi))
        if any(end.shape not in {(), (self.in_features,)} for end in (lo, hi)):
            raise ShapeError(
                f"domain ends have shapes {tuple(lo.shape)} and {tuple(hi.shape)}; "
                f"allowed: numbers, or ({self.in_features},), one per input"
            )
        lo, hi = lo.expand(self.in_features), hi.expand(self.in_features)
        fine = torch.isfinite(lo) & torch.isfinite(hi) & (lo < hi)
        if not bool(fine.all()):
            i = int(fine.logical_not().nonzero()[0])
            raise InputError(f"domain of input {i} is [{lo[i]:g}, {hi[i]:g}]; allowed: finite ends with lo < hi")
        return uniform_knots(lo, hi, self.grid) if self.spec.uniform else rescale_knots(self.knots, lo, hi)

    def _evaluate(self, rows: Tensor) -> Tensor:
        values = spline_linear(rows, self.masked_weight(), self.bias, self.spec, self.placement)
        return values if self.formulas is None else values + self.formulas(rows, self.mask).to(values.dtype)

    def _watch(self, rows: Tensor) -> None:
        """Remember the range of training inputs; the first batch sets the domain."""
        if function_transform_active():
            return  # per-sample gradients and the like must not write to buffers
        if not self._calibrated:
            self._calibrate(rows)
        if rows.shape[0]:
            with torch.no_grad():  # fmin, fmax: a NaN row does not spoil what is known
                rows = rows.to(self.seen.dtype)
                self.seen.copy_(
                    torch.stack((torch.fmin(self.seen[0], rows.amin(0)), torch.fmax(self.seen[1], rows.amax(0))))
                )
        if self._mover is not None:
            self._mover.see(self, rows)

    @torch.no_grad()
    def _calibrate(self, rows: Tensor) -> None:
        if rows.shape[0] == 0:
            raise DataError(
                "the first training batch is empty, but it sets the domain; give a batch with rows, "
                "or set the domain with domain=(lo, hi)"
            )
        rows = rows.to(self.knots.dtype)
        lo, hi = rows.amin(0), rows.amax(0)
        # a compiled graph cannot look; there NaN reaches the loss and is seen
        if not torch.compiler.is_compiling() and not bool((lo.isfinite() & hi.isfinite()).all()):
            bad = int((lo.isfinite() & hi.isfinite()).logical_not().nonzero()[0])
            raise DataError(
                f"the first training batch has NaN or infinite values in column {bad}; they cannot set the domain"
            )
        lo, hi = with_room(rows, lo, hi, self.grid) if self.moving_domain else widen(lo, hi)
        uniform = self.spec.uniform
        self._move(uniform_knots(lo, hi, self.grid) if uniform else quantile_knots(rows, lo, hi, self.grid))

    @torch.no_grad()
    def _move(self, knots: Tensor) -> None:
        self.knots.copy_(knots)
        self._domain_changed()
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
        start, weight = self.start, self.weight.detach()
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self.weight.dtype != weight.dtype:  # sums of rounded coefficients are not the rounded sums
            with torch.no_grad():
                self.start.copy_(carried(start, weight[:, :-1].transpose(0, 1), self.coef))
        self._domain_changed()  # in the new dtype, not rounded through the old one
        return self

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        *_, error_msgs = args
        if prefix + "weight" in state_dict:  # saved before the start was kept: it is not known then
            unknown = torch.stack((torch.full_like(self.mask, torch.inf), torch.zeros_like(self.mask)))
            state_dict = {prefix + "start": unknown, **state_dict}
        own = (*self.named_parameters(recurse=False), *self.named_buffers(recurse=False))
        shapes = {name: tensor.shape for name, tensor in own}
        problems = list(state_problems(self.spec, shapes, state_dict, prefix))
        error_msgs.extend(problems)
        if not problems:  # else nothing of this layer is changed
            super()._load_from_state_dict(state_dict, prefix, *args)
            self._domain_changed()
            self._sync_flags()


def _nothing_seen(like: Tensor) -> Tensor:
    return torch.stack((torch.full_like(like[0], math.inf), torch.full_like(like[1], -math.inf)))
