"""The TorchScript frontend: archives of ``torch.jit.save``, scripted, traced or frozen.

What looks into an archive is standard library only; what needs PyTorch runs in a worker.
"""

from __future__ import annotations

from irconv.frontends.torchscript.frontend import TorchScriptFrontend

__all__ = ["TorchScriptFrontend"]
