"""The cell that makes a notebook run in Colab, and does nothing anywhere else."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import yaml

from tools.colab import in_use, requirements

ROOT = Path(__file__).parents[2]
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CELLS = [nbformat.read(path, as_version=4).cells for path in PATHS]
CODE = CELLS[0][1].source


def test_every_notebook_begins_with_the_same_set_up():
    for cells in CELLS:
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


def test_it_does_nothing_outside_colab_and_fails_loudly_inside(tmp_path):
    done = run_set_up(tmp_path, "print(sys.path[0])", PATH="")  # no git is there
    assert done.returncode == 0, done.stderr
    assert str(tmp_path) not in done.stdout
    assert list(tmp_path.iterdir()) == []
    done = run_set_up(tmp_path, "print('on')", COLAB_RELEASE_TAG="release", PATH="")
    assert done.returncode != 0
    assert "on\n" not in done.stdout


def test_in_colab_the_package_comes_from_the_repository(tmp_path):
    published, colab = tmp_path / "published", tmp_path / "content"
    colab.mkdir()
    ignore = shutil.ignore_patterns("__pycache__", "results")
    for name in ("colorlib", "companion", "tools"):
        shutil.copytree(ROOT / name, published / name, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, published / name)
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    for command in (["init", "--quiet"], ["add", "."], [*who, "commit", "-qm", "All"]):
        subprocess.run(["git", *command], cwd=published, check=True)
    # pip checks everything and changes nothing: this environment is no Colab.
    pip = {"PIP_DRY_RUN": "1", "PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1"}
    pip |= {"PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    address = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["url"]
    git = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_VALUE_0": address}
    git["GIT_CONFIG_KEY_0"] = f"url.{published.as_uri()}.insteadOf"
    code = "import colorlib, companion.config; print(colorlib.__file__)"
    for _ in range(2):  # as when the cell is run again
        done = run_set_up(colab, code, COLAB_RELEASE_TAG="release", **pip, **git)
        assert done.returncode == 0, done.stdout + done.stderr
        *_, said, file = done.stdout.splitlines()
        assert said == "Ready: go on with the next cell, no restart is needed."
        assert Path(file) == colab / "companion" / "colorlib" / "__init__.py"


def test_in_colab_its_own_torch_stays_and_a_package_in_use_wants_a_restart():
    asked = requirements({"torch": "2.9.0+cu126", "numpy": "2.0.2"})
    assert "torch==2.9.0+cu126" in asked  # as it is: nothing is downloaded
    assert "scikit-image" in asked
    assert not any(line.startswith("snakemake") for line in asked)
    changed = ["numpy", "pillow", "timm", "imagehash"]
    assert in_use(changed, {"numpy", "PIL", "torch"}) == ["numpy", "pillow"]
    assert in_use(["timm"], {"numpy", "__main__"}) == []
