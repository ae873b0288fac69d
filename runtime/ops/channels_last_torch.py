"""Channels last in torch."""

from torch import Tensor, nn

from .channels_last import ChannelsLast


class ChannelsLastModule(nn.Module):
    """``[N, C, H, W]`` to ``[N, H, W, C]``, contiguous."""

    def __init__(self, step: ChannelsLast) -> None:
        super().__init__()

    def forward(self, image: Tensor) -> Tensor:
        return image.permute(0, 2, 3, 1).contiguous()
