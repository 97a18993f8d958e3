"""pykan's calls on kaninterp's floors: change the import and the tutorials run.

::

    from kaninterp.compat import KAN, create_dataset

Calls of pykan 0.0.x and 0.2.x are both understood. What is measured, cut, fitted and written as a formula comes from
the same functions as everywhere else in kaninterp; ``model.head`` is the `KANHead` to go on with.
"""

from .dataset import create_dataset, create_dataset_from_data
from .kan import KAN
from .rounding import ex_round

__all__ = ["KAN", "create_dataset", "create_dataset_from_data", "ex_round"]
