"""The PyTorch frontend: exported programs, and trusted factories of modules.

What looks into an archive is standard library only; what needs PyTorch runs in a worker.
"""

from __future__ import annotations

from irconv.frontends.pytorch.frontend import PytorchFrontend

__all__ = ["PytorchFrontend"]
