"""``irconv passes``."""

from __future__ import annotations

import dataclasses
import inspect
from typing import TYPE_CHECKING, Any

import click

from irconv.cli.options import json_option
from irconv.cli.output import emit_json, print_table

if TYPE_CHECKING:
    from irconv.passes.base import Pass
    from irconv.plugins import Registry

_LEVELS = (
    "nothing",
    "clean-up that changes no bit of any output",
    "rewrites that are exact in real arithmetic (the default)",
    "fusions and relaxed arithmetic within the derived tolerance",
)


@click.command("passes")
@click.argument("name", required=False)
@json_option
def command(name: str | None, as_json: bool) -> None:
    """List the levels, what each target adds to -O 3, and all passes.

    With NAME, show one pass's whole documentation and its options.
    """
    from irconv.plugins import load_registry

    registry = load_registry()
    passes = registry.passes()
    if name is not None:
        registry.pass_class(name)
    levels, targets = _level_specs(registry), _target_specs(registry)
    rows = [_facts(cls, levels, targets) for cls in passes.values() if name in (None, cls.name)]
    if as_json:
        emit_json(rows)
    elif name is not None:
        _print_one(rows[0])
    else:
        _print_all(rows, levels, targets)


def _level_specs(registry: Registry) -> dict[str, tuple[str, ...]]:
    """Return the passes of each level in the order in which they run."""
    from irconv.passes.order import order_passes
    from irconv.passes.pipelines import build_pipeline, default_pipeline

    return {
        str(level): tuple(
            str(item) for item in order_passes(build_pipeline(registry, default_pipeline(level)))
        )
        for level in range(len(_LEVELS))
    }


def _target_specs(registry: Registry) -> dict[str, tuple[str, ...]]:
    return {name: tuple(cls().optimization()) for name, cls in registry.backends().items()}


def _facts(
    cls: type[Pass],
    levels: dict[str, tuple[str, ...]],
    targets: dict[str, tuple[str, ...]],
) -> dict[str, Any]:
    from irconv.spec import field_types

    documentation = inspect.getdoc(cls) or ""
    options = [_option(field) for field in dataclasses.fields(cls) if field.init]
    return {
        "name": cls.name,
        "effect": cls.effect,
        "after": list(cls.after),
        "summary": documentation.partition("\n")[0],
        "options": options,
        "types": {name: str(kind) for name, kind in field_types(cls).items()},
        "documentation": documentation,
        "levels": _uses(cls.name, levels),
        "targets": _uses(cls.name, targets),
    }


def _option(field: dataclasses.Field[Any]) -> str:
    if field.default is dataclasses.MISSING:
        return f"{field.name} (must be given)"
    return f"{field.name}={field.default}"


def _uses(name: str, pipelines: dict[str, tuple[str, ...]]) -> dict[str, list[str]]:
    """Return, by pipeline, the specs in it that are of the pass ``name``."""
    from irconv.spec import parse_spec

    found = {
        key: [spec for spec in specs if parse_spec(spec).name == name]
        for key, specs in pipelines.items()
    }
    return {key: specs for key, specs in found.items() if specs}


def _print_one(row: dict[str, Any]) -> None:
    places = [
        *(f"-O {level}: {', '.join(specs)}" for level, specs in row["levels"].items()),
        *(f"-O 3 for {target}: {', '.join(specs)}" for target, specs in row["targets"].items()),
    ]
    click.echo(f"{row['name']}\n\n{row['documentation']}\n")
    click.echo("\n".join(places) or "In no level's pipeline; run it with --passes.")


def _print_all(
    rows: list[dict[str, Any]],
    levels: dict[str, tuple[str, ...]],
    targets: dict[str, tuple[str, ...]],
) -> None:
    from irconv.passes.pipelines import HIGHEST_LEVEL

    by_name = {row["name"]: row for row in rows}
    for level, meaning in enumerate(_LEVELS):
        specs = levels[str(level)]
        if level == HIGHEST_LEVEL:
            below = levels[str(level - 1)]
            specs = tuple(spec for spec in specs if spec not in below)
            meaning = f"all of -O {level - 1}, {meaning}"
        _print_pipeline(f"-O {level}: {meaning}", specs, by_name)
    for target, specs in targets.items():
        heading = f"-O {HIGHEST_LEVEL} --target {target}: adds " + ("" if specs else "nothing")
        _print_pipeline(heading.rstrip(), specs, by_name)
    click.echo()
    print_table(
        ["pass", "effect", "what it does", "options"],
        [[row["name"], row["effect"], row["summary"], " ".join(row["options"])] for row in rows],
    )


def _print_pipeline(
    heading: str, specs: tuple[str, ...], by_name: dict[str, dict[str, Any]]
) -> None:
    from irconv.spec import parse_spec

    click.echo(heading)
    width = max(map(len, specs), default=0)
    for spec in specs:
        click.echo(f"  {spec:{width}}  {by_name[parse_spec(spec).name]['summary']}")
