"""Using a bundle: opening its artifact, running it, and proving it again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from irconv.bundle import Bundle
from irconv.errors import InputError, MismatchError, MissingError
from irconv.plugins import Registry, load_registry
from irconv.runtime.base import Feeds, Level, Value
from irconv.runtime.remote import RemoteRunner
from irconv.verify.data import fit_sample
from irconv.verify.golden import load_golden
from irconv.verify.tolerance import Tolerance
from irconv.verify.verifier import Verification, judge
from irconv.worker import Worker, WorkerLimits

__all__ = ["BundleCheck", "open_artifact", "run_bundle", "state_inputs", "verify_bundle"]


@contextlib.contextmanager
def open_artifact(
    bundle: Bundle, *, limits: WorkerLimits | None = None, registry: Registry | None = None
) -> Iterator[RemoteRunner]:
    """Check a bundle's digests and open its artifact in a worker process.

    Raises:
        MismatchError: If a file is not what was proved.
        MissingError: If the target's backend or runtime is not here.
        BackendError: If the runtime crashes on it.
    """
    bundle.check_digests()
    backend = (registry or load_registry()).build_backend(bundle.target)
    availability = backend.available()
    elsewhere = limits is not None and limits.python is not None
    if not availability.ok and not elsewhere:
        raise MissingError(
            f"target {bundle.target!r} cannot run here: {availability.detail}",
            where=f"target {backend.name}",
            hint=availability.way_out,
        )
    with Worker(
        "irconv.runtime.service:BackendService",
        {"target": bundle.target},
        limits=limits,
        label=f"backend {backend.name}",
    ) as worker:
        worker.call("open", directory=str(bundle.directory), artifact=bundle.artifact.to_json())
        with RemoteRunner(worker, owns_worker=False) as runner:
            yield runner


def run_bundle(
    bundle: Bundle, samples: list[Feeds], *, limits: WorkerLimits | None = None
) -> list[dict[str, Value]]:
    """Run a bundle's artifact on samples, one after the other.

    An artifact that keeps states (``requires.states`` of the manifest) takes them from sample to
    sample; an input that is a state may be left out, and sets the state where it is given.

    Raises:
        InputError: If a sample does not fit the bundle's inputs in names, dtypes and shapes.
        IrconvError: As :func:`open_artifact`.
    """
    states = state_inputs(bundle)
    fitted = []
    for number, sample in enumerate(samples):
        specs = [spec for spec in bundle.inputs if spec.name in sample or spec.name not in states]
        fitted.append(fit_sample(sample, specs, f"sample {number}"))
    with open_artifact(bundle, limits=limits) as runner:
        return runner.run_all(fitted)


def state_inputs(bundle: Bundle) -> set[str]:
    """Return the names of the inputs that are states, which the artifact keeps by itself."""
    entries = bundle.artifact.requires.get("states", ())
    if not isinstance(entries, list):
        return set()
    return {
        str(entry["input"]) for entry in entries if isinstance(entry, dict) and "input" in entry
    }


@dataclass(frozen=True)
class BundleCheck:
    """The result of proving a bundle again.

    Attributes:
        bundle: The bundle.
        verification: What running it against its goldens gave, here and now.
        ran: What ran it.
    """

    bundle: Bundle
    verification: Verification
    ran: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return the check as a JSON object."""
        return {
            "bundle": str(self.bundle.directory),
            "target": self.bundle.target,
            "digests": "hold",
            "verification": self.verification.to_json() | {"ran": dict(self.ran)},
        }

    def raise_for_verdict(self) -> None:
        """Raise MismatchError unless the outputs agree."""
        if self.verification.verdict != "pass":
            raise MismatchError(
                f"target {self.bundle.target}: {self.verification.reason}",
                where="verification",
                hint="the runtime or the machine differs from the one it was proved on; "
                "`irconv inspect` shows both",
            )


def verify_bundle(bundle: Bundle, *, limits: WorkerLimits | None = None) -> BundleCheck:
    """Check digests, run the artifact again and compare with its goldens.

    The tolerances are those of the manifest, derived when the bundle was made.
    """
    with open_artifact(bundle, limits=limits) as runner:
        golden = load_golden(bundle.golden)
        actual = runner.run_all(golden.inputs)
        level: Level = runner.level
        ran = runner.describe()
    try:
        tolerances = {
            entry["name"]: Tolerance(float(entry["tolerance"]), str(entry["basis"]))
            for entry in bundle.manifest["verification"]["outputs"]
        }
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"the manifest's tolerances are broken: {error}", where=str(bundle.directory)
        ) from error
    verification = judge(golden, actual, tolerances, level=level, reference=golden.reference)
    return BundleCheck(bundle, verification, ran)
