"""What OpenVINO is known not to take, or to compute wrongly, without OpenVINO installed.

Found by running the ONNX backend suite through OpenVINO 2026.4.1 on its CPU device. Each module
holds one family of operators; :func:`refusal` and :func:`caveat` ask them all.
"""

from __future__ import annotations

from irconv_openvino.support.registry import caveat, refusal

__all__ = ["caveat", "refusal"]
