"""Flip the channels in torch."""

from torch import Tensor, nn


class FlipChannelsModule(nn.Module):
    """``[N, 3, H, W]`` of any dtype."""

    def forward(self, image: Tensor) -> Tensor:
        return image.flip(1)
