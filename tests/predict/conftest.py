"""The toy problem and its trained run, as in tests/train."""

from tests.train.conftest import toy, toy_cache, toy_run

__all__ = ["toy", "toy_cache", "toy_run"]
