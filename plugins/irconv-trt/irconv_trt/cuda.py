"""The few calls of the CUDA driver that running an engine takes, by ctypes.

The driver library comes with every NVIDIA driver, so no further package is needed. Where it is
absent, or finds no GPU, :func:`devices` is empty and nothing else here may be called.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from irconv.errors import BackendError

__all__ = ["Device", "DeviceBuffer", "Stream", "devices", "primary_context"]

_MAJOR, _MINOR = 75, 76
_NAME_BYTES = 256


@dataclass(frozen=True)
class Device:
    """An NVIDIA GPU.

    Attributes:
        ordinal: Its number.
        name: Its name.
        capability: Its compute capability without the dot, such as 89.
    """

    ordinal: int
    name: str
    capability: int

    def __str__(self) -> str:
        return f"{self.name} (SM{self.capability})"


@functools.cache
def _library() -> ctypes.CDLL | None:
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        library = ctypes.CDLL(name)
    except OSError:
        return None
    library.cuMemAlloc_v2.argtypes = [ctypes.POINTER(ctypes.c_uint64), ctypes.c_size_t]
    library.cuMemFree_v2.argtypes = [ctypes.c_uint64]
    library.cuMemcpyHtoD_v2.argtypes = [ctypes.c_uint64, ctypes.c_void_p, ctypes.c_size_t]
    library.cuMemcpyDtoH_v2.argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_size_t]
    library.cuStreamCreate.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.c_uint]
    library.cuStreamSynchronize.argtypes = [ctypes.c_void_p]
    library.cuStreamDestroy_v2.argtypes = [ctypes.c_void_p]
    return library


def _call(function: str, *arguments: object) -> None:
    library = _library()
    assert library is not None, "no CUDA driver"
    code = getattr(library, function)(*arguments)
    if code != 0:
        text = ctypes.c_char_p()
        library.cuGetErrorString(code, ctypes.byref(text))
        reason = text.value.decode() if text.value else "unknown error"
        raise BackendError(f"CUDA: {function} failed with {code}: {reason}", where="GPU")


@functools.cache
def devices() -> tuple[Device, ...]:
    """Return the GPUs that the driver offers; empty without a driver or a GPU."""
    library = _library()
    if library is None or library.cuInit(0) != 0:
        return ()
    count = ctypes.c_int()
    _call("cuDeviceGetCount", ctypes.byref(count))
    return tuple(_device(ordinal) for ordinal in range(count.value))


def _device(ordinal: int) -> Device:
    handle, name = ctypes.c_int(), ctypes.create_string_buffer(_NAME_BYTES)
    _call("cuDeviceGet", ctypes.byref(handle), ordinal)
    _call("cuDeviceGetName", name, _NAME_BYTES, handle)
    major, minor = ctypes.c_int(), ctypes.c_int()
    _call("cuDeviceGetAttribute", ctypes.byref(major), _MAJOR, handle)
    _call("cuDeviceGetAttribute", ctypes.byref(minor), _MINOR, handle)
    return Device(ordinal, name.value.decode(), 10 * major.value + minor.value)


@contextmanager
def primary_context(device: Device) -> Iterator[None]:
    """Make the GPU's primary context current on this thread while the block runs."""
    handle, context = ctypes.c_int(), ctypes.c_void_p()
    _call("cuDeviceGet", ctypes.byref(handle), device.ordinal)
    _call("cuDevicePrimaryCtxRetain", ctypes.byref(context), handle)
    try:
        _call("cuCtxSetCurrent", context)
        yield
    finally:
        _call("cuDevicePrimaryCtxRelease_v2", handle)


class DeviceBuffer:
    """Memory on the GPU that grows on demand and is freed by :meth:`close`."""

    def __init__(self) -> None:
        self.address = 0
        self.capacity = 0

    def reserve(self, size: int) -> int:
        """Make room for ``size`` bytes and return the address; the content may be lost."""
        if size > self.capacity or not self.address:
            self.close()
            address = ctypes.c_uint64()
            _call("cuMemAlloc_v2", ctypes.byref(address), max(size, 1))
            self.address, self.capacity = address.value, max(size, 1)
        return self.address

    def write(self, host_address: int, size: int) -> None:
        """Copy ``size`` bytes of host memory to the GPU."""
        self.reserve(size)
        if size:
            _call("cuMemcpyHtoD_v2", self.address, host_address, size)

    def read(self, host_address: int, size: int) -> None:
        """Copy ``size`` bytes from the GPU to host memory."""
        if size:
            _call("cuMemcpyDtoH_v2", host_address, self.address, size)

    def close(self) -> None:
        """Free the memory."""
        if self.address:
            _call("cuMemFree_v2", self.address)
        self.address = self.capacity = 0


class Stream:
    """A CUDA stream that does not wait for the default one."""

    _NON_BLOCKING = 1

    def __init__(self) -> None:
        self._handle = ctypes.c_void_p()
        _call("cuStreamCreate", ctypes.byref(self._handle), self._NON_BLOCKING)

    @property
    def handle(self) -> int:
        """The stream as the integer that TensorRT wants."""
        return self._handle.value or 0

    def synchronize(self) -> None:
        """Wait until everything on the stream is done."""
        _call("cuStreamSynchronize", self._handle)

    def close(self) -> None:
        """Destroy the stream."""
        _call("cuStreamDestroy_v2", self._handle)
