"""The Cityscapes layout of images with pixel labels: leftImg8bit/ and gtFine/.

Source: cityscapesScripts (Cordts et al., 2016). Label images hold `labelIds`, 0 (unlabelled) to 33.
"""

from pathlib import Path

import numpy as np
from PIL import Image

SKY = 255  # in Shot.label
SKY_ID = 23  # in Cityscapes


def write_images(root, split, city, sequence, shots, ids):
    """Writes the images of one street and returns their number.

    sequence: the street's number in its city; shots: iterable of Shot; ids: Cityscapes labelId of every taxonomy index.
    """
    table = np.zeros(256, np.uint8)
    table[: len(ids)] = ids
    table[SKY] = SKY_ID
    count = 0
    for count, shot in enumerate(shots, 1):
        # The labelled image is the 20th of its 30-frame snippet in the official set, hence the frame numbers.
        stem = f"{city}_{sequence:06d}_{30 * count - 11:06d}"
        for kind, suffix, pixels in (
            ("leftImg8bit", "leftImg8bit", shot.image),
            ("gtFine", "gtFine_labelIds", table[shot.label]),
        ):
            file = Path(root) / kind / split / city / f"{stem}_{suffix}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(file, "PNG", compress_level=6)
    return count
