"""What strangers' machines read: workflows, Binder, the citation, the licences."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from colorlib.backbones.specs import spec_for
from companion.config import load_profile

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
PUBLISH = yaml.safe_load((ROOT / ".github/workflows/publish.yml").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def check_schema(schema, path):
    """Validate a file by a schema that comes with check-jsonschema."""
    tool = [sys.executable, "-m", "check_jsonschema"]
    command = [*tool, "--builtin-schema", f"vendor.{schema}", str(path)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_github_understands_the_workflows(path):
    done = check_schema("github-workflows", path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_misspelt_key_of_a_workflow_is_found(tmp_path):
    path = tmp_path / "publish.yml"
    text = (ROOT / ".github/workflows/publish.yml").read_text()
    path.write_text(text.replace("runs-on:", "run-on:", 1))
    assert check_schema("github-workflows", path).returncode != 0


def test_the_citation_can_be_read_by_other_programs(tmp_path):
    done = check_schema("citation-file-format", ROOT / "CITATION.cff")
    assert done.returncode == 0, done.stdout + done.stderr
    path = tmp_path / "CITATION.cff"
    path.write_text(
        (ROOT / "CITATION.cff").read_text().replace("title:", "heading:", 1)
    )
    assert check_schema("citation-file-format", path).returncode != 0


def test_only_the_deployment_may_write_and_it_checks_nothing_out():
    jobs = PUBLISH["jobs"]
    assert {name for name, job in jobs.items() if "permissions" in job} == {"deploy"}
    assert jobs["deploy"]["permissions"] == {"pages": "write", "id-token": "write"}
    used = [step.get("uses", "") for step in jobs["deploy"]["steps"]]
    assert not any("checkout" in action for action in used)
    assert (jobs["book"]["needs"], jobs["deploy"]["needs"]) == ("test", "book")


def test_the_weekly_check_uses_no_cache_and_deploys_nothing():
    assert "schedule" in PUBLISH[True]  # YAML 1.1 reads the key `on` as true
    steps = [step for job in PUBLISH["jobs"].values() for step in job["steps"]]
    cached = [step for step in steps if "actions/cache@" in step.get("uses", "")]
    assert len(cached) == 5
    for guarded in (*cached, PUBLISH["jobs"]["deploy"]):
        assert guarded["if"] == "github.event_name != 'schedule'"


def test_the_published_book_is_the_laptop_s_with_networks_that_can_be_downloaded():
    ours, laptop = load_profile("published"), load_profile("laptop")
    assert PUBLISH["jobs"]["book"]["env"]["PROFILE"] == "published"
    assert (ours.data, ours.train) == (laptop.data, laptop.train)
    assert ours.weights == "pretrained"
    assert len(ours.model.backbones) == len(laptop.model.backbones)
    assert all(spec_for(name).hub_id for name in ours.model.backbones)


@pytest.mark.parametrize("target", re.findall(
    r"make (\w+)", "\n".join(path.read_text() for path in WORKFLOWS)
))  # fmt: skip
def test_workflows_run_targets_that_there_are(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_binder_has_the_locked_packages_and_torch_without_cuda():
    script = [sys.executable, "-m", "tools.environment", "binder"]
    told = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout == (ROOT / ".binder/environment.yml").read_text()
    *conda, pip = yaml.safe_load(told.stdout)["dependencies"]
    assert any(package.startswith("pytorch-cpu") for package in conda)
    everywhere = yaml.safe_load((ROOT / "environment.yml").read_text())
    *_, locked = everywhere["dependencies"]
    assert set(pip["pip"]) <= set(locked["pip"])
    names = {Requirement(line).name for line in pip["pip"]}
    wanted = {Requirement(line).name for line in PROJECT["dependencies"]}
    assert names == wanted - {"torch", "torchvision"}


def test_binder_installs_the_package_and_nothing_else():
    script = ROOT / ".binder" / "postBuild"
    assert script.stat().st_mode & 0o111
    assert "pip install --no-deps" in script.read_text()
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_the_readme_names_both_licences_and_their_texts_are_there():
    readme = (ROOT / "README.md").read_text()
    for name, words in (("LICENSE", "MIT License"), ("LICENSE-text.md", "CC BY 4.0")):
        assert f"({name})" in readme
        assert words in (ROOT / name).read_text()
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["license"] == PROJECT["license"] == "MIT"
