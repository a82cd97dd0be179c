"""A broken plugin is a line in a list; the rest works on."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

import pytest

from irconv import builtins, hookspecs
from irconv.backends.base import Backend
from irconv.backends.onnx import OnnxBackend
from irconv.errors import InputError, MissingError, UsageError
from irconv.hookspecs import hookimpl
from irconv.passes.base import Pass, PassResult
from irconv.plugins import Registry, load_registry


@dataclass(frozen=True)
class Alpha(Pass):
    name: ClassVar[str] = "alpha"
    level: int = 1

    def run(self, model, context):
        return PassResult(False)


@dataclass(frozen=True)
class Target(OnnxBackend):
    name: ClassVar[str] = "target-a"


def plugin(**hooks):
    """Return a plugin object with hook implementations that return the given lists."""
    made = {}
    for name, classes in hooks.items():

        def implementation(classes=classes):
            return classes() if callable(classes) and not isinstance(classes, type) else classes

        made[name] = hookimpl(implementation)
    return SimpleNamespace(**made)


def registry(**plugins):
    """Return a registry of plugins, each of a distribution named as its keyword."""
    return Registry(
        (f"{name} 1.0", "main", lambda made=made: made) for name, made in plugins.items()
    )


def raising(error):
    def loader():
        raise error

    return loader


def test_classes_are_found_and_built_from_specs():
    found = registry(one=plugin(irconv_passes=[Alpha], irconv_backends=[Target]))
    assert found.passes() == {"alpha": Alpha}
    assert found.build_pass("alpha{level=3}") == Alpha(level=3)
    assert found.build_backend("target-a{opset=13}") == Target(opset=13)
    (record,) = found.records()
    assert record.distribution == "one 1.0"
    assert record.provides == ("backend:target-a", "pass:alpha")
    assert record.error == ""


@pytest.mark.parametrize(
    "error",
    [ImportError("no sdk"), SyntaxError("bad token"), RuntimeError("at import"), SystemExit(3)],
)
def test_a_plugin_that_does_not_load_is_a_line(error):
    found = Registry(
        [
            ("broken 1.0", "main", raising(error)),
            ("sound 1.0", "main", lambda: plugin(irconv_passes=[Alpha])),
        ]
    )
    assert found.passes() == {"alpha": Alpha}
    sound, broken = found.records()
    assert (sound.distribution, sound.error) == ("sound 1.0", "")
    assert broken.error == f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("error", [RuntimeError("in the hook"), SystemExit(3)])
def test_a_hook_that_raises_leaves_its_other_hooks_working(error):
    found = registry(
        half=plugin(irconv_passes=raising(error), irconv_backends=[Target]),
        sound=plugin(irconv_passes=[Alpha]),
    )
    assert found.backends() == {"target-a": Target}
    assert found.passes() == {"alpha": Alpha}
    half, sound = found.records()
    assert half.error == f"irconv_passes: {type(error).__name__}: {error}"
    assert half.provides == ("backend:target-a",)
    assert sound.error == ""


class Nameless(Alpha):
    name: ClassVar[str] = ""


class Shouting(Alpha):
    name: ClassVar[str] = "Not_Kebab"


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ([Nameless], "which is not kebab-case"),
        ([Shouting], "'Not_Kebab', which is not kebab-case"),
        ([Alpha()], "is no pass class"),
        (["alpha"], "is no pass class"),
        ([Target], "is no pass class"),
        (None, "TypeError"),
    ],
)
def test_what_a_hook_must_not_return(returned, message):
    found = registry(odd=plugin(irconv_passes=lambda: returned))
    assert found.passes() == {}
    (record,) = found.records()
    assert message in record.error


def test_a_hook_that_does_not_exist():
    @hookimpl
    def irconv_nonsense():
        return []

    found = registry(
        odd=SimpleNamespace(irconv_nonsense=irconv_nonsense),
        sound=plugin(irconv_passes=[Alpha]),
    )
    sound, odd = found.records()
    assert "irconv_nonsense" in odd.error
    assert sound.error == ""
    assert found.passes() == {"alpha": Alpha}


def test_a_name_claimed_by_two_is_an_error_that_names_both():
    found = registry(
        one=plugin(irconv_passes=[Alpha]),
        two=plugin(irconv_passes=[Alpha, type("B", (Alpha,), {"name": "beta"})]),
    )
    message = "pass 'alpha' is claimed by one 1.0 and two 1.0"
    with pytest.raises(InputError, match=message) as caught:
        found.build_pass("alpha")
    assert "uninstall" in caught.value.hint
    assert list(found.passes()) == ["beta"]
    one, two = found.records()
    assert one.error == two.error == message
    assert (one.provides, two.provides) == ((), ("pass:beta",))


def test_a_name_claimed_twice_by_one():
    found = registry(one=plugin(irconv_passes=[Alpha, Alpha]))
    with pytest.raises(InputError, match=r"is claimed by one 1.0 twice"):
        found.build_pass("alpha")


def test_one_name_may_stand_for_a_pass_and_a_target():
    same = type("Same", (OnnxBackend,), {"name": "alpha"})
    found = registry(one=plugin(irconv_passes=[Alpha], irconv_backends=[same]))
    assert found.build_pass("alpha") == Alpha()
    assert isinstance(found.build_backend("alpha"), Backend)


def test_unknown_names_say_what_is_known():
    found = registry(one=plugin(irconv_passes=[Alpha], irconv_backends=[Target]))
    with pytest.raises(UsageError, match="there is no pass 'beta'") as caught:
        found.build_pass("beta")
    assert caught.value.hint == "known: alpha"
    with pytest.raises(UsageError, match="there is no target 'beta'") as caught:
        found.build_backend("beta")
    assert caught.value.hint == "known: target-a"
    with pytest.raises(UsageError, match="there is no frontend 'beta'") as caught:
        found.build_frontend("beta")
    assert caught.value.hint == "known: none"


def test_an_unknown_name_points_to_broken_plugins():
    found = Registry([("broken 1.0", "main", raising(ImportError("no sdk")))])
    with pytest.raises(UsageError) as caught:
        found.build_backend("anything")
    assert "broken plugins: broken 1.0" in caught.value.hint


def test_a_first_party_target_says_what_to_install():
    with pytest.raises(MissingError, match="'trt' is not installed") as caught:
        registry().build_backend("trt{sm=89}")
    assert caught.value.hint == "pip install irconv-trt"


def test_hooks_are_called_once_and_only_when_needed():
    calls = []

    def passes():
        calls.append("passes")
        return [Alpha]

    found = registry(one=plugin(irconv_passes=passes, irconv_backends=[Target]))
    found.build_backend("target-a")
    assert calls == []
    found.build_pass("alpha")
    found.build_pass("alpha")
    found.records()
    assert calls == ["passes"]


def test_two_entry_points_of_one_distribution_are_told_apart():
    found = Registry(
        [
            ("one 1.0", "first", lambda: plugin(irconv_passes=[Alpha])),
            ("one 1.0", "second", lambda: plugin(irconv_backends=[Target])),
        ]
    )
    assert [record.provides for record in found.records()] == [
        ("pass:alpha",),
        ("backend:target-a",),
    ]


def test_the_built_ins_use_every_hook():
    hooks = {name for name in vars(hookspecs) if name.startswith("irconv_")}
    assert hooks == {"irconv_frontends", "irconv_passes", "irconv_backends"}
    assert all(hasattr(builtins, hook) for hook in hooks)


def test_what_is_installed_here_is_sound():
    records = {record.distribution.split()[0]: record for record in load_registry().records()}
    assert records["irconv"].error == ""
    assert records["irconv-example"].error == ""
    assert set(records["irconv-example"].provides) == {
        "backend:reference",
        "pass:replace-div-by-constant",
    }


def test_the_command_line_lists_a_broken_plugin_and_lives(tmp_path):
    metadata = tmp_path / "irconv_unlucky-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: irconv-unlucky\nVersion: 1.0\n"
    )
    (metadata / "entry_points.txt").write_text("[irconv]\nunlucky = irconv_unlucky\n")
    (tmp_path / "irconv_unlucky.py").write_text("def broken(:\n")
    done = subprocess.run(
        [sys.executable, "-m", "irconv.cli.main", "plugins", "--json"],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(tmp_path)},
        check=True,
    )
    assert "irconv-unlucky 1.0" in done.stdout
    assert "SyntaxError" in done.stdout
    assert "backend:onnx" in done.stdout
