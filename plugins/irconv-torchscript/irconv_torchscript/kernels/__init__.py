"""Functions that TorchScript compiles and torch.export traces.

Each computes one ONNX operator, or a step of one, where torch has no function of the same
meaning. They are written in the part of Python that TorchScript understands: annotations are
objects, not strings, so these modules leave out ``from __future__ import annotations``.
"""
