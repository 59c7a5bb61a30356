"""`python -m xkd check ROOT`: what a data set holds, and whether its scans lie on its images, before anything is trained on it."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from xkd.alignment import image_edges, nudged, range_edges, score
from xkd.datasets import kinds, open_dataset
from xkd.errors import XkdError
from xkd.geometry import in_view, invert
from xkd.progress import progress

LIMITS = {
    "speed": 70.0,
    "gap": 0.1,
    "origin": 0.01,
    "share": 0.005,
    "ignored": 0.6,
    "dark": 5.0,
    "score": 0.02,
    "margin": 0.03,
}
"""What is looked at twice: metres a second from pose to pose; seconds between image and sweep; share of points at the sensor, of points in
an image, of points without a class; mean brightness (of 255); edge score (`xkd.alignment`), and by how much another
calibration has more."""
FEW = 100
"""Edges of the scan in the images of a camera from which a score is told."""
RANKS, APART = 12**-0.5, 4
"""Standard deviation of ranks, evenly spread over 0..1; of how many edge points one tells something new, as they lie along edges."""
TURNS = (2, -2, 4, -4)
"""By how many degrees a calibration is turned to see whether its score drops."""


@dataclass(frozen=True)
class Finding:
    """One line of the report. verdict: good, look (something to look at) or bad; where: the file or frame to look at first."""

    what: str
    found: str
    verdict: str = "good"
    where: str = ""


def opened(root, kind=None, split=None, **options):
    """The data set in `root`; without a kind, of the first layout that it is. Errors: no such folder; it is none, with what each
    layout says."""
    if kind:
        return open_dataset(kind, root, split, **options)
    if not Path(root).is_dir():
        raise XkdError(f"{root}: no such folder.")
    refused = []
    for name in kinds():
        try:
            return open_dataset(name, root, split, **options)
        except XkdError as error:
            refused.append(f"{name}: {error}")
    raise XkdError(
        f"{root}: is a data set of no known layout, or of a split to be named with --split. " + " ".join(refused)
    )


def check(dataset, frames=10):
    """[Finding] of a data set, from `frames` of its frames, evenly chosen. A frame that cannot be read is a finding, not an error."""
    chosen = np.linspace(0, len(dataset) - 1, min(frames, len(dataset))).round().astype(int)
    found, looked = [index(dataset)], Looked(dataset)
    for i in progress(chosen.tolist(), "check", len(chosen)):
        try:
            looked.frame(dataset[i])
        except XkdError as error:
            found.append(Finding("reading", str(error), "bad", f"frame {dataset[i].id}"))
    if not looked.points:
        return found
    return [*found, *looked.scans(), *looked.labels(), *looked.images(), motion(dataset), *looked.alignment()]


def index(dataset):
    """What there is, without reading a scan."""
    size = f"{counted(len(dataset), 'frame')} of {counted(len(set(dataset.scenes)), 'scene')}"
    text = f"{dataset.kind}: {size}; cameras: {', '.join(dataset.camera_names) or 'none'}"
    return Finding("data set", text, "good" if dataset.camera_names else "bad", str(dataset.root))


def motion(dataset):
    """Time and way from frame to frame, over all of them: poses and timestamps only."""
    gaps, speeds, still = [], [], 0
    for i in range(1, len(dataset)):
        if dataset.scenes[i] != dataset.scenes[i - 1]:
            continue
        before, after = dataset[i - 1], dataset[i]
        way = float(np.linalg.norm((after.T_world_lidar - before.T_world_lidar)[:3, 3]))
        still += way == 0
        if before.timestamp is None or after.timestamp is None:
            continue
        gap = (after.timestamp - before.timestamp) / 1e6
        if gap <= 0:
            return Finding(
                "motion", f"frame {after.id} is {gap:g} s after the frame before it", "bad", f"frame {after.id}"
            )
        gaps.append(gap)
        speeds.append((way / gap, after.id))
    if not gaps:
        return Finding("motion", "no two frames of a scene with timestamps", "look" if len(dataset) > 1 else "good")
    fastest, where = max(speeds)
    text = f"{spread(gaps, '{:.3g}')} s from frame to frame, {spread([s for s, _ in speeds], '{:.1f}')} m/s"
    if fastest > LIMITS["speed"]:
        return Finding("motion", f"{text}: a pose jumps", "bad", f"frame {where}")
    if still == len(gaps):
        return Finding("motion", f"{text}: no pose moves, so neighbouring frames' images are of no use", "look")
    return Finding("motion", text)


class Looked:
    """What was seen of the frames looked at."""

    def __init__(self, dataset):
        self.dataset, self.points, self.origin, self.far, self.ids = dataset, [], [], [], []
        self.intensity, self.counts, self.unlabelled = [], np.zeros(len(dataset.classes) + 1, np.int64), 0
        self.cameras, self.any = {name: [] for name in dataset.camera_names}, []
        self.scores, self.others = {name: [] for name in dataset.camera_names}, {}

    def frame(self, frame):
        """Looks at one frame. Errors: what its reader refuses."""
        points, labels = frame.points, frame.labels
        reach = np.linalg.norm(points, axis=1)
        intensity = frame.attributes.get("intensity")
        images = [(camera, camera.image()) for camera in frame.cameras]
        self.ids.append(frame.id)
        self.points.append(len(points))
        self.origin.append(float((reach < 0.1).mean()))
        self.far.append(float(np.quantile(reach, 0.99)))
        if intensity is not None:
            self.intensity.append((float(intensity.min()), float(intensity.max())))
        self.unlabelled += labels is None
        if labels is not None:
            self.counts += np.bincount(labels + 1, minlength=len(self.counts))
        edges, seen = range_edges(points), np.zeros(len(points), bool)
        for camera, image in images:
            index, _, _ = in_view(points, camera)
            seen[index] = True
            gap = (
                None
                if camera.timestamp is None or frame.timestamp is None
                else (camera.timestamp - frame.timestamp) / 1e6
            )
            self.cameras[camera.name].append(
                (len(index) / len(points), gap, float(image.mean()), str(camera.path), image.shape[:2])
            )
            self._score(points, edges, camera, image_edges(image))
        self.any.append(float(seen.mean()))

    def _score(self, points, edges, camera, strength):
        self.scores[camera.name].append(score(points, edges, camera, strength))
        for name, other in others(camera):
            self.others.setdefault((camera.name, name), []).append(score(points, edges, other, strength))

    def scans(self):
        where = f"frame {self.ids[int(np.argmin(self.points))]}"
        yield Finding(
            "points", f"{spread(self.points, '{:.0f}')} a scan; 99 % within {max(self.far):.0f} m", "good", where
        )
        zeros = max(self.origin)
        if zeros > LIMITS["origin"]:
            worst = f"frame {self.ids[int(np.argmax(self.origin))]}"
            yield Finding("zero returns", f"{zeros:.1%} of a scan's points lie at the sensor", "look", worst)
        low, high = (
            (end(values) for end, values in zip((min, max), zip(*self.intensity, strict=True), strict=True))
            if self.intensity
            else (0, 0)
        )
        yield Finding(
            "intensity",
            f"{low:.3g} .. {high:.3g}" if self.intensity else "none",
            "good" if high > low else "look",
            where,
        )

    def labels(self):
        if self.unlabelled == len(self.ids):
            yield Finding("labels", "none: the network can be distilled on these data and not fine-tuned")
            return
        total, names = self.counts.sum(), self.dataset.classes
        shares = sorted(((n / total, name) for n, name in zip(self.counts[1:], names, strict=True)), reverse=True)
        listed = ", ".join(f"{name} {share:.1%}" for share, name in shares if share)
        ignored = self.counts[0] / total
        yield Finding(
            "labels", f"{listed}; without a class {ignored:.1%}", "look" if ignored > LIMITS["ignored"] else "good"
        )
        absent = [name for share, name in shares if not share]
        if absent:
            yield Finding("classes", f"not in the frames looked at: {', '.join(absent)}", "look")
        if self.unlabelled:
            yield Finding("labels", f"{self.unlabelled} of the {len(self.ids)} frames looked at have none", "look")

    def images(self):
        for name, rows in self.cameras.items():
            if not rows:
                yield Finding(name, "no image in the frames looked at", "bad")
                continue
            shares, gaps, light, paths, sizes = zip(*rows, strict=True)
            height, width = sizes[0]
            text = f"{width} x {height}, {spread(shares, '{:.3f}')} of the points"
            gaps = [gap for gap in gaps if gap is not None]
            text += (
                f", {spread([1e3 * gap for gap in gaps], '{:.0f}')} ms after the sweep" if gaps else ", no timestamps"
            )
            verdict, worst = "good", int(np.argmin(shares))
            if max(shares) == 0:
                verdict, text = "bad", f"{text}: no point falls into it; are the extrinsics the other way round?"
            elif np.median(shares) < LIMITS["share"] or max(map(abs, gaps), default=0) > LIMITS["gap"]:
                verdict = "look"
            if min(light) < LIMITS["dark"]:
                verdict, text, worst = "look", f"{text}: an image is dark", int(np.argmin(light))
            yield Finding(name, text, verdict, paths[worst])
        if self.any and self.cameras:
            yield Finding(
                "any camera", f"{spread(self.any, '{:.3f}')} of the points", "good" if max(self.any) else "bad"
            )

    def alignment(self):
        told = {name: rows for name, rows in self.scores.items() if sum(count for _, count in rows) >= FEW}
        gains = {key: gain(values, told[key[0]]) for key, values in self.others.items() if key[0] in told}
        for name, rows in self.scores.items():
            what, where = f"{name}: alignment", self.cameras[name][0][3] if self.cameras[name] else ""
            if name not in told:
                if rows:
                    text = "cannot be told: hardly an edge of the scan in the images"
                    yield Finding(what, text, "look", where)
                continue
            own = float(np.nanmean([value for value, _ in rows]))
            by, other = max((by, other) for (camera, other), by in gains.items() if camera == name)
            text, verdict = f"edge score {own:.3f}", "good"
            if by > LIMITS["margin"]:
                # A turn is the business of whoever calibrated it, and a score is no measurement; the others are plain mistakes, if most
                # cameras of the rig agree.
                agreed = [gains[camera, other] > LIMITS["margin"] for camera in told]
                mistaken = not other.startswith("turned") and 2 * sum(agreed) > len(agreed)
                verdict, text = "bad" if mistaken else "look", f"{text}; {other} it is {own + by:.3f} at least"
            elif own < LIMITS["score"]:
                verdict, text = "look", f"{text}: the scan's edges are hardly where the image's are"
            yield Finding(what, text, verdict, where)


def others(camera):
    """(name, camera) of calibrations that the given one has to beat: turned a little, the other way round, of other axes."""
    for axis, words in enumerate(("up or down", "left or right", "about its axis")):
        for degrees in TURNS:
            yield f"turned by {degrees:+d} degrees {words}", nudged(camera, np.deg2rad(degrees) * np.eye(3)[axis])
    yield "with the extrinsics the other way round", moved(camera, invert(camera.T_cam_lidar))
    for degrees in (90, 180, 270):
        c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
        turn = np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
        yield f"with the scan turned by {degrees} degrees", moved(camera, camera.T_cam_lidar @ turn)
    for name, flip in (("left and right", [1, -1, 1]), ("front and back", [-1, 1, 1]), ("up and down", [1, 1, -1])):
        yield f"with {name} of the scan swapped", moved(camera, camera.T_cam_lidar @ np.diag([*flip, 1.0]))


def moved(camera, T_cam_lidar):
    """The camera with these extrinsics."""
    still = np.eye(4)
    return replace(camera, T_rig_cam=invert(T_cam_lidar), T_world_rig=still, T_world_lidar=still)


def gain(values, rows):
    """By how much another calibration scores higher than the given one: [(score, edges)] of the frames under each -> mean less its standard
    error. A frame that has no score under one of them counts as 0 there."""
    (other, most), (own, count) = (np.array(part, np.float64).T for part in (values, rows))
    error = RANKS * np.sqrt(APART * (1 / np.maximum(most, 1) + 1 / np.maximum(count, 1)).sum()) / len(own)
    return float((np.nan_to_num(other) - np.nan_to_num(own)).mean() - error)


def spread(values, form):
    """Least, median and largest of some numbers, or the one that all of them are."""
    low, middle, high = (form.format(f(values)) for f in (np.min, np.median, np.max))
    return low if low == high else f"{low} .. {middle} .. {high}"


def report(findings):
    """The findings as lines of text: verdict, what, found, and where to look if it is not good."""
    width = max(len(f.what) for f in findings)
    lines = [
        f"{f.verdict:<4}  {f.what:<{width}}  {f.found}" + (f"  -> {f.where}" if f.where and f.verdict != "good" else "")
        for f in findings
    ]
    counts = Counter(f.verdict for f in findings)
    lines.append(f"{counts['good']} good, {counts['look']} to look at, {counts['bad']} bad")
    return "\n".join(lines)


def counted(number, what):
    return f"{number} {what}{'s' * (number != 1)}"
