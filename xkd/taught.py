"""Stage 4b, one cell of `xmodel`: (fraction, seed) -> a LiDAR-only network, from labels and the pseudo-labels of one that sees images."""

from xkd import companion, encoder, finetune, params, unlabelled
from xkd import student as students
from xkd.errors import XkdError
from xkd.parallel import first

NAME = "xmodel"
"""What the cells are called."""


def cell(settings, sections, fraction, seed, place, init_path, out, metrics):
    """Trains and evaluates one cell; writes what `xkd.finetune.cell` does: the folder `out` and the file `metrics`.

    settings: the section finetune; sections: student, views, fused and mixing, by name; place: `xkd.unlabelled.Place`; init_path:
    the folder <name>-<seed> of the student that both networks start from.
    -> (metrics, losses of the student, losses of the network with images). Errors: a student whose first convolution cannot be widened."""
    if not students.load(init_path).first:
        backbone = sections["student"]["backbone"]
        raise XkdError(
            f"xmodel: the backbone {backbone} names no convolution (`first`) that images can be given to; "
            "it can be distilled and fine-tuned."
        )
    encoder.lay_out(init_path)
    train_set, validation = place.split(place.data["train"]), place.split(place.data["validation"])
    finetune.check_labelled(validation)
    own = finetune.labelled(train_set, place.data["tuning"])
    frames, lr = (
        finetune.chosen(train_set, own, fraction, seed, settings["subset"]),
        finetune.rate(settings, NAME, fraction),
    )
    arguments = (sections["student"], settings, sections)
    with companion.beside(ahead(place, train_set, own, init_path, arguments, fraction, seed)):
        network, losses, fused, left = unlabelled.teach(
            place, frames, init_path, *arguments, lr, seed, label(fraction, seed)
        )
    about = {"fraction": fraction, "init": NAME, "seed": seed, "lr": lr, "objective": NAME, "steps": len(losses)}
    pseudo = [len(some) for _, some in place.predicted(frames, sections["mixing"]["frames"])]
    start = finetune.origin(init_path)
    about |= {"start": start.pop("objective")} | start
    about |= {"fused_steps": len(fused), "pseudo_labelled_frames": sum(pseudo)}
    result = finetune.keep(
        network, train_set, frames, validation, about, place.data["kind"], settings["shown"], out, metrics
    )
    if first():
        left[0].with_name(companion.DONE).touch()
        unlabelled.remove(*left)
    return result, losses, fused


def label(fraction, seed):
    return f"xmodel-{fraction:g}-{seed}"


def ahead(place, train_set, own, init_path, arguments, fraction, seed):
    """The work of the next cell that is not done yet, for `companion.beside`; None where there is none or no core for it."""
    sweep, settings, start_name = params.profile()["sweep"], arguments[1], init_path.name.rpartition("-")[0]
    cells = [(part, number) for part in sweep["fractions"] for number in sweep["seeds"]]
    if not companion.idle(settings) or (fraction, seed) not in cells:
        return None

    def training(item):
        part, number = item
        frames = finetune.chosen(train_set, own, part, number, settings["subset"])
        start = init_path.with_name(f"{start_name}-{number}")
        if not (start / "weights.safetensors").exists():
            return None
        own_arguments = (place, frames, start, *arguments, finetune.rate(settings, NAME, part), number)
        folder = unlabelled.predictions_of(*own_arguments)
        state = unlabelled.student_state(place, frames, folder, *own_arguments[2:])
        return state, finetune.steps(len(frames), settings), (unlabelled.teach, *own_arguments, label(part, number))

    # After its own those of the same size: a stage waits for both.
    cells.sort(key=lambda cell: (cell != (fraction, seed), cell[0] != fraction))
    return companion.following(cells, (fraction, seed), training)
