"""The connections of a worker: an asyncio.BufferedProtocol over the machine of csrc/connection.h, made for uvloop.

Law: bytes move, nothing is decided. What is answered, held, discarded or closed is the machine's to say; here are its sockets,
its buffer, which all connections share, and its one timer. Beside them stands what a process gives up before its first byte.
"""

cimport cython
from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memset

from sidecar.core.binding cimport Answerer, Model, Policies
from sidecar.core.csrc cimport (
    XB_ANSWERED, XB_CLOSED_BYTES, XB_CLOSED_CONNECTIONS, XB_GONE, XB_MAX_HEAD, XB_NEVER, XB_WAIT, xb_closed, xb_connection,
    xb_span, xb_step,
)

cdef extern from "<sys/prctl.h>":
    int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d) nogil
    int PR_SET_NO_NEW_PRIVS, PR_CAPBSET_DROP, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL

cdef extern from "<linux/capability.h>":
    ctypedef struct user_cap_header "struct __user_cap_header_struct":
        uint32_t version
        int pid
    ctypedef struct user_cap_data "struct __user_cap_data_struct":
        uint32_t effective, permitted, inheritable
    uint32_t _LINUX_CAPABILITY_VERSION_3

cdef extern from "<sys/syscall.h>":
    long SYS_capset

cdef extern from "<unistd.h>":
    long syscall(long number, void *a, void *b) nogil

cdef enum:
    MOST_CAPABILITIES = 64  # that version 3 of the call has bits for

from asyncio import get_running_loop

from sidecar.core.binding import CLOSED

# How long a draining server leaves an idle connection open, in seconds: its peer may be sending a request just now.
GRACE = 0.2
# How long it leaves one open that is no more than slow: half a head, or replies that are not read.
HASTE = 2.0


def no_new_privileges():
    """From now on no program that this process runs gets more rights than it has: see prctl(2). The standard library has no prctl."""
    if prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError("PR_SET_NO_NEW_PRIVS")


def no_capabilities():
    """From now on this process has none of the rights of root beside its user's own (capabilities(7)), nor has what it runs. Without
    any, nothing changes."""
    cdef user_cap_header header
    cdef user_cap_data none[2]
    header.version, header.pid = _LINUX_CAPABILITY_VERSION_3, 0
    memset(none, 0, sizeof(none))
    for number in range(MOST_CAPABILITIES):
        prctl(PR_CAPBSET_DROP, number, 0, 0, 0)  # refused where the kernel has none of this number, or where we may not: not root
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    if syscall(SYS_capset, &header, none):
        raise OSError("capset")


@cython.no_gc_clear  # `held` has to be released as it was got; the circle with its connections is broken at their side
cdef class Server:
    """Makes the protocol of each connection: `await loop.create_server(server, sock=listening)`.

    The answerer is its own from then on. `server.serve(model, policies, policy)` swaps all three: the next head is judged by them.
    `log` is called with a dict for each request (debugging only); `on_bound` with the name of a bound (of core.CLOSED) for each connection
    that is closed because of it.
    """
    cdef Answerer answerer
    cdef object log, on_bound
    cdef set open           # holds the connections, and with them what the machine points to
    cdef object shared      # a view of what every read is written to
    cdef Py_buffer held     # the same; so nobody resizes or frees it
    cdef object timer
    cdef uint64_t timer_at  # when it goes off, by the clock of the machine

    def __cinit__(self, Answerer answerer not None, *, log=None, on_bound=None):
        self.answerer = answerer
        self.log, self.on_bound = log, on_bound
        self.open = set()
        buffer = bytearray(XB_MAX_HEAD)
        PyObject_GetBuffer(buffer, &self.held, PyBUF_WRITABLE)
        self.shared = memoryview(buffer)
        self.timer_at = XB_NEVER

    def __dealloc__(self):
        if self.held.buf is not NULL:
            PyBuffer_Release(&self.held)

    def __call__(self):
        return Connection(self)

    @property
    def model(self):
        return self.answerer.model

    @model.setter
    def model(self, Model model not None):
        self.answerer.model = model

    def serve(self, Model model not None, Policies policies not None, str policy not None, uint64_t generation=0):
        """The next head is judged by this model and these policies; `policy` is for those that ask for none."""
        self.answerer.serve(model, policies, policy, generation)

    @property
    def connections(self):
        """How many are open."""
        return len(self.open)

    def drain(self):
        """From now on every answer closes its connection. Those that are idle are closed after GRACE, those that are slow after HASTE."""
        self.answerer.closing = True
        self.answerer.drain(<uint64_t>(GRACE * 1e9), <uint64_t>(HASTE * 1e9))
        self.watch()

    cdef watch(self):
        """Sees to it that the timer goes off when somebody's time is over. To be called when a time has begun to run."""
        cdef uint64_t at = self.answerer.wake(), now
        if at >= self.timer_at:
            return
        if self.timer is not None:
            self.timer.cancel()
        now = self.answerer.now()
        self.timer_at = at
        # A timer of uvloop goes off up to a millisecond too soon.
        self.timer = get_running_loop().call_later((at - now if at > now else 0) / 1e9 + 0.001, self._wake)

    def _wake(self):
        self.timer, self.timer_at = None, XB_NEVER
        self.close_out()
        self.watch()

    cdef close_out(self):
        """Closes those that have to go."""
        cdef xb_connection *c
        cdef xb_closed why
        while True:
            c = self.answerer.out(&why)
            if c is NULL:
                return
            (<Connection>c.host).transport.abort()
            if self.on_bound is not None and why in (XB_CLOSED_CONNECTIONS, XB_CLOSED_BYTES):
                self.on_bound(CLOSED[why])


cdef class Connection:
    """One connection: a socket's transport, and its state in the machine."""
    cdef Server server
    cdef object transport
    cdef xb_connection link
    cdef bint ended  # we have said that no more comes

    def __cinit__(self, Server server not None):
        self.server = server
        self.link.state = XB_GONE

    def __dealloc__(self):
        free(self.link.piece)

    def connection_made(self, transport):
        cdef Server server = self.server
        if self.transport is not None:
            raise RuntimeError("it was made before")
        self.transport = transport
        transport.set_write_buffer_limits(0)  # what a peer does not read at once is counted, and its time runs
        server.open.add(self)
        server.answerer.begin(&self.link, <void *>self)
        self.settle()

    def connection_lost(self, exc):
        # A peer that resets is nothing to report: visitors leave, proxies give up on them.
        self.server.answerer.end(&self.link)
        self.server.open.discard(self)
        self.transport = None

    def pause_writing(self):
        # A peer that asks and does not read its answers: no more of its questions until it does.
        self.transport.pause_reading()
        self.server.answerer.unread(&self.link, self.transport.get_write_buffer_size())

    def resume_writing(self):
        self.server.answerer.unread(&self.link, 0)
        if not self.transport.is_closing():
            self.transport.resume_reading()
        self.settle()

    def eof_received(self):
        self.server.answerer.last(&self.link)
        self.settle()
        return False  # the transport closes when what was written is sent

    def get_buffer(self, sizehint):
        return self.server.shared

    def buffer_updated(self, Py_ssize_t n):
        """`n` bytes were written to what get_buffer gave last."""
        cdef Answerer answerer = self.server.answerer
        cdef bytes first = None, reply
        cdef list more = None
        cdef xb_span input
        cdef xb_step step
        if not 0 <= n <= self.server.held.len:
            raise ValueError(f"{n} bytes: the buffer has room for {self.server.held.len}")
        input.at, input.size = <const char *>self.server.held.buf, <size_t>n
        while True:
            step = answerer.next(&self.link, &input)
            if step == XB_WAIT:
                break
            reply = PyBytes_FromStringAndSize(answerer.reply.bytes, answerer.reply.size)
            if first is None:
                first = reply
            elif more is None:
                more = [first, reply]
            else:
                more.append(reply)
            if step == XB_ANSWERED and not answerer.reply.again:
                if self.server.log is not None:
                    self.server.log(answerer.describe())
        if first is not None and self.transport is not None:
            self.transport.write(first if more is None else b"".join(more))
        if self.link.last and not self.ended:
            self.ended = True
            if self.transport is not None and not self.transport.is_closing() and self.transport.can_write_eof():
                self.transport.write_eof()
        self.settle()

    cdef settle(self):
        """After a change of state: the timer, and the bounds."""
        if self.link.state != XB_GONE and self.link.deadline != XB_NEVER:
            self.server.watch()
        if self.server.answerer.over():
            self.server.close_out()
