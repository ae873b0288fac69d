"""Flip the channels in torch."""

from torch import Tensor, nn

from .flip_channels import FlipChannels


class FlipChannelsModule(nn.Module):
    """``[N, 3, H, W]`` of any dtype."""

    def __init__(self, step: FlipChannels) -> None:
        super().__init__()

    def forward(self, image: Tensor) -> Tensor:
        return image.flip(1)
