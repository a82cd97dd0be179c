"""What the documentation says must be so."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from irconv import hookspecs
from irconv.cli.main import COMMANDS, cli
from irconv.errors import ExitCode
from irconv.plugins import load_registry
from irconv.spec import parse_pipeline

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("plugins/*/README.md"),
    ]
)
FENCE = re.compile(r"^```(?P<language>[\w-]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
NAMES = {page: page.relative_to(ROOT).as_posix() for page in PAGES}


def blocks(page):
    text = page.read_text(encoding="utf-8")
    return [(found["language"], found["body"]) for found in FENCE.finditer(text)]


def commands():
    """Yield every irconv command line in a shell block, with its page."""
    for page in PAGES:
        for language, body in blocks(page):
            if language not in ("sh", "console", "bash"):
                continue
            for line in body.replace("\\\n", " ").splitlines():
                words = shlex.split(line.removeprefix("$ "), comments=True)
                if words and words[0].endswith("irconv"):
                    yield pytest.param(words[1:], id=f"{NAMES[page]}: {' '.join(words)}")


def test_there_is_documentation():
    assert len(PAGES) >= 15
    assert len(list(commands())) >= 20


@pytest.mark.parametrize("words", list(commands()))
def test_every_command_line_is_one_that_irconv_takes(words):
    context = click.Context(cli, info_name="irconv")
    command = cli
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, *words = words
        command = command.get_command(context, name)
        assert command is not None, f"there is no command {name!r}"
    if not isinstance(command, click.Group):
        parsed = command.make_context(command.name, list(words))
        registry = load_registry()
        for target in parsed.params.get("targets") or ():
            if target != "all":
                registry.build_backend(target)
        for spec in parse_pipeline(parsed.params.get("passes") or ""):
            registry.build_pass(spec)


@pytest.mark.parametrize("page", PAGES, ids=NAMES.values())
def test_links_within_the_repository_resolve(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    targets = [link for link in LINK.findall(text) if not re.match(r"[a-z]+:", link)]
    missing = []
    for target in targets:
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            missing.append(target)
    assert missing == []


def anchors(page):
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


def quotations():
    for page in PAGES:
        for _, body in blocks(page):
            first, _, rest = body.partition("\n")
            found = re.fullmatch(r"# ((?:[\w.-]+/)+[\w.-]+)", first)
            if found:
                yield pytest.param(found[1], rest, id=f"{NAMES[page]}: {rest.strip()[:40]}")


def test_the_tutorials_quote_the_example():
    assert len(list(quotations())) >= 15


@pytest.mark.parametrize(("path", "quotation"), list(quotations()))
def test_code_in_the_documentation_is_that_of_the_package(path, quotation):
    assert quotation in (ROOT / path).read_text(encoding="utf-8")


def test_python_examples_compile():
    for page in PAGES:
        for language, body in blocks(page):
            if language == "python" and not body.startswith(("# plugins/", "@hookimpl")):
                compile(body, NAMES[page], "exec")


def test_every_hook_and_command_is_documented():
    hooks = (ROOT / "docs/reference/hooks.md").read_text(encoding="utf-8")
    for name in vars(hookspecs):
        assert not name.startswith("irconv_") or f"`{name}`" in hooks
    reference = (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8")
    assert all(f"`irconv {name}" in reference for name in COMMANDS)


def test_every_exit_code_is_documented():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.partition("## Exit codes")[2].partition("\n## ")[0]
    assert set(map(int, re.findall(r"\b[0-9]\b", section))) == set(map(int, ExitCode))


def test_the_generated_reference_is_up_to_date():
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "generate.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr} - run `make docs`"


def test_the_manifest_reference_names_every_key(manifest_keys):
    reference = (ROOT / "docs/reference/manifest.md").read_text(encoding="utf-8")
    assert [key for key in sorted(manifest_keys) if f"`{key}`" not in reference] == []


@pytest.fixture
def manifest_keys(small_net, tmp_path):
    """Keys of a real manifest, two levels deep."""
    import irconv

    result = irconv.compile(small_net, ["onnx"], tmp_path / "build")
    manifest = result.targets[0].manifest
    keys = set(manifest)
    for name in ("source", "artifact", "golden", "verification", "environment", "seconds"):
        keys |= set(manifest[name])
    for entry in (*manifest["passes"], *manifest["inputs"], *manifest["verification"]["outputs"]):
        keys |= set(entry)
    return keys
