# What a connection calls: bytes in, reply out.
#
# Law: it holds the model and the policies that it answers by. A new model or new policies take effect from the next answer on.

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free

from sidecar.core.csrc cimport (
    XB_MAX_REASON, xb_answer, xb_decision_text, xb_dialect, xb_enforcing, xb_handshakes, xb_observing, xb_policy, xb_stats,
)


cdef void *_shared(view, size_t size, str name) except NULL:
    """Where the memory of a view lies, which keeps it. It is written to, by words."""
    cdef Py_buffer buffer
    PyObject_GetBuffer(view, &buffer, PyBUF_WRITABLE)
    cdef void *at = buffer.buf
    cdef size_t there = buffer.len
    PyBuffer_Release(&buffer)
    if there < size:
        raise ValueError(f"{name} needs {size} bytes")
    if <size_t>at % sizeof(uint64_t):
        raise ValueError(f"{name} must be aligned to {sizeof(uint64_t)} bytes")
    return at


cdef class Answerer:
    """Bytes in, reply out: what a connection calls. One for each listener of a worker.

    Without `policies` it observes, or enforces by the model's own threshold. `stats` and `handshakes` are writable buffers of
    STATS_SIZE and HANDSHAKES_SIZE bytes; without `handshakes` one is known only to the request that tells it. `listener` is its
    number there.
    """

    def __cinit__(self, Model model not None, *, str dialect="nginx", bint enforce=False, Policies policies=None, str policy=None,
                  stats=None, handshakes=None, uint32_t listener=0):
        self.work = _new_workspace()
        self.service.dialect = <xb_dialect>DIALECTS.index(dialect)
        self.service.policy = &xb_enforcing if enforce else &xb_observing
        self.model = model
        if policies is not None:
            self.serve(model, policies, policy)
        if stats is not None:
            self.stats = memoryview(stats)
            self.service.stats = <xb_stats *>_shared(self.stats, sizeof(xb_stats), "stats")
        if handshakes is not None:
            self.handshakes = memoryview(handshakes)
            self.service.handshakes = <xb_handshakes *>_shared(self.handshakes, sizeof(xb_handshakes), "handshakes")
            self.service.listener = listener

    def __dealloc__(self):
        free(self.work)

    def serve(self, Model model not None, Policies policies not None, str policy not None):
        """From the next answer on: this model, these policies, and `policy` for requests that ask for none."""
        cdef const xb_policy *chosen = policies.named(policy)
        # First what answers, then what keeps it: letting go of the old may run code that answers.
        self.service.model = &model.model
        self.service.policies = &policies.policies
        self.service.policy = chosen
        self.held, self.held_policies = model, policies

    @property
    def model(self):
        return self.held

    @model.setter
    def model(self, Model model not None):
        self.service.model = &model.model
        self.held = model

    @property
    def closing(self):
        """Every further answer closes its connection."""
        return bool(self.service.closing)

    @closing.setter
    def closing(self, bint closing):
        self.service.closing = closing

    cdef long answer(self, const char *buf, size_t size, size_t seen_size, bint truncated) noexcept:
        return xb_answer(&self.service, self.work, buf, size, seen_size, truncated, &self.reply)

    cdef void connected(self) noexcept:
        if self.service.stats is not NULL:
            self.service.stats.connections_total += 1

    cdef dict describe(self):
        """The last request and its verdict, for a debugging log. The bytes that were answered must still be there."""
        cdef char reason[XB_MAX_REASON]
        r = &self.work.request
        v = &self.work.verdict
        d = &self.work.decision
        size = xb_decision_text(d, v, &self.work.vector, reason, sizeof(reason))
        out = {"ip": _text(r.ip), "method": _text(r.method), "uri": _text(r.uri), "agent": _text(r.agent),
               "referrer": _text(r.referrer)}
        out.update(verdict=OUTCOMES[d.outcome], score=round(v.score, 4), margin=v.margin,
                   refuse=bool(d.refuse), reason=reason[:size].decode("ascii"), policy=(<const char *>d.policy.name).decode("ascii"))
        return out
