"""Mutation testing: change the code, run the tests, record what they miss.

mutmut makes the changes and runs the tests, as `[tool.mutmut]` of pyproject.toml says.
`TRIED` says how many of a module's changes are tried, drawn by the seed. A change that
no test noticed counts as held if tools/survivors.yaml says why none could.

    python -m tools.mutants             tries the changes that no test noticed so far
    python -m tools.mutants --record  and writes tests/faults/records/mutants.json
"""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from random import Random

import yaml
from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code

from tools.fault_records import Trial, fault_record, write_fault_record

TRIED = {  # module -> how many of its changes; None for all
    "losses": None,
    "color": None,
    "metrics": None,
    "targets": None,
    "data.packed": 30,
    "data.sources": 30,
    "data.splits": 30,
}
SEED = 0
SURVIVORS = Path("tools/survivors.yaml")


def results_of(module: str) -> SourceFileMutationData:
    """What mutmut keeps of one module: its changes, and what became of them."""
    data = SourceFileMutationData(path=f"colorlib/{module.replace('.', '/')}.py")
    data.load()
    return data


def drawn(module: str) -> list[str]:
    """The changes of a module that are tried."""
    names = list(results_of(module).exit_code_by_key)
    Random(SEED).shuffle(names)  # so that a larger number adds to a smaller one
    return names[: TRIED[module]]


def attempt(names: Iterable[str]) -> None:
    """Have mutmut try changes, one after the other."""
    if names := list(names):
        subprocess.run(["mutmut", "run", "--max-children", "1", *names], check=True)


def noticed(code: int | None) -> bool:
    """Whether a test failed, or never ended, by the exit code that mutmut keeps."""
    return status_by_exit_code[code] in ("killed", "timeout", "segfault")


def left(module: str, names: Iterable[str]) -> list[str]:
    """Those of some changes that were not tried, or that no test noticed so far."""
    results = results_of(module).exit_code_by_key
    return [name for name in names if not noticed(results[name])]


def changed_line(module: str, name: str) -> str:
    """The line as the change has it."""
    diff = get_diff_for_mutant(name, path=results_of(module).path)
    added = [line for line in diff.splitlines() if line.startswith("+")]
    return " ".join(line[1:].strip() for line in added if not line.startswith("+++"))


def trial(module: str, names: Sequence[str], reasons: Mapping[str, str]) -> Trial:
    """Count the changes of one module; print those unnoticed that nothing explains."""
    unnoticed = [(name, changed_line(module, name)) for name in left(module, names)]
    explained = Counter(reasons[line] for _, line in unnoticed if line in reasons)
    for name, line in unnoticed:
        if line not in reasons:
            print(f"unnoticed: {name}: {line}")
    notes = [f"{count} {why}" for why, count in sorted(explained.items())]
    total = len(results_of(module).exit_code_by_key)
    if len(names) < total:
        notes.insert(0, f"drawn from {total}")
    return Trial(
        kind=f"a change of `colorlib.{module}`",
        tried=len(names),
        held=len(names) - len(unnoticed) + explained.total(),
        note="; ".join(notes),
    )


def main() -> None:
    """Try what is left, count, and write the record if asked."""
    attempt(["colorlib.color.x_check_pair*"])  # and makes the changes of all
    modules = {module: drawn(module) for module in TRIED}
    attempt(n for module, names in modules.items() for n in left(module, names))
    reasons = yaml.safe_load(SURVIVORS.read_text())
    trials = [
        trial(module, names, reasons.get(module, {}))
        for module, names in modules.items()
    ]
    seconds = sum(
        sum(results_of(module).durations_by_key.get(name, 0) for name in names)
        for module, names in modules.items()
    )
    record = fault_record(
        trials,
        seconds,
        name="mutants",
        title="Changes of the code, one at a time",
        expected="a test fails, or the change makes no difference and is explained",
        command="make mutants",
    )
    print(f"{record.held} of {record.tried} changes noticed or explained")
    if sys.argv[1:] == ["--record"]:
        write_fault_record(record)
    sys.exit(record.held < record.tried)


if __name__ == "__main__":
    main()
