"""The public kit for authors of passes, frontends and backends; it needs no test framework.

:func:`assert_pass` holds a pass to its contract on one example;
:func:`assert_frontend_conforms` and :func:`assert_backend_conforms` ask for every promise of
their contracts.
"""

from __future__ import annotations

from irconv.testing.cases import CASES, Case
from irconv.testing.conformance import assert_backend_conforms
from irconv.testing.feeds import random_feeds
from irconv.testing.frontends import assert_frontend_conforms
from irconv.testing.passes import assert_pass
from irconv.testing.report import ConformanceReport, Outcome

__all__ = [
    "CASES",
    "Case",
    "ConformanceReport",
    "Outcome",
    "assert_backend_conforms",
    "assert_frontend_conforms",
    "assert_pass",
    "random_feeds",
]
