"""The cell that makes a notebook run in Colab, and does nothing anywhere else."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

ROOT = Path(__file__).parents[2]
CELLS = {
    path.stem: nbformat.read(path, as_version=4).cells
    for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
}
CODE = next(iter(CELLS.values()))[1].source


def test_every_notebook_begins_with_the_same_set_up():
    for cells in CELLS.values():
        set_up = [c for c in cells if "set-up" in c.metadata.get("tags", [])]
        assert set_up == [cells[1]]  # below the title, above imports and parameters
        assert cells[1].source == CODE
        assert cells[1].metadata.tags == ["set-up", "remove-cell"]  # not in the book


def run_set_up(folder, code, **environment):
    """Run the cell and what follows in a new interpreter, in an empty folder."""
    own = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    return subprocess.run(
        [sys.executable, "-P", "-c", f"{CODE}\n{code}"],
        cwd=folder, env=own | environment, capture_output=True, text=True,
    )  # fmt: skip


def instead_of(place):
    """Settings of git that have it fetch from elsewhere."""
    address = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["url"]
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{place.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": address,
    }


def test_it_does_nothing_outside_colab(tmp_path):
    done = run_set_up(tmp_path, "print(sys.path[0])", PATH="")  # no git is there
    assert done.returncode == 0, done.stderr
    assert str(tmp_path) not in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def published(tmp_path):
    """A repository like the published one, in a folder."""
    repository = tmp_path / "published"
    repository.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, repository / name)
    for name in ("colorlib", "companion"):
        ignore = shutil.ignore_patterns("__pycache__", "results")
        shutil.copytree(ROOT / name, repository / name, ignore=ignore)
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    for command in (["init", "--quiet"], ["add", "."], [*who, "commit", "-qm", "All"]):
        subprocess.run(["git", *command], cwd=repository, check=True)
    return repository


def test_in_colab_the_package_comes_from_the_repository(tmp_path, published):
    colab = tmp_path / "content"
    colab.mkdir()
    # pip checks everything and changes nothing: this environment is no Colab.
    pip = {"PIP_DRY_RUN": "1", "PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1"}
    pip |= {"PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    code = "import colorlib, companion.config as p; print(colorlib.__file__)\n"
    code += "print(p.load_profile('quick').data.dataset)"
    for _ in range(2):  # as when the cell is run again
        settings = {"COLAB_RELEASE_TAG": "release", **pip, **instead_of(published)}
        done = run_set_up(colab, code, **settings)
        assert done.returncode == 0, done.stdout + done.stderr
        *_, file, dataset = done.stdout.splitlines()
        assert Path(file) == colab / "companion" / "colorlib" / "__init__.py"
        assert dataset == "scenes"


def test_in_colab_a_failure_is_not_passed_over(tmp_path):
    settings = {"COLAB_RELEASE_TAG": "release", **instead_of(tmp_path / "none")}
    done = run_set_up(tmp_path, "print('on')", **settings)
    assert done.returncode != 0
    assert "on\n" not in done.stdout
