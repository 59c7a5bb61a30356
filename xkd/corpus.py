"""Images with pixel labels in the Cityscapes layout: what the embedded 2D teacher learns from, made or real.

`root/leftImg8bit/<split>/<city>/<city>_<sequence>_<frame>_leftImg8bit.png` and the same under `gtFine` ending in
`_gtFine_labelIds.png` (8-bit label ids; Cordts et al., CVPR 2016). No street of a corpus is one that the student sees.
"""

from pathlib import Path

import numpy as np
import yaml

from xkd import images
from xkd.errors import XkdError

FACTS = Path(__file__).parent / "datasets" / "labels" / "cityscapes.yaml"
IMAGE, LABEL = "_leftImg8bit.png", "_gtFine_labelIds.png"


class Corpus:
    """`corpus[i]`, in order of the file names -> image (H, W, 3) uint8 RGB, labels (H, W) int64 0..18, -1 = ignore."""

    ignore_index = -1

    def __init__(self, root, split="train"):
        self.root, self.split = Path(root), split
        facts = yaml.safe_load(FACTS.read_text())
        self.classes = [entry["name"] for entry in facts["classes"]]
        self.colours = np.array([entry["colour"] for entry in facts["classes"]], np.uint8)
        # Ids that the data set does not have stay at -2, so that they are found out and not trained on.
        self._training_id = np.full(256, -2, np.int64)
        self._training_id[[entry["id"] for entry in facts["ignored"]]] = self.ignore_index
        self._training_id[[entry["id"] for entry in facts["classes"]]] = np.arange(len(self.classes))
        folder = self.root / "leftImg8bit" / split
        if not folder.is_dir():
            raise XkdError(f"{folder}: no such folder; a corpus has leftImg8bit/{split} and gtFine/{split}.")
        self.images = sorted(folder.glob(f"*/*{IMAGE}"))
        if not self.images:
            raise XkdError(f"{folder}: holds no <city>/*{IMAGE}.")
        self.labels = [self._label_path(path) for path in self.images]
        for image, label in zip(self.images, self.labels, strict=True):
            if not label.is_file():
                raise XkdError(f"{image}: has no labels; {label} is missing.")

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        image, raw = images.rgb(self.images[i]), images.ids(self.labels[i], what="a map of labels")
        if raw.shape != image.shape[:2]:
            raise XkdError(f"{self.labels[i]}: is {raw.shape}, its image is {image.shape[:2]} (rows, columns).")
        if raw.dtype != np.uint8:
            raise XkdError(f"{self.labels[i]}: its labels are {raw.dtype}; they have to be uint8.")
        labels = self._training_id[raw]
        if labels.min() < self.ignore_index:
            raise XkdError(f"{self.labels[i]}: label id {raw[labels < self.ignore_index][0]} is not in {FACTS.name}.")
        return image, labels

    def _label_path(self, image):
        name = image.name.removesuffix(IMAGE) + LABEL
        return self.root / "gtFine" / self.split / image.parent.name / name
