"""What a lesson is given when the book is made."""

import runpy
from pathlib import Path

import pytest

from companion.config import load_profile
from companion.data_setup import Folders

ROOT = Path(__file__).parents[2]
LESSON = Path("notebooks/05_training.ipynb")
parameters_for = runpy.run_path(str(ROOT / "tools/run_notebook.py"))["parameters_for"]


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)  # as `make book` is


def test_it_gets_what_it_declares_and_no_more():
    given = {"profile": "smoke", "data_root": "", "cache_root": "_build/cache"}
    told = parameters_for(LESSON, given)
    assert set(told) == {"profile", "max_epochs", "cache_root"}
    assert told["max_epochs"] == load_profile("smoke").max_epochs


def test_folders_lead_from_the_lesson_to_the_same_place(monkeypatch):
    given = {"profile": "smoke", "cache_root": str(ROOT / "_build/cache")}
    cache = parameters_for(LESSON, given)["cache_root"]
    assert cache == "../_build/cache"  # and does not name this machine's folders
    monkeypatch.chdir(LESSON.parent)
    assert Folders.choose(cache_root=cache).cache.resolve() == ROOT / "_build/cache"


def test_a_profile_of_ones_own_is_found_from_the_lesson(monkeypatch):
    told = parameters_for(LESSON, {"profile": "profiles/smoke.yaml"})["profile"]
    monkeypatch.chdir(LESSON.parent)
    assert load_profile(told) == load_profile("smoke")
