"""Put a trained model into the package: its weights, rounded, and its model card.

    companion train --profile shipped --data-root ../photographs
    python -m tools.ship_model _build/runs/plain

The run's record goes to `results/`, where the book and the tests find it. Without an
argument only the card is written again, from the record and the file.
"""

import sys
from pathlib import Path

import torch
from skimage import data

from colorlib.colorize import SHIPPED, Colorizer
from colorlib.evaluation import MODEL
from colorlib.files import atomic_write
from colorlib.images import fit_square
from colorlib.metrics import METRICS
from colorlib.model import load_model, save_model
from companion.records import Record, kept_record, read_record, write_record
from companion.report.tables import heading, markdown_table, mean_with_interval

RESULTS = Path(__file__).parents[1] / "results"
TRIED = ("astronaut", "cat", "coffee", "rocket")  # photographs of scikit-image
COLUMNS = ("rmse_ab_norm", "psnr_rgb", "ciede2000", "colourfulness")
PARTS = {
    "lfw": "LFW, faces",
    "imagenet": "ImageNet, a sample",
    "scenes": "drawn scenes",
}
CARD = Path(__file__).with_name("model_card.md")


def score_rows(scores) -> str:
    """The trivial predictions, the model, and how colourful the truth is."""
    names = {MODEL: "**this model**"}
    order = [*(name for name in scores if name != MODEL), MODEL]
    rows = [
        [
            names.get(method, method),
            *(mean_with_interval(scores[method][metric], metric) for metric in COLUMNS),
        ]
        for method in order
    ]
    truth = mean_with_interval(scores[MODEL]["colourfulness_true"])
    rows.append(["the photographs themselves", "0", "∞", "0", truth])
    return markdown_table(
        ["method", *(heading(METRICS[name]) for name in COLUMNS)], rows
    )


def card(record: Record, size: int, rounding: float) -> str:
    """The model card, from the record and what was measured of the file."""
    parts = [
        f"### {PARTS[name]}\n\n"
        f"{s[MODEL]['loss_eq1'].n:,} test photographs.\n\n{score_rows(s)}"
        for name, s in record.parts.items()
    ]
    return CARD.read_text().format(
        name=record.name,
        size=size / 1e6,
        size_px=record.data.size,
        parameters=record.model.parameters,
        kept=record.data.kept,
        train=record.data.train,
        test=record.data.test,
        epochs=record.training.epochs,
        hours=record.training.seconds / 3600,
        cpu=record.hardware.cpu,
        whole=score_rows(record.scores),
        parts="\n\n".join(parts),
        tried=", ".join(TRIED[:-1]) + f" and {TRIED[-1]}",
        rounding=rounding,
    )


def difference(one: Colorizer, other: Colorizer) -> float:
    """By how much two models' chroma differs at most, Lab units."""
    worst = 0.0
    for name in TRIED:
        images = torch.from_numpy(fit_square(getattr(data, name)(), one.size))[None]
        L_norm, _ = one.target.split(images.permute(0, 3, 1, 2) / 255)
        with torch.no_grad():
            ab = 128 * (one.model(L_norm) - other.model(L_norm))
        worst = max(worst, float(ab.abs().max()))
    return worst


def ship(folder: Path) -> None:
    """Round the weights of a finished run, and keep its record."""
    record = read_record(folder / "record.json")
    model, notes = load_model(folder / "model.safetensors")
    whole = Colorizer.load(folder / "model.safetensors")
    notes["record"] = record.name
    save_model(model, SHIPPED, notes, torch.float16)
    notes["rounding_ab"] = round(difference(whole, Colorizer.load(SHIPPED)), 3)
    save_model(model, SHIPPED, notes, torch.float16)
    write_record(record, RESULTS / f"{record.name}.json")


def main(arguments: list[str]) -> None:
    if arguments:
        ship(Path(arguments[0]))
    _, notes = load_model(SHIPPED)
    size = SHIPPED.stat().st_size
    text = card(kept_record(notes["record"]), size, notes["rounding_ab"])
    atomic_write(SHIPPED.with_name("README.md"), text.encode())


if __name__ == "__main__":
    main(sys.argv[1:])
