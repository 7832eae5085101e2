"""Install what the lessons need and Colab lacks, in less than two minutes.

Colab's torch and torchvision stay: they fit its GPU, and the versions that the lock
file names would be a download of gigabytes. The first cell of each notebook calls this.
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Collection, Iterable, Mapping
from importlib.metadata import distributions, packages_distributions
from pathlib import Path

ROOT = Path(__file__).parent.parent
KEPT = ("torch", "torchvision")
LEFT_OUT = ("snakemake",)  # runs experiments, not lessons


def requirements(installed: Mapping[str, str]) -> list[str]:
    """What the lessons need, with torch as it is installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    companion = project["optional-dependencies"]["companion"]
    wanted = [*project["dependencies"], *companion, "scikit-image"]
    named = {re.match(r"[\w-]+", line)[0]: line for line in wanted}
    fixed = {name: f"{name}=={installed[name]}" for name in KEPT if name in installed}
    return [line for name, line in (named | fixed).items() if name not in LEFT_OUT]


def versions() -> dict[str, str]:
    """Name -> version of all that is installed."""
    return {one.name: one.version for one in distributions()}


def in_use(changed: Collection[str], modules: Iterable[str]) -> list[str]:
    """Which packages, of those that changed, this Python has imported already."""
    sources = packages_distributions()
    loaded = {name for module in modules for name in sources.get(module, ())}
    return sorted(loaded.intersection(changed))


def set_up() -> None:
    """Install, and say whether Colab has to be restarted."""
    before = versions()
    pip = [sys.executable, "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, *requirements(before)], check=True)
    subprocess.run([*pip, "--no-deps", "--editable", str(ROOT)], check=True)
    changed = {name for name, now in versions().items() if before.get(name, now) != now}
    if names := in_use(changed, {module.partition(".")[0] for module in sys.modules}):
        print(
            f"Restart now (Runtime > Restart session), then run this cell again: "
            f"{', '.join(names)} changed while in use."
        )
    else:
        print("Ready: go on with the next cell, no restart is needed.")
