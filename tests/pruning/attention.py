"""A small vision transformer, made of PyTorch's own layers."""

import torch
from torch import Tensor, nn

SHAPE = (1, 8, 8)
IN_PROJECTION, OUT_PROJECTION = "block.self_attn.in_proj_weight", "block.self_attn.out_proj.weight"
WIDTH, TOKENS = 8, 16


class TinyViT(nn.Module):
    """Patches of 2x2 pixels, one encoder layer of two heads, the mean over all tokens."""

    def __init__(self, *, batch_first: bool = True) -> None:
        super().__init__()
        self.batch_first = batch_first
        self.patches = nn.Conv2d(1, WIDTH, 2, stride=2)
        self.position = nn.Parameter(torch.zeros(1, TOKENS, WIDTH))
        self.block = nn.TransformerEncoderLayer(
            WIDTH, nhead=2, dim_feedforward=12, dropout=0.1, batch_first=batch_first, norm_first=True
        )
        self.fc = nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2) + self.position
        x = self.block(x) if self.batch_first else self.block(x.transpose(0, 1)).transpose(0, 1)
        logits: Tensor = self.fc(x.mean(1))
        return logits


def tiny_vit(*, batch_first: bool = True) -> TinyViT:
    """Always the same weights."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = TinyViT(batch_first=batch_first)
        nn.init.normal_(model.position)
    return model
