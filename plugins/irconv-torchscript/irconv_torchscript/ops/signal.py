"""Fourier transforms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from irconv_torchscript.held import Node
from irconv_torchscript.registry import emits

if TYPE_CHECKING:
    from irconv_torchscript.site import Site


@emits("DFT")
def dft(site: Site) -> Node:
    """Section DFT: torch.fft; complex numbers are pairs on the last axis."""
    length = site.integer(1) if site.given(1) else None
    axis = site.integer(2) if site.given(2) else -2
    return site.call(
        "signal.dft", site.tensor(0), length, axis, bool(site.attr("inverse", 0)),
        bool(site.attr("onesided", 0)),
    )  # fmt: skip


@emits("STFT")
def stft(site: Site) -> Node:
    """Section STFT: frames, window, transform."""
    length = site.integer(3) if site.given(3) else None
    return site.call(
        "signal.stft", site.tensor(0), site.integer(1), site.tensor(2), length,
        bool(site.attr("onesided", 1)),
    )  # fmt: skip
