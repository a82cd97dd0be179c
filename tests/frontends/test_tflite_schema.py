"""irconv's text of the schema says what the schema of LiteRT says."""

from __future__ import annotations

import inspect
import re

import pytest

from irconv.frontends.tflite.schema import BUILTIN_OPERATORS, TABLES, TENSOR_TYPES, UNIONS

schema = pytest.importorskip("ai_edge_litert.schema_py_generated")

FLAGS = {
    "Bool": "bool", "Int8": "i8", "Uint8": "u8", "Int16": "i16", "Uint16": "u16", "Int32": "i32",
    "Uint32": "u32", "Int64": "i64", "Uint64": "u64", "Float32": "f32",
}  # fmt: skip


def camel(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def accessor(table: str, name: str) -> str:
    """Return the source of LiteRT's accessor of a field."""
    found = [
        member
        for key, member in vars(getattr(schema, table)).items()
        if key.lower() == camel(name).lower() and callable(member)
    ]
    assert found, f"{table} has no field {name}"
    return inspect.getsource(found[0])


@pytest.mark.parametrize("table", TABLES)
def test_fields_stand_in_the_slots_of_litert(table: str) -> None:
    for slot, field in enumerate(TABLES[table]):
        if field.name == "-":
            continue
        source = accessor(table, field.name)
        assert f"self._tab.Offset({4 + 2 * slot})" in source, field.name
        flags = re.findall(r"number_types\.(\w+)Flags, (?:o|a) \+", source)
        if flags:
            assert FLAGS[flags[0]] == field.kind, field.name
            assert ("self._tab.Vector(o)" in source) == field.vector, field.name
            if not field.vector:
                default = re.findall(r"return (\S+)$", source, re.MULTILINE)[-1]
                assert float({"True": 1, "False": 0}.get(default, default)) == field.default


@pytest.mark.parametrize("table", TABLES)
def test_no_field_is_left_out(table: str) -> None:
    offsets = {
        int(offset)
        for member in vars(getattr(schema, table)).values()
        if callable(member) and not isinstance(member, type)
        for offset in re.findall(r"self\._tab\.Offset\((\d+)\)", inspect.getsource(member))
    }
    assert all((offset - 4) // 2 < len(TABLES[table]) for offset in offsets)


def numbers(enumeration: str) -> dict[str, int]:
    members = vars(getattr(schema, enumeration)).items()
    return {name: value for name, value in members if isinstance(value, int)}


def test_enumerations_are_those_of_litert() -> None:
    assert numbers("BuiltinOperator") == {name: at for at, name in enumerate(BUILTIN_OPERATORS)}
    assert numbers("TensorType") == {name.upper(): at for at, name in enumerate(TENSOR_TYPES)}
    for field, enumeration in (
        ("builtin_options", "BuiltinOptions"),
        ("builtin_options2", "BuiltinOptions2"),
        ("details", "QuantizationDetails"),
        ("array_segments", "SparseIndexVector"),
    ):
        assert numbers(enumeration) == {name: at for at, name in enumerate(UNIONS[field])}


def test_every_member_of_a_union_is_a_table() -> None:
    members = {name for union in UNIONS.values() for name in union} - {"NONE"}
    assert members <= set(TABLES)
