"""The doors: README's example, and the wheel where there is nothing else of ours."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from photo_files import photograph
from PIL import Image

ROOT = Path(__file__).parents[2]
HEAVY = "lightning pooch requests pandas matplotlib timm torchvision scipy skimage"

# The command, and any other program of the environment, may not look into the clone.
GUARD = f"""
import sys
def refuse(event, args):
    if event in ("open", "os.listdir", "os.scandir") and isinstance(args[0], str):
        path = args[0]
        if path.startswith("{ROOT}/") and not path.startswith("{ROOT}/.venv"):
            raise RuntimeError("looked into the clone: " + path)
sys.addaudithook(refuse)
"""


def test_the_example_of_the_readme_runs(tmp_path, monkeypatch):
    (tmp_path / "photographs").mkdir()
    for seed in range(4):
        photograph(seed).save(tmp_path / "photographs" / f"{seed}.jpg")
    photograph(9).save(tmp_path / "old.jpg")
    example = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    monkeypatch.chdir(tmp_path)
    exec(compile(example[1], "README.md", "exec"), {})


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A new environment with the wheel; its dependencies are those of this one."""
    base = tmp_path_factory.mktemp("wheel")
    source, venv = base / "source", base / "venv"
    source.mkdir()  # a build leaves files behind
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "colorlib", source / "colorlib")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    options = ["--quiet", "--no-deps", "--no-index"]
    building = ["wheel", *options, "--no-build-isolation", "--wheel-dir", str(base)]
    subprocess.run([*pip, *building, str(source)], check=True)
    (file,) = base.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    subprocess.run([*pip, "--python", venv, "install", *options, file], check=True)
    (packages,) = venv.glob("lib/python*/site-packages")
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"))
    (packages / "sitecustomize.py").write_text(GUARD)
    return venv


def run(command, folder):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run(command, cwd=folder, env=clean, **piped)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.slow
def test_the_wheel_is_the_library_and_colours_in_an_empty_folder(wheel, tmp_path):
    photograph(0, 64).convert("L").save(tmp_path / "old.png")
    run([wheel / "bin" / "colorlib", "colorize", "old.png"], tmp_path)
    made = np.asarray(Image.open(tmp_path / "old.coloured.png").convert("RGB"))
    assert made.shape == (64, 64, 3)
    assert np.ptp(made.astype(int), axis=2).max() > 3
    assert len(list(tmp_path.iterdir())) == 2
    code = f"""if True:
        import pkgutil, sys
        import colorlib.cli, colorlib.colorize
        heavy = set("{HEAVY}".split()) & sys.modules.keys()
        assert not heavy, f"to colour a photograph needs no {{heavy}}"
        for module in pkgutil.walk_packages(colorlib.__path__, "colorlib."):
            __import__(module.name)
            print(module.name)
        print(colorlib.__file__)
    """
    *names, place = run([wheel / "bin" / "python", "-c", code], tmp_path).split()
    assert Path(place).is_relative_to(wheel)
    assert len(names) + 1 == len(list((ROOT / "colorlib").rglob("*.py")))
