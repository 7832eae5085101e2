"""The command line: what it imports, albums, streams, and one error a line."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hostile import encoded, picture
from PIL import Image
from skimage import data

from colorlib import cli
from colorlib.images import PhotographFile, load_rgb


@pytest.fixture
def colorize(monkeypatch, capsys):
    """Runs a command; its exit status, standard output and standard error."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["colorlib", "colorize", *map(str, arguments)])
        status = 0
        try:
            cli.main()
        except SystemExit as end:
            status = end.code or 0
        return status, *capsys.readouterr()

    return run


def started(*arguments, environment=None, **options):
    """A command in a process of its own."""
    code = "from colorlib.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], check=False, timeout=300,
        capture_output=True, env=os.environ | (environment or {}), **options,
    )  # fmt: skip


def test_what_colouring_and_the_help_do_not_import():
    heavy = {"lightning", "pooch", "requests", "pandas", "matplotlib", "timm"}
    heavy |= {"torchvision", "scipy"}
    code = "import sys, colorlib.cli; assert 'torch' not in sys.modules\n"
    code += "from colorlib.colorize import Colorizer; Colorizer.load()\n"
    code += f"assert not {heavy!r} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert started("--version").stdout.startswith(b"colorlib ")


def test_photographs_are_coloured_and_the_bad_one_is_named(colorize, tmp_path):
    Image.fromarray(data.coffee()[:50, :70]).save(tmp_path / "good.jpg")
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    target = tmp_path / "out"
    status, out, err = colorize(tmp_path, "--out", target)
    assert status == 1
    assert err.count("bad.jpg") == 1
    assert out.endswith("coloured 1, skipped 0, failed 1\n")
    rgb = load_rgb(target / "good.coloured.jpg").astype(int)
    assert rgb.shape == (50, 70, 3)
    assert np.ptp(rgb, axis=2).max() > 10
    again = (tmp_path / "good.jpg", "--out", target)
    status, out, err = colorize(*again)
    assert status == 1
    assert "--force" in err
    expected = (0, "coloured 0, skipped 1, failed 0\n", "")
    assert colorize(*again, "--skip-existing") == expected
    assert colorize(*again, "--force")[0] == 0


def test_format_quality_limit_and_one_file(colorize, tmp_path):
    source, sizes = tmp_path / "a.png", []
    Image.fromarray(data.coffee()[:50, :70]).save(source)
    for quality in (20, 95):
        name = tmp_path / f"result-{quality}.jpg"
        assert colorize(source, "-o", name, "--quality", quality)[0] == 0
        sizes.append(name.stat().st_size)
    assert sizes[0] < 0.75 * sizes[1]
    assert colorize(source, "--format", "webp")[0] == 0
    assert PhotographFile(tmp_path / "a.png.coloured.webp").kind == "webp"
    status, _, err = colorize(source, "--max-pixels", 3000)
    assert status == 1
    assert "has 3,500 pixels, expected at most 3,000" in err
    assert "--max-pixels" in err


def test_a_photograph_from_standard_input_to_standard_output(tmp_path):
    content = encoded(data.coffee()[:40, :60], "JPEG")
    done = started("colorize", "-", "--format", "tiff", input=content)
    assert done.returncode == 0, done.stderr
    assert load_rgb(done.stdout).shape == (40, 60, 3)
    done = started("colorize", "-", "-o", tmp_path / "a.png", input=b"no picture")
    assert done.returncode == 1
    expected = b"colorlib: standard input: is not an image file that can be read\n"
    assert done.stderr == expected


def test_names_that_a_terminal_cannot_print_fail_nothing(tmp_path):
    names = ["写真.png", "bell\a\n.png", "x" * 236 + ".png", "[red]a[1].png"]
    paths = [os.fsencode(tmp_path / name) for name in names]
    for path in [*paths, os.fsencode(tmp_path) + b"/\xff\xfe.png"]:  # of no encoding
        with open(path, "wb") as file:
            file.write(encoded(picture(), "PNG"))
    environment = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    done = started("colorize", tmp_path, environment=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == b"coloured 5, skipped 0, failed 0"
    assert len(list(tmp_path.iterdir())) == 10
    assert b"\\u5199\\u771f.png" in done.stdout


def test_whatever_ends_one_is_told_with_its_name(colorize, monkeypatch, tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(picture(), "PNG"))

    def no_memory(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")

    monkeypatch.setattr("colorlib.colorize.Colorizer.colorize", no_memory)
    status, out, err = colorize(tmp_path / "none.jpg", tmp_path / "a.png")
    assert (status, out) == (1, "coloured 0, skipped 0, failed 2\n")
    assert f"{tmp_path / 'none.jpg'}: found nothing" in err
    assert f"{tmp_path / 'a.png'}: found no memory left" in err
