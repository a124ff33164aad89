# The matrix that training reads: rows of features, growing.
#
# Law: while somebody holds a buffer of a column, no column grows.

from cpython.array cimport array, extend_buffer, resize_smart
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.math cimport NAN
from libc.stdint cimport uint32_t, uint64_t, uint8_t

from sidecar.core.csrc cimport (
    XB_HAS_CLIENT, XB_N_DENSE, XB_PROVEN_NOTHING, XB_N_FAMILIES, XB_SAYS, xb_address, xb_address_parse, xb_hash_bytes, xb_behaviour_proves, xb_row, xb_see,
    xb_shape, xb_span,
)

import array as _array

cdef extern from *:
    # What cpython.array does not tell: how many buffers of an array are held. It resizes one without asking.
    ctypedef struct exporting "arrayobject":
        int ob_exports


cdef uint64_t _client(xb_span ip) noexcept:
    """A hash of the IPv4 address or the IPv6 /64 network, one to one within each; 0 where there is none."""
    cdef xb_address address
    cdef xb_span network
    if ip.at is NULL or not xb_address_parse(ip, &address):
        return 0
    network.at = <const char *>address.bytes
    network.size = 4 if address.version == 4 else 8
    return xb_hash_bytes(network)


cdef enum:
    MOST_ERRORS = 10  # that are kept: a log may be full of them


cdef class Matrix:
    """Rows of features, growing: what training reads. Dense rows and, beside them, buckets in CSR form.

    dense: array("d"), rows x len(FEATURES), row after row, NaN for absent; indices: array("i"), buckets; indptr:
    array("q"), rows + 1; label: array("b"), 1 bot, 0 human, -1 unknown; time: array("q"), whole seconds, -1 unknown; line: array("q");
    client: array("Q"), a hash of the IPv4 address or the IPv6 /64 network, 0 unknown. What the client table knows: keys: array("Q"), rows
    x 3, of client, network and look, 0 unknown; proof: array("b"), 1 where the client has proven before that somebody's browser visits
    this site, 2 where this request contradicts that (csrc/features/behaviour.h). buckets: array("H"), 2^k, what a word of which family
    filled, as bits. They are for reading: while a buffer
    of one is held (numpy.frombuffer), adding a row is a BufferError, and changes nothing.
    """
    cdef readonly array dense, indices, indptr, label, time, line, client, keys, proof, buckets
    cdef readonly unsigned k
    cdef readonly int present
    cdef readonly list errors  # (line, field, why) of the first MOST_ERRORS
    cdef readonly Py_ssize_t unreadable
    cdef readonly Py_ssize_t late  # of lines that append_lines read: those earlier than the line before them,
    cdef readonly long first_late  # and the first of them, 0 for none
    cdef Clients clients
    cdef array hosts
    cdef Request request
    cdef uint8_t masked[XB_N_DENSE]
    cdef readonly uint32_t families

    def __cinit__(self, unsigned k, array hosts=None, without=(), Clients clients=None):
        """`without`: names of features and families that are left out as if no source held them. `clients`: what append_lines
        reads its lines by, and counts them in; the requests of `append` bring their own."""
        _check_shape(k, hosts)
        self.k = k
        self.hosts = hosts
        self.clients = clients
        self.request = Request()
        self.errors = []
        for i in range(XB_N_DENSE):
            self.masked[i] = FEATURES[i].name in without
        self.families = sum(1 << i for i in range(XB_N_FAMILIES) if FAMILIES[i].name not in without)
        self.dense, self.indices = _array.array("d"), _array.array("i")
        self.indptr, self.label = _array.array("q", [0]), _array.array("b")
        self.time, self.line, self.client = _array.array("q"), _array.array("q"), _array.array("Q")
        self.keys, self.proof = _array.array("Q"), _array.array("b")
        self.buckets = _array.array("H", bytes(2 << k))

    def __len__(self):
        return len(self.label)

    cdef int _append(self, Request request, long line) except -1:
        cdef xb_shape shape
        cdef array column
        cdef uint32_t i
        request.idle()
        for column in (
            self.dense, self.indices, self.indptr, self.label, self.time, self.line, self.client, self.keys, self.proof
        ):
            if (<exporting *><void *>column).ob_exports:
                raise BufferError("a buffer of the matrix is held: it cannot grow")
        shape = _shape(self.k, self.hosts, self.families)
        v = &request.work.vector
        xb_see(&shape, request.work)
        self.present |= request.work.request.present
        cdef int proof = XB_PROVEN_NOTHING
        keys = &request.work.keys
        if request.work.clients is not NULL and keys.client:
            self.present |= XB_HAS_CLIENT
            proof = xb_behaviour_proves(&v.behaviour, &v.facts)
        self.proof.append(proof)
        # What a request was counted as is no part of its client's key (clients/clients.h).
        for key in (keys.client & ~<uint64_t>XB_SAYS, keys.network, keys.shape):
            self.keys.append(key)
        cdef double[XB_N_DENSE] row
        for i in range(XB_N_DENSE):
            row[i] = NAN if self.masked[i] else xb_row(v, i)
        extend_buffer(self.dense, <char *>row, XB_N_DENSE)
        cdef Py_ssize_t used = len(self.indices)
        resize_smart(self.indices, used + v.n_tokens)
        for i in range(v.n_tokens):
            self.indices.data.as_ints[used + i] = v.tokens[i].bucket
            self.buckets.data.as_ushorts[v.tokens[i].bucket] |= 1 << v.tokens[i].family
        self.indptr.append(used + v.n_tokens)
        self.label.append(request.line.label)
        self.time.append(-1 if request.line.time < 0 else request.line.time // 1000)
        self.line.append(line)
        self.client.append(_client(request.work.request.ip))
        return 0

    cdef int _append_in_order(self, long line) except -1:
        if not self.clients.open(self.request, False):
            self.late += 1
            self.first_late = self.first_late or line
        self._append(self.request, line)
        self.clients.close(self.request)
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
                if self.clients is None:
                    self._append(self.request, line)
                else:
                    self._append_in_order(line)
            else:
                self.refuse(line, self.request.line.error_field.decode(), self.request.line.error.decode())
            line += 1
        return line - first_line
