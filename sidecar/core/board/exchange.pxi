# What two tables of clients tell each other (csrc/clients/exchange.h).
#
# Law: what is told is bytes, deltas one behind the other; csrc/ looks at each before it counts. What was told is remembered here.

from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free

from sidecar.core.csrc cimport xb_client_delta, xb_exchange, xb_exchange_collect, xb_exchange_init, xb_exchange_merge, xb_exchange_size

CLIENT_DELTA = sizeof(xb_client_delta)


cdef class Exchange:
    """For the table in `clients`, a writable buffer. Times are milliseconds since 1970; what was counted before `now_ms` is not told."""

    def __cinit__(self, clients, uint64_t now_ms):
        self.clients = memoryview(clients)
        self.table = _table(self.clients)
        self.state = <xb_exchange *>calloc(1, xb_exchange_size(self.table))
        if self.state is NULL:
            raise MemoryError
        xb_exchange_init(self.state, now_ms)

    def __dealloc__(self):
        free(self.state)

    def collect(self, uint64_t now_ms, unsigned most):
        """What was added since the last time, of at most `most` entries, CLIENT_DELTA bytes each."""
        cdef bytearray out = bytearray(most * sizeof(xb_client_delta))
        cdef char *to = out
        n = xb_exchange_collect(self.state, self.table, now_ms, <xb_client_delta *><void *>to, most)
        return bytes(out[:n * sizeof(xb_client_delta)])

    def merge(self, bytes told not None, uint64_t now_ms):
        """Adds what another machine told, whatever it is. Returns how many entries there was a place for."""
        cdef bytearray held = bytearray(told)
        cdef char *at = held
        return xb_exchange_merge(self.state, self.table, now_ms, <const xb_client_delta *><void *>at, len(held) // sizeof(xb_client_delta))
