# What other extensions may cimport of the binding: its classes, with their C methods.
#
# Law: a class is declared here and defined in the file of its noun.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from sidecar.core.csrc cimport (
    xb_clients, xb_closed, xb_connection, xb_exchange, xb_handshakes, xb_ids, xb_line, xb_listener, xb_lookups, xb_model, xb_policies, xb_policy,
    xb_recorder, xb_reply, xb_service, xb_signer,
    xb_span, xb_step, xb_workspace,
)


cdef class Clients


cdef class Request:
    cdef xb_workspace *work
    cdef xb_line line
    cdef bytearray scratch
    cdef object kept        # all that spans of the request point into
    cdef bytes came_from    # likewise: what come_from() added
    cdef bytes asked        # likewise: what ask_policy() added
    cdef Clients clients    # the table that it looks into, or None
    cdef int busy           # above 0: it is being read, and must not change

    cdef bint read(self, int format, xb_span line) noexcept
    cdef tuple fault(self, int format, xb_span line, object load)
    cdef int idle(self) except -1
    cdef int take(self, object kept) except -1


cdef class Handshakes:
    cdef xb_handshakes *table

    cdef void remember(self, Request request) noexcept


cdef class Clients:
    cdef xb_clients *table
    cdef void *memory
    cdef int64_t first, before  # milliseconds since 1970: of the first line, of the one before; -1: none yet
    cdef bint moved             # a line had another time than the first

    cdef bint open(self, Request request, bint reads_only) noexcept
    cdef void close(self, Request request) noexcept


cdef class Model:
    cdef xb_model model
    cdef readonly object data
    cdef Py_buffer view

    cdef bytes _report(self, Request request, unsigned long line, bint as_json)


cdef class Lookups:
    cdef xb_lookups *table
    cdef object view
    cdef uint32_t at        # where questions are taken next


cdef struct signer:  # what csrc/ calls, with what it calls in Python
    xb_signer row
    void *check


cdef class Policies:
    cdef xb_policies policies
    cdef signer signing
    cdef readonly object signer
    cdef readonly object data
    cdef readonly Lookups lookups
    cdef Py_buffer view

    cdef const xb_policy *named(self, str name) except NULL


cdef class Answerer:
    cdef xb_service service
    cdef xb_ids ids
    cdef xb_recorder recorder
    cdef xb_workspace *work
    cdef xb_listener listener
    cdef xb_reply reply     # of the last step
    cdef Model held
    cdef Policies held_policies
    cdef object stats, handshakes, wheel, lane, clients, visitors, clock

    # csrc/connection.h, for whoever holds the connections.
    cdef void begin(self, xb_connection *c, void *host) noexcept
    cdef xb_step next(self, xb_connection *c, xb_span *input) noexcept
    cdef void unread(self, xb_connection *c, size_t size) noexcept
    cdef void last(self, xb_connection *c) noexcept
    cdef void end(self, xb_connection *c) noexcept
    cdef xb_connection *out(self, xb_closed *why) noexcept
    cdef bint over(self) noexcept
    cdef uint64_t wake(self) noexcept
    cdef uint64_t now(self) noexcept
    cdef void drain(self, uint64_t idle, uint64_t rest) noexcept
    cdef dict describe(self)


cdef class Outcomes:
    cdef xb_clients *table
    cdef const uint64_t *clock_ms
    cdef object clients, clock

    cdef void take(self, const char *message, size_t size) noexcept nogil


cdef class Exchange:
    cdef xb_exchange *state
    cdef xb_clients *table
    cdef object clients
