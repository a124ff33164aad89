# What a connection calls: bytes in, reply out.
#
# Law: it keeps what it answers by. What is swapped counts from the next answer on.

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint64_t
from libc.stdlib cimport free

from sidecar.core.csrc cimport (
    XB_MAX_REASON, xb_answer, xb_decision_text, xb_dialect, xb_enforcing, xb_observing, xb_policy, xb_stats,
)


cdef class Answerer:
    """Bytes in, reply out: what a connection calls. One for each listener of a worker.

    Without `policies` it observes, or enforces by the model's own threshold.
    """

    def __cinit__(self, Model model not None, *, str dialect="nginx", bint enforce=False, Policies policies=None, str policy=None,
                  stats=None):
        cdef Py_buffer view
        self.work = _new_workspace()
        self.service.dialect = <xb_dialect>DIALECTS.index(dialect)
        self.service.policy = &xb_enforcing if enforce else &xb_observing
        self.model = model
        if policies is not None:
            self.serve(model, policies, policy)
        if stats is not None:
            self.stats = memoryview(stats)
            PyObject_GetBuffer(self.stats, &view, PyBUF_WRITABLE)
            if view.len < <Py_ssize_t>sizeof(xb_stats):
                PyBuffer_Release(&view)
                raise ValueError(f"stats needs {sizeof(xb_stats)} bytes")
            if <size_t>view.buf % sizeof(uint64_t):
                PyBuffer_Release(&view)
                raise ValueError(f"stats must be aligned to {sizeof(uint64_t)} bytes")
            self.service.stats = <xb_stats *>view.buf
            PyBuffer_Release(&view)  # self.stats keeps the memory

    def __dealloc__(self):
        free(self.work)

    def serve(self, Model model not None, Policies policies not None, str policy not None):
        """From the next answer on: this model, these policies, and `policy` for requests that ask for none."""
        cdef const xb_policy *chosen = policies.named(policy)
        # First what answers, then what keeps it: letting go of the old may run code that answers.
        self.service.model = &model.model
        self.service.policies = &policies.policies
        self.service.policy = chosen
        self.held, self.rules = model, policies

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
        """The last request and its verdict, for a debugging log. For whoever still has the bytes that were answered."""
        cdef char reason[XB_MAX_REASON]
        r = &self.work.request
        v = &self.work.verdict
        d = &self.work.decision
        size = xb_decision_text(d, v, &self.work.vector, reason, sizeof(reason))
        out = {"ip": _text(r.ip), "method": _text(r.method), "uri": _text(r.uri), "agent": _text(r.agent),
               "referrer": _text(r.referrer)}
        out.update(verdict=OUTCOMES[d.outcome], score=round(v.score, 4), margin=v.margin,
                   refuse=bool(d.refuse), reason=reason[:size].decode("ascii"), policy=d.policy.name.decode("ascii"))
        return out
