# The graph: trained models -> executed notebooks -> the book.
#
# A step is made again when its own files or the code behind it change. The code is
# followed through imports and hashed without comments and docstrings, so that a
# figure's change trains nothing again.

import os
import shlex
import sys
from pathlib import Path

import yaml

from companion.code_hash import modules_hash
from companion.config import load_profile
from companion.provenance import NUMERICS
from tools.lesson_code import code_hash, notebook_code


PROFILE = config.get("profile") or "quick"
SETTINGS = load_profile(PROFILE)
SOLUTIONS = config.get("solutions") or "show"  # or hide, for students
if SOLUTIONS not in ("show", "hide"):
    sys.exit(f"found SOLUTIONS={SOLUTIONS}, expected show or hide")
HTML = "_build/student/html" if SOLUTIONS == "hide" else "_build/html"
STAGE = Path("_build") / Path(PROFILE).stem / "stage"  # as paths of the repository
RUNS = Path("_build/runs")  # where a notebook that is opened by hand finds them, too
MODELS = {SETTINGS.run(model).run_name: model for model in SETTINGS.models}
TRAINED = [f"{RUNS}/{name}/record.json" for name in MODELS]
CHAPTERS = [
    chapter["file"]
    for part in yaml.safe_load(Path("_toc.yml").read_text())["parts"]
    for chapter in part["chapters"]
]
NOTEBOOKS = [Path(f).stem for f in CHAPTERS if f.startswith("notebooks/")]
PAGES = [str(p) for p in sorted(Path("book").rglob("*")) if p.is_file()]
RECORDS = sorted(map(str, Path("companion/results").glob("*")))
READ = {  # what is named in a lesson's code -> the files that it reads then
    "run_model": TRAINED,
    "RESULTS": RECORDS,
    "runs_of": RECORDS,
    "Findings": RECORDS,
    "kept_predictions": RECORDS,
    "shown_models": RECORDS,
    "kept_class_scores": RECORDS,
    "Colorizer": ["colorlib/bundled.safetensors", "colorlib/bundled.md"],
}


def source_of(wildcards):
    """The notebook as it is kept in the repository."""
    return Path(f"notebooks/{wildcards.name}.ipynb")


def files_read(wildcards):
    """The records and other files that a notebook reads."""
    code = notebook_code(source_of(wildcards))
    return [path for name, paths in READ.items() if name in code for path in paths]


def folder(name):
    """A folder named on the command line; relative ones start where make runs."""
    given = str(config.get(name) or "")
    return os.path.abspath(os.path.expanduser(given)) if given else ""


def weights_folder():
    """The folder of weights, by default the one beside the data."""
    beside = Path(folder("data_root")).parent / "weights"
    found = str(beside) if folder("data_root") and beside.is_dir() else ""
    return folder("weights_root") or found


GIVEN = {
    "profile": PROFILE,
    "data-root": folder("data_root"),
    "weights-root": weights_folder(),
}
OPTIONS = " ".join(f"--{k} {shlex.quote(v)}" for k, v in GIVEN.items() if v)
PYTHON = shlex.quote(sys.executable)


rule all:
    input:
        f"{HTML}/.complete",


rule train:
    output:
        RUNS / "{run}/record.json",
        RUNS / "{run}/model.safetensors",
    params:
        code=modules_hash(NUMERICS),
        model=lambda wildcards: MODELS[wildcards.run],
        options=OPTIONS,
    threads: workflow.cores
    shell:
        "{PYTHON} -m companion train --model {params.model} --resume {params.options}"


rule notebook:
    input:
        source=source_of,
        tool="tools/run_notebook.py",
        read=files_read,
    output:
        STAGE / "notebooks/{name}.ipynb",
    params:
        code=lambda wildcards: code_hash(notebook_code(source_of(wildcards))),
        settings=SETTINGS.model_dump_json(),
        options=OPTIONS,
    shell:
        "OMP_NUM_THREADS={threads} {PYTHON} -m tools.run_notebook {input.source} {output:q} {params.options}"


rule book:
    input:
        pages=PAGES,
        config=["_config.yml", "_toc.yml"],
        notebooks=[STAGE / f"notebooks/{name}.ipynb" for name in NOTEBOOKS],
        package=[str(p) for d in ("colorlib", "companion") for p in sorted(Path(d).rglob("*.py"))],
        speed=sorted(map(str, Path("benchmarks/results").glob("*.json"))),
        faults=sorted(map(str, Path("tests/faults/records").glob("*.json"))),
        tools=[f"tools/{name}.py" for name in ("build_book", "pages", "ledger")],
        plan=["companion/ambiguities.yaml", "companion/experiments.yaml"],
        colorizer=["tools/page_weights.py", "colorlib/bundled.safetensors"],
        trained=TRAINED,
        records=RECORDS,
    output:
        touch(f"{HTML}/.complete"),
    params:
        stage=STAGE,
        html=HTML,
        solutions=SOLUTIONS,
    threads: workflow.cores
    shell:
        "{PYTHON} -m tools.build_book {params.stage:q} {params.html:q} {params.solutions} {input.trained}"
