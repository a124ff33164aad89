# Files of the board: what is served, as one image, and counters.
#
# Law: csrc/ states their layouts, fills them and checks them. What another process may write meanwhile is copied first, and the
# copy is read.

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from sidecar.core.csrc cimport (
    XB_COUNTED_DECIDERS, XB_COUNTED_OUTCOMES, XB_COUNTED_POLICIES, XB_COUNTERS_HEADER, XB_COUNTERS_MOST, XB_COUNTERS_SLOT, XB_HISTOGRAM,
    XB_MARGINS, XB_N_CLOSED, XB_SCORES, xb_board_header, xb_counters_decided, xb_policy_counts,
    xb_counters_add, xb_counters_check, xb_counters_init, xb_counters_size, xb_counters_slot, xb_served_init, xb_served_open,
    xb_served_size, xb_span, xb_stats,
)

MARGINS = XB_MARGINS  # buckets of margins: bucket i for [i, i + 1) / 2 - MARGINS / 4; what is beyond is in the first and the last
COUNTERS_HEADER, COUNTERS_SLOT, COUNTERS_MOST = XB_COUNTERS_HEADER, XB_COUNTERS_SLOT, XB_COUNTERS_MOST


cdef dict _counts(const xb_stats *stats):
    cdef uint64_t outcome[XB_COUNTED_OUTCOMES]
    cdef uint64_t decided_by[XB_COUNTED_DECIDERS]
    cdef uint64_t refused
    requests = xb_counters_decided(stats, outcome, decided_by, &refused)
    return {
        "requests": requests, "outcome": [outcome[i] for i in range(XB_COUNTED_OUTCOMES)],
        "decided_by": [decided_by[i] for i in range(XB_COUNTED_DECIDERS)], "refused": refused,
        "policies": {_policy_name(&stats.policy[k]): _decided(&stats.policy[k])
                     for k in range(1 + XB_COUNTED_POLICIES) if stats.policy[k].named or k == 0},
        "unknown_policy": stats.unknown_policy,
        "bad_request": stats.bad_request, "truncated": stats.truncated, "connections_total": stats.connections_total,
        "asked_again": stats.asked_again, "older_files": stats.older_files, "newer_files": stats.newer_files,
        "closed": [stats.closed[i] for i in range(XB_N_CLOSED)],
        "sum_ns": stats.sum_ns, "histogram": [stats.histogram[i] for i in range(XB_HISTOGRAM)],
        "probes": stats.probes,
        "sum_score": stats.sum_score / 1e6, "score": [stats.score[i] for i in range(XB_SCORES)],
        "margin": [stats.margin[i] for i in range(XB_MARGINS)],
        "doubted": stats.doubted, "regretted": stats.regretted,
    }


cdef str _policy_name(const xb_policy_counts *p):
    return (<const char *>p.name)[:sizeof(p.name)].partition(b"\0")[0].decode("ascii", "replace")


cdef dict _decided(const xb_policy_counts *p):
    return {"decided": [[p.decided[by][o] for o in range(XB_COUNTED_OUTCOMES)] for by in range(XB_COUNTED_DECIDERS)],
            "refused": [p.refused[by] for by in range(XB_COUNTED_DECIDERS)]}


def read_stats(buffer):
    """A worker's counters as a dict; `outcome` goes by OUTCOMES, `decided_by` by DECIDERS, `closed` by CLOSED; `histogram` is a list of
    64 counts, bucket i for [2^i, 2^(i+1)) nanoseconds; `score` and `margin` are those of csrc/board/counters.h. `policies`: by name ("": further
    ones than there is room for) `decided`, a list by DECIDERS of lists by OUTCOMES, and `refused`, a list by DECIDERS."""
    cdef xb_stats stats
    cdef bytes copy = bytes(memoryview(buffer).cast("B")[:sizeof(xb_stats)])
    if PyBytes_GET_SIZE(copy) < <Py_ssize_t>sizeof(xb_stats):
        raise ValueError(f"stats are {sizeof(xb_stats)} bytes, not {len(copy)}")
    stats = (<const xb_stats *>PyBytes_AS_STRING(copy))[0]
    return _counts(&stats)


def served_image(bytes model not None, bytes policies not None, uint64_t made, uint64_t booted):
    """What is served, as one image (csrc/served.h). `made` and `booted` are in nanoseconds since 1970."""
    cdef bytes image = PyBytes_FromStringAndSize(NULL, xb_served_size(len(model), len(policies)))
    xb_served_init(PyBytes_AS_STRING(image), _span(model), _span(policies), made, booted)
    return image


def served_parts(image, *, bint verified):
    """The model's file and the image of the policies in an image, as memoryviews of it, not yet checked. `verified`: its digest
    was found right before, and nobody can have changed it since. Raises BoardError with the reason when it is refused."""
    cdef Py_buffer view
    cdef xb_span model, policies
    cdef const char *why
    cdef Py_ssize_t at, of
    _hold(image, &view)
    try:
        why = xb_served_open(view.buf, view.len, verified, &model, &policies)
        if why is not NULL:
            raise BoardError(why.decode())
        at, of = model.at - <char *>view.buf, policies.at - <char *>view.buf
    finally:
        PyBuffer_Release(&view)
    whole = memoryview(image)
    return whole[at:at + <Py_ssize_t>model.size], whole[of:of + <Py_ssize_t>policies.size]


def served_made(bytes image not None):
    """When an image of what is served was made, in nanoseconds since 1970: what hosts that read its copy call it."""
    if PyBytes_GET_SIZE(image) < <Py_ssize_t>sizeof(xb_board_header):
        raise BoardError("too short")
    return (<const xb_board_header *>PyBytes_AS_STRING(image)).made


cdef uint32_t _slots(const void *file, size_t size) except 0:
    cdef uint32_t n
    cdef const char *why = xb_counters_check(file, size, &n)
    if why is not NULL:
        raise BoardError(why.decode())
    return n


def counters_slots(file):
    """How many slots a file of counters has (csrc/board/counters.h). Raises BoardError with the reason when it is refused."""
    cdef Py_buffer view
    PyObject_GetBuffer(file, &view, PyBUF_SIMPLE)
    try:
        return _slots(view.buf, view.len)
    finally:
        PyBuffer_Release(&view)


def counters_image(uint32_t slots, uint64_t made, uint64_t booted, bytes carried not None=b""):
    """A new file of counters, 0 each, or beginning with the sums of `carried`, the bytes of another."""
    if not 2 <= slots <= XB_COUNTERS_MOST:
        raise ValueError(f"slots are 2 to {XB_COUNTERS_MOST}, not {slots}")
    if carried:
        _slots(PyBytes_AS_STRING(carried), len(carried))
    cdef bytes image = PyBytes_FromStringAndSize(NULL, xb_counters_size(slots))
    cdef char *file = PyBytes_AS_STRING(image)
    xb_counters_init(file, slots, made, booted)
    if carried:
        xb_counters_add(xb_counters_slot(file, 0), PyBytes_AS_STRING(carried))
    return image


def sum_counters(bytes file not None):
    """What all slots of a file of counters add up to, in the form of read_stats."""
    cdef xb_stats total
    memset(&total, 0, sizeof(total))
    _slots(PyBytes_AS_STRING(file), len(file))
    xb_counters_add(&total, PyBytes_AS_STRING(file))
    return _counts(&total)
