"""What is typed, pinned and promised agrees with itself."""

import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def direct():
    wanted = chain(
        project()["dependencies"], *project()["optional-dependencies"].values()
    )
    return [Requirement(line) for line in wanted]


def locked():
    """Every line of the lock that names a package, with its hashes' lines joined."""
    text = (ROOT / "requirements.lock").read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line[:1].isalnum()]


def versions():
    """Name -> versions in the lock, of all markers."""
    found = {}
    for line in locked():
        requirement = Requirement(line.split(" --hash")[0])
        version = str(requirement.specifier).removeprefix("==")
        found.setdefault(requirement.name, set()).add(version)
    return found


@pytest.mark.parametrize("requirement", direct(), ids=lambda r: r.name)
def test_the_lock_satisfies_what_is_asked_for(requirement):
    assert versions()[requirement.name]
    for version in versions()[requirement.name]:
        assert requirement.specifier.contains(version)


def test_every_locked_package_is_exact_and_hashed():
    for line in locked():
        assert re.match(r"\S+==\S+", line), line
        assert "--hash=sha256:" in line, line


def test_the_lock_names_no_index():
    assert "index-url" not in (ROOT / "requirements.lock").read_text()


def test_torch_and_torchvision_are_the_known_pair():
    assert (versions()["torch"], versions()["torchvision"]) == ({"2.14.1"}, {"0.29.1"})


def test_the_environment_file_is_what_make_lock_writes():
    done = subprocess.run(
        [sys.executable, "tools/environment.py"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (ROOT / "environment.yml").read_text() == done.stdout
    pinned = yaml.safe_load(done.stdout)["dependencies"][-1]["pip"]
    assert {line.split("==")[0] for line in pinned} == {r.name for r in direct()}


def test_what_is_installed_is_what_is_locked():
    from importlib.metadata import version

    for name in ("torch", "torchvision", "timm", "lightning", "jupyter-book"):
        assert version(name) in versions()[name]


def test_the_readme_s_two_commands_exist():
    readme = (ROOT / "README.md").read_text()
    makefile = (ROOT / "Makefile").read_text()
    for target in ("book", "test"):
        assert f"make {target} " in readme
        assert re.search(rf"(?m)^{target}: setup", makefile)


def test_ci_calls_the_readme_s_test_command():
    assert "make test" in (ROOT / ".ci/run").read_text().splitlines()


def test_layers_hold():
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, colorlib; print({'torch', 'numpy', 'PIL'} & set(sys.modules))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_nothing_of_the_data_is_committed():
    command = ["git", "ls-files"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip("no git repository here")
    pictures = (
        ".jpg",
        ".jpeg",
        ".png",
        ".npy",
        ".safetensors",
        ".ckpt",
        ".tar",
        ".tgz",
    )
    assert not [name for name in done.stdout.split() if name.lower().endswith(pictures)]
