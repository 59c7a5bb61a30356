"""A plan on paper, from measured rates: how long the stages take on the whole of nuScenes and on ten million frames, on one card and eight.

Rates of a processor are read from the results of `make bench`, those of a card from those of `card.py`; what is neither measured nor
published is an assumption, a constant below with its reason, and `assumptions` puts it into words."""

from card import SCALE
from card_page import kept
from markdown import number, table
from memory import STAGES

import xkd
from xkd.params import profile

TRAIN, VALIDATION = 28_130, 6_019
"""Key frames of nuScenes' 700 and 150 scenes (Caesar et al. 2020)."""
MANY = 10_000_000
CARDS, CORES = (1, 8), 16
"""CORES: of the processor, a card: as many as the machine of docs/gpu.md has."""
SHARED = 0.85
"""What eight cards that share a training keep of eight times one card's rate. Assumed: never measured here."""
PARAMETERS, CHANNELS, LAYERS, CELL = 22e6, 384, 12, 14
"""Of the teacher planned with, DINOv2's ViT-S/14 (Oquab et al. 2024)."""
IMAGES, SIZE = 6, (900, 1600)
BATCH = 16
"""Of the trainings that a card's rates are taken from."""


def card_rates(rows):
    """Frames a second, from files, of the 39 M student in the results of `card.py`: {fine-tuning, cosine}."""
    found = {r["what"]: r["frames/s"] for r in rows if r["student"].startswith("spunet") and r["batch"] == BATCH}
    if missing := {"fine-tuning", "cosine"} - set(found):
        raise xkd.XkdError(f"benchmarks/results: no card has a rate of {min(missing)} of spunet in batches of {BATCH}.")
    return found


def sustained(rows):
    """Operations a second of a card on that teacher, not compiled, in the results of `card.py --teachers`."""
    row = next((r for r in rows if r["teacher"] == "ViT-S/14" and r["way"].startswith("as the pipeline")), None)
    if row is None:
        raise xkd.XkdError("benchmarks/results: no card has a rate of the teacher ViT-S/14.")
    return row["images/s"] * teacher_operations(SCALE) / IMAGES


def teacher_operations(scale):
    """Of a frame: two a weight and token, and of every token with every other in each layer."""
    tokens = round(SIZE[0] * scale / CELL) * round(SIZE[1] * scale / CELL)
    return IMAGES * (2 * PARAMETERS * tokens + 4 * tokens**2 * CHANNELS * LAYERS)


def rates(results, card, teacher):
    """Frames a second and card of each stage; None of what the results lack."""
    prepared = next(
        (r for r in results.get("hot_paths", {}).get("rows", ()) if r["what"].startswith("prepare a frame")), None
    )
    decoded = next(
        (r for r in results.get("bounds", {}).get("rows", ()) if (r["what"], r["threads"]) == ("decode JPEG", 1)), None
    )
    pixels = IMAGES * SIZE[0] * SIZE[1] / 1e6
    scale = profile("scalr-nuscenes")["teacher"]["scale"]
    return {
        "prepare": prepared and 1000 * CORES / prepared["ms"],
        "teacher": decoded and min(decoded["rate"] * CORES / pixels, teacher / teacher_operations(scale)),
        "distill": card["cosine"],
        "finetune": card["fine-tuning"],
    }


def amounts(frames):
    """{stage: frames that it looks at} of a run by the profile scalr-nuscenes on so many training frames and all labels."""
    sections = profile("scalr-nuscenes")
    distill, finetune = sections["distill"], sections["finetune"]
    passes = distill["steps"] * distill["batch"] / TRAIN
    tuned = finetune["steps"]["per_frame"] * finetune["batch"]
    return {
        "prepare": frames + VALIDATION,
        "teacher": frames,
        "distill": passes * frames,
        "finetune": tuned * TRAIN + VALIDATION,
    }


def hours(results, card, teacher):
    """[(stage, frames/s a card, {run: [hours on one card, on eight]})]."""
    speed = rates(results, card, teacher)
    runs = {"nuScenes": amounts(TRAIN), "ten million": amounts(MANY) | {"distill": MANY}}
    rows = []
    for stage, rate in speed.items():
        shared = SHARED if stage in ("distill", "finetune") else 1.0
        factors = [cards * (shared if cards > 1 else 1.0) for cards in CARDS]
        own = {
            run: [rate and looked[stage] / rate / factor / 3600 for factor in factors] for run, looked in runs.items()
        }
        rows.append((stage, rate, own))
    return rows


def sizes(results):
    """[(what, of nuScenes' training frames, of ten million, unit)] of the disk and the memory."""
    rows = []
    prepared = next((r for r in results.get("hot_paths", {}).get("rows", ()) if "bytes" in r), None)
    if prepared:
        rows.append(("disk: prepared", *(prepared["bytes"] * n / 1e9 for n in (TRAIN, MANY)), "GB"))
    pairs = profile("scalr-nuscenes")["teacher"]["pairs_per_frame"]
    kept = 2 * CHANNELS * (pairs + IMAGES * profile("scalr-nuscenes")["prepare"]["superpixels"])
    rows.append(("disk: teacher's features", *(kept * n / 1e9 for n in (TRAIN, MANY)), "GB"))
    for stage, line in lines(results):
        told = line["anonymous_per_thousand"] > 2 * line["anonymous_error"]
        grown = (line["anonymous_per_thousand"] * told * n / 1000 for n in (TRAIN, MANY))
        what = f"memory of {stage}" + " (no growth told from chance)" * (not told)
        rows.append((what, *((line["anonymous_base"] + more) / 1e3 for more in grown), "GB"))
    index = results.get("index")
    if index:
        first = index["rows"][0]
        rows.append(
            ("first opening of the index", *(first["open_s"] * n / first["frames"] for n in (TRAIN, MANY)), "s")
        )
        most = (first["peak_mb"] * n / first["frames"] / 1e3 for n in (TRAIN, MANY))
        rows.append(("its highest memory", *most, "GB"))
    return rows


def lines(results):
    """[(stage, its line)] of the memory's results, in the pipeline's order."""
    own = results.get("memory", {}).get("lines", {})
    return [(stage, own[stage]) for stage in STAGES if stage in own]


def assumptions(card, teacher):
    """Sentences."""
    scale = profile("scalr-nuscenes")["teacher"]["scale"]
    batch = profile("scalr-nuscenes")["distill"]["batch"]
    operations = teacher_operations(scale) / 1e9
    return [
        f"The run is that of the profile `scalr-nuscenes`: {TRAIN:,} training and {VALIDATION:,} validation key frames, its steps and "
        "batches, the 39 M student, fine-tuned once on all labels. Ten million frames are prepared and looked at by the teacher and by "
        f"the student once, which is then fine-tuned on nuScenes' {TRAIN:,}.",
        f"A card trains at the rates of [gpu.md](gpu.md), from files: {card['cosine']:.0f} frames/s in distillation and "
        f"{card['fine-tuning']:.0f} in fine-tuning. They were measured with batches of {BATCH} and Muon; the profile has batches of "
        f"{batch} and AdamW. Validation is counted at the rate of training, which is too slow.",
        f"Each card comes with {CORES} cores as fast as one core here, as many as that machine had; its own were slower. Stage 1 is "
        "shared among them without loss, and disks keep up: **assumed**.",
        f"The teacher is a ViT-S/14 on images at {scale:g} of their size, {operations:,.0f} Gflop a frame, on a card that sustains "
        f"{teacher / 1e12:.0f} Tflop/s: those of [gpu.md](gpu.md), measured on images at {SCALE:g} of their size, the network not "
        "compiled; that smaller ones keep the card as busy is **assumed**. Where decoding JPEG on the cores takes longer, that counts.",
        f"Eight cards share a training at {SHARED:.0%} of eight times one card's rate: **assumed, never measured**. The other stages "
        "share frames.",
        "Disk, anonymous memory and the index's time are straight lines through what was measured, carried far beyond it for ten million "
        "frames. Memory whose growth is less than twice its standard error is taken not to grow.",
    ]


def paper(results):
    """The section of docs/benchmarks.md."""
    rates_of_card = card_rates(kept("card")), sustained(kept("card-teachers"))
    found, runs = hours(results, *rates_of_card), ("nuScenes", "ten million")
    rows = [
        [stage, number(rate) or "not measured", *(number(v) for run in runs for v in own[run])]
        for stage, rate, own in found
    ]
    sums = [[own[run][k] for _, _, own in found] for run in runs for k in range(len(CARDS))]
    rows.append(["**all**", "", *("" if None in values else number(sum(values)) for values in sums)])
    head = ["stage", "frames/s a card", *(f"{run}, {n} card{'s' * (n > 1)}, h" for run in runs for n in CARDS)]
    needs = [[what, number(small), number(large), unit] for what, small, large, unit in sizes(results)]
    said = "\n".join(f"- {sentence}" for sentence in assumptions(*rates_of_card))
    return f"""## A plan on paper

Not run: what a run would take at the rates above.

{table(head, rows)}
{table(["what it takes", "nuScenes", "ten million frames", ""], needs)}
{said}
"""
