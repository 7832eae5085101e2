"""What every test shares."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

# Time is measured in benchmarks: a busy machine must not fail a test.
settings.register_profile(
    "default", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("default")

# What asks for the `copy` of the repository, whose book takes minutes to build.
OF_THE_BOOK = [f"tests/book/test_{name}.py" for name in ("book", "browser")]


class ByFile(LoadFileScheduling):
    """What shares fixtures stays in one process: a file, and what looks at one book."""

    def _split_scope(self, nodeid: str) -> str:
        scope: str = super()._split_scope(nodeid)
        return "tests/book" if scope in OF_THE_BOOK else scope


def pytest_xdist_make_scheduler(
    config: pytest.Config, log: Producer
) -> LoadFileScheduling:
    """Have the tests shared out by `ByFile`."""
    return ByFile(config, log)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Records of fault injection are written only when asked for."""
    parser.addoption(
        "--record", action="store_true", help="write tests/faults/records/*.json"
    )


Tally = Callable[[str], AbstractContextManager[None]]


@pytest.fixture(scope="module")
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """`with tally(kind):` counts a trial, which holds if nothing is raised.

    The module's `RECORD` says what its record is called and what was expected.
    """
    tried: Counter[str] = Counter()
    held: Counter[str] = Counter()
    begun = time.monotonic()

    @contextmanager
    def trial(kind: str) -> Iterator[None]:
        tried[kind] += 1
        yield
        held[kind] += 1

    yield trial
    if request.config.getoption("--record"):
        from tools.fault_records import Trial, fault_record, write_fault_record

        kinds = [Trial(kind=k, tried=n, held=held[k]) for k, n in tried.items()]
        about = {**request.module.RECORD, "command": "make test-faults RECORD=1"}
        write_fault_record(fault_record(kinds, time.monotonic() - begun, **about))
