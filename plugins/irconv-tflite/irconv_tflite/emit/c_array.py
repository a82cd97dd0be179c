"""The FlatBuffer as C source, for microcontrollers without a file system."""

from __future__ import annotations

from pathlib import Path

__all__ = ["HEADER", "SOURCE", "write_c_array"]

HEADER = "model.h"
SOURCE = "model.cc"
_BYTES_A_LINE = 16
_CHUNK = 1 << 16


def write_c_array(model: Path, directory: Path) -> None:
    """Write ``model.h`` and ``model.cc`` with the bytes of ``model``, aligned to 16 bytes."""
    (directory / HEADER).write_text(
        "#ifndef MODEL_H_\n#define MODEL_H_\n\n"
        "extern const unsigned char g_model[];\n"
        "extern const unsigned int g_model_len;\n\n"
        "#endif  // MODEL_H_\n"
    )
    with model.open("rb") as source, (directory / SOURCE).open("w") as target:
        target.write(f'#include "{HEADER}"\n\nalignas(16) const unsigned char g_model[] = {{\n')
        while chunk := source.read(_CHUNK):
            for start in range(0, len(chunk), _BYTES_A_LINE):
                line = chunk[start : start + _BYTES_A_LINE]
                target.write("    " + ", ".join(f"0x{byte:02x}" for byte in line) + ",\n")
        target.write(f"}};\nconst unsigned int g_model_len = {model.stat().st_size};\n")
