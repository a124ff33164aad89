# A request, from a log line, a record or a head, and its features.
#
# Law: a request does not change while it is read, and it keeps all that its spans point into.

from cpython.array cimport array
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.object cimport Py_SIZE
from libc.stdint cimport uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from sidecar.core.csrc cimport (
    XB_ALL_FAMILIES, XB_BROWSER_NONE, XB_CLF_COMBINED, XB_CLF_DASH_UNKNOWN, XB_CLF_FORWARDED, XB_CLF_HOST, XB_CLF_SHORT,
    XB_ALPN_OTHER, XB_HAS_CASE, XB_HAS_CLIENT, XB_HAS_HEADERS, XB_HAS_IP, XB_HAS_ORDER, XB_HAS_TLS, XB_HEADERS_ORDERED,
    XB_HEADERS_UNKNOWN, XB_HEADERS_UNORDERED, XB_MAX_HEAD, XB_MAX_K, XB_MAX_LINE, XB_MIN_K, XB_N_DENSE, XB_N_STACKS, XB_TEST_TLS,
    xb_agent_facts, xb_agent_facts_of, xb_browser_names, xb_challenge_line, xb_clf_line, xb_dialect, xb_dialect_apply, xb_fields,
    xb_handshake, xb_handshake_of, xb_hosts, xb_json_line, xb_request_add, xb_request_clear, xb_request_complete, xb_request_parse, xb_row, xb_see, xb_self_test,
    xb_shape, xb_shape_of, xb_span, xb_stack_names, xb_tls, xb_token_text, xb_workspace,
)

cdef enum:
    CHALLENGE = -1  # else a kind of xb_clf_line
    JSONL = 1 << 16

# The formats whose lines csrc reads, and their kinds.
_LINES = {
    "challenge": CHALLENGE, "combined": XB_CLF_COMBINED, "common": XB_CLF_SHORT, "vhost_combined": XB_CLF_HOST,
    "vhost_common": XB_CLF_HOST | XB_CLF_SHORT, "forwarded_combined": XB_CLF_FORWARDED, "traefik_clf": XB_CLF_DASH_UNKNOWN,
}


cdef xb_workspace *_new_workspace() except NULL:
    cdef xb_workspace *work = <xb_workspace *>calloc(1, sizeof(xb_workspace))
    if work is NULL:
        raise MemoryError
    return work


cdef int _line_format(str log_format) except -2:
    """The kind of a format whose lines are read in C."""
    kind = _LINES.get(log_format)
    if kind is None:
        raise ValueError(f"{log_format!r}: only lines of {', '.join(_LINES)} are read here")
    return kind


cdef inline bytes _part(xb_span s):
    """A part of a self-test (csrc/model/model.h)."""
    cdef uint32_t size = 0xFFFFFFFF if s.at is NULL else s.size
    return (<const char *>&size)[:sizeof(size)] + (b"" if s.at is NULL else s.at[:s.size])


cdef xb_tls _tls(tls) except *:
    """A Tls, or None: all absent. The spans point into its bytes."""
    cdef xb_tls texts
    protocol, ciphers, curves, alpn, reused, sigalgs = (None,) * 6 if tls is None else tls
    texts.protocol, texts.ciphers, texts.curves = _optional(protocol), _optional(ciphers), _optional(curves)
    texts.alpn, texts.reused, texts.sigalgs = _optional(alpn), _optional(reused), _optional(sigalgs)
    return texts


cdef class Request:
    """One request at a time, from a log line, a record or a request head. Reuse it: it owns some 650 KiB.

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
        if format == JSONL:
            return xb_json_line(line, scratch, &self.work.request, &self.line)
        return xb_clf_line(<unsigned>format, line, scratch, &self.work.request, &self.line)

    cdef tuple fault(self, int format, xb_span line, object load):
        """Reads a line; None, or (field, why) if it cannot be read. `load` reads those of which csrc says nothing, as Format.load does;
        its own, where it is None, are those that csrc refuses."""
        if self.read(format, line):
            return None
        if load is None:
            return self.line.error_field.decode(), self.line.error.decode()
        busy, self.busy = self.busy, 0
        try:
            load(line.at[:line.size], self)
        except LineError as error:
            return error.args
        finally:
            self.busy = busy
        return None

    cdef int idle(self) except -1:
        """RuntimeError if somebody is reading what the request holds."""
        if self.busy:
            raise RuntimeError("the request is being read")
        return 0

    cdef int take(self, object kept) except -1:
        """Empties the request; `kept` (bytes, or a tuple or list of them) holds what its spans will point into."""
        self.idle()
        xb_request_clear(&self.work.request)
        self.line.label, self.line.status, self.line.time, self.line.bytes = -1, -1, -1, -1
        self.line.type = _optional(None)
        self.kept, self.came_from, self.asked, self.clients = kept, None, None, None
        self.work.clients = NULL
        return 0

    def load_line(self, str log_format not None, bytes line not None):
        """Reads a line of a format that csrc reads. LineError if it cannot be read."""
        cdef int number = _line_format(log_format)
        self.take(line)
        if not self.read(number, _span(line)):
            self.take(None)
            raise LineError(self.line.error_field.decode(), self.line.error.decode())

    def load_json(self, bytes line not None):
        """Reads a line of the format jsonl if it is plain (csrc/request/jsonline.h). False if it is not: then nothing is said about it, and
        the request is empty."""
        self.take(line)
        if PyBytes_GET_SIZE(line) <= XB_MAX_LINE and self.read(JSONL, _span(line)):
            return True
        self.take(None)
        return False

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
                    bytes protocol=None, bytes scheme=None, bytes host=None, int label=-1, int status=-1, long time_ms=-1,
                    tls=None, connection=0, connection_requests=0, long size=-1, bytes content_type=None):
        """Reads a record: `headers` is a list of (name, value) pairs of bytes; if it is None, `agent` and `referrer` are
        what is known of them. What is None is absent. `tls` is a Tls; `connection` is the proxy's number for the connection, and
        `connection_requests` how many requests came on it, this one counted, 0 for unknown. `label` is 1 for bot, 0 for human, -1 for none; `status`,
        `time_ms` (milliseconds since 1970 UTC, within MAX_TIME seconds) and `size` (bytes of the reply, MAX_BYTES at most) are -1 for none;
        `content_type` is the reply's. LineError names the field that cannot be."""
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
        if not -1 <= time_ms < (MAX_TIME + 1) * 1000:
            raise LineError("time", "before 1970 or after 9999")
        if not -1 <= size <= MAX_BYTES:
            raise LineError("bytes", f"expected 0 to {MAX_BYTES}")
        if not 0 <= connection <= MAX_CONNECTION:
            raise LineError("connection", f"expected 0 to {MAX_CONNECTION}")
        if not 0 <= connection_requests <= MAX_REQUESTS:
            raise LineError("connection_requests", f"expected 0 to {MAX_REQUESTS}")
        tls = None if tls is None else Tls(*tls)
        self.take((pairs, agent, referrer, ip, method, uri, protocol, scheme, host, tls, content_type))
        cdef xb_fields fields
        fields.tls = _tls(tls)
        fields.connection.serial, fields.connection.process, fields.connection.requests = connection, 0, connection_requests
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
        self.line.label, self.line.status, self.line.time, self.line.bytes = label, status, time_ms, size
        self.line.type = _optional(content_type)

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
            if r.present & XB_HAS_TLS:
                parts += [_part(r.tls.protocol), _part(r.tls.ciphers), _part(r.tls.curves), _part(r.tls.alpn), _part(r.tls.reused),
                          _part(r.tls.sigalgs)]
            for i in range(r.n_headers):
                if r.headers[i].visitor:
                    parts.append(_part(r.headers[i].name) + _part(r.headers[i].value))
        finally:
            self.busy -= 1
        text = b"".join(parts)
        test.margin, test.size, test.headers = margin, len(text), XB_HEADERS_UNKNOWN
        if r.present & XB_HAS_HEADERS:
            test.headers = XB_HEADERS_ORDERED if r.present & XB_HAS_ORDER else XB_HEADERS_UNORDERED
        if r.present & XB_HAS_TLS:
            test.headers |= XB_TEST_TLS
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
        """Whole seconds since 1970 UTC, or None."""
        return None if self.line.time < 0 else self.line.time // 1000

    @property
    def time_ms(self):
        """Milliseconds since 1970 UTC, or None."""
        return None if self.line.time < 0 else self.line.time

    @property
    def size(self):
        """Bytes of the reply, as the log counts them, or None."""
        return None if self.line.bytes < 0 else self.line.bytes

    @property
    def content_type(self):
        """The reply's Content-Type, or None."""
        self.busy += 1
        try:
            return _bytes(self.line.type)
        finally:
            self.busy -= 1

    @property
    def status(self):
        return None if self.line.status < 0 else self.line.status

    @property
    def present(self):
        """The bits of GROUPS that the source holds; that of the client, if a table of clients was looked into for it."""
        return self.work.request.present | (XB_HAS_CLIENT if self.work.clients is not NULL and self.work.keys.client else 0)

    @property
    def missing(self):
        """The bits of what the proxy of the head's dialect always says and did not (csrc/request/dialect.h); 0 for a log."""
        return self.work.request.missing

    @property
    def tls(self):
        """The texts of the handshake as a Tls; None where it is absent."""
        r = &self.work.request
        if not r.present & XB_HAS_TLS:
            return None
        self.busy += 1
        try:
            return Tls(_bytes(r.tls.protocol), _bytes(r.tls.ciphers), _bytes(r.tls.curves), _bytes(r.tls.alpn), _bytes(r.tls.reused),
                       _bytes(r.tls.sigalgs))
        finally:
            self.busy -= 1

    @property
    def stack(self):
        """Whose handshake it is by its marks: "openssl", "chromium", ... or "unknown"; None where the suites are absent."""
        cdef xb_handshake facts
        xb_handshake_of(&self.work.request.tls, &facts)
        return xb_stack_names[facts.stack].decode() if facts.ciphers else None

    @property
    def claim(self):
        """The browser that the agent names, as csrc/features/agents.def has it, and its major version (0: unknown); None for none."""
        cdef xb_agent_facts facts
        r = &self.work.request
        if r.agent.at is NULL:
            return None
        xb_agent_facts_of(r.agent, &facts)
        return None if facts.browser == XB_BROWSER_NONE else (xb_browser_names[facts.browser].decode(), facts.major)

    @property
    def connection(self):
        """The proxy's number for the connection, and how many requests came on it, this one counted (0: unknown)."""
        return self.work.request.connection.serial, self.work.request.connection.requests

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

    @property
    def own_headers(self):
        """The visitor's own (name, value) pairs, in order: no proxy's, and none that is for one hop only."""
        cdef uint32_t i
        r = &self.work.request
        self.busy += 1
        try:
            return [(_bytes(r.headers[i].name), _bytes(r.headers[i].value)) for i in range(r.n_headers) if r.headers[i].visitor]
        finally:
            self.busy -= 1

    @property
    def ordered(self):
        """Are the headers in the order, and their names in the case, in which they were sent?"""
        return (self.work.request.present & (XB_HAS_ORDER | XB_HAS_CASE)) == (XB_HAS_ORDER | XB_HAS_CASE)

    def know_handshake(self, bytes facts not None):
        """Takes the facts of a handshake, as a record of a decision has them, for what this request says of it. ValueError if
        they are none."""
        cdef xb_handshake h
        if PyBytes_GET_SIZE(facts) != sizeof(h):
            raise ValueError(f"not {sizeof(h)} bytes")
        memcpy(&h, PyBytes_AS_STRING(facts), sizeof(h))
        if h.stack >= XB_N_STACKS or h.alpn > XB_ALPN_OTHER or not h.known:
            raise ValueError("no facts of a handshake")
        self.idle()
        self.work.request.handshake = h
        self.work.request.present |= XB_HAS_TLS

    def features(self, unsigned k, array hosts=None, uint32_t families=XB_ALL_FAMILIES):
        """(dense, tokens): a list of floats in the order of FEATURES, NaN for absent; a list of (bucket, family, text).

        `hosts`: the set of known hosts, an array("I") of ascending host_hash values; `families`: bit i for FAMILIES[i].
        """
        cdef xb_shape shape
        cdef char text[256]
        _check_shape(k, hosts)
        self.idle()
        shape = _shape(k, hosts, families)
        xb_see(&shape, self.work)
        v = &self.work.vector
        self.busy += 1
        try:
            dense = [xb_row(v, i) for i in range(XB_N_DENSE)]
            tokens = []
            for i in range(v.n_tokens):
                size = xb_token_text(v, &v.tokens[i], text, sizeof(text))
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
