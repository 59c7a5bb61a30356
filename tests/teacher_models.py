"""Small teachers, built from configurations and saved, and what every teacher has to do."""

import pytest
import torch
import torch.nn.functional as F

from xkd import XkdError
from xkd.teachers import open_teacher
from xkd.teachers.base import Teacher


class Mean(Teacher):
    """The mean colour of each 8 x 8 pixels, times `factor`."""

    dim, stride = 3, 8

    def __init__(self, factor=1.0):
        super().__init__()
        self.register_buffer("factor", torch.tensor(factor))
        self.freeze()

    def look(self, images):
        return F.avg_pool2d(images, 8, ceil_mode=True) * self.factor


def opened(folder, **params):
    """The model saved in a folder as a teacher."""
    return open_teacher({"name": "transformers", "model": str(folder), **params})


def ramp(h, w):
    """(2, h, w): at every cell centre the share of the height and of the width that lies before it."""
    rows, columns = (torch.arange(h) + 0.5) / h, (torch.arange(w) + 0.5) / w
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"))


def misplaced(teacher, features=None):
    """How many cells off a bright patch of a grey image the features' change is centred, on average: rows, columns.

    The patches lie at every even place within 32 pixels, so that where they lie in a cell averages out.
    `features`: the function of images that is looked at, if it is not the teacher itself.
    """
    features = features or teacher
    size, grey = torch.tensor([288, 416]), torch.full((1, 3, 288, 416), 0.5)
    shifts, dark = [], features(grey)
    for k in range(16):
        row, column = 96 + 2 * k + 32 * (k % 2), 128 + 2 * (5 * k % 16) + 32 * (k % 4)
        lit = grey.clone()
        lit[..., row : row + 8, column : column + 8] = 1.0
        change = (features(lit) - dark).square().sum(1)[0].double()
        centre = (ramp(*change.shape) * change).sum((1, 2)) / change.sum() * size
        shifts.append((centre - torch.tensor([row + 4, column + 4])) / teacher.stride)
    return torch.stack(shifts).mean(0)


def even(teacher):
    """The teacher with mirror-symmetric filters, so that only its grid, and not its weights, can move things."""
    for module in teacher.modules():
        if isinstance(module, torch.nn.Conv2d):
            weight = module.weight.data
            module.weight.data = (weight + weight.flip(2) + weight.flip(3) + weight.flip(2, 3)) / 4
    return teacher


def check(teacher, height=45, width=75):
    assert isinstance(teacher, Teacher)
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert not any(module.training for module in teacher.modules())
    with pytest.raises(XkdError, match="frozen"):
        teacher.train()
    assert teacher.eval() is teacher
    images = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    out = teacher(images)
    assert out.shape[:2] == (2, teacher.dim) and not out.requires_grad and out.isfinite().all()
    assert abs(out.shape[2] - height / teacher.stride) <= 1 and abs(out.shape[3] - width / teacher.stride) <= 1
    assert torch.equal(out, teacher(images)) and not torch.allclose(out[0], out[1])
    assert torch.allclose(out[1:], teacher(images[1:]), atol=1e-4)
    with pytest.raises(XkdError, match="B, 3, H, W"):
        teacher(images[0])


SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
STAGES = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}
DINO = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 42, "patch_size": 14}
SWIN = {"embed_dim": 8, "depths": [1] * 4, "num_heads": [1] * 4, "window_size": 4}
SEGFORMER = {**STAGES, "num_attention_heads": [1, 1, 1, 1]}
SAM = {
    **{"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 16, "output_channels": 24},
    **{"image_size": 416, "window_size": 5, "global_attn_indexes": [1], "num_pos_feats": 12, "initializer_range": 0.02},
}
PROMPTS = {"hidden_size": 24, "image_size": 416, "patch_size": 16}
MASKS = {"hidden_size": 24, "mlp_dim": 16, "num_attention_heads": 2, "iou_head_hidden_dim": 16}
HIERA = {
    **{"model_type": "sam2_hiera_det_model", "hidden_size": 8, "embed_dim_per_stage": [8, 16, 32, 64]},
    **{"num_attention_heads_per_stage": [1, 1, 2, 2], "blocks_per_stage": [1, 1, 2, 1], "global_attention_blocks": [3]},
    **{"window_size_per_stage": [8, 4, 4, 4], "window_positional_embedding_background_size": [7, 7]},
}
SAM2 = {"backbone_config": HIERA, "backbone_channel_list": [64, 32, 16, 8], "fpn_hidden_size": 24}
PARTS = {"prompt_encoder_config": PROMPTS, "mask_decoder_config": MASKS}
BACKBONES = {  # model class: configuration, dim and stride of the last layer, those of hidden state 1
    "ViT": ({**SMALL, "image_size": 32, "patch_size": 8}, (32, 8), (32, 8)),
    "Dinov2": (DINO, (32, 14), (32, 14)),
    "Dinov2WithRegisters": ({**DINO, "num_register_tokens": 4}, (32, 14), (32, 14)),
    "DINOv3ViT": ({**SMALL, "patch_size": 16, "num_register_tokens": 4}, (32, 16), (32, 16)),
    "DINOv3ConvNext": (STAGES, (32, 32), (8, 4)),
    "ResNet": ({**STAGES, "embedding_size": 8, "layer_type": "basic"}, (32, 32), (8, 4)),
    "RegNet": ({**STAGES, "embedding_size": 8, "groups_width": 8}, (32, 32), (8, 4)),
    "ConvNext": (STAGES, (32, 32), (8, 4)),
    "ConvNextV2": (STAGES, (32, 32), (8, 4)),
    "Swin": (SWIN, (64, 32), (16, 8)),
    "Swinv2": (SWIN, (64, 32), (16, 8)),
    "FocalNet": ({"embed_dim": 8, "depths": [1] * 4}, (64, 32), (16, 8)),
    "Segformer": (SEGFORMER, (32, 32), (16, 8)),
    "PvtV2": ({**STAGES, "num_attention_heads": [1] * 4}, (32, 32), (16, 8)),
    "SamVision": (SAM, (24, 16), (32, 16)),
    "Sam": ({"vision_config": SAM, **PARTS}, (24, 16), (32, 16)),
    "SamHQ": ({"vision_config": SAM, **PARTS}, (24, 16), (32, 16)),
    "Sam2Vision": (SAM2, (24, 16), (8, 4)),
    "Sam2": ({"vision_config": {"model_type": "sam2_vision_model", **SAM2}, **PARTS}, (24, 16), (8, 4)),
    "CLIPVision": ({**SMALL, "image_size": 32, "patch_size": 8}, (32, 8), (32, 8)),
    "SiglipVision": ({**SMALL, "image_size": 32, "patch_size": 8}, (32, 8), (32, 8)),
    "DeiT": ({**SMALL, "image_size": 32, "patch_size": 8}, (32, 8), (32, 8)),
    "Beit": ({**SMALL, "image_size": 32, "patch_size": 8}, (32, 8), (32, 8)),
}


def saved(kind, folder, **changes):
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**BACKBONES[kind][0] | changes)
    network = getattr(transformers, f"{kind}Model")(config)
    network.save_pretrained(folder)
    return network.eval()
