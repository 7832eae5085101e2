"""Change the code in small ways, one at a time, and record what the tests notice.

mutmut makes the changes and runs the tests; `[tool.mutmut]` of pyproject.toml says of
which modules. Of those in `SAMPLED` only some changes are tried, drawn by the seed. A
change that no test noticed counts as held if tools/survivors.yaml says why none could.

    python tools/mutants.py             tries the changes that were not tried yet
    python tools/mutants.py --campaign  and writes campaigns/mutants.json
"""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from random import Random

import yaml
from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code

from colorlib.campaigns import Campaign, Trial, write_campaign
from colorlib.provenance import current_commit, now, this_hardware

WHOLE = ("color", "losses", "metrics")
SAMPLED = {  # module of colorlib.datasets -> how many of its changes are tried
    "downloads": 20,
    "duplicates": 20,
    "finding": 20,
    "packed": 30,
    "sources": 30,
    "splits": 20,
    "trees": 20,
    "scenes": 20,
    "painting": 20,
    "landscape": 20,
}
SEED = 0
NOTICED = ("killed", "timeout", "segfault")
SURVIVORS = Path("tools/survivors.yaml")


def results_of(module: str) -> SourceFileMutationData:
    """What mutmut keeps of one module: its changes, and what became of them."""
    data = SourceFileMutationData(path=f"colorlib/{module.replace('.', '/')}.py")
    data.load()
    return data


def drawn(module: str) -> list[str]:
    """The changes that are tried of a module that is sampled."""
    names = list(results_of(f"datasets.{module}").exit_code_by_key)
    return Random(SEED).sample(names, min(SAMPLED[module], len(names)))


def attempt(names: Iterable[str]) -> None:
    """Have mutmut try changes, one after the other."""
    subprocess.run(["mutmut", "run", "--max-children", "1", *names], check=True)


def untried(module: str, names: Iterable[str]) -> list[str]:
    """Those of some changes that have no result yet."""
    results = results_of(module).exit_code_by_key
    return [name for name in names if results[name] is None]


def changed_line(module: str, name: str) -> str:
    """The line as the change has it."""
    diff = get_diff_for_mutant(name, path=results_of(module).path)
    lines = [line[1:].strip() for line in diff.splitlines() if line[:2] == "+ "]
    return " ".join(lines)


def trial(module: str, names: Iterable[str], reasons: Mapping[str, str]) -> Trial:
    """Count the changes of one module; print those unnoticed that nothing explains."""
    results = results_of(module).exit_code_by_key
    names = [name for name in names if results[name] is not None]
    unnoticed = [
        (name, changed_line(module, name))
        for name in names
        if status_by_exit_code[results[name]] not in NOTICED
    ]
    explained = Counter(reasons[line] for _, line in unnoticed if line in reasons)
    for name, line in unnoticed:
        if line not in reasons:
            print(f"unnoticed: {name}: {line}")
    notes = [f"{count} {why}" for why, count in sorted(explained.items())]
    total = len(results)
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
    attempt(f"colorlib.{module}.*" for module in WHOLE)
    modules = {name: list(results_of(name).exit_code_by_key) for name in WHOLE}
    modules |= {f"datasets.{name}": drawn(name) for name in SAMPLED}
    rest = [n for module, names in modules.items() for n in untried(module, names)]
    if rest:
        attempt(rest)
    reasons = yaml.safe_load(SURVIVORS.read_text())
    trials = [
        trial(module, names, reasons.get(module, {}))
        for module, names in modules.items()
    ]
    seconds = sum(
        sum(results_of(module).durations_by_key.get(name, 0) for name in names)
        for module, names in modules.items()
    )
    campaign = Campaign(
        name="mutants",
        title="Changes of the code, one at a time",
        expected="a test fails, or the change makes no difference and is explained",
        command="make mutants",
        created=now(),
        commit=current_commit(),
        seconds=seconds,
        hardware=this_hardware("cpu"),
        trials=tuple(trials),
    )
    print(f"{campaign.held} of {campaign.tried} changes noticed or explained")
    if sys.argv[1:] == ["--campaign"]:
        write_campaign(campaign)
    sys.exit(campaign.held < campaign.tried)


if __name__ == "__main__":
    main()
