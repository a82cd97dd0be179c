"""irconv: a compiler for trained models. One command, one bundle, one proof."""

from __future__ import annotations

__version__ = "0.1.0"
