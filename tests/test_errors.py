"""Errors must cross a process boundary, and keep their exit codes."""

from __future__ import annotations

import json

import pytest

from irconv.errors import (
    BackendError,
    Diagnostic,
    ExitCode,
    InputError,
    IrconvError,
    MismatchError,
    MissingError,
    UnsupportedError,
    UsageError,
    error_from_json,
)

CODES = {
    InputError: 2,
    UsageError: 2,
    MismatchError: 1,
    MissingError: 3,
    BackendError: 5,
}


def test_the_exit_codes_that_scripts_rely_on():
    assert [int(code) for code in ExitCode] == [0, 1, 2, 3, 4, 5]
    assert {cls: int(cls.exit_code) for cls in CODES} == CODES
    assert UnsupportedError.exit_code == 4


@pytest.mark.parametrize("cls", CODES)
def test_an_error_survives_json(cls):
    error = cls("what", where="where", hint="hint")
    again = error_from_json(json.loads(json.dumps(error.to_json())))
    assert type(again) is cls
    assert (again.what, again.where, again.hint) == ("what", "where", "hint")
    assert str(again) == str(error) == "what\nwhere: where\nnext: hint"


def test_an_unsupported_error_keeps_every_diagnostic():
    diagnostics = [
        Diagnostic("UNSUPPORTED_OP", "no such kernel", node="n", op="x::Op", way_out="leave it"),
        Diagnostic("DYNAMIC_DIM", "shapes must be known"),
    ]
    error = UnsupportedError("trt", diagnostics, where="check", hint="bind")
    again = error_from_json(json.loads(json.dumps(error.to_json())))
    assert isinstance(again, UnsupportedError)
    assert again.diagnostics == tuple(diagnostics)
    assert again.target == "trt"
    assert str(again) == str(error)
    assert "x::Op 'n': no such kernel (leave it)" in str(error)
    assert "- shapes must be known" in str(error)


def test_a_kind_of_a_plugin_becomes_a_backend_error():
    class Foreign(IrconvError):
        kind = "foreign"

    again = error_from_json(Foreign("what", where="here").to_json())
    assert isinstance(again, BackendError)
    assert (again.what, again.where) == ("what", "here")


def test_the_message_leaves_out_what_is_empty():
    assert str(InputError("what")) == "what"
