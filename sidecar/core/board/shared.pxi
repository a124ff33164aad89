# Memory that master and workers share: what an operator says (csrc/board/wheel.h), which the master writes and workers read; and
# what workers decided (csrc/board/lane.h, csrc/record.h), which they write and the master reads; and what is said to hosts of other
# users that get such memory (csrc/board/share.h).
#
# Law: csrc/ writes words whole, and alone reads the wheel. A record is copied out, and checked while that is done: whatever a lane
# holds, nothing outside it is read.

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.math cimport isfinite, isinf
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset
from posix.time cimport CLOCK_REALTIME, clock_gettime, timespec

from sidecar.core.csrc cimport (
    XB_BY_HAND, XB_DIALECT_COUNT, XB_ID_SIZE, XB_N_OUTCOMES, XB_N_SHARES, XB_N_WHEEL_MODES, XB_PAST, XB_REGRETTED, XB_SHARE_MAGIC, XB_SHARE_MOST,
    XB_SHARE_VERSION, xb_recorder, xb_share, xb_share_names,
    XB_WHEEL_ADDRESSES, XB_WHEEL_EVER, XB_WHEEL_NAME, XB_WHEEL_POLICIES, xb_address, xb_id_text, xb_lane, xb_lane_first,
    xb_lane_next, xb_now, xb_record, xb_wheel, xb_wheel_check, xb_wheel_init, xb_wheel_let_by, xb_wheel_mode,
    xb_wheel_names, xb_wheel_turn,
)

WHEEL_SIZE = sizeof(xb_wheel)
WHEEL_EVER = XB_WHEEL_EVER
# "configured" ends an override, or says that a policy is as configured whatever is said of all.
WHEEL_MODES = tuple(xb_wheel_names[i].decode() for i in range(XB_N_WHEEL_MODES))
BY_HAND = XB_BY_HAND.decode()
LANE_SIZE = sizeof(xb_lane)
ID_LETTERS = XB_ID_SIZE
# What became of the record of a decision, by the last two bits of its id (csrc/base/ids.h).
FATES = ("no log", "not sampled", "dropped", "recorded")
# What a decision lets its client be counted as (xb_doubt of csrc/answer.h).
DOUBTS = ("none", "doubted", "regretted")
# What can lie behind a descriptor that is lent (csrc/board/share.h).
SHARES = tuple(xb_share_names[i].decode() for i in range(XB_N_SHARES))
Recorded = namedtuple(
    "Recorded", "id time generation margin score outcome refuse untold reason policy dialect past head handshake logged doubt client network shape"
)


def wheel_image(uint64_t made, uint64_t booted):
    """An empty one: nobody has said anything. `made` and `booted` are in nanoseconds since 1970."""
    cdef xb_wheel wheel
    xb_wheel_init(&wheel, made, booted)
    return (<const char *>&wheel)[:sizeof(wheel)]


def check_wheel(data, uint64_t booted):
    """Raises BoardError with the reason where these bytes are no wheel of this boot."""
    cdef Py_buffer view
    cdef const char *why
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    why = xb_wheel_check(view.buf, view.len, booted)
    PyBuffer_Release(&view)
    if why is not NULL:
        raise BoardError(why.decode())


cdef class Wheel:
    """The writer. `memory` is a writable buffer of WHEEL_SIZE bytes that was checked. Times are nanoseconds of CLOCK_MONOTONIC."""
    cdef object memory
    cdef xb_wheel *wheel

    def __cinit__(self, memory):
        self.memory = memoryview(memory)
        self.wheel = <xb_wheel *>_shared(self.memory, sizeof(xb_wheel), "a wheel")

    def turn(self, str policy, str mode not None, uint64_t now, uint64_t end):
        """The mode of a policy, or of all for None, until `end`. ValueError if it is none, or every place is taken."""
        cdef char name[XB_WHEEL_NAME]
        cdef const char *chosen = NULL
        if policy is not None:
            memset(name, 0, sizeof(name))
            _put_name(name, policy)
            chosen = name
        if not xb_wheel_turn(self.wheel, chosen, <xb_wheel_mode>WHEEL_MODES.index(mode), now, end):
            raise ValueError(f"{XB_WHEEL_POLICIES} policies have a mode of their own already")

    def let_by(self, bytes address not None, unsigned bits, uint64_t now, uint64_t end):
        """Let by whoever shares `bits` bits with an address of 4 or 16 bytes until `end`; until `now`: no longer. ValueError
        if every place is taken."""
        cdef xb_address which
        which.version = 4 if len(address) == 4 else 6
        memcpy(which.bytes, <const char *>address, 4 if len(address) == 4 else 16)
        if not xb_wheel_let_by(self.wheel, &which, bits, now, end):
            raise ValueError(f"{XB_WHEEL_ADDRESSES} addresses are let by already")

    def said(self, uint64_t now):
        """What holds: (policy or None, mode, end) of each override, and (16 bytes of an address, bits, end) of each that is let by."""
        modes, addresses = [], []
        for i in range(-1, XB_WHEEL_POLICIES):
            word = self.wheel.all if i < 0 else self.wheel.policy[i].word
            end = word & ~255
            if now < end:
                name = None if i < 0 else (<const char *>self.wheel.policy[i].name)[:XB_WHEEL_NAME].rstrip(b"\0").decode()
                modes.append((name, WHEEL_MODES[word & 255 if word & 255 < XB_N_WHEEL_MODES else 0], end))
        for i in range(XB_WHEEL_ADDRESSES):
            word = self.wheel.address[i].word
            end = word & ~255
            if now < end:
                address = (<uint64_t>self.wheel.address[i].high).to_bytes(8, "big") + (<uint64_t>self.wheel.address[i].low).to_bytes(8, "big")
                addresses.append((address, min(word & 255, 128), end))
        return modes, addresses


cdef object _recorded(const char *at, size_t size, int64_t since, uint64_t now):
    """A record of `size` bytes; None if it is none. `since`: nanoseconds from 1970 to the beginning of CLOCK_MONOTONIC; `now`: by that."""
    cdef xb_record r
    cdef char letters[16]
    cdef double value
    cdef uint32_t i
    if size < sizeof(r):
        return None
    memcpy(&r, at, sizeof(r))
    # Nobody but a host of another user can have written these.
    if not (isfinite(r.margin) and 0 <= r.score <= 1 and r.time <= now):
        return None
    if (r.past not in (0, XB_PAST) or r.dialect >= XB_DIALECT_COUNT or r.outcome >= XB_N_OUTCOMES or r.reason_size > sizeof(r.reason) or
            r.doubt > XB_REGRETTED or <uint64_t>sizeof(r) + r.past * sizeof(double) + r.head != size):
        return None
    at += sizeof(r)
    past = []
    for i in range(r.past):
        memcpy(&value, at, sizeof(value))
        if isinf(value):
            return None
        past.append(value)
        at += sizeof(value)
    xb_id_text(r.id, letters)
    return Recorded(
        letters[:XB_ID_SIZE].decode("ascii"), since + <int64_t>r.time, r.generation, r.margin, r.score, OUTCOMES[r.outcome], bool(r.refuse), bool(r.untold),
        (<const char *>r.reason)[:r.reason_size].decode("ascii", "replace"),
        (<const char *>r.policy)[:sizeof(r.policy)].partition(b"\0")[0].decode("ascii", "replace"),
        DIALECTS[r.dialect], past, at[:r.head], (<const char *>&r.handshake)[:sizeof(r.handshake)] if r.has_tls else None,
        bool(r.logged), DOUBTS[r.doubt], r.keys.client, r.keys.network, r.keys.shape)


def read_lane(memory, unsigned most):
    """At most `most` records of a lane, a writable buffer of LANE_SIZE bytes, oldest first, and how many were no records."""
    cdef xb_lane *lane = <xb_lane *>_shared(memory, sizeof(xb_lane), "a lane")
    cdef const char *at
    cdef size_t size
    cdef list out = []
    cdef unsigned bad = 0
    cdef timespec today
    clock_gettime(CLOCK_REALTIME, &today)
    cdef uint64_t now = xb_now()
    cdef int64_t since = <int64_t>today.tv_sec * 1_000_000_000 + today.tv_nsec - <int64_t>now
    while len(out) + bad < most:
        at = <const char *>xb_lane_first(lane, &size)
        if at is NULL:
            break
        one = _recorded(at, size, since, max(now, xb_now()))
        xb_lane_next(lane, size)
        if one is None:
            bad += 1
        else:
            out.append(one)
    return out, bad


def lane_dropped(memory):
    """How many records of a lane found no room, and how many were too many in their second, ever."""
    lane = <xb_lane *>_shared(memory, sizeof(xb_lane), "a lane")
    return lane.dropped, lane.capped


cdef int _record(xb_recorder *recorder, sample, watched) except -1:
    """What is recorded: for the log the share `sample` of what always is not, or nothing for None, and for who watches, in a second
    `watched` of the bots and of all others."""
    if sample is not None and not 0 <= sample <= 1:
        raise ValueError(f"{sample} is no share")
    recorder.logged = sample is not None
    recorder.sample = <uint64_t>((sample or 0.0) * (1 << 58))
    recorder.accused.most, recorder.others.most = watched
    return 0


def share_message(list kinds not None, *, sample, watched, uint32_t per_second, bint signs):
    """What is said with descriptors of these kinds, of SHARES. `sample`, `watched` and `per_second` are those of Answerer; `signs`: whether
    signatures are checked. ValueError if there are too many."""
    cdef xb_share message
    if len(kinds) > XB_SHARE_MOST:
        raise ValueError("too much to be shared")
    memset(&message, 0, sizeof(message))
    memcpy(message.magic, XB_SHARE_MAGIC, sizeof(message.magic))
    message.version, message.n, message.signs = XB_SHARE_VERSION, len(kinds), signs
    message.per_second = per_second
    cdef xb_recorder recorder
    _record(&recorder, sample, watched)
    message.logged, message.sample = recorder.logged, recorder.sample
    message.accused, message.others = recorder.accused.most, recorder.others.most
    for i, kind in enumerate(kinds):
        message.kind[i] = SHARES.index(kind)
    return (<const char *>&message)[:sizeof(message)]
