"""What every test shares."""

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

# Time is measured in benchmarks: a busy machine must not fail a test.
settings.register_profile(
    "default", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("default")


class ByFile(LoadFileScheduling):
    """What shares fixtures stays in one process: a file, and all tests of the book."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith("tests/book/"):
            return "tests/book"
        scope: str = super()._split_scope(nodeid)
        return scope


def pytest_xdist_make_scheduler(
    config: pytest.Config, log: Producer
) -> LoadFileScheduling:
    """Have the tests shared out by `ByFile`."""
    return ByFile(config, log)
