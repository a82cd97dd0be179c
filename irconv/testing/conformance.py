"""Asking a backend whether it keeps every promise of the backend contract."""

from __future__ import annotations

from collections.abc import Sequence

from irconv.backends.base import Backend
from irconv.plugins import load_registry
from irconv.testing.cases import CASES, Case
from irconv.testing.declared import READS_BACK, check_declarations
from irconv.testing.executed import check_execution
from irconv.testing.report import ConformanceReport
from irconv.worker import WorkerLimits

__all__ = ["assert_backend_conforms"]


def assert_backend_conforms(
    backend: Backend | str,
    *,
    cases: Sequence[Case] | None = None,
    limits: WorkerLimits | None = None,
) -> ConformanceReport:
    """Ask ``backend`` for every promise of the backend contract.

    What the class declares is checked first. Then, if the target is available here, a number
    of small models are legalized, checked, emitted in one worker process and run in another,
    and their outputs compared with those of ONNX Runtime; broken models follow. The backend
    must be registered by an installed plugin, because the workers find it there.

    Args:
        backend: The backend with its options, or its spec text.
        cases: Models to try; None for those of :mod:`irconv.testing.cases`.
        limits: Limits of the worker processes; None for two minutes a call.

    Returns:
        The report; a promise that could not be asked here is in it as skipped, with the reason.

    Raises:
        AssertionError: Listing every broken promise.
        UsageError: If no plugin registers the target.
    """
    if isinstance(backend, str):
        backend = load_registry().build_backend(backend)
    report = ConformanceReport(str(backend))
    check_declarations(backend, report)
    availability = backend.available()
    if report.outcome(READS_BACK).status == "fail":
        report.skip("everything that needs a worker", "no worker can build it from its spec text")
    elif availability.ok:
        check_execution(
            backend,
            CASES if cases is None else cases,
            limits or WorkerLimits(seconds=120.0),
            report,
        )
    else:
        report.skip("everything that needs the SDK", availability.detail)
    if report.failures:
        raise AssertionError(str(report))
    return report
