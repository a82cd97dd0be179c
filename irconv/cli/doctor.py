"""``irconv doctor``."""

from __future__ import annotations

import click

from irconv.cli.options import json_option
from irconv.cli.output import emit_json, progress
from irconv.errors import ExitCode


@click.command("doctor")
@json_option
def command(as_json: bool) -> int:
    """Check this installation: dependencies, plugins, and a worker for every target.

    Exit code 3 if a dependency conflicts or a plugin is broken.
    """
    from irconv.inspection import diagnose

    with progress(quiet=as_json) as show:
        show("checking the installation")
        report = diagnose()
    sound = report["dependencies"]["ok"] and not any(entry["error"] for entry in report["plugins"])
    if as_json:
        emit_json(report)
        return int(ExitCode.OK if sound else ExitCode.MISSING)
    click.echo(f"irconv {report['irconv']}, Python {report['python']}, {report['platform']}")
    _line(report["dependencies"]["ok"], "dependencies", "; ".join(report["dependencies"]["detail"]))
    for entry in report["plugins"]:
        _line(not entry["error"], f"plugin {entry['distribution']}", entry["error"])
    for kind in ("frontends", "targets"):
        for name, state in report[kind].items():
            detail = state["detail"] if state["ok"] else f"{state['detail']}; {state['way_out']}"
            _line(state["ok"], f"{kind.removesuffix('s')} {name}", detail)
    return int(ExitCode.OK if sound else ExitCode.MISSING)


def _line(ok: bool, subject: str, detail: str) -> None:
    click.secho("ok  " if ok else "no  ", fg="green" if ok else "yellow", nl=False)
    click.echo(f"{subject}: {detail}" if detail else subject)
