"""The networks that can be the student, by the word that `student.backbone` of params.yaml chooses them with: one file each."""

from xkd.backbones.spunet import SpUNet
from xkd.backbones.unet import UNet

BACKBONES = {"unet": UNet, "spunet": SpUNet}
