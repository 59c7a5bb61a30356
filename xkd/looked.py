"""What is seen of the frames that `xkd.check` looks at: points, intensities, labels, images, and how these lie to one another."""

import numpy as np

from xkd import bearings, rivals
from xkd.alignment import image_edges, range_edges, score
from xkd.errors import XkdError
from xkd.findings import Finding, spread
from xkd.geometry import in_view, invert

LIMITS = {"gap": 0.1, "origin": 0.01, "share": 0.005, "ignored": 0.6, "dark": 5.0, "same": 0.01, "faint": 0.05}
"""What is looked at twice: seconds between image and sweep; share of points at the sensor, of points in an image, of points without a
class; mean brightness (of 255); by what share of the largest intensities, but for 1 % of the points at each end, may differ;
the largest intensity, of 0 to 1."""


class Looked:
    """What was seen of the frames looked at."""

    def __init__(self, dataset):
        self.dataset, self.ids, self.points, self.origin, self.far = dataset, [], [], [], []
        self.intensity, self.counts, self.unlabelled = [], [], []
        self.cameras, self.any = {name: [] for name in dataset.camera_names}, []
        self.scores, self.turns, self.mistakes = {name: [] for name in dataset.camera_names}, {}, {}
        self.exchanged, self.righted = {}, set()
        self.grounds, self.mounts = [], {}

    def frame(self, frame):
        """Looks at one frame. Errors: what its reader refuses; a scan without a point, labels for another number of points."""
        points, labels = frame.points, frame.labels
        if not len(points):
            raise XkdError("the scan has no point that counts.")
        if labels is not None and len(labels) != len(points):
            raise XkdError(f"{len(labels)} labels for {len(points)} points.")
        images = [(camera, camera.image()) for camera in frame.cameras]
        reach, intensity = np.linalg.norm(points, axis=1), frame.attributes.get("intensity")
        self.ids.append(f"frame {frame.id}")
        self.points.append(len(points))
        self.origin.append(float((reach < 0.1).mean()))
        self.far.append(float(np.quantile(reach, 0.99)))
        self.grounds.append(bearings.ground(points))
        if intensity is not None:
            self.intensity.append(np.quantile(intensity, [0, 0.01, 0.99, 1]))
        classes = len(self.dataset.classes) + 1
        self.counts.append(None if labels is None else np.bincount(labels + 1, minlength=classes))
        edges, seen = range_edges(points), np.zeros(len(points), bool)
        for camera, image in images:
            index = in_view(points, camera)[0]
            seen[index] = True
            self._image(frame, len(index) / len(points), edges, camera, image)
        self.any.append(float(seen.mean()))

    def _image(self, frame, share, edges, camera, image):
        points, gap, strength = frame.points, None, image_edges(image)
        if camera.timestamp is not None and frame.timestamp is not None:
            gap = (camera.timestamp - frame.timestamp) / 1e6
        self.cameras[camera.name].append((share, gap, float(image.mean()), str(camera.path), image.shape[:2]))
        self.scores[camera.name].append(score(points, edges, camera, strength))
        self.mounts.setdefault(camera.name, []).append((invert(camera.T_cam_lidar), str(camera.path)))
        for found, calibrations in (
            (self.turns, rivals.turned(camera)),
            (self.mistakes, rivals.mistaken(camera)),
            (self.exchanged, rivals.exchanged(camera, frame.cameras)),
        ):
            for name, other in calibrations:
                found.setdefault((camera.name, name), []).append(score(points, edges, other, strength))
        if bearings.doubt(camera) == 2:
            upright = [name for name, other in rivals.mistaken(camera) if not bearings.doubt(other)]
            self.righted |= {(camera.name, name) for name in upright}

    def findings(self):
        """All that the frames looked at say, in the order of the report. There is at least one frame."""
        yield from self.scans()
        yield bearings.grounds(self.grounds, self.ids)
        yield from self.labels()
        yield from self.images()
        yield from bearings.mounts(self.mounts)
        paths = {name: rows[0][3] for name, rows in self.cameras.items() if rows}
        yield from rivals.alignment(self.scores, self.turns, self.mistakes, paths, self.exchanged, self.righted)

    def scans(self):
        text = f"{spread(self.points, '{:.0f}')} a scan; 99 % within {max(self.far):.0f} m"
        yield Finding("points", text, "good", self.ids[int(np.argmin(self.points))])
        zeros = max(self.origin)
        if zeros > LIMITS["origin"]:
            worst = self.ids[int(np.argmax(self.origin))]
            yield Finding("zero returns", f"{zeros:.1%} of a scan's points lie at the sensor", "look", worst)
        if not self.intensity:
            yield Finding("intensity", "none", "look", self.ids[0])
            return
        least, low, high, most = np.array(self.intensity).T
        text, verdict = f"{least.min():.3g} .. {most.max():.3g}", "good"
        if high.max() - low.min() <= LIMITS["same"] * max(abs(high.max()), abs(low.min())):
            verdict, text = "look", f"{text}, and nearly the same everywhere, so it tells nothing"
        elif most.max() < LIMITS["faint"]:
            verdict, text = "look", f"{text}, of 0 to 1: is it divided by more than its largest value?"
        yield Finding("intensity", text, verdict, self.ids[0])

    def labels(self):
        labelled = [(counts, where) for counts, where in zip(self.counts, self.ids, strict=True) if counts is not None]
        if not labelled:
            yield Finding("labels", "none: the network can be distilled on these data and not fine-tuned")
            return
        counts, names = np.array([counts for counts, _ in labelled]), self.dataset.classes
        total, first = counts.sum(0), labelled[0][1]
        shares = sorted(((n / total.sum(), name) for n, name in zip(total[1:], names, strict=True)), reverse=True)
        listed = ", ".join(f"{name} {share:.1%}" for share, name in shares if share)
        ignored, worst = total[0] / total.sum(), labelled[int(np.argmax(counts[:, 0] / counts.sum(1)))][1]
        verdict = "look" if ignored > LIMITS["ignored"] else "good"
        yield Finding("labels", f"{listed or 'no class'}; without a class {ignored:.1%}", verdict, worst)
        absent = [name for share, name in shares if not share]
        if absent:
            yield Finding("classes", f"not in the frames looked at: {', '.join(absent)}", "look", first)
        if len(labelled) < len(self.ids):
            without = [where for counts, where in zip(self.counts, self.ids, strict=True) if counts is None]
            text = f"{len(without)} of the {len(self.ids)} frames looked at have none"
            yield Finding("unlabelled", text, "look", without[0])

    def images(self):
        for name, rows in self.cameras.items():
            if not rows:
                yield Finding(name, "no image in the frames looked at", "bad", self.ids[0])
                continue
            shares, gaps, light, paths, sizes = zip(*rows, strict=True)
            height, width = sizes[0]
            text = f"{width} x {height}, {spread(shares, '{:.3f}')} of the points"
            timed = [(gap, k) for k, gap in enumerate(gaps) if gap is not None]
            late = (
                f"{spread([1e3 * gap for gap, _ in timed], '{:.0f}')} ms after the sweep" if timed else "no timestamps"
            )
            late_by, latest = max(((abs(gap), k) for gap, k in timed), default=(0, 0))
            verdict, worst, text = "good", int(np.argmin(shares)), f"{text}, {late}"
            if max(shares) == 0:
                verdict, text = "bad", f"{text}: no point falls into it; are the extrinsics the other way round?"
            elif min(light) < LIMITS["dark"]:
                verdict, text, worst = "look", f"{text}: an image is dark", int(np.argmin(light))
            elif late_by > LIMITS["gap"]:
                verdict, worst = "look", latest
            elif np.median(shares) < LIMITS["share"]:
                verdict = "look"
            yield Finding(name, text, verdict, paths[worst])
        if self.cameras:
            verdict = "good" if max(self.any) else "bad"
            yield Finding("any camera", f"{spread(self.any, '{:.3f}')} of the points", verdict, self.ids[0])
