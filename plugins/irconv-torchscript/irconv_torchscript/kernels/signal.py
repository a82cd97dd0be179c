"""Fourier transforms (ONNX sections DFT, STFT)."""

import torch
from torch import Tensor

__all__ = ["dft", "stft"]


def dft(x: Tensor, length: int | None, axis: int, inverse: bool, onesided: bool) -> Tensor:
    """Section DFT."""
    if axis < 0:
        axis += x.dim()
    dtype = x.dtype
    wide = x.to(torch.float64)
    if onesided and inverse:
        whole = torch.fft.irfft(torch.view_as_complex(wide.contiguous()), length, axis)
        return whole.unsqueeze(-1).to(dtype)
    if x.size(-1) == 1:
        values = torch.complex(wide.squeeze(-1), torch.zeros_like(wide.squeeze(-1)))
    else:
        values = torch.view_as_complex(wide.contiguous())
    transform = (
        torch.fft.ifft(values, length, axis) if inverse else (torch.fft.fft(values, length, axis))
    )
    if onesided:
        transform = transform.narrow(axis, 0, transform.size(axis) // 2 + 1)
    return torch.view_as_real(transform).to(dtype)


def stft(x: Tensor, step: int, window: Tensor | None, length: int | None, onesided: bool) -> Tensor:
    """Section STFT."""
    if length is None:
        assert window is not None
        length = window.size(0)
    frames = x.unfold(1, length, step).transpose(2, 3)
    if window is not None:
        frames = frames * window.unsqueeze(1)
    return dft(frames, None, 2, False, onesided)
