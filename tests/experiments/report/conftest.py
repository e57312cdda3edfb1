"""The tiny analyses of tests/stability."""

from tests.stability.conftest import contents, full, make_runner, pruned, shared_root, train  # noqa: F401
