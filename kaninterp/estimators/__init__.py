"""Faces for scikit-learn: ``pip install kaninterp[sklearn]``."""

try:
    import sklearn  # noqa: F401 (asked for here, so that the error says what to install)
except ImportError as error:
    raise ImportError(
        "kaninterp.estimators needs scikit-learn; install it with: pip install 'kaninterp[sklearn]'"
    ) from error

from .selector import KANSelector

__all__ = ["KANSelector"]
