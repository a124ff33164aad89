from sidecar.csrc cimport xb_line, xb_model, xb_policies, xb_policy, xb_reply, xb_service, xb_span, xb_workspace


cdef class Request:
    cdef xb_workspace *work
    cdef xb_line line
    cdef bytearray scratch
    cdef object kept

    cdef bint read(self, int format, xb_span line) noexcept


cdef class Model:
    cdef xb_model model
    cdef readonly object data
    cdef Py_buffer view

    cdef bytes _report(self, Request request, long line, bint as_json)


cdef class Policies:
    cdef xb_policies policies
    cdef readonly object data
    cdef Py_buffer view

    cdef const xb_policy *named(self, str name) except NULL


cdef class Answerer:
    cdef xb_service service
    cdef xb_workspace *work
    cdef xb_reply reply
    cdef Model held
    cdef Policies rules
    cdef object stats

    cdef long answer(self, const char *buf, size_t size, size_t seen_size, bint truncated) noexcept
    cdef void connected(self) noexcept
