"""What strangers' machines read: workflows, Binder, the citation, the licences."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from colorlib.backbones import spec_for
from companion.config import load_profile

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
PUBLISH = yaml.safe_load((ROOT / ".github/workflows/publish.yml").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize(
    ("schema", "paths"),
    [
        ("github-workflows", WORKFLOWS),
        ("citation-file-format", [ROOT / "CITATION.cff"]),
    ],
)
def test_other_programs_understand_the_files(schema, paths):
    tool = [sys.executable, "-m", "check_jsonschema"]
    command = [*tool, "--builtin-schema", f"vendor.{schema}", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_have_least_permissions_pinned_actions_and_targets_there_are(path):
    text = path.read_text()
    assert yaml.safe_load(text)["permissions"] == {"contents": "read"}
    for action in re.findall(r"uses: (\S+)", text):
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action), action
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"make (\w+)", text):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for key in re.findall(r"hashFiles\((.*?)\)", text):
        for name in re.findall(r"'([^']+)'", key):
            assert list(ROOT.glob(name)), name


def test_only_the_deployment_may_write_and_it_checks_nothing_out():
    jobs = PUBLISH["jobs"]
    assert {name for name, job in jobs.items() if "permissions" in job} == {"deploy"}
    assert jobs["deploy"]["permissions"] == {"pages": "write", "id-token": "write"}
    used = [step.get("uses", "") for step in jobs["deploy"]["steps"]]
    assert not any("checkout" in action for action in used)
    assert (jobs["book"]["needs"], jobs["deploy"]["needs"]) == ("test", "book")
    # The weekly check uses no cache and deploys nothing.
    steps = [step for job in jobs.values() for step in job["steps"]]
    cached = [step for step in steps if "actions/cache@" in step.get("uses", "")]
    assert len(cached) == 5
    for guarded in (*cached, jobs["deploy"]):
        assert guarded["if"] == "github.event_name != 'schedule'"


def test_the_published_book_is_the_laptop_s_with_networks_that_can_be_downloaded():
    ours, laptop = load_profile("published"), load_profile("laptop")
    assert PUBLISH["jobs"]["book"]["env"]["PROFILE"] == "published"
    other = {"model", "weights"}
    assert ours.model_dump(exclude=other) == laptop.model_dump(exclude=other)
    assert ours.weights == "pretrained"
    assert len(ours.model.backbones) == len(laptop.model.backbones)
    assert all(spec_for(name).hub_id for name in ours.model.backbones)


def test_the_citation_and_the_licences_are_those_of_the_project():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"] == "MIT"
    assert citation["references"][0]["doi"] == "10.22044/jadm.2021.9957.2131"
    readme = (ROOT / "README.md").read_text()
    for name, words in (("LICENSE", "MIT License"), ("LICENSE-text.md", "CC BY 4.0")):
        assert f"({name})" in readme
        assert words in (ROOT / name).read_text()
