"""The public kit for authors of passes and backends; it needs no test framework.

:func:`assert_pass` holds a pass to its contract on one example.
"""

from __future__ import annotations

from irconv.testing.feeds import random_feeds
from irconv.testing.passes import assert_pass

__all__ = ["assert_pass", "random_feeds"]
