# cython: boundscheck=False, wraparound=False
"""The binding over csrc/: requests, feature vectors, models and verdicts, for training, scoring and serving alike.

Law: no decision is taken here; every number comes from csrc/. Imports nothing beyond the standard library.
"""

from cpython.array cimport array, extend_buffer, resize_smart
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free
from cpython.object cimport Py_SIZE
from libc.math cimport NAN, isnan
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memchr, memcpy, memset, strlen

from sidecar.csrc cimport (
    XB_ALL_FAMILIES, XB_DIALECT_COUNT, XB_DTYPE_F64, XB_HEADERS_ORDERED, XB_HEADERS_UNKNOWN, XB_HEADERS_UNORDERED,
    XB_HAS_CASE, XB_HAS_CLIENT, XB_HAS_HEADERS, XB_HAS_IP, XB_HAS_ORDER, XB_HAS_REFERRER, XB_HAS_UA, XB_HAS_URL, XB_HISTOGRAM,
    XB_MAX_HEAD, XB_MAX_K, XB_MAX_LINE, XB_MAX_REASON, XB_MIN_K, XB_MODEL_DIGEST, XB_MODEL_HEADER, XB_MODEL_MAGIC,
    XB_MODEL_VERSION, XB_N_DENSE, XB_N_FAMILIES, XB_BY_SCORE, XB_COUNTED_OUTCOMES, XB_COUNTED_RULES, XB_MAX_NAME,
    XB_N_OUTCOMES, XB_POLICIES_MAGIC, XB_POLICIES_VERSION,
    xb_address, xb_address_parse, xb_answer, xb_apply_policy, xb_challenge_line, xb_clf_line, XB_CLF_COMBINED, XB_CLF_DASH_UNKNOWN, XB_CLF_FORWARDED, XB_CLF_HOST, XB_CLF_SHORT, xb_contribution, xb_dialect,
    xb_dialect_apply, xb_dialects, xb_family_rows, xb_feature_rows, xb_featurize, xb_fields, xb_hash, xb_hash_bytes,
    xb_decision_text, xb_enforcing, xb_host_hash, xb_init, xb_judge, xb_line, xb_model, xb_model_header, xb_model_open, xb_model_row, xb_observing, xb_outcome_names, xb_path_resolve,
    xb_policies, xb_policies_open, xb_policy, xb_policy_named, xb_reason_text, xb_request_add,
    xb_request_clear, xb_request_complete, xb_request_parse, xb_self_test, xb_service, xb_score_text, xb_shape, xb_shape_of, xb_hosts, xb_span, xb_stats, xb_token, xb_token_contribution,
    xb_token_text, xb_vector, xb_verdict, xb_workspace,
)

import array as _array
import json
from collections import namedtuple

cdef extern from "Python.h":
    char *PyOS_double_to_string(double value, char code, int precision, int flags, int *kind) except NULL
    int Py_DTSF_ADD_DOT_0

cdef extern from *:
    # What cpython.array does not tell: how many buffers of an array are held. It resizes one without asking.
    ctypedef struct exporting "arrayobject":
        int ob_exports

xb_init()

Row = namedtuple("Row", "name group version doc")
Verdict = namedtuple("Verdict", "bot score margin reason")
Contribution = namedtuple("Contribution", "name value contribution doc")
Decision = namedtuple("Decision", "outcome refuse reason policy list")

_GROUPS = {
    XB_HAS_IP: "ip", XB_HAS_UA: "ua", XB_HAS_REFERRER: "referrer", XB_HAS_URL: "url", XB_HAS_HEADERS: "headers",
    XB_HAS_CLIENT: "client", XB_HAS_ORDER: "headers",
}
# Name of a group -> its bits in a model's `groups` and a request's `present`.
GROUPS = {
    "ip": XB_HAS_IP, "ua": XB_HAS_UA, "referrer": XB_HAS_REFERRER, "url": XB_HAS_URL,
    "headers": XB_HAS_HEADERS | XB_HAS_ORDER | XB_HAS_CASE, "client": XB_HAS_CLIENT,
}

FEATURES = tuple(
    Row(xb_feature_rows[i].name.decode(), _GROUPS[xb_feature_rows[i].group], xb_feature_rows[i].version, xb_feature_rows[i].doc.decode())
    for i in range(XB_N_DENSE)
)
FAMILIES = tuple(
    Row(xb_family_rows[i].name.decode(), _GROUPS[xb_family_rows[i].group], xb_family_rows[i].version, xb_family_rows[i].doc.decode())
    for i in range(XB_N_FAMILIES)
)
DIALECTS = tuple(xb_dialects[i].name.decode() for i in range(XB_DIALECT_COUNT))
MAX_TIME = 253402300799  # seconds since 1970 UTC: the last one of the year 9999
MIN_K, MAX_K = XB_MIN_K, XB_MAX_K
MAX_HEAD, MAX_LINE = XB_MAX_HEAD, XB_MAX_LINE
STATS_SIZE = sizeof(xb_stats)
OUTCOMES = tuple(xb_outcome_names[i].decode() for i in range(XB_N_OUTCOMES))
RULES = ("score", "allow", "deny", "verified")
POLICIES_MAGIC, POLICIES_VERSION = XB_POLICIES_MAGIC[:8], XB_POLICIES_VERSION
MAX_NAME = XB_MAX_NAME - 1  # bytes of the name of a policy or list
MODEL_MAGIC = XB_MODEL_MAGIC[:8]
MODEL_VERSION, MODEL_HEADER, MODEL_DIGEST = XB_MODEL_VERSION, XB_MODEL_HEADER, XB_MODEL_DIGEST

cdef enum:
    CHALLENGE = -1  # else a kind of xb_clf_line
    MAX_REPORT = 256

# The formats whose lines csrc reads -> their kind.
_LINES = {
    "challenge": CHALLENGE, "combined": XB_CLF_COMBINED, "common": XB_CLF_SHORT, "vhost_combined": XB_CLF_HOST,
    "vhost_common": XB_CLF_HOST | XB_CLF_SHORT, "forwarded_combined": XB_CLF_FORWARDED, "traefik_clf": XB_CLF_DASH_UNKNOWN,
}
MOST_ERRORS = 10  # that a Matrix keeps


class ModelError(ValueError):
    """The bytes are no usable model; the text says why."""


class PoliciesError(ValueError):
    """The bytes are no usable image of policies; the text says why."""


class LineError(ValueError):
    """A log line or record cannot be read: args are the field's name and what is wrong with it."""


cdef xb_workspace *_new_workspace() except NULL:
    cdef xb_workspace *work = <xb_workspace *>calloc(1, sizeof(xb_workspace))
    if work is NULL:
        raise MemoryError
    return work


cdef inline xb_span _span(bytes text) noexcept:
    cdef xb_span s
    s.at = PyBytes_AS_STRING(text)
    s.size = PyBytes_GET_SIZE(text)
    return s


cdef inline xb_span _optional(bytes text) noexcept:
    """Absent for None."""
    cdef xb_span s
    s.at, s.size = NULL, 0
    return s if text is None else _span(text)


cdef inline bytes _part(xb_span s):
    """A part of a self-test (csrc/model/model.h)."""
    cdef uint32_t size = 0xFFFFFFFF if s.at is NULL else s.size
    return (<const char *>&size)[:sizeof(size)] + (b"" if s.at is NULL else s.at[:s.size])


cdef inline bytes _bytes(xb_span s):
    return PyBytes_FromStringAndSize(s.at, s.size) if s.at is not NULL else None


cdef object _text(xb_span s):
    return None if s.at is NULL else s.at[:s.size].decode("utf-8", "backslashreplace")


cdef int _line_format(str log_format) except -2:
    """The kind of a format whose lines are read in C."""
    kind = _LINES.get(log_format)
    if kind is None:
        raise ValueError(f"{log_format!r}: only lines of {', '.join(_LINES)} are read here")
    return kind


def hash_text(bytes text not None):
    """csrc/base/hash.h's hash of `text`: 64 bits, letters without regard to case."""
    return xb_hash(_span(text))


def host_hash(bytes host not None):
    """What the set of known hosts in a model stores of `host`: 32 bits."""
    return xb_host_hash(_span(host))


def parse_address(bytes text not None):
    """The 4 or 16 bytes of an address; None if the text is none."""
    cdef xb_address address
    if not xb_address_parse(_span(text), &address):
        return None
    return (<const char *>address.bytes)[:4 if address.version == 4 else 16]


cdef class Request:
    """One request at a time, from a log line, a record or a request head. Reuse it: it owns some 360 KiB.

    It is empty at first, and again after a source that could not be read. RuntimeError for one that is loaded or judged
    while it is being read (by a callback of the garbage collector, say).
    """

    def __cinit__(self):
        self.work = _new_workspace()
        self.scratch = bytearray(XB_MAX_LINE)
        self.take(None)

    def __dealloc__(self):
        free(self.work)

    cdef bint read(self, int format, xb_span line) noexcept:
        cdef char *scratch = self.scratch
        if format == CHALLENGE:
            return xb_challenge_line(line, scratch, &self.work.request, &self.line)
        return xb_clf_line(<unsigned>format, line, scratch, &self.work.request, &self.line)

    cdef int idle(self) except -1:
        """RuntimeError if somebody is reading what the request holds."""
        if self.busy:
            raise RuntimeError("the request is being read")
        return 0

    cdef int take(self, object kept) except -1:
        """Empties the request; `kept` (bytes, or a tuple or list of them) holds what its spans will point into."""
        self.idle()
        xb_request_clear(&self.work.request)
        self.line.label, self.line.status, self.line.time = -1, -1, -1
        self.kept, self.came_from, self.asked = kept, None, None
        return 0

    def load_line(self, str log_format not None, bytes line not None):
        """Reads a line of a format that csrc reads. LineError if it cannot be read."""
        cdef int number = _line_format(log_format)
        self.take(line)
        if not self.read(number, _span(line)):
            self.take(None)
            raise LineError(self.line.error_field.decode(), self.line.error.decode())

    def load_head(self, bytes head not None, str dialect="nginx"):
        """Reads one whole request head, at most MAX_HEAD bytes and the empty line, as the proxy of this dialect sends it;
        None: as the visitor sent it, and then nothing says from where. LineError if it cannot be read."""
        cdef int number = -1 if dialect is None else DIALECTS.index(dialect)
        if PyBytes_GET_SIZE(head) > XB_MAX_HEAD + 2:  # the workspace has room for no more of decoded values
            self.take(None)
            raise LineError("head", f"longer than {XB_MAX_HEAD} bytes")
        self.take(head)
        if xb_request_parse(&self.work.request, PyBytes_AS_STRING(head), PyBytes_GET_SIZE(head), 0) <= 0:
            self.take(None)
            raise LineError("head", "not one whole HTTP/1.0 or HTTP/1.1 request head")
        if number >= 0:
            xb_dialect_apply(<xb_dialect>number, &self.work.request, <char *>self.work.scratch)

    def come_from(self, bytes ip not None):
        """Says where a request came from whose head does not say it."""
        self.idle()
        self.work.request.ip = _span(ip)
        self.work.request.present |= XB_HAS_IP
        self.came_from = ip

    def ask_policy(self, bytes name not None):
        """Says which policy is asked for."""
        self.idle()
        self.work.request.policy = _span(name)
        self.asked = name

    def load_record(self, list headers, bint ordered, bytes agent=None, bytes referrer=None, bytes ip=None, bytes method=None, bytes uri=None,
                    bytes protocol=None, bytes scheme=None, bytes host=None, int label=-1, int status=-1, long time=-1):
        """Reads a record: `headers` is a list of (name, value) pairs of bytes; if it is None, `agent` and `referrer` are
        what is known of them. What is None is absent. `label` is 1 for bot, 0 for human, -1 for none; `status` and `time`
        (seconds since 1970 UTC, MAX_TIME at most) are -1 for none. LineError names the field that cannot be."""
        cdef bytes name, value
        cdef Py_ssize_t i
        cdef list pairs = []  # our own: the caller may change his
        if headers is not None:
            for name, value in headers:
                if name is None or value is None:
                    raise TypeError("headers: a name or value is None")
                pairs.append(name)
                pairs.append(value)
        self.take(None)
        if not -1 <= label <= 1:
            raise LineError("label", "expected 1, 0 or -1")
        if not -1 <= status <= 999:
            raise LineError("status", "expected 0 to 999")
        if not -1 <= time <= MAX_TIME:
            raise LineError("time", "before 1970 or after 9999")
        self.take((pairs, agent, referrer, ip, method, uri, protocol, scheme, host))
        cdef xb_fields fields
        fields.ip, fields.method, fields.uri, fields.protocol = _optional(ip), _optional(method), _optional(uri), _optional(protocol)
        fields.scheme, fields.host, fields.agent, fields.referrer = _optional(scheme), _optional(host), _optional(agent), _optional(referrer)
        fields.policy = _optional(None)
        fields.headers = XB_HEADERS_UNKNOWN if headers is None else XB_HEADERS_ORDERED if ordered else XB_HEADERS_UNORDERED
        r = &self.work.request
        for i in range(0, len(pairs), 2):
            name, value = pairs[i], pairs[i + 1]
            xb_request_add(r, _span(name), _span(value))
        if not xb_request_complete(r, &fields):
            self.take(None)
            raise LineError("uri", f"longer than {XB_MAX_HEAD} bytes")
        self.line.label, self.line.status, self.line.time = label, status, time

    def self_test(self, double margin):
        """A self-test for a model file: what the request holds now of the visitor, and its margin. No proxy's own headers are
        in it, so it is the same whatever dialect it came by."""
        cdef xb_self_test test
        cdef uint32_t i
        r = &self.work.request
        self.busy += 1
        try:
            parts = [_part(r.ip), _part(r.method), _part(r.uri), _part(r.protocol), _part(r.scheme), _part(r.host), _part(r.agent),
                     _part(r.referrer)]
            for i in range(r.n_headers):
                if r.headers[i].visitor:
                    parts.append(_part(r.headers[i].name) + _part(r.headers[i].value))
        finally:
            self.busy -= 1
        text = b"".join(parts)
        test.margin, test.size, test.headers = margin, len(text), XB_HEADERS_UNKNOWN
        if r.present & XB_HAS_HEADERS:
            test.headers = XB_HEADERS_ORDERED if r.present & XB_HAS_ORDER else XB_HEADERS_UNORDERED
        return (<const char *>&test)[:sizeof(test)] + text + bytes(-len(text) % 8)

    @property
    def text(self):
        """The log line that was read last, as it came."""
        return self.kept if isinstance(self.kept, bytes) else b""

    @property
    def label(self):
        """True for bot, False for human, None where the source says nothing."""
        return None if self.line.label < 0 else self.line.label == 1

    @property
    def time(self):
        """Seconds since 1970 UTC, or None."""
        return None if self.line.time < 0 else self.line.time

    @property
    def status(self):
        return None if self.line.status < 0 else self.line.status

    @property
    def present(self):
        """The bits of GROUPS that the source holds."""
        return self.work.request.present

    @property
    def missing(self):
        """The bits of what the proxy of the head's dialect always says and did not (csrc/request/dialect.h); 0 for a log."""
        return self.work.request.missing

    @property
    def truncated(self):
        return bool(self.work.request.truncated)

    @property
    def fields(self):
        """What the request says, as bytes; None where absent."""
        r = &self.work.request
        self.busy += 1
        try:
            return {
                "ip": _bytes(r.ip), "method": _bytes(r.method), "uri": _bytes(r.uri), "protocol": _bytes(r.protocol),
                "scheme": _bytes(r.scheme), "host": _bytes(r.host), "agent": _bytes(r.agent), "referrer": _bytes(r.referrer),
                "policy": _bytes(r.policy),
            }
        finally:
            self.busy -= 1

    @property
    def headers(self):
        """The (name, value) pairs, in order, control headers of a proxy included."""
        cdef uint32_t i
        r = &self.work.request
        self.busy += 1
        try:
            return [(_bytes(r.headers[i].name), _bytes(r.headers[i].value)) for i in range(r.n_headers)]
        finally:
            self.busy -= 1

    def features(self, unsigned k, array hosts=None, uint32_t families=XB_ALL_FAMILIES):
        """(dense, tokens): a list of floats in the order of FEATURES, NaN for absent; a list of (bucket, family, text).

        `hosts`: the set of known hosts, an array("I") of ascending host_hash values; `families`: bit i for FAMILIES[i].
        """
        cdef xb_shape shape
        cdef char text[256]
        _check_shape(k, hosts)
        self.idle()
        shape = _shape(k, hosts, families)
        xb_featurize(&self.work.request, &shape, &self.work.vector)
        v = &self.work.vector
        self.busy += 1
        try:
            dense = [v.dense[i] for i in range(XB_N_DENSE)]
            tokens = []
            for i in range(v.n_tokens):
                size = xb_token_text(&v.tokens[i], text, sizeof(text))
                tokens.append((v.tokens[i].bucket, FAMILIES[v.tokens[i].family].name, text[:size].decode("ascii")))
        finally:
            self.busy -= 1
        return dense, tokens


cdef int _check_shape(unsigned k, array hosts) except -1:
    if not XB_MIN_K <= k <= XB_MAX_K:
        raise ValueError(f"k must be {XB_MIN_K} to {XB_MAX_K}")
    if hosts is not None and hosts.typecode != "I":
        raise TypeError(f'hosts must be an array("I"), not an array("{hosts.typecode}")')
    return 0


cdef xb_shape _shape(unsigned k, array hosts, uint32_t families) noexcept:
    """To be used at once: the array may be resized by its owner. Its size is its own word, not a subclass's."""
    cdef xb_hosts known
    known.hash, known.count = NULL, 0
    if hosts is not None:
        known.hash = <const uint32_t *>hosts.data.as_uints
        known.count = <uint32_t>Py_SIZE(hosts)
    return xb_shape_of(k, families, known)


cdef uint64_t _client(xb_span ip) noexcept:
    """A hash of the IPv4 address or the IPv6 /64 network, one to one within each; 0 where there is none."""
    cdef xb_address address
    cdef xb_span network
    if ip.at is NULL or not xb_address_parse(ip, &address):
        return 0
    network.at = <const char *>address.bytes
    network.size = 4 if address.version == 4 else 8
    return xb_hash_bytes(network)


cdef class Matrix:
    """Rows of features, growing: what training reads. Dense rows and, beside them, buckets in CSR form.

    dense: array("d"), rows x len(FEATURES), row after row, NaN for absent; indices: array("i"), buckets; indptr:
    array("q"), rows + 1; label: array("b"), 1 bot, 0 human, -1 unknown; time: array("q"), -1 unknown; line: array("q");
    client: array("Q"), a hash of the IPv4 address or the IPv6 /64 network, 0 unknown. They are for reading: while a buffer
    of one is held (numpy.frombuffer), adding a row is a BufferError, and changes nothing.
    """
    cdef readonly array dense, indices, indptr, label, time, line, client
    cdef readonly unsigned k
    cdef readonly int present
    cdef readonly list errors  # (line, field, why) of the first MOST_ERRORS
    cdef readonly Py_ssize_t unreadable
    cdef array hosts
    cdef Request request
    cdef uint8_t masked[XB_N_DENSE]
    cdef readonly uint32_t families

    def __cinit__(self, unsigned k, array hosts=None, without=()):
        """`without`: names of features and families that are left out as if no source held them."""
        _check_shape(k, hosts)
        self.k = k
        self.hosts = hosts
        self.request = Request()
        self.errors = []
        for i in range(XB_N_DENSE):
            self.masked[i] = FEATURES[i].name in without
        self.families = sum(1 << i for i in range(XB_N_FAMILIES) if FAMILIES[i].name not in without)
        self.dense, self.indices = _array.array("d"), _array.array("i")
        self.indptr, self.label = _array.array("q", [0]), _array.array("b")
        self.time, self.line, self.client = _array.array("q"), _array.array("q"), _array.array("Q")

    def __len__(self):
        return len(self.label)

    cdef int _append(self, Request request, long line) except -1:
        cdef xb_shape shape
        cdef array column
        cdef uint32_t i
        request.idle()
        for column in (self.dense, self.indices, self.indptr, self.label, self.time, self.line, self.client):
            if (<exporting *><void *>column).ob_exports:
                raise BufferError("a buffer of the matrix is held: it cannot grow")
        shape = _shape(self.k, self.hosts, self.families)
        v = &request.work.vector
        xb_featurize(&request.work.request, &shape, v)
        self.present |= request.work.request.present
        for i in range(XB_N_DENSE):
            if self.masked[i]:
                v.dense[i] = NAN
        extend_buffer(self.dense, <char *>v.dense, XB_N_DENSE)
        cdef Py_ssize_t used = len(self.indices)
        resize_smart(self.indices, used + v.n_tokens)
        for i in range(v.n_tokens):
            self.indices.data.as_ints[used + i] = v.tokens[i].bucket
        self.indptr.append(used + v.n_tokens)
        self.label.append(request.line.label)
        self.time.append(request.line.time)
        self.line.append(line)
        self.client.append(_client(request.work.request.ip))
        return 0

    def append(self, Request request not None, long line=0):
        """Adds what `request` holds now; `line` is its line in the log, for messages."""
        self._append(request, line)

    def refuse(self, long line, str field not None, str why not None):
        """Counts a line that cannot be read in `unreadable`; `errors` has the first of them."""
        self.unreadable += 1
        if len(self.errors) < MOST_ERRORS:
            self.errors.append((line, field, why))

    def append_lines(self, str log_format not None, bytes block not None, long first_line):
        """Adds every line of `block`, of a format that csrc reads; refuses those that cannot be read. Returns how many lines
        the block had."""
        cdef int number = _line_format(log_format)
        cdef const char *at = PyBytes_AS_STRING(block)
        cdef const char *end = at + PyBytes_GET_SIZE(block)
        cdef long line = first_line
        cdef xb_span text
        while at < end:
            at = _next_line(at, end, &text)
            if self.request.read(number, text):
                self._append(self.request, line)
            else:
                self.refuse(line, self.request.line.error_field.decode(), self.request.line.error.decode())
            line += 1
        return line - first_line


cdef inline const char *_next_line(const char *at, const char *end, xb_span *text) noexcept:
    cdef const char *newline = <const char *>memchr(at, c'\n', end - at)
    cdef const char *stop = newline if newline is not NULL else end
    text.at = at
    text.size = stop - at
    if text.size and (stop - 1)[0] == c'\r':
        text.size -= 1
    return newline + 1 if newline is not NULL else end


cdef int _hold(data, Py_buffer *view) except -1:
    """Holds a buffer whose bytes are checked once and used ever after: so one that cannot be written to."""
    PyObject_GetBuffer(data, view, PyBUF_SIMPLE)
    if not view.readonly:
        PyBuffer_Release(view)
        raise TypeError("a read-only buffer is needed, such as bytes")
    return 0
cdef object _doubles(const double *at):
    return memoryview((<const char *>at)[:sizeof(double) * XB_N_DENSE]).cast("d")


def model_header(unsigned k, uint32_t groups, uint32_t families, uint32_t n_hosts, uint32_t n_tests, uint64_t tests_size,
                 uint64_t provenance_size, uint64_t file_size, double bias, double threshold, double a, double b):
    """The first bytes of a model file with all rows of this program: the header, and the rows by name and version. Sizes are
    in bytes."""
    cdef xb_model_header header
    cdef xb_model_row row
    memset(&header, 0, sizeof(header))
    memcpy(header.magic, XB_MODEL_MAGIC, sizeof(header.magic))
    header.version, header.header_size = XB_MODEL_VERSION, sizeof(header)
    header.n_dense, header.n_families, header.dtype = XB_N_DENSE, XB_N_FAMILIES, XB_DTYPE_F64
    header.k, header.groups, header.families, header.n_hosts, header.n_tests = k, groups, families, n_hosts, n_tests
    header.tests_size, header.provenance_size, header.file_size = tests_size, provenance_size, file_size
    header.bias, header.threshold, header.a, header.b = bias, threshold, a, b
    out = bytearray((<const char *>&header)[:sizeof(header)])
    cdef bytes name
    for known in FEATURES + FAMILIES:
        name = known.name.encode()
        memset(&row, 0, sizeof(row))
        memcpy(row.name, PyBytes_AS_STRING(name), len(name))  # featurizer.c holds them short enough
        row.version = known.version
        out += (<const char *>&row)[:sizeof(row)]
    return bytes(out)


cdef class Model:
    """A model file's image (any read-only buffer, which it keeps), opened. Raises ModelError with the reason when it is refused.

    The digest is not checked here: sidecar.model does, before.
    """

    def __cinit__(self, data):
        cdef const char *why
        cdef xb_workspace *work
        _hold(data, &self.view)
        self.data = data
        work = _new_workspace()
        try:
            why = xb_model_open(&self.model, self.view.buf, self.view.len, &work.request, &work.vector)
        finally:
            free(work)
        if why is not NULL:
            raise ModelError(why.decode())

    def __dealloc__(self):
        PyBuffer_Release(&self.view)

    @property
    def header(self):
        """The numbers of the header, by name; bit i of `families` is for FAMILIES[i]."""
        h = &self.model.header
        return {
            "version": h.version, "n_dense": h.n_dense, "n_families": h.n_families, "k": h.k, "groups": h.groups,
            "families": self.model.shape.families, "n_hosts": h.n_hosts, "n_tests": h.n_tests, "bias": h.bias,
            "threshold": h.threshold, "a": h.a, "b": h.b,
        }

    @property
    def rows(self):
        """Name -> version of the features and families that the file has, in its order."""
        h = &self.model.header
        cdef const xb_model_row *row = self.model.rows
        cdef dict rows = {}
        for i in range(h.n_dense + h.n_families):
            rows[(<const char *>row[i].name).decode()] = row[i].version
        return rows

    @property
    def k(self):
        return self.model.header.k

    @property
    def threshold(self):
        return self.model.header.threshold

    @property
    def mean(self):
        """mean, scale, lower and upper as memoryviews of doubles, in the order of FEATURES. A row that the file lacks has
        scale 1, and 0 in the others."""
        return _doubles(self.model.mean)

    @property
    def scale(self):
        return _doubles(self.model.scale)

    @property
    def lower(self):
        return _doubles(self.model.lower)

    @property
    def upper(self):
        return _doubles(self.model.upper)

    @property
    def weight(self):
        """len(FEATURES) + 2^k doubles, a copy: of the features, 0 where the file lacks the row, then of the buckets."""
        buckets = (<const char *>self.model.bucket)[:sizeof(double) << self.model.header.k]
        return memoryview(bytes(_doubles(self.model.weight)) + buckets).cast("d")

    @property
    def provenance(self):
        """The JSON that training left: when, from what, how well."""
        return json.loads(_bytes(self.model.provenance))

    def judge(self, Request request not None, threshold=None):
        """The Verdict on what `request` holds now, by this threshold of the score or the model's own. The reason is what
        accuses a bot most; a human's is none."""
        cdef char reason[XB_MAX_REASON]
        request.idle()
        xb_judge(&self.model, request.work)
        v = &request.work.verdict
        bot = v.bot if threshold is None else v.score >= threshold
        size = xb_reason_text(v, &request.work.vector, bot, reason, sizeof(reason))
        return Verdict(bool(bot), v.score, v.margin, reason[:size].decode("ascii"))

    def explain(self, Request request not None):
        """(Verdict, bias, [Contribution]): bias and contributions add up to the margin. A hashed word is `family=text`."""
        cdef char text[256]
        verdict = self.judge(request)
        v = &request.work.vector
        parts = []
        request.busy += 1
        try:
            for i in range(XB_N_DENSE):
                value = None if isnan(v.dense[i]) else v.dense[i]
                parts.append(Contribution(FEATURES[i].name, value, xb_contribution(&self.model, v, i), FEATURES[i].doc))
            for i in range(v.n_tokens):
                family = FAMILIES[v.tokens[i].family]
                size = xb_token_text(&v.tokens[i], text, sizeof(text))
                parts.append(Contribution(f"{family.name}={text[:size].decode('ascii')}", 1.0,
                                          xb_token_contribution(&self.model, &v.tokens[i]), family.doc))
        finally:
            request.busy -= 1
        return verdict, self.model.header.bias, parts

    def report(self, Request request not None, unsigned long line, bint as_json):
        """The line that `xbot score` prints for what `request` holds now."""
        request.idle()
        xb_judge(&self.model, request.work)
        return self._report(request, line, as_json)

    cdef bytes _report(self, Request request, unsigned long line, bint as_json):
        cdef char text[MAX_REPORT]
        return text[:_write_report(text, request, line, as_json)]

    def report_lines(self, Request request not None, str log_format not None, bytes block not None, unsigned long first_line,
                     bint as_json, write not None):
        """Gives `write` what `xbot score` prints for a block of lines of a format that csrc reads, a part at a time. Returns
        how many lines it had, how many of them cannot be read, and (line, field, why) of the first of these, or None.
        `request` is empty then."""
        cdef int number = _line_format(log_format)
        cdef const char *at = PyBytes_AS_STRING(block)
        cdef const char *end = at + PyBytes_GET_SIZE(block)
        cdef unsigned long line = first_line
        cdef xb_span text
        cdef bytearray out = bytearray(1 << 16)
        cdef char *to = out
        cdef size_t used = 0
        cdef Py_ssize_t bad = 0
        cdef bytes told
        first = None
        request.take(block)
        request.busy += 1
        try:
            while at < end:
                at = _next_line(at, end, &text)
                if used > (1 << 16) - MAX_REPORT:
                    write(to[:used])
                    used = 0
                if request.read(number, text):
                    xb_judge(&self.model, request.work)
                    used += _write_report(to + used, request, line, as_json)
                else:
                    field, why = request.line.error_field.decode(), request.line.error.decode()
                    if first is None:
                        first = (line, field, why)
                    bad += 1
                    told = report_error(line, field, why, as_json)
                    if len(told) > MAX_REPORT:
                        raise AssertionError("an error's line is longer than its place")
                    memcpy(to + used, PyBytes_AS_STRING(told), len(told))
                    used += len(told)
                line += 1
        finally:
            request.busy -= 1
        request.take(None)
        write(to[:used])
        return line - first_line, bad, first


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
    if as_json:
        return b'{"line": %d, "error": %s}\n' % (line, json.dumps(f"{field}: {why}").encode())
    return b"%d\terror\t-\t%s: %s\n" % (line, field.encode(), why.encode())


cdef char *_put_shortest(char *to, double x) except NULL:
    """The shortest text that reads back as the same double."""
    cdef char *text = PyOS_double_to_string(x, c'r', 0, Py_DTSF_ADD_DOT_0, NULL)
    to = _put(to, text)
    PyMem_Free(text)
    return to


def resolve_path(bytes path not None):
    """The path as the lists of a policy see it (csrc/policy/policy.h)."""
    cdef bytearray scratch = bytearray(len(path) + 1)
    return _bytes(xb_path_resolve(_span(path), scratch))


cdef class Policies:
    """Policies and lists, opened from an image that sidecar/config/policies.py made. `data` is a read-only buffer and is not
    copied."""

    def __cinit__(self, data):
        cdef const char *why
        _hold(data, &self.view)
        self.data = data
        why = xb_policies_open(&self.policies, self.view.buf, self.view.len)
        if why is not NULL:
            raise PoliciesError(why.decode())

    def __dealloc__(self):
        PyBuffer_Release(&self.view)

    @property
    def names(self):
        """The policies' names, in the order of the image."""
        return tuple(self.policies.policy[i].name.decode("ascii") for i in range(self.policies.n_policies))

    cdef const xb_policy *named(self, str name) except NULL:
        cdef bytes text = name.encode()
        cdef const xb_policy *policy = xb_policy_named(&self.policies, _span(text))
        if policy is NULL:
            raise KeyError(name)
        return policy

    def decide(self, Model model not None, Request request not None, str policy not None):
        """The Decision on what `request` holds now: by the policy that it asks for, or by `policy`."""
        cdef char reason[XB_MAX_REASON]
        cdef const xb_policy *chosen = self.named(policy)
        request.idle()
        xb_judge(&model.model, request.work)
        xb_apply_policy(&self.policies, chosen, &model.model, request.work)
        d = &request.work.decision
        size = xb_decision_text(d, &request.work.verdict, &request.work.vector, reason, sizeof(reason))
        listed = None if d.list is NULL else d.list.name.decode("ascii")
        return Decision(OUTCOMES[d.outcome], bool(d.refuse), reason[:size].decode("ascii"), d.policy.name.decode("ascii"), listed)


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


def read_stats(buffer):
    """A worker's counters as a dict; `outcome` goes by OUTCOMES, `rule` by RULES; `histogram` is a list of 64 counts, bucket i for [2^i, 2^(i+1)) nanoseconds."""
    cdef xb_stats stats
    cdef bytes copy = bytes(memoryview(buffer).cast("B")[:sizeof(xb_stats)])
    if PyBytes_GET_SIZE(copy) < <Py_ssize_t>sizeof(xb_stats):
        raise ValueError(f"stats are {sizeof(xb_stats)} bytes, not {len(copy)}")
    stats = (<const xb_stats *>PyBytes_AS_STRING(copy))[0]
    return {
        "requests": stats.requests, "outcome": [stats.outcome[i] for i in range(XB_COUNTED_OUTCOMES)],
        "rule": [stats.rule[i] for i in range(XB_COUNTED_RULES)], "unknown_policy": stats.unknown_policy,
        "refused": stats.refused,
        "bad_request": stats.bad_request, "truncated": stats.truncated, "connections_total": stats.connections_total,
        "sum_ns": stats.sum_ns, "histogram": [stats.histogram[i] for i in range(XB_HISTOGRAM)],
    }
