"""Random weights under which a network puts out ordinary numbers.

Default initializations fade: a fresh MobileNetV2 puts out 1e-22, against which no error shows.
Every weight is drawn anew from a seed: matrices and kernels after He (variance 2 / fan-in),
norm scales around 1, biases and shifts around 0, and the statistics of batch norms are what they
saw on random input, so that they are neither the identity nor a cause of fading.
"""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["randomize"]

_SPREAD = 0.1


def randomize(model: torch.nn.Module, *inputs: Any, seed: int = 0, **named: Any) -> torch.nn.Module:
    """Give every parameter a new value and every batch norm statistics of its own.

    Args:
        model: The network; it is changed in place and left in evaluation mode.
        *inputs: Sample inputs, by which the batch norms are calibrated.
        seed: Seed of the weights.
        **named: Sample inputs by name.

    Returns:
        The same network.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(_drawn(name, parameter, generator))
    norms = [module for module in model.modules() if isinstance(module, _BATCH_NORMS)]
    model.eval()
    if norms:
        _calibrate(model, norms, inputs, named, generator)
    return model


_BATCH_NORMS = (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d, torch.nn.BatchNorm3d)


def _drawn(name: str, parameter: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float32)
    if parameter.ndim < 2:
        centre = 1.0 if name.endswith("weight") else 0.0
        return centre + _SPREAD * noise
    if "embed" in name or "token" in name or "relative" in name:
        return 0.5 * noise
    fan_in = parameter[0].numel()
    return noise * (2.0 / fan_in) ** 0.5


def _calibrate(
    model: torch.nn.Module,
    norms: list[torch.nn.Module],
    inputs: tuple[Any, ...],
    named: dict[str, Any],
    generator: torch.Generator,
) -> None:
    """Let every batch norm take the statistics of what reaches it, one after another."""

    def take(module: Any, arguments: tuple[torch.Tensor, ...]) -> None:
        (values,) = arguments
        over = [axis for axis in range(values.ndim) if axis != 1]
        module.running_mean.copy_(values.mean(over))
        noise = torch.rand(module.running_var.shape, generator=generator)
        module.running_var.copy_(values.var(over, correction=0) + 1e-2 + _SPREAD * noise)

    hooks = [norm.register_forward_pre_hook(take) for norm in norms]
    with torch.no_grad():
        model(*inputs, **named)
    for hook in hooks:
        hook.remove()
