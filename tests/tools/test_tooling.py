"""What surrounds the packages says the same everywhere: versions, commands, pages."""

import ast
import importlib.metadata
import re
import runpy
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NEEDED, EXTRAS = PROJECT["dependencies"], PROJECT["optional-dependencies"]
DIRECT = [Requirement(line) for line in chain(NEEDED, *EXTRAS.values())]
LOCK = (ROOT / "requirements.lock").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


def versions_in_lock(name):
    """Of a package: some have one for each Python."""
    lines = map(Requirement, re.findall(r"^(\S.*?) \\$", LOCK, re.MULTILINE))
    return {str(r.specifier).removeprefix("==") for r in lines if r.name == name}


@pytest.mark.parametrize("wanted", DIRECT, ids=lambda requirement: requirement.name)
def test_the_lock_satisfies_pyproject_and_is_installed(wanted):
    versions = versions_in_lock(wanted.name)
    assert versions
    assert all(wanted.specifier.contains(version) for version in versions)
    assert importlib.metadata.version(wanted.name) in versions


def imported(folders):
    """Names of the packages that the programs in some folders import."""
    names = set()
    for path in chain.from_iterable((ROOT / name).rglob("*.py") for name in folders):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(node.module)
    return {name.partition(".")[0] for name in names}


OURS = {"colorlib", "companion"}


@pytest.mark.parametrize(
    ("folders", "declared"),
    [
        (["colorlib"], NEEDED),
        (["companion"], [*NEEDED, *EXTRAS["companion"]]),
        (["tools", "tests", "benchmarks"], map(str, DIRECT)),
    ],
)
def test_what_is_imported_is_declared(folders, declared):
    names = {Requirement(line).name for line in declared}
    installed = importlib.metadata.packages_distributions()
    used = imported(folders) & installed.keys() - OURS
    for module in used:
        theirs = {re.sub(r"[-_.]+", "-", n).lower() for n in installed[module]}
        assert theirs & names, module


UNSEEN = {"pyvips-binary", "tqdm", "snakemake"}  # libraries of others, and a command


def test_what_the_packages_declare_is_imported():
    installed = importlib.metadata.packages_distributions()
    for folder, declared in (("colorlib", NEEDED), ("companion", EXTRAS["companion"])):
        theirs = {n.lower() for m in imported([folder]) for n in installed.get(m, ())}
        names = {Requirement(line).name for line in declared} - UNSEEN
        assert names <= {name.replace("_", "-") for name in theirs}


LIBRARY = {Requirement(line).name for line in [*NEEDED, *EXTRAS["companion"]]}
BINDER = LIBRARY - {"torch", "torchvision"}  # by conda


@pytest.mark.parametrize(
    ("words", "name", "wanted"),
    [
        ([], "environment.yml", {requirement.name for requirement in DIRECT}),
        (["binder"], ".binder/environment.yml", BINDER),
    ],
)
def test_the_environments_for_conda_have_the_locked_versions(
    words, name, wanted, monkeypatch, capsys
):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["environment", *words])
    runpy.run_path("tools/environment.py", run_name="__main__")
    written = capsys.readouterr().out
    assert written == (ROOT / name).read_text()
    assert ("pytorch-cpu" in written) == bool(words)
    *_, pip = yaml.safe_load(written)["dependencies"]
    pinned = {r.name: str(r.specifier)[2:] for r in map(Requirement, pip["pip"])}
    assert pinned.keys() == wanted
    assert all(version in versions_in_lock(name) for name, version in pinned.items())


def test_commands_of_the_readme_and_of_ci_are_targets_that_make_explains():
    readme = (ROOT / "README.md").read_text()
    quick_start = readme.split("## Quick start", 1)[1].split("```")[1]
    assert re.findall(r"^make \w+", quick_start, re.M) == ["make book", "make test"]
    script = ROOT / ".ci" / "run"
    assert all(p.stat().st_mode & 0o111 for p in (script, ROOT / ".binder/postBuild"))
    assert script.read_text().rstrip().splitlines()[-1] == "make test"
    assert versions_in_lock("uv") == set(re.findall(r"^UV := (\S+)$", MAKEFILE, re.M))
    (targets,) = re.findall(r"^\.PHONY: help setup (.*)$", MAKEFILE, re.M)
    for target in targets.split():
        assert f"#   make {target} " in MAKEFILE
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)


def test_an_old_python_is_named_before_anything_is_made(tmp_path):
    (tmp_path / "Makefile").write_text(MAKEFILE)
    for name in ("requirements.lock", "pyproject.toml"):
        (tmp_path / name).touch()
    old = tmp_path / "python"
    pretended = "sys.version_info, sys.version = (3, 9, 6), '3.9.6 (an old one)'"
    old.write_text(f"#!{sys.executable}\nimport sys\n{pretended}\nexec(sys.argv[2])\n")
    old.chmod(0o755)
    command = ["make", "setup", f"PYTHON={old}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "found Python 3.9.6, expected 3.11 to 3.14" in done.stderr
    assert not (tmp_path / ".venv").exists()
