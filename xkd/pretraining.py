"""Stage 3: the init of a seed, by the word `distill.objective`: one of `xkd.objectives`, or `xmodel`, which sees all views of a point."""

from xkd import companion, distill, encoder, xmodel
from xkd.errors import XkdError
from xkd.feature_cache import verify
from xkd.files import write_json
from xkd.objectives import OBJECTIVES
from xkd.parallel import first, meet
from xkd.retrieval import retrieval
from xkd.student import save


def pretrain(sections, seed, prepared, teacher, views, out, metrics):
    """Trains one init; writes its folder `out` and the file `metrics`, as `xkd.distill.distill` does. Returns the losses, one a step.

    sections: data, student, distill, views, fused and study of params.yaml, by name; prepared, teacher, views: folders of the stages
    before. Errors: an unknown objective; features that are not those that stage 2 wrote."""
    data, student, settings = (sections[name] for name in ("data", "student", "distill"))
    word = settings["objective"]
    if word not in (*OBJECTIVES, "xmodel"):
        there = ", ".join(sorted([*OBJECTIVES, "xmodel"]))
        raise XkdError(f"params.yaml: distill.objective {word!r} is unknown; there are {there}.")
    arguments = (data, student, settings, seed, prepared, teacher)
    if word != "xmodel":
        return distill.distill(*arguments, out, metrics)
    for name in (data["train"], *data["unlabelled"]):
        verify(teacher / name)
    with companion.beside(("xkd.finetune:spare", data, prepared) if companion.idle(settings) else None):
        network, heads, losses, resume = xmodel.pretrain(*arguments, sections, views, f"distill-{seed}")
    if first():
        pool = distill.Pool(data, settings, prepared, teacher)
        made = {"objective": word, "seed": seed} | pool.facts
        write_json(metrics, made | {"loss": distill.ends(losses)} | retrieval(network, heads.pixel, pool, student))
        save(network, out, init="distilled", frames=len(pool), **made)
        encoder.keep(heads.fusion, out)
        companion.done(resume)
    meet()
    return losses
