# Bytes: spans and the objects that they point into, held buffers, the lines of a block, hashes, addresses.
#
# Law: a span owns nothing. Whoever makes one keeps the object alive that it points into.

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint64_t
from libc.string cimport memchr

from sidecar.core.csrc cimport xb_address, xb_address_parse, xb_hash, xb_host_hash, xb_span


cdef inline xb_span _span(bytes text) noexcept:
    cdef xb_span s
    s.at = PyBytes_AS_STRING(text)
    s.size = PyBytes_GET_SIZE(text)
    return s


cdef inline xb_span _optional(bytes text) noexcept:
    """Absent for None."""
    cdef xb_span s
    s.at, s.size = NULL, 0
    return s if text is None else _span(text)


cdef inline bytes _bytes(xb_span s):
    return PyBytes_FromStringAndSize(s.at, s.size) if s.at is not NULL else None


cdef object _text(xb_span s):
    return None if s.at is NULL else s.at[:s.size].decode("utf-8", "backslashreplace")


cdef inline const char *_next_line(const char *at, const char *end, xb_span *text) noexcept:
    cdef const char *newline = <const char *>memchr(at, c'\n', end - at)
    cdef const char *stop = newline if newline is not NULL else end
    text.at = at
    text.size = stop - at
    if text.size and (stop - 1)[0] == c'\r':
        text.size -= 1
    return newline + 1 if newline is not NULL else end


cdef int _hold(data, Py_buffer *view) except -1:
    """Holds a read-only buffer: its bytes are checked once and then used without a further check."""
    PyObject_GetBuffer(data, view, PyBUF_SIMPLE)
    if not view.readonly:
        PyBuffer_Release(view)
        raise TypeError("a read-only buffer is needed, such as bytes")
    return 0


cdef void *_shared(view, size_t size, str name, int how=PyBUF_WRITABLE) except NULL:
    """Where the memory of a view lies, which keeps it. It is written to, by words."""
    cdef Py_buffer buffer
    PyObject_GetBuffer(view, &buffer, how)
    cdef void *at = buffer.buf
    cdef size_t there = buffer.len
    PyBuffer_Release(&buffer)
    if there < size:
        raise ValueError(f"{name} needs {size} bytes")
    if <size_t>at % sizeof(uint64_t):
        raise ValueError(f"{name} must be aligned to {sizeof(uint64_t)} bytes")
    return at


cdef const void *_seen(view, size_t size, str name) except NULL:
    """The same of memory that is only read, by words."""
    return _shared(view, size, name, PyBUF_SIMPLE)


def hash_text(bytes text not None):
    """csrc/base/hash.h's hash of `text`: 64 bits, letters without regard to case."""
    return xb_hash(_span(text))


def host_hash(bytes host not None):
    """What the set of known hosts in a model stores of `host`: 32 bits."""
    return xb_host_hash(_span(host))


def parse_address(bytes text not None):
    """The 4 or 16 bytes of an address; None if the text is none."""
    cdef xb_address address
    if not xb_address_parse(_span(text), &address):
        return None
    return (<const char *>address.bytes)[:4 if address.version == 4 else 16]
