"""A table of element-wise steps in torch."""

import torch
from torch import Tensor, nn

from .table import Table


class TableModule(nn.Module):
    """uint8 ``[N, 3, H, W]`` to the table's dtype, same shape."""

    values: Tensor
    offset: Tensor

    def __init__(self, kernel: Table) -> None:
        super().__init__()
        self.register_buffer("values", torch.from_numpy(kernel.values()).reshape(-1), persistent=False)
        self.register_buffer("offset", torch.tensor([0, 256, 512]).reshape(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        index = image.to(torch.int64) + self.offset
        return self.values.index_select(0, index.reshape(-1)).reshape(index.shape)
