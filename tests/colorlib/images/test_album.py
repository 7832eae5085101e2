"""Albums: which photographs are found, names of results, what is refused."""

import os

import numpy as np
import pytest
from hostile import corpus, encoded, no_files, picture
from PIL import Image

from colorlib import cli
from colorlib.errors import UserError
from colorlib.images import PhotographFile, load_rgb
from colorlib.images.album import colorize_file, plan_album


def touched(folder, *names):
    """Make empty files, and return the folder."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def planned(album, root):
    return {
        str(source.relative_to(root)): str(target.relative_to(root))
        for source, target in album.jobs
    }


def test_a_folder_keeps_its_layout_and_what_is_left_out_is_counted(tmp_path):
    touched(tmp_path / "in", "a.jpg", "b/c.TIF", "b/note.txt", "a.coloured.jpg", "x")
    touched(tmp_path / "in", "._a.jpg", "@eaDir/a.jpg", "my.coloured.cats.png", "d.gif")
    album = plan_album([tmp_path / "in"], tmp_path / "out")
    assert planned(album, tmp_path) == {
        "in/a.jpg": "out/a.coloured.jpg",
        "in/b/c.TIF": "out/b/c.coloured.TIF",
        "in/d.gif": "out/d.gif.coloured.png",
        "in/my.coloured.cats.png": "out/my.coloured.cats.coloured.png",
    }
    assert album.left_out == {
        "hidden images": 2, "results of an earlier run": 1, ".txt files": 1,
        "files without suffix": 1,
    }  # fmt: skip


def test_results_lie_beside_in_their_own_format_or_a_chosen_one_with_free_names(
    tmp_path,
):
    names = ("a.jpg", "a.bmp", "a.png")
    inputs = [touched(tmp_path, *names) / name for name in names]
    own = ["a.coloured.jpg", "a.bmp.coloured.png", "a.coloured.png"]
    assert [target.name for _, target in plan_album(inputs).jobs] == own
    own[0] = "a.jpg.coloured.png"
    assert [target.name for _, target in plan_album(inputs, None, "png").jobs] == own
    touched(tmp_path / "more", "a.jpg", "a.jpg.png", "A.jpg")
    targets = [t.name for _, t in plan_album([tmp_path / "more"], None, "png").jobs]
    assert sorted(targets) == [
        "A.jpg.coloured.png", "a.jpg.2.coloured.png", "a.jpg.3.coloured.png",
    ]  # fmt: skip


def test_folders_are_kept_apart_and_what_is_given_twice_is_taken_once(tmp_path):
    touched(tmp_path, "x/a.jpg", "y/a.jpg", "y/z/a.jpg")
    given = [tmp_path / name for name in ("x", "y", "y/z", "x/a.jpg")]
    album = plan_album(given, tmp_path / "out")
    assert planned(album, tmp_path) == {
        f"{name}/a.jpg": f"out/{name}/a.coloured.jpg" for name in ("x", "y", "y/z")
    }
    assert album.left_out == {"found twice": 2}


def test_a_folder_that_cannot_be_searched_is_named(tmp_path, monkeypatch):
    touched(tmp_path, "a.jpg", "secret/b.jpg")
    search = os.scandir

    def refuse(path):
        if str(path).endswith("secret"):
            raise PermissionError(13, "Permission denied", str(path))
        return search(path)

    monkeypatch.setattr(os, "scandir", refuse)
    album = plan_album([tmp_path])
    assert [source.name for source, _ in album.jobs] == ["a.jpg"]
    expected = f"{tmp_path / 'secret'}: cannot be searched: Permission denied"
    assert album.faults == [expected]


def test_one_photograph_may_have_a_file_for_its_result(tmp_path):
    touched(tmp_path, "a.png", "b.png")
    target = tmp_path / "x" / "result.jpg"
    assert plan_album([tmp_path / "a.png"], target).jobs == [
        (tmp_path / "a.png", target)
    ]
    with pytest.raises(UserError, match="found 2 photographs, expected one"):
        plan_album([tmp_path], target)
    with pytest.raises(UserError, match=r"found no photograph in .*1 \.txt files"):
        plan_album([touched(tmp_path / "none", "a.txt")])


# With a model -----------------------------------------------------------------------


class Tinted:
    """In place of a model: takes 40 levels of blue."""

    def colorize(self, photograph, in_place=True):
        high = photograph.rgb.max(axis=2)
        photograph.rgb[..., 2] = np.where(high > 40, high - 40, 0)
        return photograph


def test_every_page_is_coloured_or_the_first_is_told(tmp_path):
    source = tmp_path / "scan.tif"
    pages = [Image.fromarray(picture()), Image.fromarray(picture(9, 7)).convert("L")]
    pages[0].save(source, save_all=True, append_images=pages[1:])
    assert colorize_file(Tinted(), source, tmp_path / "all.tif") == []
    written = PhotographFile(tmp_path / "all.tif")
    assert [written.read(n).rgb.shape for n in range(2)] == [(24, 32, 3), (9, 7, 3)]
    notes = colorize_file(Tinted(), source, tmp_path / "one.png")
    assert notes == ["picture 1 of 2 only (--format tiff for all)"]


def test_a_result_is_not_overwritten_unasked_and_the_photograph_never(tmp_path):
    source, target = tmp_path / "a.png", tmp_path / "b.png"
    source.write_bytes(encoded(picture(), "PNG"))
    target.write_bytes(b"precious")
    with pytest.raises(UserError, match="--force"):
        colorize_file(Tinted(), source, target)
    assert target.read_bytes() == b"precious"
    colorize_file(Tinted(), source, target, overwrite=True)
    with pytest.raises(UserError, match="is the photograph itself"):
        colorize_file(Tinted(), source, source, overwrite=True)


def mixed_album(folder):
    """300 files of all kinds in nested folders, a twentieth bad; the bad ones."""
    files = [f for f in corpus() if "\n" not in f.name and len(f.content) < 10**5]
    bad = [f for f in files if f.kind in ("no image", "bomb") or f.name[:6] == "cut-JP"]
    good = [f for f in files if f.shows is not None and not f.may_be_refused]
    chosen = good[:: len(good) // 285 + 1][:285]
    chosen += good[1 :: len(good) // 285 + 1][: 285 - len(chosen)] + bad[:12]
    for number, file in enumerate(chosen):
        place = folder / ["", "a", "a/b", "c d", "ü"][number % 5]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}-{file.name[-100:]}").write_bytes(file.content)
    return {f"{n}-{f.name[-100:]}" for n, f in enumerate(chosen) if f in bad}


def test_an_album_is_coloured_in_one_command_and_goes_on(tmp_path, monkeypatch, capsys):
    bad = mixed_album(tmp_path / "in") | {p.name for p in no_files(tmp_path / "in")}
    assert len(bad) == 15
    (tmp_path / "in" / "huge.png").write_bytes(encoded(picture(), "PNG"))
    touched(tmp_path / "in", "note.txt", "._x.jpg")
    bad |= {path.name for path in (tmp_path / "in").rglob("*1x1.*")}
    coloured = 298 + 3 - len(bad)

    class Small(Tinted):
        def colorize(self, photograph, in_place=True):
            if photograph.rgb.shape == (1, 1, 3):
                raise MemoryError
            return super().colorize(photograph)

    def ends():
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 1
        said = capsys.readouterr()
        lines = said.err.splitlines()
        assert len(lines) == len(bad)
        assert all(sum(name in line for line in lines) == 1 for name in bad)
        assert "1 hidden images, 1 .txt files" in said.out
        return said.out.splitlines()[-1]

    monkeypatch.setattr("colorlib.colorize.Colorizer.load", lambda *_: Small())
    command = ["colorlib", "colorize", tmp_path / "in", "-o", tmp_path / "out"]
    monkeypatch.setattr("sys.argv", [*map(str, command)])
    assert ends() == f"coloured {coloured}, skipped 0, failed {len(bad)}"
    results = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(results) == coloured
    assert all(load_rgb(path).any() for path in results)
    monkeypatch.setattr("sys.argv", [*map(str, command), "--skip-existing"])
    monkeypatch.setattr(Tinted, "colorize", None)  # there is nothing left for it to do
    assert ends() == f"coloured 0, skipped {coloured}, failed {len(bad)}"
