"""What every test shares."""

import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from colorlib.campaigns import Campaign, write_campaign
from colorlib.provenance import current_commit, now, this_hardware

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


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--campaign`: keep the records of the campaigns that are run."""
    parser.addoption("--campaign", action="store_true", help="keep campaigns' records")


@pytest.fixture
def keep_campaign(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Writes the record of a campaign, called with its name, title and trials."""
    begin = time.perf_counter()

    def keep(**fields: object) -> None:
        campaign = Campaign(
            **fields,
            command="make test-faults",
            created=now(),
            commit=current_commit(),
            seconds=round(time.perf_counter() - begin, 1),
            hardware=this_hardware("cpu"),
        )
        if request.config.getoption("--campaign"):
            write_campaign(campaign)

    return keep
