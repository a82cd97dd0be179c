"""Train a small CNN on scikit-learn's digits and export it as a PyTorch ``.pt2`` program.

The 1,797 images are real 8x8 scans of handwritten digits that come with scikit-learn.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

SEED = 0
EPOCHS = 20
BATCH = 64


def build() -> nn.Module:
    """Return the untrained network: three convolutions with batch norm, and a classifier."""

    def block(inputs: int, outputs: int) -> list[nn.Module]:
        return [
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        ]

    return nn.Sequential(
        *block(1, 32),
        *block(32, 64),
        nn.MaxPool2d(2),
        *block(64, 64),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(64 * 4, 10),
    )


def data() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return training images, test images, training labels, test labels.

    Images are float32 of shape (n, 1, 8, 8) in 0..1; labels are int64 of shape (n,).
    """
    digits = load_digits()
    images = (digits.images[:, None] / 16).astype(np.float32)
    return train_test_split(
        images, digits.target, test_size=0.25, random_state=SEED, stratify=digits.target
    )


def train() -> tuple[nn.Module, float]:
    """Train and return the network in eval mode with its accuracy on the test images."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    images, test_images, labels, test_labels = map(torch.from_numpy, data())
    network = build()
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.01)
    steps = EPOCHS * -(-len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=5e-3, total_steps=steps)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(images)).split(BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(images[chosen]), labels[chosen]).backward()
            optimizer.step()
            schedule.step()
    network.eval()
    with torch.no_grad():
        correct = network(test_images).argmax(1) == test_labels
    return network, correct.float().mean().item()


def export(network: nn.Module, path: Path) -> None:
    """Write the network as a ``.pt2`` program that takes any batch from 1 to 512."""
    batch = torch.export.Dim("batch", min=1, max=512)
    example = torch.zeros(2, 1, 8, 8)
    program = torch.export.export(network, (example,), dynamic_shapes=({0: batch},))
    torch.export.save(program, path)
