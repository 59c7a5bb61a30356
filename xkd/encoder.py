"""The fusion encoder that was pretrained with an init: kept in its folder, which is one out of a stage, and used from beside it."""

import shutil

from xkd import fused

NAME = "fusion.safetensors"
"""The file in the folder."""


def keep(fusion, init):
    """Writes a fusion encoder into the folder of the init that it was pretrained with."""
    fused.save_fusion(fusion, init)
    fused.beside(init).replace(init / NAME)


def lay_out(init):
    """Lays the fusion encoder that an init's folder may hold where `xkd.fused` looks for it; what lay there goes."""
    fused.beside(init).unlink(missing_ok=True)
    if (init / NAME).is_file():
        shutil.copyfile(init / NAME, fused.beside(init))
