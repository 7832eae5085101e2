"""Write environment.yml: for conda users, the versions of the lock file.

The direct dependencies of pyproject.toml, each at the version that the lock has.
"""

import tomllib
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
  - pip
  - pip:
"""


def locked_versions() -> dict[str, str]:
    """Name -> version of every package that the lock has for this Python."""
    versions = {}
    for line in Path("requirements.lock").read_text().splitlines():
        if line[:1].isalnum():
            requirement = Requirement(line.removesuffix("\\"))
            if requirement.marker is None or requirement.marker.evaluate(TARGET):
                versions[requirement.name] = str(requirement.specifier)[2:]
    return versions


def direct_dependencies() -> list[str]:
    """Names of what pyproject.toml asks for, extras included."""
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    wanted = chain(project["dependencies"], *project["optional-dependencies"].values())
    return sorted(Requirement(line).name for line in wanted)


if __name__ == "__main__":
    versions = locked_versions()
    lines = [f"      - {name}=={versions[name]}\n" for name in direct_dependencies()]
    print(HEAD + "".join(lines), end="")
