"""Faces for scikit-learn: ``pip install kaninterp[sklearn]``."""

from .selector import KANSelector

__all__ = ["KANSelector"]
