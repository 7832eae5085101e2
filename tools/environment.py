"""Write environment.yml: for conda users, the versions of the lock file.

The direct dependencies of pyproject.toml, each at the version that the lock has. With
the word `binder`, only those of the library, the companion and the notebooks, and torch
as conda-forge builds it without CUDA: the packages of the lock would fill Binder's
machines.
"""

import sys
import tomllib
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from packaging.requirements import Requirement

PYTHON = "3.12"
TARGET = {"python_version": PYTHON, "python_full_version": f"{PYTHON}.0"}
HEAD = f"""\
# Written by `make lock`: the direct dependencies at the versions of requirements.lock.
name: colorlib
channels: [conda-forge]
dependencies:
  - python={PYTHON}
"""
PIP = "  - pip\n  - pip:\n"
TORCH = ("pytorch-cpu>=2.9", "torchvision")  # a pair, whichever conda-forge has


def locked_versions() -> dict[str, str]:
    """Name -> version of every package that the lock has for this Python."""
    versions = {}
    for line in Path("requirements.lock").read_text().splitlines():
        if line[:1].isalnum():
            requirement = Requirement(line.removesuffix("\\"))
            if requirement.marker is None or requirement.marker.evaluate(TARGET):
                versions[requirement.name] = str(requirement.specifier)[2:]
    return versions


def names_of(lines: Iterable[str]) -> list[str]:
    """Names of the packages of some requirements, sorted."""
    return sorted(Requirement(line).name for line in lines)


def write(packages: Iterable[str], names: Iterable[str]) -> None:
    """Print the file: packages from conda-forge, then names from the lock."""
    versions = locked_versions()
    conda = [f"  - {package}\n" for package in packages]
    pip = [f"      - {name}=={versions[name]}\n" for name in names]
    print(HEAD + "".join(conda) + PIP + "".join(pip), end="")


if __name__ == "__main__":
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    needed, extras = project["dependencies"], project["optional-dependencies"]
    if sys.argv[1:] == ["binder"]:
        names = names_of([*needed, *extras["companion"]])
        write(TORCH, [name for name in names if name not in ("torch", "torchvision")])
    else:
        write([], names_of(chain(needed, *extras.values())))
