"""Convolutional networks for images."""

from __future__ import annotations

import torch
import transformers as hf
from torch import nn

from architectures.registry import Network, architecture
from architectures.weights import randomize
from architectures.wrap import IMAGE, image, network


def _classifier(model: nn.Module, size: int = 64) -> Network:
    return network(model, {"pixel_values": image(size)}, ["logits"], {"pixel_values": IMAGE})


@architecture("resnet-bottleneck")
def resnet_bottleneck() -> Network:
    """ResNet with bottlenecks, as in ResNet-50."""
    config = hf.ResNetConfig(
        embedding_size=16, hidden_sizes=[32, 64, 64, 128], depths=[2, 2, 2, 1], num_labels=10
    )
    return _classifier(hf.ResNetForImageClassification(config))


@architecture("mobilenet-v1")
def mobilenet_v1() -> Network:
    """MobileNet, with TensorFlow's padding."""
    config = hf.MobileNetV1Config(depth_multiplier=0.25, num_labels=10, image_size=64)
    return _classifier(hf.MobileNetV1ForImageClassification(config))


@architecture("mobilenet-v2")
def mobilenet_v2() -> Network:
    """MobileNetV2, with TensorFlow's padding."""
    config = hf.MobileNetV2Config(depth_multiplier=0.35, num_labels=10, image_size=64)
    return _classifier(hf.MobileNetV2ForImageClassification(config))


@architecture("efficientnet")
def efficientnet() -> Network:
    """EfficientNet, with squeeze and excitation."""
    config = hf.EfficientNetConfig(
        image_size=64, width_coefficient=0.5, depth_coefficient=0.5, hidden_dim=640, num_labels=10
    )
    return _classifier(hf.EfficientNetForImageClassification(config))


@architecture("regnet")
def regnet() -> Network:
    """RegNet, with grouped convolutions."""
    config = hf.RegNetConfig(
        embedding_size=16, hidden_sizes=[16, 32, 64, 64], depths=[1, 1, 2, 1], groups_width=8,
        num_labels=10,
    )  # fmt: skip
    return _classifier(hf.RegNetForImageClassification(config))


@architecture("convnext")
def convnext() -> Network:
    """ConvNeXt."""
    config = hf.ConvNextConfig(
        hidden_sizes=[16, 32, 48, 64], depths=[1, 1, 2, 1], num_labels=10, image_size=64
    )
    return _classifier(hf.ConvNextForImageClassification(config))


@architecture("convnext-v2")
def convnext_v2() -> Network:
    """ConvNeXt of version 2, with a global norm of responses."""
    config = hf.ConvNextV2Config(
        hidden_sizes=[16, 32, 48, 64], depths=[1, 1, 2, 1], num_labels=10, image_size=64
    )
    return _classifier(hf.ConvNextV2ForImageClassification(config))


@architecture("poolformer")
def poolformer() -> Network:
    """PoolFormer, which mixes tokens by average pooling."""
    config = hf.PoolFormerConfig(hidden_sizes=[16, 32, 32, 64], depths=[1, 1, 1, 1], num_labels=10)
    return _classifier(hf.PoolFormerForImageClassification(config))


@architecture("bit")
def bit() -> Network:
    """Big Transfer, with group norms and standardized weights."""
    config = hf.BitConfig(
        embedding_size=16, hidden_sizes=[32, 64, 64, 128], depths=[1, 1, 1, 1], num_groups=4,
        num_labels=10,
    )  # fmt: skip
    return _classifier(hf.BitForImageClassification(config))


def _block(inner: int, outer: int) -> nn.Sequential:
    layers = [nn.Conv2d(inner, outer, 3, padding=1), nn.BatchNorm2d(outer), nn.ReLU()]
    return nn.Sequential(*layers)


class _UNet(nn.Module):
    """Down by max pooling, up by transposed convolution, joined on each level."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = _block(3, 8), _block(8, 16), _block(16, 32)
        self.pool = nn.MaxPool2d(2)
        self.up = nn.ConvTranspose2d(32, 16, 2, stride=2)
        self.joined = _block(32, 16)
        self.up_again = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.last = nn.Conv2d(24, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.first(x)
        second = self.second(self.pool(first))
        joined = self.joined(torch.cat([self.up(self.third(self.pool(second))), second], 1))
        return self.last(torch.cat([self.up_again(joined), first], 1))


@architecture("unet")
def unet() -> Network:
    """U-Net, of free height and width."""
    inputs = {"x": image(64)}
    module = randomize(_UNet(), *inputs.values())
    return Network(module, inputs, ("y",), {"x": {0: "batch"}})


class _SuperResolution(nn.Module):
    """Convolutions, then pixels from channels."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 5, padding=2), nn.PReLU(16), nn.Conv2d(16, 16, 3, padding=1),
            nn.InstanceNorm2d(16, affine=True), nn.LeakyReLU(0.1), nn.Conv2d(16, 9, 3, padding=1),
            nn.PixelShuffle(3),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.body(x))


@architecture("super-resolution")
def super_resolution() -> Network:
    """Super-resolution by a factor of three."""
    inputs = {"x": image(24, channels=1)}
    module = randomize(_SuperResolution(), *inputs.values())
    return Network(module, inputs, ("y",), {"x": {0: "batch", 2: "height", 3: "width"}})


class _ResNet3d(nn.Module):
    """A small network for video clips."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv3d(3, 8, 3, stride=(1, 2, 2), padding=1), nn.BatchNorm3d(8), nn.ReLU(),
            nn.MaxPool3d(2),
        )  # fmt: skip
        self.block = nn.Sequential(
            nn.Conv3d(8, 8, 3, padding=1, groups=2), nn.BatchNorm3d(8), nn.ReLU(),
            nn.Conv3d(8, 8, 1),
        )  # fmt: skip
        self.head = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = torch.relu(self.block(x) + x)
        return self.head(x.mean((2, 3, 4)))


@architecture("resnet-3d")
def resnet_3d() -> Network:
    """A residual network over space and time."""
    generator = torch.Generator().manual_seed(6)
    inputs = {"clip": torch.randn(1, 3, 8, 32, 32, generator=generator)}
    module = randomize(_ResNet3d(), *inputs.values())
    return Network(module, inputs, ("scores",), {"clip": {0: "batch"}})
