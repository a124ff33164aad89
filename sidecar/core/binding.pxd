# What other extensions may cimport of the binding: its classes, with their C methods.
#
# Law: a class is declared here and defined in the file of its noun.

from sidecar.core.csrc cimport xb_handshakes, xb_line, xb_model, xb_policies, xb_policy, xb_reply, xb_service, xb_span, xb_workspace


cdef class Request:
    cdef xb_workspace *work
    cdef xb_line line
    cdef bytearray scratch
    cdef object kept        # all that spans of the request point into
    cdef bytes came_from    # likewise: what come_from() added
    cdef bytes asked        # likewise: what ask_policy() added
    cdef int busy           # above 0: it is being read, and must not change

    cdef bint read(self, int format, xb_span line) noexcept
    cdef int idle(self) except -1
    cdef int take(self, object kept) except -1


cdef class Handshakes:
    cdef xb_handshakes *table


cdef class Model:
    cdef xb_model model
    cdef readonly object data
    cdef Py_buffer view

    cdef bytes _report(self, Request request, unsigned long line, bint as_json)


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
    cdef Policies held_policies
    cdef object stats, handshakes

    cdef long answer(self, const char *buf, size_t size, size_t seen_size, bint truncated) noexcept
    cdef void connected(self) noexcept
    cdef dict describe(self)
