# What the connections of a listener call: bytes in, replies out.
#
# Law: it holds the model and the policies that it answers by. A new model or new policies take effect from the next answer on.

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

from sidecar.core.csrc cimport (
    XB_ID_SIZE, XB_IDLE, XB_HALF, XB_LAST, XB_MAX_REASON, XB_NEVER, XB_UNREAD, xb_closed, xb_connection, xb_connection_begin,
    xb_connection_end, xb_connection_last, xb_connection_next, xb_connection_unread, xb_decision_text, xb_dialect,
    xb_enforcing, xb_handshakes, xb_host, xb_lane, xb_listener_drain, xb_listener_init, xb_listener_out, xb_listener_over,
    xb_listener_wake, xb_now, xb_observing, xb_policy, xb_stats, xb_step, xb_wheel,
)

import os


cdef void *_resize(void *memory, size_t size) noexcept nogil:
    if size:
        return realloc(memory, size)
    free(memory)
    return NULL


cdef uint64_t _nanoseconds(double seconds) except? 0:
    if not 0 <= seconds <= 1e9:
        raise ValueError(f"{seconds} is no number of seconds that a connection may wait")
    return <uint64_t>(seconds * 1e9)


cdef class Answerer:
    """Bytes in, replies out: what the connections of a listener call. One for each listener of a worker.

    Without `policies` it observes, or enforces by the model's own threshold. `stats` and `handshakes` are writable buffers of
    STATS_SIZE and HANDSHAKES_SIZE bytes; without `handshakes` one is known only to the request that tells it. `listener` is its
    number there; `wheel`: a buffer of WHEEL_SIZE bytes by which an operator intervenes; `lane`: one of LANE_SIZE, where decisions
    are recorded: for the log, of those that are not bots the share `sample` (None: there is no log), and for who watches, in a second
    `watched` of the bots and of all others; the log gets `per_second` at most. `clients` is a writable buffer with a table of clients
    (make_clients); without it each request is judged alone. `visitors`: one with a table of proven visitors (make_visitors), which
    learns what they get. `clock` is one of 8 bytes, the table's time in milliseconds, for tests
    and replays; else it is the system's. `max_connections` and `max_bytes`, `peer_seconds` (half a head, unread replies) and
    `last_seconds` (behind the last reply, where what comes is thrown away, so that no reset overtakes the reply) are the bounds of
    csrc/connection.h.
    """

    def __cinit__(self, Model model not None, *, str dialect="nginx", bint enforce=False, Policies policies=None, str policy=None,
                  stats=None, handshakes=None, uint32_t listener=0, wheel=None, lane=None, sample=None, watched=(0, 0), uint32_t per_second=0xffffffff,
                  clients=None, visitors=None, clock=None,
                  size_t max_connections=4096, size_t max_bytes=1 << 24,
                  double peer_seconds=10.0, double last_seconds=1.0):
        cdef xb_host host
        self.work = _new_workspace()
        self.service.dialect = <xb_dialect>DIALECTS.index(dialect)
        self.service.policy = &xb_enforcing if enforce else &xb_observing
        draw = os.urandom(sizeof(self.ids.key))
        memcpy(self.ids.key, <const char *>draw, sizeof(self.ids.key))
        self.service.ids = &self.ids
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
        if lane is not None:
            _record(&self.recorder, sample, watched)
            self.lane = memoryview(lane)
            self.service.lane = <xb_lane *>_shared(self.lane, sizeof(xb_lane), "lane")
            self.service.lane.rate.most = per_second
            self.service.recorder = &self.recorder
        if wheel is not None:
            self.wheel = memoryview(wheel)
            self.service.wheel = <const xb_wheel *>_seen(self.wheel, sizeof(xb_wheel), "wheel")
        if clients is not None:
            self.clients = memoryview(clients)
            self.service.clients = _table(self.clients)
        if visitors is not None:
            self.visitors = memoryview(visitors)
            self.service.visitors = _visitors(self.visitors)
        if clock is not None:
            self.clock = memoryview(clock)
            self.service.clock_ms = <const uint64_t *>_shared(self.clock, sizeof(uint64_t), "clock")
        if max_connections == 0:
            raise ValueError("max_connections is 0")
        host.resize, host.clock = &_resize, &xb_now
        host.max_connections, host.max_bytes = max_connections, max_bytes
        host.patience[XB_IDLE] = XB_NEVER
        host.patience[XB_HALF] = host.patience[XB_UNREAD] = _nanoseconds(peer_seconds)
        host.patience[XB_LAST] = _nanoseconds(last_seconds)
        xb_listener_init(&self.listener, &self.service, self.work, &host)

    def __dealloc__(self):
        free(self.work)

    def serve(self, Model model not None, Policies policies not None, str policy not None, uint64_t generation=0):
        """From the next answer on: this model, these policies, and `policy` for requests that ask for none. `generation` is
        what records of decisions call them."""
        cdef const xb_policy *chosen = policies.named(policy)
        # First what answers, then what keeps it: letting go of the old may run code that answers.
        self.service.model = &model.model
        self.service.policies = &policies.policies
        self.service.policy = chosen
        self.service.generation = generation
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

    cdef void begin(self, xb_connection *c, void *host) noexcept:
        xb_connection_begin(&self.listener, c, host)

    cdef xb_step next(self, xb_connection *c, xb_span *input) noexcept:
        return xb_connection_next(&self.listener, c, input, &self.reply)

    cdef void unread(self, xb_connection *c, size_t size) noexcept:
        xb_connection_unread(&self.listener, c, size)

    cdef void last(self, xb_connection *c) noexcept:
        xb_connection_last(&self.listener, c)

    cdef void end(self, xb_connection *c) noexcept:
        xb_connection_end(&self.listener, c)

    cdef xb_connection *out(self, xb_closed *why) noexcept:
        return xb_listener_out(&self.listener, why)

    cdef bint over(self) noexcept:
        return xb_listener_over(&self.listener)

    cdef uint64_t wake(self) noexcept:
        return xb_listener_wake(&self.listener)

    cdef uint64_t now(self) noexcept:
        return xb_now()

    cdef void drain(self, uint64_t idle, uint64_t rest) noexcept:
        xb_listener_drain(&self.listener, idle, rest)

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
