"""The two diagnosed experiments; not for all tests, since those of checkpoints run without this package."""

from diagnosed import extreme, extreme_profile, ordinary, ordinary_profile, thresholds

__all__ = ["extreme", "extreme_profile", "ordinary", "ordinary_profile", "thresholds"]
