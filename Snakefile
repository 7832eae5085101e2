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

from companion.code_hash import code_hash, notebook_code
from companion.config import load_profile


PROFILE = config.get("profile") or "quick"
SETTINGS = load_profile(PROFILE)
SOLUTIONS = config.get("solutions") or "show"  # or hide, for students
if SOLUTIONS not in ("show", "hide"):
    sys.exit(f"found SOLUTIONS={SOLUTIONS}, expected show or hide")
HTML = "_build/student/html" if SOLUTIONS == "hide" else "_build/html"
BUILD = Path("_build") / Path(PROFILE).stem
STAGE = BUILD / "stage"  # what the book is made of, at the paths it has in the repository
CHAPTERS = [
    chapter["file"]
    for part in yaml.safe_load(Path("_toc.yml").read_text())["parts"]
    for chapter in part["chapters"]
]
NOTEBOOKS = [Path(f).stem for f in CHAPTERS if f.startswith("notebooks/")]
PAGES = [str(p) for p in sorted(Path("book").rglob("*")) if p.is_file()]


def source_of(wildcards):
    """The notebook as it is kept in the repository."""
    return Path(f"notebooks/{wildcards.name}.ipynb")


def records_for(wildcards):
    """The records a notebook reads: those of this build's models, those in `results/`.

    The ledger comes with them: what it asks of the studies decides what it shows. So
    does the model of the package, where a notebook colours with it.
    """
    code = notebook_code(source_of(wildcards))
    trained = [BUILD / "runs" / model / "record.json" for model in SETTINGS.models]
    kept = sorted(Path("companion/results").glob("*.json"))
    reads_kept = "kept_record" in code or "study_records" in code
    ledger = ["companion/ambiguities.yaml", "companion/experiments.yaml"] * ("load_ledger" in code)
    shipped = ["colorlib/bundled.safetensors"] * ("BUNDLED" in code)
    return ledger + shipped + [
        str(path)
        for path in trained * ("runs_root:" in code) + kept * reads_kept
    ]


def folder(name):
    """A folder named on the command line; relative ones start where make runs."""
    given = str(config.get(name) or "")
    return os.path.abspath(os.path.expanduser(given)) if given else ""


def weights_folder():
    """The folder of weights, by default the one beside the data."""
    beside = Path(folder("data_root")).parent / "weights"
    found = str(beside) if folder("data_root") and beside.is_dir() else ""
    return folder("weights_root") or found


FOLDERS = {
    "profile": PROFILE,
    "data_root": folder("data_root"),
    "weights_root": weights_folder(),
    "cache_root": str(Path("_build/cache").absolute()),
    "runs_root": str((BUILD / "runs").absolute()),
}
OPTIONS = " ".join(
    f"--{key.replace('_', '-')} {shlex.quote(value)}"
    for key, value in FOLDERS.items()
    if value
)
PYTHON = shlex.quote(sys.executable)


rule all:
    input:
        f"{HTML}/.complete",


rule train:
    output:
        record=BUILD / "runs/{model}/record.json",
        weights=BUILD / "runs/{model}/model.safetensors",
    params:
        code=code_hash("import companion.cli, companion.pipeline"),
        settings=SETTINGS.model_dump_json(),
        options=OPTIONS,
    threads: workflow.cores
    shell:
        "{PYTHON} -m companion train --model {wildcards.model} --resume {params.options}"


rule notebook:
    input:
        source=source_of,
        tool="tools/run_notebook.py",
        records=records_for,
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
        package=[str(p) for p in sorted(Path("colorlib").rglob("*.py"))],  # its API
        speed=sorted(map(str, Path("benchmarks/results").glob("*.json"))),
        campaigns=sorted(map(str, Path("tests/faults/records").glob("*.json"))),
        tool="tools/build_book.py",
    output:
        touch(f"{HTML}/.complete"),
    params:
        stage=STAGE,
        html=HTML,
        solutions=SOLUTIONS,
    threads: workflow.cores
    shell:
        "{PYTHON} -m tools.build_book {params.stage:q} {params.html:q} {params.solutions}"
