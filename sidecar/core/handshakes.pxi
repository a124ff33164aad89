# The handshakes of connections, remembered.
#
# Law: the table of csrc/board/handshakes.h is the only one: a worker's lies in shared memory, a log's here.

from libc.stdint cimport uint32_t
from libc.stdlib cimport calloc, free

from sidecar.core.csrc cimport xb_handshakes, xb_handshakes_recall


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
        cdef uint32_t now = 0 if request.line.time < 0 else <uint32_t>(request.line.time // 1000)
        xb_handshakes_recall(self.table, 0, now, &request.work.request)
