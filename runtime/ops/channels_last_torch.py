"""Channels last in torch."""

from torch import Tensor, nn


class ChannelsLastModule(nn.Module):
    """``[N, C, H, W]`` to ``[N, H, W, C]``, contiguous."""

    def forward(self, image: Tensor) -> Tensor:
        return image.permute(0, 2, 3, 1).contiguous()
