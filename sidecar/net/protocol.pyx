"""The connections of a worker: an asyncio.BufferedProtocol over csrc/answer.h, made for uvloop.

Law: bytes move, nothing is decided. Whole heads are parsed where uvloop read them, in one buffer that all connections
share; only a head that came in pieces is copied, to a buffer of its connection.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.string cimport memmove

from sidecar.core.binding cimport Answerer, Model, Policies
from sidecar.core.csrc cimport XB_BAD, XB_MAX_HEAD, XB_PARTIAL

from asyncio import get_running_loop

# How long a connection that is being closed may still drain what its peer sends, in seconds.
LINGER = 1.0
# How long a draining server leaves an idle connection open, in seconds: its peer may be sending a request just now.
GRACE = 0.2


cdef class Server:
    """Makes the protocol of each connection: `await loop.create_server(server, sock=listening)`.

    `server.serve(model, policies, policy)` swaps all three: the next head is judged by them. `stats` is a writable buffer
    of core.STATS_SIZE bytes, `handshakes` one of core.HANDSHAKES_SIZE, and `listener` its number there. `log` is called with a dict for each request (debugging only).
    """
    cdef Answerer answerer
    cdef object log
    cdef set open
    cdef bytearray shared
    cdef object shared_view

    def __cinit__(self, Model model not None, *, str dialect="nginx", bint enforce=False, Policies policies=None, str policy=None,
                 stats=None, handshakes=None, int listener=0, log=None):
        self.answerer = Answerer(model, dialect=dialect, enforce=enforce, policies=policies, policy=policy, stats=stats,
                                 handshakes=handshakes, listener=listener)
        self.log = log
        self.open = set()
        self.shared = bytearray(XB_MAX_HEAD)
        self.shared_view = memoryview(self.shared)

    def __call__(self):
        return Connection(self)

    @property
    def model(self):
        return self.answerer.model

    @model.setter
    def model(self, Model model not None):
        self.answerer.model = model

    def serve(self, Model model not None, Policies policies not None, str policy not None):
        """The next head is judged by this model and these policies; `policy` is for those that ask for none."""
        self.answerer.serve(model, policies, policy)

    @property
    def connections(self):
        """How many are open."""
        return len(self.open)

    def drain(self):
        """From now on every answer closes its connection; those that stay idle for GRACE are closed then."""
        self.answerer.closing = True
        get_running_loop().call_later(GRACE, self._close_idle)

    def _close_idle(self):
        cdef Connection connection
        for connection in list(self.open):
            if connection.used == 0 and not connection.discarding:
                connection.transport.close()


cdef class Connection:
    """One connection. States: whole heads; a head in pieces (`used` > 0); discarding what comes behind a last reply
    (`discarding`)."""
    cdef Server server
    cdef object transport
    cdef object pieces      # bytearray of XB_MAX_HEAD, or None
    cdef size_t used        # bytes in it
    cdef bint discarding

    def __cinit__(self, Server server not None):
        self.server = server

    def connection_made(self, transport):
        self.transport = transport
        self.server.open.add(self)
        self.server.answerer.connected()

    def connection_lost(self, exc):
        # A peer that resets is nothing to report: visitors leave, proxies give up on them.
        self.server.open.discard(self)
        self.transport = None

    def pause_writing(self):
        # A peer that asks and does not read its answers: no more of its questions until it does.
        self.transport.pause_reading()

    def resume_writing(self):
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def eof_received(self):
        return False

    def get_buffer(self, sizehint):
        if self.used:
            return memoryview(self.pieces)[self.used:]
        return self.server.shared_view

    def buffer_updated(self, Py_ssize_t n):
        """`n` bytes were written to what get_buffer gave last."""
        cdef Py_buffer held  # while it is answered from, nobody resizes or frees it
        cdef size_t seen = self.used
        if self.discarding:
            return
        PyObject_GetBuffer(self.pieces if seen else self.server.shared, &held, PyBUF_SIMPLE)
        try:
            if not 0 <= n <= held.len - <Py_ssize_t>seen:
                raise ValueError(f"{n} bytes: the buffer has room for {held.len - <Py_ssize_t>seen}")
            self._answer(<char *>held.buf, seen + n, seen)
        finally:
            PyBuffer_Release(&held)

    cdef _answer(self, char *buf, size_t size, size_t seen):
        """Answers every whole head in buf[0, size); keeps what is left of the last. Replies go out together."""
        cdef Answerer answerer = self.server.answerer
        cdef size_t at = 0
        cdef long used
        cdef bytes reply, replies = None
        while at < size:
            used = answerer.answer(buf + at, size - at, seen, False)
            seen = 0
            if used == XB_PARTIAL:
                break
            reply = PyBytes_FromStringAndSize(answerer.reply.bytes, answerer.reply.size)
            replies = reply if replies is None else replies + reply
            if used > 0 and not answerer.reply.again and self.server.log is not None:
                self.server.log(answerer.describe())
            if answerer.reply.close:
                self.transport.write(replies)
                self._close()
                return
            at += used
        if replies is not None:
            self.transport.write(replies)
        if at < size and size - at == XB_MAX_HEAD:
            self._overflow(buf + at, size - at)
        else:
            self._keep(buf + at, size - at)

    cdef _keep(self, const char *buf, size_t size):
        """Keeps the beginning of a head for the next read. `buf` may lie in the same buffer."""
        cdef char *pieces
        self.used = size
        if size == 0:
            self.pieces = None
            return
        if self.pieces is None or len(self.pieces) != XB_MAX_HEAD:
            self.pieces = bytearray(XB_MAX_HEAD)
        pieces = self.pieces
        memmove(pieces, buf, size)

    cdef _overflow(self, const char *buf, size_t size):
        """A head longer than XB_MAX_HEAD: judged on what fits. The reply closes: the rest may announce a body."""
        cdef Answerer answerer = self.server.answerer
        cdef long used = answerer.answer(buf, size, 0, True)
        self.transport.write(PyBytes_FromStringAndSize(answerer.reply.bytes, answerer.reply.size))
        if used > 0 and not answerer.reply.again and self.server.log is not None:
            self.server.log(answerer.describe())
        self._close()

    cdef _close(self):
        """No more requests here. What still comes is discarded, so that no reset overtakes the reply."""
        self.discarding = True
        self.used = 0
        self.pieces = None
        if self.transport.is_closing():
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        get_running_loop().call_later(LINGER, self._end)

    def _end(self):
        if self.transport is not None:
            self.transport.close()
