"""How stage 1 cuts images into superpixels: `prepare.method` is a key of `METHODS`, `prepare.options` are that method's own arguments.

Each takes `n`, segments an image (`prepare.superpixels`), `compactness` and its options, and gives a function: camera -> (H, W) int32 ids
0..m-1, each in use; any number of threads may call it.
"""

import inspect
from pathlib import Path

import numpy as np

import xkd
from xkd import images, merging, superpixels
from xkd.errors import XkdError

COMPONENTS, SPREAD = 16, 30.0
"""Of a teacher's features: how many of their strongest directions count, and the standard deviation (root of the summed variances) they
are brought to in each image: about that of L*a*b* in pictures of streets, so that `compactness` means about the same."""


def open_method(settings):
    """The function camera -> ids of the section `prepare`. Errors: an unknown method, an option that is unknown or missing."""
    name, options = settings["method"], settings["options"]
    if name not in METHODS:
        raise XkdError(f"params.yaml: prepare.method {name!r} is unknown; there are {', '.join(METHODS)}.")
    own = list(inspect.signature(METHODS[name]).parameters)[2:]
    for key in options:
        if key not in own:
            takes = f"it takes {', '.join(own)}" if own else "it takes none"
            raise XkdError(f"params.yaml: prepare.options.{key}: method {name!r} has no such option; {takes}.")
    for key in own:
        if key not in options:
            raise XkdError(f"params.yaml: prepare.options.{key} is missing; method {name!r} needs it.")
    return METHODS[name](settings["superpixels"], settings["compactness"], **options)


def slic(n, compactness):
    """`superpixels.segment`: regular segments of about one size, m close to n. Connected."""
    return lambda camera: superpixels.segment(camera.image(), n, compactness)


def ward(n, compactness):
    """`merging.segment`: segments of about the size of what they show, m = n. Connected."""
    return lambda camera: merging.segment(camera.image(), n, compactness)


def masks(n, compactness, folder):
    """Masks that were computed elsewhere, by Segment Anything for one, and SLIC segments where no mask is.

    `folder`: below it, under the image's own name (`08/image_2/000003` for `.../sequences/08/image_2/000003.png`), a folder with one PNG a
    mask, which holds the pixels that are not 0; or a PNG `000003.png` whose values are the ids of masks, 0 for none. A relative folder
    hangs on the checkout. A smaller mask lies over a larger one; of one that is covered whole, or empty, nothing is left. Pixels without a
    mask get the segments that SLIC cuts the image into; pieces of these below a quarter of a grid cell join the neighbour of nearest mean
    colour, be it a mask. Not connected: a mask stays one segment where a smaller one parts it. Errors: see `_find` and `xkd.images.ids`.
    """
    root = xkd.ROOT / folder
    if not root.is_dir():
        raise XkdError(f"{root}: no such folder of masks (prepare.options.folder).")

    def cut(camera):
        label, count = _painted(_find(root, camera.path), camera)
        planes = superpixels.colours(camera.image())
        rest = superpixels.slic(planes, n, compactness)
        least = np.ones(count + rest.max() + 1, np.int64)
        least[count:] = max(1, int(rest.size / n / 4))
        label = np.where(label < 0, rest + count, label).astype(np.int32)
        pieces = superpixels.connect(label, planes, least)
        # The pieces of a mask are one again; no two masks have become one, because none is ever too small.
        owner = np.full(pieces.max() + 1, len(least))
        np.minimum.at(owner, pieces.ravel(), label.ravel())
        owner = np.where(owner < count, owner, count + np.arange(len(owner)))
        return np.unique(owner[pieces], return_inverse=True)[1].reshape(pieces.shape).astype(np.int32)

    return cut


def features(n, compactness, teacher):
    """`merging.merged` of colours and of a frozen network's features: segments of what it holds for one thing, m = n. Connected.

    `teacher`: what `xkd.teachers.open_teacher` takes, such as {name: transformers, model: facebook/dinov2-small} or {name: features,
    root: FOLDER}; not the `mini` of stage 2, which is trained later. Of its map the `COMPONENTS` strongest directions in the image, scaled
    by `SPREAD`, bilinear between the cells' centres; the colours say where between two cells a thing ends. Errors: features that are not
    finite.
    """
    import torch
    from torch.nn.functional import interpolate

    from xkd.parallel import device
    from xkd.teachers import open_teacher

    network = open_teacher(teacher).to(device())
    # An image a thread: small convolutions gain little from a second thread and lose much to one that is busy elsewhere.
    torch.set_num_threads(1)

    @torch.inference_mode()
    def cut(camera):
        image = camera.image()
        found = network.dense([camera], [image])[0].double().cpu()
        if not found.isfinite().all():
            raise XkdError(f"{camera.path}: the teacher gave features that are not finite.")
        values = found.flatten(1) - found.flatten(1).mean(1, keepdim=True)
        variance, directions = torch.linalg.eigh(values @ values.T / values.shape[1])
        values = directions[:, -COMPONENTS:].T @ values * (SPREAD / max(float(variance.sum()), 1e-12) ** 0.5)
        planes = values.float().view(1, -1, *found.shape[1:])
        planes = interpolate(planes, size=image.shape[:2], mode="bilinear", align_corners=False)[0].numpy()
        return merging.merged(np.concatenate([superpixels.colours(image), planes]), n, compactness)

    return cut


METHODS = {"slic": slic, "ward": ward, "masks": masks, "features": features}


def _find(root, path):
    """The folder of masks or the map of ids of the image `path`, under the longest tail of its name that there is. Errors: none."""
    parts = Path(path).with_suffix("").parts
    for start in range(1, len(parts)):
        folder = root.joinpath(*parts[start:])
        for candidate in (folder, folder.with_name(f"{folder.name}.png")):
            if candidate.is_dir() or (candidate.suffix == ".png" and candidate.is_file()):
                return candidate
    raise XkdError(f"{path}: no masks below {root}; looked for {'/'.join(parts[-3:])} and shorter, a folder or a .png.")


def _painted(where, camera):
    """A folder of masks or a map of ids -> (H, W) ids 0..count-1, -1 where no mask is, and the count."""
    if not where.is_dir():
        ids, values = np.unique(images.ids(where, camera.size), return_inverse=True)
        values = values.reshape(camera.size)
        return (values - 1, len(ids) - 1) if ids[0] == 0 else (values, len(ids))
    files = sorted(where.glob("*.png"))
    if not files:
        raise XkdError(f"{where}: no .png mask in this folder.")
    label, area = np.full(camera.size, -1), np.full(camera.size, np.inf)
    for k, file in enumerate(files):
        inside = images.ids(file, camera.size) != 0
        size = inside.sum()
        over = inside & (size < area)
        label[over], area[over] = k, size
    return label, len(files)
