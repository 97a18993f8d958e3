"""`Written`: pykan's symbolic calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kaninterp.core.edge_formula import EdgeFormula
from kaninterp.core.errors import InputError
from kaninterp.nn.formulas import formulas_of, without_formulas

from . import symbolic
from .pruned import Pruned
from .spelling import index

__all__ = ["Written"]


class Written(Pruned):
    """Edges as formulas ``c f(a x + b) + d``.

    pykan's ``a_range``, ``b_range``, ``r2_loss_fun``, ``c_loss_fun``, ``weight_simple`` and ``verbose`` are taken and
    not needed: numbers are found by least squares from the range of the data, functions are chosen by description
    length, and nothing is printed.
    """

    def fix_symbolic(  # noqa: PLR0917 (pykan's order)
        self,
        l: int,  # noqa: E741 (pykan's name)
        i: int,
        j: int,
        fun_name: Any,
        fit_params_bool: bool = True,
        a_range: Any = None,
        b_range: Any = None,
        verbose: bool = False,
        random: bool = False,
        log_history: bool = False,
    ) -> float:
        """Make the edge from node i of layer l to node j above a formula, in place, however well it fits.

        Parameters
        ----------
        fun_name : str or Family
            One of `kaninterp.core.families.FAMILIES` by name, or a family of one's own.
        fit_params_bool : bool
            Whether a, b, c, d are fitted to the edge; else a = c = 1, b = d = 0.

        Returns
        -------
        float
            R^2 on the edge, 1 - SSE / SST of the formula that was put in.

        Raises
        ------
        InputError
            No such edge, a pruned edge, an unknown function, or one that is not defined on the edge's range.
        """
        del a_range, b_range, verbose, random, log_history
        depth, src, dst = self._live_edge(l, i, j)
        head, r2 = symbolic.fixed(self.traced(), self.head, (depth, dst, src), fun_name, fitted=fit_params_bool)
        self._become(head)
        return r2

    def suggest_symbolic(  # noqa: PLR0917 (pykan's order)
        self,
        l: int,  # noqa: E741 (pykan's name)
        i: int,
        j: int,
        a_range: Any = None,
        b_range: Any = None,
        lib: Sequence[Any] | None = None,
        topk: int = 5,
        verbose: bool = False,
        r2_loss_fun: Any = None,
        c_loss_fun: Any = None,
        weight_simple: float | None = None,
    ) -> tuple[str, EdgeFormula, float, int]:
        """The best function for an edge; the model stays as it is.

        Parameters
        ----------
        lib : sequence of str or Family, optional
            Functions to try; all if not given.
        topk
            How many are compared; `kaninterp.analysis.symbolic.suggest` gives them all.

        Returns
        -------
        name : str
        fun : EdgeFormula
            A function of arrays, with its numbers a, b, c, d.
        r2 : float
        c : int
            Complexity of the function.
        """
        del a_range, b_range, verbose, r2_loss_fun, c_loss_fun, weight_simple
        depth, src, dst = self._live_edge(l, i, j)
        best = symbolic.suggestion(self.traced(), (depth, dst, src), lib, topk)[0]
        return best.name, best.formula, best.r2, best.formula.family.complexity

    def auto_symbolic(  # noqa: PLR0917 (pykan's order)
        self,
        a_range: Any = None,
        b_range: Any = None,
        lib: Sequence[Any] | None = None,
        verbose: Any = 0,
        weight_simple: float | None = None,
        r2_threshold: float = 0.0,
    ) -> dict[tuple[int, int, int], tuple[str, float, bool]]:
        """Make every edge a formula that a formula may stand for, in place; the others stay splines.

        Parameters
        ----------
        lib : sequence of str or Family, optional
            Functions to try; all if not given.
        r2_threshold : float
            Least R^2, beyond what `kaninterp.analysis.symbolic.EdgeFit.good` asks for anyway.

        Returns
        -------
        dict of (l, i, j) to (name, r2, replaced)
            What was found for each edge that was a spline. A live edge is never "0".
        """
        del a_range, b_range, verbose, weight_simple
        head, found = symbolic.all_fixed(self.traced(), self.head, lib, float(r2_threshold))
        self._become(head)
        formulas = formulas_of(self.head)
        return {
            (depth, src, dst): (fit.name, fit.r2, (depth, dst, src) in formulas) for (depth, dst, src), fit in found
        }

    def unfix_symbolic(self, l: int, i: int, j: int, log_history: bool = False) -> None:  # noqa: E741
        """Make a formula a spline again, fitted to it, in place. Pruned edges stay pruned."""
        del log_history
        depth, src, dst = self._edge(l, i, j)
        self._become(without_formulas(self.head, [(depth, dst, src)]))

    def unfix_symbolic_all(self, log_history: bool = False) -> None:
        """Make all formulas splines again, in place. Pruned edges stay pruned."""
        del log_history
        self._become(without_formulas(self.head))

    def symbolic_formula(
        self,
        var: Sequence[Any] | None = None,
        normalizer: Any = None,
        output_normalizer: Any = None,
        *,
        floating_digit: int | None = None,
        simplify: bool = False,
    ) -> tuple[list[Any], list[Any]]:
        """Expressions of the outputs and their variables, as sympy's.

        Parameters
        ----------
        var : sequence of str or sympy.Symbol, optional
            Names of the inputs; ``x_1``, ``x_2``, ... by their numbers in the data if not given.
        normalizer, output_normalizer : (mean, std), optional
            What inputs and labels were normalised with; the expressions are in the units before that.
        floating_digit : int, optional
            pykan 0.0: digits behind the point that numbers are rounded to; None: they stay as they are.
        simplify : bool
            pykan 0.0: whether sympy simplifies the expressions, before they are rounded.

        Returns
        -------
        list of sympy.Expr
            One per output. Edges that are splines are functions ``phi_layer_dst_src``, never left out.
        list of sympy.Symbol
            One per input that is read.
        """
        digits = None if floating_digit is None else index("floating_digit", floating_digit)
        found, variables = symbolic.expressions(self.head, var, normalizer, output_normalizer)
        return [symbolic.shortened(each, digits, simplify) for each in found], variables

    def _live_edge(self, layer: Any, src: Any, dst: Any) -> tuple[int, int, int]:
        depth, i, j = self._edge(layer, src, dst)
        if not bool(self.head.kan_layers[depth].mask[j, i]):
            raise InputError(f"the edge (l={depth}, i={i}, j={j}) was removed and stays so; choose one that is left")
        return depth, i, j
