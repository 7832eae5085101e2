"""A training that was left alone: what all others are compared with."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import victim
from trials import Training


@dataclass(frozen=True)
class Alone:
    """A training that was left alone.

    Attributes:
        root: Its folder.
        lines: phase -> how many lines it executed.
        seconds: How long it took.
        left: What it left, see `Training.left`.
    """

    root: Path
    lines: dict[str, int]
    seconds: float
    left: dict[str, Any]


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Alone:
    """Train once, without any harm."""
    training = Training(tmp_path_factory.mktemp("alone"))
    counts = training.root / "counts.json"
    begun = time.monotonic()
    status, said = training.run(victim.count_lines, counts)
    assert status == 0, said
    seconds = time.monotonic() - begun
    return Alone(
        training.root, json.loads(counts.read_text()), seconds, training.left()
    )


@pytest.fixture
def training(tmp_path: Path) -> Training:
    """One that has not begun."""
    return Training(tmp_path)
