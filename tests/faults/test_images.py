"""Whatever an image file holds, it is shown as it is, or refused by its name."""

import subprocess
import sys

import numpy as np
import pytest
from hostile import KINDS, corpus, encoded, no_files, picture

from colorlib.colorize import Colorizer
from colorlib.data import open_source, pack
from colorlib.errors import UserError
from colorlib.images import PhotographError, read_photograph

CAMPAIGN = {
    "name": "images",
    "title": "Hostile and odd images",
    "expected": "the file is read as the picture it shows and coloured at its own "
    "size, or refused by its name in one line; cut short it is refused or shown whole",
}
FILES = {file.name: file for file in corpus()}
FIRST = {next(kind()).name for kind in KINDS}


def some(names):
    """One of each kind every time, all of them when asked for."""
    for name in names:
        marks = [] if name in FIRST else [pytest.mark.faults]
        yield pytest.param(name, marks=marks, id=ascii(name[:40]))


@pytest.fixture(scope="module")
def colorizer():
    return Colorizer.load()


def test_there_are_hundreds_and_no_two_of_one_name():
    assert len(list(corpus())) == len(FILES) > 1000


@pytest.mark.parametrize("name", list(some(FILES)))
def test_an_image_is_shown_as_it_is_or_refused(name, tmp_path, colorizer, tally):
    hostile = FILES[name]
    path = tmp_path / name
    path.write_bytes(hostile.content)
    with tally(hostile.kind):
        try:
            photograph = read_photograph(path)
        except PhotographError as error:
            assert hostile.may_be_refused, error  # noqa: PT017  # it may be read, too
            assert str(error).startswith(str(path))  # noqa: PT017
            assert "\n" not in error.reason  # noqa: PT017
            return
        if hostile.shows is not None:
            assert photograph.rgb.shape == hostile.shows.shape
            off = np.abs(photograph.rgb.astype(float) - hostile.shows)
            assert off.max() <= max(hostile.close, 1)
        shape = photograph.rgb.shape
        assert colorizer.colorize(photograph).rgb.shape == shape


@pytest.mark.faults
def test_a_folder_of_them_all_is_packed_and_what_is_refused_is_named(tmp_path, tally):
    folder = tmp_path / "photographs"
    folder.mkdir()
    for name, file in FILES.items():
        (folder / name).write_bytes(file.content)
    no_images = {path.name for path in no_files(folder)}
    manifest = pack(open_source("folder", folder), 16, tmp_path / "cache").manifest
    named = {*manifest.ids, *manifest.grayscale, *manifest.unreadable}
    assert named == {*FILES, *no_images}  # nothing is passed over in silence
    with tally("no file: link, pipe"):
        assert no_images <= manifest.unreadable.keys()
    for name in {*manifest.unreadable} - no_images:
        assert FILES[name].may_be_refused, name
    assert manifest.kept_count > 50


def test_what_is_no_file_is_named_and_never_waited_for(tmp_path):
    no_images = no_files(tmp_path)
    (tmp_path / "good.png").write_bytes(encoded(picture(), "PNG"))
    done = subprocess.run(
        [sys.executable, "-c", "from colorlib.cli import main; main()", "colorize",
         str(tmp_path), "--out", str(tmp_path / "out")],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for path in no_images:
        assert str(path) in done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.coloured.png"]


def test_a_folder_without_one_photograph_is_refused(tmp_path):
    (tmp_path / "text.jpg").write_bytes(b"no photograph")
    with pytest.raises(UserError, match=r"text\.jpg"):
        pack(open_source("folder", tmp_path), 16, tmp_path / "cache")
