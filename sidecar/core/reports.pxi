# The lines that `xbot score` prints.
#
# Law: one function writes the line of a verdict, for one request as for a block of them; MAX_REPORT bytes hold it.

from cpython.mem cimport PyMem_Free
from libc.string cimport memcpy, strlen

from sidecar.core.csrc cimport XB_MAX_REASON, xb_reason_text, xb_score_text, xb_verdict

import json

cdef extern from "Python.h":
    char *PyOS_double_to_string(double value, char code, int precision, int flags, int *kind) except NULL
    int Py_DTSF_ADD_DOT_0


cdef enum:
    MAX_REPORT = 256


cdef inline char *_put(char *to, const char *text) noexcept:
    cdef size_t size = strlen(text)
    memcpy(to, text, size)
    return to + size


cdef char *_put_number(char *to, unsigned long n) noexcept:
    cdef char digits[24]
    cdef int used = 0
    while True:
        digits[used] = <char>(c'0' + n % 10)
        n //= 10
        used += 1
        if n == 0:
            break
    while used:
        used -= 1
        to[0] = digits[used]
        to += 1
    return to


cdef char *_put_shortest(char *to, double x) except NULL:
    """The shortest text that reads back as the same double."""
    cdef char *text = PyOS_double_to_string(x, c'r', 0, Py_DTSF_ADD_DOT_0, NULL)
    to = _put(to, text)
    PyMem_Free(text)
    return to


cdef size_t _write_report(char *out, Request request, unsigned long line, bint as_json):
    """One line of `xbot score`, at most MAX_REPORT bytes."""
    cdef const xb_verdict *v = &request.work.verdict
    cdef char *to = out
    if as_json:
        to = _put_number(_put(to, b'{"line": '), line)
        to = _put(to, b', "verdict": "bot", "score": ' if v.bot else b', "verdict": "human", "score": ')
        to = xb_score_text(to, v.score)
        to = _put_shortest(_put(to, b', "margin": '), v.margin)
        to = _put(to, b', "reason": "')
        to += xb_reason_text(v, &request.work.vector, v.bot, to, XB_MAX_REASON)
        to = _put(to, b'"}\n')
    else:
        to = _put_number(to, line)
        to = _put(to, b"\tbot\t" if v.bot else b"\thuman\t")
        to = _put(xb_score_text(to, v.score), b"\t")
        to += xb_reason_text(v, &request.work.vector, v.bot, to, XB_MAX_REASON)
        to = _put(to, b"\n")
    return to - out


def report_error(unsigned long line, str field not None, str why not None, bint as_json):
    """The line that `xbot score` prints for one that cannot be read."""
    text = f"{field}: {why}"
    if as_json:
        return b'{"line": %d, "error": %s}\n' % (line, json.dumps(text).encode())
    if not text.isprintable():  # a visitor's bytes may be in it
        text = text.encode("unicode_escape").decode()
    return b"%d\terror\t-\t%s\n" % (line, text.encode())
