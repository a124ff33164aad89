# The counters of a worker, read.
#
# Law: another process writes that memory meanwhile, so it is copied first, and the copy is read.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from sidecar.core.csrc cimport XB_COUNTED_OUTCOMES, XB_COUNTED_DECIDERS, XB_HISTOGRAM, xb_stats


def read_stats(buffer):
    """A worker's counters as a dict; `outcome` goes by OUTCOMES, `decided_by` by DECIDERS; `histogram` is a list of 64 counts, bucket i for [2^i, 2^(i+1)) nanoseconds."""
    cdef xb_stats stats
    cdef bytes copy = bytes(memoryview(buffer).cast("B")[:sizeof(xb_stats)])
    if PyBytes_GET_SIZE(copy) < <Py_ssize_t>sizeof(xb_stats):
        raise ValueError(f"stats are {sizeof(xb_stats)} bytes, not {len(copy)}")
    stats = (<const xb_stats *>PyBytes_AS_STRING(copy))[0]
    return {
        "requests": stats.requests, "outcome": [stats.outcome[i] for i in range(XB_COUNTED_OUTCOMES)],
        "decided_by": [stats.decided_by[i] for i in range(XB_COUNTED_DECIDERS)], "unknown_policy": stats.unknown_policy,
        "refused": stats.refused,
        "bad_request": stats.bad_request, "truncated": stats.truncated, "connections_total": stats.connections_total,
        "asked_again": stats.asked_again, "older_files": stats.older_files, "newer_files": stats.newer_files,
        "sum_ns": stats.sum_ns, "histogram": [stats.histogram[i] for i in range(XB_HISTOGRAM)],
    }
