# What the lines of a log before this one said: the handshakes of connections, and what clients did.
#
# Law: the tables of csrc/board/ and csrc/clients/ are the only ones: a worker's lie in shared memory, a log's here. The clock is the log's.

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from sidecar.core.csrc cimport (
    XB_CLIENTS_BY_ADDRESS, XB_CONTENT_UNKNOWN, xb_clients, xb_clients_init, xb_clients_outcome, xb_clients_size, xb_content_of,
    xb_handshakes, xb_handshakes_recall, xb_hosts, xb_response, xb_see, xb_shape, xb_shape_of, xb_workspace,
)


cdef class Handshakes:
    """What the requests of one log said of their connections' handshakes, for those that come later."""

    def __cinit__(self):
        self.table = <xb_handshakes *>calloc(1, sizeof(xb_handshakes))
        if self.table is NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.table)

    def recall(self, Request request not None):
        """Remembers the handshake that `request` tells, or gives it the one that is known of its connection. Its time is that
        of its line."""
        request.idle()
        self.remember(request)

    cdef void remember(self, Request request) noexcept:
        cdef uint32_t now = 0 if request.line.time < 0 else <uint32_t>(request.line.time // 1000)
        xb_handshakes_recall(self.table, 0, now, &request.work.request)


cdef enum:
    CACHE_LINE = 64
    MOST_MEBIBYTES = 1 << 16


cdef class Clients:
    """What the clients of a log did so far, in a table of about so many MiB (csrc/clients/clients.h): as much as a sidecar has by
    default, and with a secret that is always the same, so that the same log always gets the same verdicts.

    `read` gives a request what is known of its client; `count` counts it, with what became of it, when it has been judged. While
    the clock has not moved since the first line, behaviour cannot be told, and the group `client` is absent: of logs without times, of
    one time, and of a single line.
    """

    def __cinit__(self, unsigned mebibytes=64):
        cdef uint64_t secret[2]
        if not 1 <= mebibytes <= MOST_MEBIBYTES:
            raise ValueError(f"mebibytes must be 1 to {MOST_MEBIBYTES}")
        cdef size_t size = xb_clients_size(mebibytes)
        self.memory = calloc(size + CACHE_LINE, 1)
        if self.memory is NULL:
            raise MemoryError
        secret[0], secret[1] = 0, 0
        self.table = <xb_clients *><void *>((<size_t>self.memory + CACHE_LINE - 1) // CACHE_LINE * CACHE_LINE)
        xb_clients_init(self.table, size, secret, XB_CLIENTS_BY_ADDRESS)
        self.first = self.before = -1

    def __dealloc__(self):
        free(self.memory)

    cdef bint open(self, Request request, bint reads_only) noexcept:
        """Before a request is judged. False if it is earlier than the one before it; a line without a time is of the time of that."""
        cdef int64_t time = request.line.time
        cdef bint in_order = time < 0 or time >= self.before
        w = request.work
        if time >= 0:
            self.before = time
            if self.first < 0:
                self.first = time
            self.moved |= time != self.first
        w.clients = self.table if self.moved else NULL
        w.now_ms = 0 if self.before < 0 else <uint64_t>self.before
        w.reads_only = reads_only
        w.keys.client = 0
        return in_order

    cdef void close(self, Request request) noexcept:
        """After it was judged."""
        cdef xb_hosts none
        cdef xb_shape shape
        cdef xb_response response
        w = request.work
        if self.first >= 0 and (w.clients is NULL or w.reads_only):
            none.hash, none.count = NULL, 0
            shape = xb_shape_of(XB_MIN_K, 0, none)
            w.clients, w.reads_only = self.table, False
            xb_see(&shape, w)
        if w.clients is not NULL and w.keys.client:
            response.status = 0 if request.line.status < 0 else request.line.status
            response.bytes = request.line.bytes
            response.content = xb_content_of(request.line.type)
            if response.status or response.bytes >= 0 or response.content != XB_CONTENT_UNKNOWN:
                xb_clients_outcome(self.table, &w.keys, w.now_ms, &response)
        w.clients = NULL

    def read(self, Request request not None):
        """Gives `request` what is known of its client; all that judges it from now on looks at that, and changes nothing here. False
        if its line is earlier than the one before it."""
        request.idle()
        request.clients = self
        return self.open(request, True)

    def count(self, Request request not None):
        """Counts a request that `read` was called for, and what became of it. It then knows nothing more of its client."""
        request.idle()
        if request.clients is not self:
            raise ValueError("a request is counted once, after it was read")
        self.close(request)
        request.clients = None
