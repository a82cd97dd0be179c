"""The protobuf messages of a Core ML specification, as far as an ML Program uses them.

The table below states names, field numbers and types of Apple's published format
(``Model.proto``, ``FeatureTypes.proto`` and ``MIL.proto``). The messages are built in a pool of
their own, so that reading a package needs no vendor module and cannot clash with one.
"""

from __future__ import annotations

import functools
from typing import Any

from google.protobuf import (  # type: ignore[import-untyped]
    descriptor_pb2,
    descriptor_pool,
    message_factory,
)

__all__ = ["parse_model"]

_PACKAGE = "irconv.coreml"

_MESSAGES = """
Model: specificationVersion=1 int32; description=2 ModelDescription; mlProgram=502 Program
ModelDescription: functions=20 *FunctionDescription; defaultFunctionName=21 string; \
input=1 *FeatureDescription; output=10 *FeatureDescription; state=13 *FeatureDescription
FunctionDescription: name=1 string; input=2 *FeatureDescription; output=3 *FeatureDescription; \
state=6 *FeatureDescription
FeatureDescription: name=1 string; type=3 FeatureType
FeatureType: imageType=4 ImageFeatureType; multiArrayType=5 ArrayFeatureType; \
stateType=8 StateFeatureType; isOptional=1000 bool
StateFeatureType: arrayType=1 ArrayFeatureType
SizeRange: lowerBound=1 uint64; upperBound=2 int64
ImageFeatureType: width=1 int64; height=2 int64; colorSpace=3 int32; \
enumeratedSizes=21 EnumeratedImageSizes; imageSizeRange=31 ImageSizeRange
ImageSize: width=1 uint64; height=2 uint64
EnumeratedImageSizes: sizes=1 *ImageSize
ImageSizeRange: widthRange=1 SizeRange; heightRange=2 SizeRange
ArrayFeatureType: shape=1 *int64; dataType=2 int32; enumeratedShapes=21 EnumeratedShapes; \
shapeRange=31 ShapeRange
Shape: shape=1 *int64
EnumeratedShapes: shapes=1 *Shape
ShapeRange: sizeRanges=1 *SizeRange
Program: version=1 int64; functions=2 *FunctionEntry; attributes=4 *ValueEntry
FunctionEntry: key=1 string; value=2 Function
ValueEntry: key=1 string; value=2 Value
Function: inputs=1 *NamedValueType; opset=2 string; block_specializations=3 *BlockEntry
BlockEntry: key=1 string; value=2 Block
Block: inputs=1 *NamedValueType; outputs=2 *string; operations=3 *Operation
Operation: type=1 string; inputs=2 *ArgumentEntry; outputs=3 *NamedValueType; blocks=4 *Block; \
attributes=5 *ValueEntry
ArgumentEntry: key=1 string; value=2 Argument
Argument: arguments=1 *Binding
Binding: name=1 string; value=2 Value
NamedValueType: name=1 string; type=2 ValueType
ValueType: tensorType=1 TensorType; listType=2 ListType; tupleType=3 TupleType; \
dictionaryType=4 Opaque; stateType=5 StateType
Opaque:
TensorType: dataType=1 int32; rank=2 int64; dimensions=3 *Dimension
TupleType: types=1 *ValueType
ListType: type=1 ValueType; length=2 Dimension
StateType: wrappedType=1 ValueType
Dimension: constant=1 ConstantDimension; unknown=2 UnknownDimension
ConstantDimension: size=1 uint64
UnknownDimension: variadic=1 bool
Value: docString=1 string; type=2 ValueType; immediateValue=3 ImmediateValue; \
blobFileValue=5 BlobFileValue
ImmediateValue: tensor=1 TensorValue; tuple=2 TupleValue; list=3 ListValue; dictionary=4 Opaque
BlobFileValue: fileName=1 string; offset=2 uint64
TensorValue: floats=1 RepeatedFloats; ints=2 RepeatedInts; bools=3 RepeatedBools; \
strings=4 RepeatedStrings; longInts=5 RepeatedLongInts; doubles=6 RepeatedDoubles; \
bytes=7 RepeatedBytes
RepeatedFloats: values=1 *float
RepeatedInts: values=1 *int32
RepeatedBools: values=1 *bool
RepeatedStrings: values=1 *string
RepeatedLongInts: values=1 *int64
RepeatedDoubles: values=1 *double
RepeatedBytes: values=1 bytes
TupleValue: values=1 *Value
ListValue: values=1 *Value
"""
"""One message a line: ``Name: field=number type; …``, with ``*`` before a repeated type."""


def parse_model(data: bytes) -> Any:
    """Parse the bytes of a ``Model`` message.

    Raises:
        google.protobuf.message.DecodeError: If they are none.
    """
    return _model_class().FromString(data)


@functools.cache
def _model_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(
        name="irconv_coreml_model.proto", package=_PACKAGE, syntax="proto3"
    )
    for line in _MESSAGES.strip().splitlines():
        name, _, fields = line.partition(":")
        message = file.message_type.add(name=name)
        for field in filter(None, (text.strip() for text in fields.split(";"))):
            _add_field(message, field)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Model"))


def _add_field(message: descriptor_pb2.DescriptorProto, text: str) -> None:
    name, _, rest = text.partition("=")
    number, kind = rest.split()
    field = message.field.add(name=name, number=int(number))
    repeated = kind.startswith("*")
    kind = kind.removeprefix("*")
    proto = descriptor_pb2.FieldDescriptorProto
    field.label = proto.LABEL_REPEATED if repeated else proto.LABEL_OPTIONAL
    if kind[0].islower():
        field.type = proto.Type.Value(f"TYPE_{kind.upper()}")
    else:
        field.type = proto.TYPE_MESSAGE
        field.type_name = f".{_PACKAGE}.{kind}"
