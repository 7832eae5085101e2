"""What surrounds the package says the same everywhere: versions, commands, pages."""

import ast
import importlib.metadata
import re
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
EXTRAS = PROJECT["optional-dependencies"]
DIRECT = [
    Requirement(line) for line in chain(PROJECT["dependencies"], *EXTRAS.values())
]
LOCK = (ROOT / "requirements.lock").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


def locked():
    """Name -> requirement line of the lock; some have a line for each Python."""
    lines = re.findall(r"^(\S.*?) \\$", LOCK, re.MULTILINE)
    return [Requirement(line) for line in lines]


def versions_in_lock(name):
    return {str(r.specifier).removeprefix("==") for r in locked() if r.name == name}


@pytest.mark.parametrize("wanted", DIRECT, ids=lambda requirement: requirement.name)
def test_the_lock_satisfies_pyproject(wanted):
    versions = versions_in_lock(wanted.name)
    assert versions
    assert all(wanted.specifier.contains(version) for version in versions)


def test_everything_in_the_lock_has_one_version_and_hashes():
    entries = re.split(r"^(?=[a-z0-9])", LOCK, flags=re.MULTILINE | re.IGNORECASE)[1:]
    assert len(entries) > len(DIRECT)
    for entry in entries:
        first = Requirement(entry.splitlines()[0].removesuffix("\\"))
        assert re.fullmatch(r"==[^*,]+", str(first.specifier)), first
        assert "--hash=sha256:" in entry, first


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


@pytest.mark.parametrize(
    ("folders", "declared"),
    [
        (["colorlib"], PROJECT["dependencies"]),
        (["tools", "tests", "benchmarks"], map(str, DIRECT)),
    ],
)
def test_what_is_imported_is_declared(folders, declared):
    names = {Requirement(line).name for line in declared}
    installed = importlib.metadata.packages_distributions()
    used = imported(folders) & installed.keys() - {"colorlib", "companion"}
    assert len(used) > 10
    for module in used:
        theirs = {re.sub(r"[-_.]+", "-", n).lower() for n in installed[module]}
        assert theirs & names, module


@pytest.mark.parametrize("wanted", DIRECT, ids=lambda requirement: requirement.name)
def test_this_environment_is_the_locked_one(wanted):
    assert importlib.metadata.version(wanted.name) in versions_in_lock(wanted.name)


def test_the_environment_for_conda_has_the_locked_versions():
    script = [sys.executable, "-m", "tools.environment"]
    told = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout == (ROOT / "environment.yml").read_text()
    *_, pip = yaml.safe_load(told.stdout)["dependencies"]
    pinned = {r.name: str(r.specifier)[2:] for r in map(Requirement, pip["pip"])}
    assert pinned.keys() == {requirement.name for requirement in DIRECT}
    assert all(version in versions_in_lock(name) for name, version in pinned.items())


def test_torch_and_torchvision_are_one_pair():
    wanted = importlib.metadata.requires("torchvision") or []
    torch = next(r for r in map(Requirement, wanted) if r.name == "torch")
    assert all(
        torch.specifier.contains(version) for version in versions_in_lock("torch")
    )


def test_the_uv_that_installs_is_the_locked_one():
    assert versions_in_lock("uv") == set(re.findall(r"^UV := (\S+)$", MAKEFILE, re.M))


def test_the_quick_start_is_two_commands():
    readme = (ROOT / "README.md").read_text()
    quick_start = readme.split("## Quick start", 1)[1].split("```")[1]
    commands = re.findall(r"^make \w+", quick_start, re.MULTILINE)
    assert commands == ["make book", "make test"]


def test_continuous_integration_runs_the_command_of_the_readme():
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert script.read_text().rstrip().splitlines()[-1] == "make test"


TARGETS = [
    "book",
    "pdf",
    "links",
    "test",
    "test-faults",
    "lint",
    "format",
    "lock",
    "clean",
]


@pytest.mark.parametrize("target", TARGETS)
def test_make_explains_what_it_can_do(target):
    told = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"make {target} " in told.stdout
    assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)


def test_an_old_python_is_named_before_anything_is_made(tmp_path):
    (tmp_path / "Makefile").write_text(MAKEFILE)
    for name in ("requirements.lock", "pyproject.toml"):
        (tmp_path / name).touch()
    old = tmp_path / "python"
    old.write_text(
        f"#!{sys.executable}\n"
        "import sys\n"
        "sys.version_info, sys.version = (3, 9, 6), '3.9.6 (an old one)'\n"
        "exec(sys.argv[2])\n"
    )
    old.chmod(0o755)
    told = subprocess.run(
        ["make", "setup", f"PYTHON={old}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode != 0
    assert "found Python 3.9.6, expected 3.11 or newer" in told.stderr
    assert not (tmp_path / ".venv").exists()


def test_every_page_of_the_book_has_its_source():
    content = yaml.safe_load((ROOT / "_toc.yml").read_text())
    chapters = chain.from_iterable(part["chapters"] for part in content["parts"])
    for page in (content["root"], *(chapter["file"] for chapter in chapters)):
        found = [ROOT / f"{page}{suffix}" for suffix in (".md", ".ipynb")]
        assert any(path.is_file() for path in found), page


def test_the_citation_names_this_version_and_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert citation["references"][0]["doi"] == "10.22044/jadm.2021.9957.2131"


@pytest.mark.parametrize("path", sorted((ROOT / ".github/workflows").glob("*.yml")))
def test_workflows_have_least_permissions_and_pinned_actions(path):
    text = path.read_text()
    assert yaml.safe_load(text)["permissions"] == {"contents": "read"}
    used = re.findall(r"uses: (\S+)", text)
    assert used
    for action in used:
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action), action
