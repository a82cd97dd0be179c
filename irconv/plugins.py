"""Finding plugins and the frontends, passes and backends that they bring.

Entry points load one by one, so a broken plugin is a line in ``irconv plugins`` and never a
dead command line. A name that two distributions claim is an error that names both.
"""

from __future__ import annotations

import difflib
import importlib.metadata
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import pluggy

from irconv import hookspecs
from irconv.errors import InputError, MissingError, UsageError
from irconv.spec import Configurable, Spec, parse_spec

if TYPE_CHECKING:
    from irconv.backends.base import Backend
    from irconv.frontends.base import Frontend
    from irconv.passes.base import Pass

__all__ = ["PluginRecord", "Registry", "load_registry"]

Kind = Literal["frontend", "pass", "backend"]
_KINDS: tuple[Kind, ...] = ("frontend", "pass", "backend")
_HOOKS: dict[Kind, str] = {
    "frontend": "irconv_frontends",
    "pass": "irconv_passes",
    "backend": "irconv_backends",
}
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_T = TypeVar("_T", bound=Configurable)
_Origin = tuple[str, str]
"""Label of a distribution, and the name of an entry point of it."""


@dataclass(frozen=True)
class PluginRecord:
    """What became of one entry point.

    Attributes:
        distribution: Distribution name and version, or ``irconv (built-in)``.
        entry_point: Name of the entry point.
        provides: ``kind:name`` of each class it registered.
        error: Why it was left out, wholly or in part; empty when it is sound.
    """

    distribution: str
    entry_point: str
    provides: tuple[str, ...]
    error: str = ""


class Registry:
    """Frontends, passes and backends by name, and how each plugin fared.

    Args:
        sources: ``(distribution, entry point name, loader)`` triples; the loader returns the
            object that carries the hook implementations.
    """

    def __init__(self, sources: Iterable[tuple[str, str, Callable[[], object]]]) -> None:
        self._sources = list(sources)
        self._plugins: list[tuple[str, str, object]] = []
        self._load_errors: list[PluginRecord] = []
        self._classes: dict[Kind, dict[str, type[Configurable]]] = {}
        self._errors: dict[_Origin, list[str]] = {}
        self._claims: dict[tuple[Kind, str], list[_Origin]] = {}
        self._conflicts: dict[tuple[Kind, str], str] = {}
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        for distribution, name, loader in self._sources:
            self._register(distribution, name, loader)

    def _register(self, distribution: str, name: str, loader: Callable[[], object]) -> None:
        try:
            plugin = loader()
            self._manager.register(plugin, name=f"{distribution}:{name}")
            self._manager.check_pending()
        except (Exception, SystemExit) as error:
            reason = f"{type(error).__name__}: {error}"
            self._manager.set_blocked(f"{distribution}:{name}")
            self._load_errors.append(PluginRecord(distribution, name, (), reason))
        else:
            self._plugins.append((distribution, name, plugin))

    def _collect(self, kind: Kind) -> dict[str, type[Configurable]]:
        if kind not in self._classes:
            found: dict[str, type[Configurable]] = {}
            for distribution, entry_point, plugin in self._plugins:
                origin = (distribution, entry_point)
                for cls in self._call(plugin, _HOOKS[kind], origin):
                    reason = _unfit(kind, cls)
                    if reason:
                        self._note(origin, reason)
                    else:
                        found.setdefault(cls.name, cls)
                        self._claims.setdefault((kind, cls.name), []).append(origin)
            self._classes[kind] = found
            self._settle_claims(kind)
        return self._classes[kind]

    def _call(self, plugin: object, hook: str, origin: _Origin) -> list[Any]:
        implementation = getattr(plugin, hook, None)
        if implementation is None:
            return []
        try:
            return list(implementation())
        except (Exception, SystemExit) as error:
            self._note(origin, f"{hook}: {type(error).__name__}: {error}")
            return []

    def _settle_claims(self, kind: Kind) -> None:
        """Take the names that several plugins claim out, and note it at each of them."""
        for (claimed, name), origins in self._claims.items():
            if claimed != kind or len(origins) == 1:
                continue
            claimants = " and ".join(dict.fromkeys(distribution for distribution, _ in origins))
            self._conflicts[kind, name] = f"{kind} {name!r} is claimed by {claimants}"
            if len(set(origins)) == 1:
                self._conflicts[kind, name] += " twice"
            for origin in dict.fromkeys(origins):
                self._note(origin, self._conflicts[kind, name])
            del self._classes[kind][name]

    def _note(self, origin: _Origin, error: str) -> None:
        self._errors.setdefault(origin, []).append(error)

    def records(self) -> list[PluginRecord]:
        """Return one record a plugin, the broken ones with their error."""
        for kind in _KINDS:
            self._collect(kind)
        provides: dict[_Origin, set[str]] = {}
        for (kind, name), origins in self._claims.items():
            if (kind, name) not in self._conflicts:
                for origin in origins:
                    provides.setdefault(origin, set()).add(f"{kind}:{name}")
        records = [
            PluginRecord(
                distribution,
                entry_point,
                tuple(sorted(provides.get((distribution, entry_point), ()))),
                "; ".join(self._errors.get((distribution, entry_point), [])),
            )
            for distribution, entry_point, _ in self._plugins
        ]
        return records + self._load_errors

    def _get(self, kind: Kind, name: str, base: type[_T]) -> type[_T]:
        classes = self._collect(kind)
        if (kind, name) in self._conflicts:
            raise InputError(
                self._conflicts[kind, name],
                where="plugins",
                hint="uninstall all of them but one; `irconv plugins` lists them",
            )
        if name not in classes:
            raise self._unknown(kind, name)
        return cast("type[_T]", classes[name])

    def _unknown(self, kind: Kind, name: str) -> UsageError | MissingError:
        known = ", ".join(sorted(self._collect(kind))) or "none"
        word = "target" if kind == "backend" else kind
        extra = f"irconv-{name}"
        if kind == "backend" and name in _FIRST_PARTY_TARGETS:
            return MissingError(
                f"target {name!r} is not installed here", hint=f"pip install {extra}"
            )
        broken = [record for record in self.records() if record.error]
        near = difflib.get_close_matches(name, self._collect(kind), n=3)
        hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
        hint += f"known: {known}"
        if broken:
            hint += "; broken plugins: " + ", ".join(record.distribution for record in broken)
        return UsageError(f"there is no {word} {name!r}", where="plugins", hint=hint)

    def frontends(self) -> dict[str, type[Frontend]]:
        """Return the frontend classes by name, in registration order."""
        return cast("dict[str, type[Frontend]]", self._collect("frontend"))

    def passes(self) -> dict[str, type[Pass]]:
        """Return the pass classes by name, in registration order."""
        return cast("dict[str, type[Pass]]", self._collect("pass"))

    def backends(self) -> dict[str, type[Backend]]:
        """Return the backend classes by target name, in registration order."""
        return cast("dict[str, type[Backend]]", self._collect("backend"))

    def pass_class(self, name: str) -> type[Pass]:
        """Return the class of a pass; raises as :meth:`build_pass`."""
        return cast("type[Pass]", self._get("pass", name, Configurable))

    def build_pass(self, spec: str | Spec) -> Pass:
        """Build a pass from its spec.

        Raises:
            UsageError: If the name or an option is unknown.
            InputError: If two distributions claim the name.
        """
        return cast("Pass", self._build("pass", spec))

    def build_backend(self, spec: str | Spec) -> Backend:
        """Build the backend of a target from its spec; raises as :meth:`build_pass`."""
        return cast("Backend", self._build("backend", spec))

    def build_frontend(self, spec: str | Spec) -> Frontend:
        """Build a frontend from its spec; raises as :meth:`build_pass`."""
        return cast("Frontend", self._build("frontend", spec))

    def _build(self, kind: Kind, spec: str | Spec) -> Any:
        parsed = parse_spec(spec) if isinstance(spec, str) else spec
        return self._get(kind, parsed.name, Configurable).from_options(parsed.options)


def _unfit(kind: Kind, cls: Any) -> str:
    """Return why ``cls`` cannot be registered as a ``kind``; empty where it can."""
    if not (isinstance(cls, type) and issubclass(cls, _base(kind))):
        return f"{cls!r} is no {kind} class"
    if not _NAME.fullmatch(cls.name):
        return f"{cls.__name__} has the name {cls.name!r}, which is not kebab-case"
    return ""


def _base(kind: Kind) -> type[Configurable]:
    from irconv.backends.base import Backend
    from irconv.frontends.base import Frontend
    from irconv.passes.base import Pass

    bases: dict[Kind, type[Configurable]] = {"frontend": Frontend, "pass": Pass, "backend": Backend}
    return bases[kind]


_FIRST_PARTY_TARGETS = frozenset(
    {"openvino", "trt", "tflite", "coreml", "torchscript", "executorch"}
)


def _entry_point_sources() -> list[tuple[str, str, Callable[[], object]]]:
    sources: list[tuple[str, str, Callable[[], object]]] = []
    for entry_point in importlib.metadata.entry_points(group=hookspecs.PROJECT):
        distribution = entry_point.dist
        label = f"{distribution.name} {distribution.version}" if distribution else "unknown"
        sources.append((label, entry_point.name, entry_point.load))
    return sorted(sources, key=lambda source: source[:2])


def _builtin() -> object:
    from irconv import builtins

    return builtins


def load_registry() -> Registry:
    """Return the registry of the built-ins and of every installed plugin."""
    return Registry([("irconv (built-in)", "builtins", _builtin), *_entry_point_sources()])
