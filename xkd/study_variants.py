"""The rows of the study that differ from another by one thing: its teacher, what it sees of images, a number of params.yaml."""

from dataclasses import dataclass, field

from xkd.params import overlay


@dataclass(frozen=True)
class Variant:
    """What a row does otherwise. `changes`: laid over params.yaml; `start`: the init; `source`, `views`: what is made for it by
    `xkd.study_inputs`; `hard`: pseudo-labels are the likeliest class alone; `own`: the student's own average labels the frames."""

    changes: dict = field(default_factory=dict)
    start: str = "xmodel"
    source: str | None = None
    views: str | None = None
    hard: bool = False
    own: bool = False


def _term(**weights):
    return Variant({"study": {"xmodel": weights}})


VARIANTS = {
    ("teachers", "cosine-random"): Variant(start="cosine", source="random"),
    ("teachers", "cosine-unsupervised"): Variant(start="cosine", source="unsupervised"),
    ("teachers", "cosine-shuffled"): Variant(start="cosine", source="shuffled"),
    ("ablation", "no-views"): Variant(views="none"),
    ("ablation", "own-images"): Variant(views="own"),
    ("ablation", "one-camera"): Variant(views="camera"),
    ("ablation", "no-early-fusion"): Variant({"fused": {"early": False}}),
    ("ablation", "no-late-fusion"): Variant({"fused": {"late": False}}),
    ("ablation", "self-labels"): Variant(own=True),
    ("ablation", "hard-labels"): Variant(hard=True),
    ("ablation", "few-unlabelled"): Variant({"mixing": {"frames": 200}}),
    ("ablation", "start-scratch"): Variant(start="scratch"),
    ("ablation", "start-cosine"): Variant(start="cosine"),
    ("ablation", "no-held-views"): _term(view=0.0),
    ("ablation", "no-unified"): _term(unified=0.0),
    ("ablation", "two-looks"): _term(look=0.1),
    ("ablation", "superpixels"): _term(superpixel=0.1),
    ("ablation", "few-superpixels"): Variant({"study": {"xmodel": {"superpixel": 0.1}}}, source="superpixels"),
    ("ablation", "small-head"): Variant({"distill": {"hidden": 16}}),
    ("ablation", "short-teacher"): Variant(source="short"),
    ("ablation", "no-pixel"): _term(pixel=0.0),
}
"""(block, row) -> how it differs: a row of `teachers` from (pretraining, cosine), one of `ablation` from (unlabelled, xmodel)."""


CORPUS = ("unsupervised", "short")
"""Of the sources those that are trained on the corpus of `mini`, and are left out where the teacher is another."""


def variant_of(cell):
    return VARIANTS.get((cell.block, cell.row))


def varied(params, cell):
    """All sections of params.yaml as a cell's row has them."""
    variant = variant_of(cell)
    return overlay(params, variant.changes) if variant else params
