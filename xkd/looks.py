"""What a frame's images say about its points: colours, cameras in common, features, and how alike two places look."""

import numpy as np
from scipy import ndimage

import xkd
from xkd.errors import XkdError
from xkd.palette import IGNORED


def open_frames(kind, root, split):
    """The data set at `root` (relative: in the checkout). Where the default data was not made yet, a tiny set is, in
    seconds."""
    path = xkd.ROOT / root
    if root == "data/nuscenes" and not path.exists():
        from xkd import smoke

        smoke.until("data", "out/smoke")
        path = xkd.ROOT / "out" / "smoke" / "data" / "nuscenes"
    return xkd.open_dataset(kind, path, split)


def decimate(count, most):
    """Indices of at most `most` of `count` things, evenly spread, and the honest words for it."""
    kept = np.linspace(0, count - 1, min(most, count)).astype(np.int64)
    return kept, f"{count:,} points" if count <= most else f"{most:,} of {count:,} points"


def overlap(frame, pairs):
    """(N,) in how many images each point is seen."""
    return np.bincount(pairs.point, minlength=len(frame.points))


def image_colours(frame, pairs, images):
    """(N, 3) uint8: the mean image colour of each point over the cameras that see it; light grey where none does."""
    total, count = np.zeros((len(frame.points), 3)), overlap(frame, pairs)
    for k, image in enumerate(images):
        here = pairs.camera == k
        rows, columns = pairs.pixel[here].T
        np.add.at(total, pairs.point[here], image[rows, columns].astype(np.float64))
    colours = np.round(total / np.maximum(count, 1)[:, None]).astype(np.uint8)
    colours[count == 0] = int(IGNORED[1:3], 16)
    return colours


class Texture:
    """Stands in for a teacher where none was trained: local colour, contrast and edges at two scales. It knows no
    classes."""

    name, dim, stride = "colour and texture, not a teacher", 16, 4

    def dense(self, cameras, images):
        """The (H, W, 3) uint8 images -> (B, 16, H / 4, W / 4) float32, each channel standardised over the images."""
        import torch

        maps = np.stack([self._describe(image) for image in images])
        mean, spread = maps.mean((0, 2, 3), keepdims=True), maps.std((0, 2, 3), keepdims=True)
        return torch.from_numpy(((maps - mean) / np.maximum(spread, 1e-6)).astype(np.float32))

    def _describe(self, image):
        colour = image.astype(np.float64) / 255
        grey = colour.mean(-1)
        edges = np.abs(ndimage.sobel(grey, 0)), np.abs(ndimage.sobel(grey, 1)), np.abs(ndimage.laplace(grey))
        channels = []
        for sigma in (2.0, 5.0):
            channels += [ndimage.gaussian_filter(colour[..., k], sigma) for k in range(3)]
            mean = ndimage.gaussian_filter(grey, sigma)
            channels.append(np.sqrt(np.maximum(ndimage.gaussian_filter(grey**2, sigma) - mean**2, 0)))
            channels += [ndimage.gaussian_filter(edge, sigma) for edge in edges]
            channels.append(ndimage.gaussian_filter(colour.max(-1) - colour.min(-1), sigma))
        return np.stack(channels)[:, ::4, ::4]


def teacher(folder, maps=None):
    """What features come from, and its name for people: the folder `maps` of feature maps if one is named, else the teacher
    trained by the pipeline, in `folder`/mini, or `Texture` where there is none."""
    from xkd.teachers import open_teacher

    if maps is not None:
        return open_teacher({"name": "features", "root": maps}), f"the maps in {maps}"
    if (folder / "mini").is_dir():
        return open_teacher({"name": "mini", "path": str(folder / "mini")}), f"the mini teacher in {_short(folder)}"
    return Texture(), Texture.name


def features(frame, pairs, images, source):
    """(P, C) float32 features of the pairs, and the maps they come from [(C, h, w)], one a camera; centred over the
    pairs.

    Centred, because what all features share says nothing about a place and would make all of them look alike.
    """
    import torch

    from xkd.pool import sample

    if len({camera.size for camera in frame.cameras}) == 1:
        maps = list(source.dense(frame.cameras, images).float())
    else:
        maps = [source.dense([camera], [image])[0].float() for camera, image in zip(frame.cameras, images, strict=True)]
    values = np.empty((len(pairs.point), len(maps[0])), np.float32)
    for k, camera in enumerate(frame.cameras):
        here = pairs.camera == k
        values[here] = sample(maps[k], pairs.pixel[here].astype(np.int64), camera.size).numpy()
    mean = values.mean(0)
    return values - mean, [one - torch.from_numpy(mean)[:, None, None] for one in maps]


def feature_colours(frame, pairs, values):
    """(N, 3) uint8: three strongest components of each point's features as colours, grey where no camera sees it."""
    from xkd.stage_plots import components

    colours = np.full((len(frame.points), 3), int(IGNORED[1:3], 16), np.uint8)
    colours[pairs.point] = components(values)
    return colours


def similarity(frame, pairs, values, maps, camera, pixel):
    """(N,) cosine, -1..1, of each point's feature with that of `pixel` (row, col) in camera number `camera`; NaN if
    unseen.

    A point seen in several images takes its best match.
    """
    from xkd.pool import sample

    height, width = frame.cameras[camera].size
    if not (0 <= pixel[0] < height and 0 <= pixel[1] < width):
        raise XkdError(
            f"pixel {tuple(pixel)} lies outside {frame.cameras[camera].name}, {height} x {width} (rows x columns)."
        )
    query = sample(maps[camera], np.array([pixel], np.int64), (height, width)).numpy()[0]
    length = np.linalg.norm(values, axis=1) * np.linalg.norm(query)
    cosine = values @ query / np.maximum(length, 1e-9)
    best = np.full(len(frame.points), -np.inf)
    np.maximum.at(best, pairs.point, cosine)
    return np.where(np.isfinite(best), best, np.nan)


def picks(frame, pairs, classes, pixel=None, count=4):
    """Pixels worth asking about: [(name, camera number, (row, col))], all in one image.

    `pixel` (camera name, row, col) if one is wanted; else the middle pair of each of the commonest classes in the
    image with the most points; where there are no labels a near, a middle and a far one.
    """
    names = [camera.name for camera in frame.cameras]
    if pixel is not None:
        name, row, column = pixel
        if name not in names:
            raise XkdError(f"pixel: {name!r} is no camera of frame {frame.id}; it has {', '.join(names)}.")
        return [(f"{name}, row {row}, column {column}", names.index(name), (row, column))]
    best = int(np.bincount(pairs.camera).argmax())
    here = np.flatnonzero(pairs.camera == best)
    if frame.labels is None:
        order = here[np.argsort(pairs.depth[here], kind="stable")]
        chosen = {"near": order[len(order) // 20], "middle": order[len(order) // 2], "far": order[-len(order) // 20]}
    else:
        ids = frame.labels[pairs.point[here]]
        common = np.argsort(-np.bincount(ids[ids >= 0], minlength=len(classes)), kind="stable")[:count]
        chosen = {}
        for k in common:
            own = here[ids == k]
            if len(own):
                middle = np.abs(pairs.pixel[own] - np.median(pairs.pixel[own], 0)).sum(1).argmin()
                chosen[classes[k].replace("_", " ")] = own[middle]
    return [(name, best, tuple(int(v) for v in pairs.pixel[i])) for name, i in chosen.items()]


def seen_most(found, frame):
    """The point with the most views; of several the nearest to the LiDAR that is 5 m away or more, where the car is not in the way."""
    count = np.bincount(found.point, minlength=len(frame.points))
    distance = np.linalg.norm(frame.points, axis=1)
    most = np.flatnonzero(count == count[distance >= 5].max(initial=0))
    return int(most[np.argmin(np.where(distance[most] >= 5, distance[most], np.inf))])


def images_of(dataset, frame, found, point):
    """Every view of one point of `frame`: [(camera, frame and depth in words; image; (row, col))]; `found`: its `xkd.views`.

    Errors: a point that no image shows."""
    shown = []
    for k in np.flatnonzero(found.point == point):
        other, steps = dataset[int(found.frame[k])], int(found.frame[k]) - frame.index
        camera = other.cameras[found.camera[k]]
        when = f"frame {steps:+d}" if steps else "this frame"
        title = f"{camera.name}<br>{when}, {found.depth[k]:.1f} m"
        shown.append((title, camera.image(), tuple(map(int, found.pixel[k]))))
    if not shown:
        raise XkdError(
            f"point {point}: no image shows a point of that number; frame {frame.id} has {len(frame.points)}."
        )
    return shown


def _short(path):
    return path.relative_to(xkd.ROOT) if path.is_relative_to(xkd.ROOT) else path.name
