"""The networks that can be the student, by the word that `student.backbone` of params.yaml chooses them with: one file each."""

from pathlib import Path

from xkd.backbones.spunet import SpUNet
from xkd.backbones.unet import UNet

BACKBONES = {"unet": UNet, "spunet": SpUNet}
BACKBONE_FILES = tuple(sorted(f"backbones/{file.name}" for file in Path(__file__).parent.glob("*.py")))
"""The modules of this folder, a change of which makes half a training worthless."""
