"""The two documents that the conformance run writes."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from known import why_known
from suite import Case

_DOCS = Path(__file__).resolve().parents[2] / "docs" / "reference"
RESULTS = _DOCS / "conformance.json"
BASELINE_RESULTS = Path(__file__).with_name("baseline.json")
OPERATORS = _DOCS / "operators.md"

Statuses = Mapping[str, str]


def settle(target: str, statuses: Statuses) -> dict[str, str]:
    """Shorten statuses to ``pass``, ``refused: CODE``, ``known: WHY`` or ``fail: WORDS``."""
    settled: dict[str, str] = {}
    for case, status in statuses.items():
        known = why_known(target, case)
        if status.startswith(("refused: ", "late ")):
            code = status.split("refused: ", 1)[1].split()[0]
            settled[case] = f"refused: {code}"
        elif status != "pass" and known:
            settled[case] = f"known: {known}"
        else:
            settled[case] = status
    return settled


def read_results() -> dict[str, dict[str, str]]:
    """Return the committed results by target and case."""
    if not RESULTS.exists():
        return {}
    results: dict[str, dict[str, str]] = json.loads(RESULTS.read_text())
    return results


def read_baseline() -> dict[str, str]:
    """Return what ONNX Runtime alone made of each case when it last ran."""
    if not BASELINE_RESULTS.exists():
        return {}
    results: dict[str, str] = json.loads(BASELINE_RESULTS.read_text())
    return results


def regressions(before: Statuses, now: Statuses) -> list[str]:
    """Return the cases that passed before and do not now, and those that fail unlisted."""
    return [
        f"{case}: {status}"
        for case, status in now.items()
        if (before.get(case) == "pass" and status != "pass") or status.startswith(("fail", "crash"))
    ]


def write_results(results: Mapping[str, Statuses], baseline: Statuses) -> None:
    """Merge new results into the committed ones, and keep the baseline's."""
    merged = read_results() | {target: dict(cases) for target, cases in results.items()}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    for path, document in ((RESULTS, merged), (BASELINE_RESULTS, dict(baseline))):
        text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")


def write_operators(cases: Mapping[str, Case], baseline: Statuses) -> None:
    """Write the operator table for all committed results.

    Args:
        cases: The whole suite.
        baseline: What ONNX Runtime alone makes of each case.
    """
    results = read_results()
    targets = sorted(results)
    lines = [
        "# Operators and targets",
        "",
        (
            "Written by `python tests/conformance/run.py --write` from the ONNX backend suite "
            f"(`onnx.backend.test`, {len(cases)} cases). Every case goes through irconv's own "
            "path: load and check, passes at `-O2`, legalize, check, emit, run in the target's "
            "runtime, and compare with the suite's expected outputs at the suite's tolerance."
        ),
        "",
        *_totals(cases, results, baseline),
        *_table(_by_operator(cases), results, targets),
        *_known(results, targets),
        *_alone(baseline, results.get("onnx", {})),
    ]
    OPERATORS.write_text("\n".join(lines) + "\n")


def _totals(
    cases: Mapping[str, Case], results: Mapping[str, Statuses], baseline: Statuses
) -> list[str]:
    lines = [
        "| target | pass | of node cases | refused by name | known failures |",
        "|---|---|---|---|---|",
    ]
    for target, statuses in sorted(results.items()):
        kinds = Counter(status.split(":")[0] for status in statuses.values())
        lines.append(
            f"| `{target}` | {kinds['pass']} of {len(statuses)} | {_node_passes(cases, statuses)} "
            f"| {kinds['refused']} | {kinds['known']} |"
        )
    alone = sum(status == "pass" for status in baseline.values())
    lines += [
        (
            f"| ONNX Runtime alone | {alone} of {len(baseline)} | {_node_passes(cases, baseline)} "
            "| | |"
        ),
        "",
    ]
    return lines


def _node_passes(cases: Mapping[str, Case], statuses: Statuses) -> str:
    node = [statuses[name] for name, case in cases.items() if case.kind == "node"]
    return f"{node.count('pass')} of {len(node)}"


def _by_operator(cases: Mapping[str, Case]) -> dict[str, list[str]]:
    """Group the node cases that hold one single node by its operator."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name, case in cases.items():
        nodes = case.model.graph.node
        if case.kind == "node" and len(nodes) == 1:
            domain = f"{nodes[0].domain}::" if nodes[0].domain else ""
            groups[domain + nodes[0].op_type].append(name)
    return dict(sorted(groups.items()))


def _table(
    groups: Mapping[str, Sequence[str]], results: Mapping[str, Statuses], targets: Sequence[str]
) -> list[str]:
    lines = [
        "## Cases that pass, by operator",
        "",
        (
            "Cases of one single node. Codes in brackets say how the others end: refused with that "
            "code, or a known failure."
        ),
        "",
        "| operator | cases | " + " | ".join(f"`{target}`" for target in targets) + " |",
        "|---|---|" + "---|" * len(targets),
    ]
    for operator, names in groups.items():
        cells = [_cell([results[target][name] for name in names]) for target in targets]
        lines.append(f"| {operator} | {len(names)} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def _cell(statuses: Sequence[str]) -> str:
    passed = statuses.count("pass")
    others = Counter(
        status.removeprefix("refused: ") if status.startswith("refused") else "known"
        for status in statuses
        if status != "pass"
    )
    if not others:
        return "all"
    reasons = ", ".join(f"{code} {count}" for code, count in sorted(others.items()))
    return f"{passed} ({reasons})"


def _known(results: Mapping[str, Statuses], targets: Sequence[str]) -> list[str]:
    lines = ["## Known failures", ""]
    for target in targets:
        reasons: dict[str, list[str]] = defaultdict(list)
        for case, status in results[target].items():
            if status.startswith("known: "):
                reasons[status.removeprefix("known: ")].append(case)
        lines += [f"### `{target}`", ""]
        lines += [f"- {why}: {_names(names)}" for why, names in sorted(reasons.items())] + [""]
    return lines


def _alone(baseline: Statuses, onnx: Statuses) -> list[str]:
    """List what ONNX Runtime alone does not pass, and what becomes of it through irconv."""
    failing = [case for case, status in baseline.items() if status != "pass"]
    won = [case for case in failing if onnx.get(case) == "pass"]
    rest: dict[str, list[str]] = defaultdict(list)
    for case in failing:
        if onnx.get(case, "pass") != "pass":
            rest[onnx[case]].append(case)
    return [
        "## What ONNX Runtime alone does not pass",
        "",
        (
            f"{len(failing)} cases. {len(won)} of them pass through irconv, which expands "
            "operators into their function bodies or converts the opset where ONNX Runtime lacks "
            "a kernel. The rest:"
        ),
        "",
        *(f"- {why}: {_names(names)}" for why, names in sorted(rest.items())),
    ]


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{name.removeprefix('node/test_')}`" for name in sorted(names))
