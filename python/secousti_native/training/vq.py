"""Plain vector quantisation (van den Oord et al. 2017): the ablation that FSQ is compared with."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class VectorQuantiser(nn.Module):
    """Nearest row of a learnt codebook ``[size, dimension]``, with codebook and commitment losses."""

    def __init__(self, size: int, dimension: int, commitment: float = 0.25) -> None:
        super().__init__()
        self.commitment = commitment
        self.codebook = nn.Embedding(size, dimension)
        nn.init.normal_(self.codebook.weight, std=dimension**-0.5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Frames ``[..., D]`` to codes with straight-through gradient ``[..., D]``, indices ``[...]`` and the loss."""
        x = x.float()
        table = self.codebook.weight.float()
        flat = x.detach().reshape(-1, x.shape[-1])
        distance = table.square().sum(1) - 2 * flat @ table.T
        index = distance.argmin(1).view(x.shape[:-1])
        chosen = self.codebook(index).float()
        loss = F.mse_loss(chosen, x.detach()) + self.commitment * F.mse_loss(x, chosen.detach())
        return x + (chosen - x).detach(), index, loss
