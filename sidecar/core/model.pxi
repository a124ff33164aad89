# A model file: its image, opened; its header, as it is written; what the model says of a request.
#
# Law: csrc/ checks an image once, so its buffer must be read-only. Every number of a verdict comes from csrc/.

from cpython.buffer cimport PyBuffer_Release
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.math cimport NAN, isnan
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from sidecar.core.csrc cimport (
    XB_DTYPE_F64, XB_FIRST_OF_CLIENT, XB_MAX_REASON, XB_MAX_TOKENS, XB_MODEL_MAGIC, XB_MODEL_VERSION, XB_N_DENSE, XB_N_FAMILIES, XB_PAST,
    xb_contribution, xb_featurize, xb_judge,
    xb_model_header, xb_model_mark, xb_model_open, xb_model_row, xb_reason_text, xb_row, xb_score, xb_span, xb_token_contribution, xb_token_text,
    xb_verdict, xb_words_forget, xb_workspace,
)

import json


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
    def mark(self):
        """A number by which it is told from other models."""
        return xb_model_mark(&self.model)

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
                value = xb_row(v, i)
                parts.append(Contribution(FEATURES[i].name, None if isnan(value) else value, xb_contribution(&self.model, v, i), FEATURES[i].doc))
            for i in range(v.n_tokens):
                family = FAMILIES[v.tokens[i].family]
                size = xb_token_text(v, &v.tokens[i], text, sizeof(text))
                parts.append(Contribution(f"{family.name}={text[:size].decode('ascii')}", 1.0,
                                          xb_token_contribution(&self.model, &v.tokens[i]), family.doc))
        finally:
            request.busy -= 1
        return verdict, self.model.header.bias, parts

    def recorded(self, one not None, Request request not None):
        """(margin, dense, words) of a record of a decision that this model made: dense in the order of FEATURES, NaN for absent, and
        (family, bucket, text) of each word. `request` holds what was asked then. LineError, ValueError: no record of ours."""
        cdef char text[256]
        cdef uint32_t i
        request.load_head(one.head, one.dialect)
        if one.handshake is not None:
            request.know_handshake(one.handshake)
        if len(one.past) not in (0, XB_PAST):
            raise ValueError("features of another version")
        v = &request.work.vector
        xb_featurize(&request.work.request, &self.model.shape, v)
        if one.past:
            for i in range(XB_PAST):
                v.dense[XB_FIRST_OF_CLIENT + i] = one.past[i]
            v.n_held, v.absent = XB_N_DENSE, 0
        margin = xb_score(&self.model, v).margin
        dense = [xb_row(v, i) for i in range(XB_N_DENSE)]
        words = []
        for i in range(v.n_tokens):
            size = xb_token_text(v, &v.tokens[i], text, sizeof(text))
            words.append((FAMILIES[v.tokens[i].family].name, v.tokens[i].bucket, text[:size].decode("ascii")))
        return margin, dense, words

    def explain_vector(self, Request request not None, dict dense not None, list words not None):
        """As `explain`, of a vector that was recorded: feature -> value, without those that are absent, and (family, bucket,
        text) of each word. The reason of the Verdict is empty. `request` lends its memory. ValueError for what is no vector."""
        cdef uint32_t i
        cdef double value
        cdef xb_verdict verdict
        families = {each.name: number for number, each in enumerate(FAMILIES)}
        request.idle()
        v = &request.work.vector
        if len(words) > XB_MAX_TOKENS or not dense.keys() <= {each.name for each in FEATURES}:
            raise ValueError("features of another version")
        xb_words_forget(v)
        for i in range(XB_N_DENSE):
            v.dense[i] = dense.get(FEATURES[i].name, NAN)
        v.n_held, v.absent, v.print = XB_N_DENSE, 0, NULL
        for family, bucket, _ in words:
            if family not in families or not 0 <= bucket < 1 << self.model.header.k:
                raise ValueError(f"no word {family}, {bucket}")
            v.tokens[v.n_tokens].family, v.tokens[v.n_tokens].bucket = families[family], bucket
            v.n_tokens += 1
        verdict = xb_score(&self.model, v)
        parts = []
        for i in range(XB_N_DENSE):
            value = v.dense[i]
            parts.append(Contribution(FEATURES[i].name, None if isnan(value) else value, xb_contribution(&self.model, v, i), FEATURES[i].doc))
        for i, (family, _, text) in enumerate(words):
            parts.append(Contribution(f"{family}={text}", 1.0, xb_token_contribution(&self.model, &v.tokens[i]),
                                      FAMILIES[families[family]].doc))
        v.n_tokens = 0
        return Verdict(bool(verdict.bot), verdict.score, verdict.margin, ""), self.model.header.bias, parts

    def report(self, Request request not None, unsigned long line, bint as_json):
        """The line that `xbot score` prints for what `request` holds now."""
        request.idle()
        xb_judge(&self.model, request.work)
        return self._report(request, line, as_json)

    cdef bytes _report(self, Request request, unsigned long line, bint as_json):
        cdef char text[MAX_REPORT]
        return text[:_write_report(text, request, line, as_json)]

    def report_lines(self, Request request not None, str log_format not None, bytes block not None, unsigned long first_line,
                     bint as_json, write not None, Clients clients=None, load=None, Handshakes handshakes=None):
        """Gives `write` what `xbot score` prints for a block of lines of a format that csrc reads, a part at a time. With `clients`
        they are judged by these, and counted there. Of jsonl csrc reads plain lines; `load(line, request)` reads the others, and
        `handshakes` are what the lines said of their connections. Returns Reported; `request` is empty then."""
        cdef int number = JSONL if load is not None else _line_format(log_format)
        cdef const char *at = PyBytes_AS_STRING(block)
        cdef const char *end = at + PyBytes_GET_SIZE(block)
        cdef unsigned long line = first_line
        cdef xb_span text
        cdef bytearray out = bytearray(1 << 16)
        cdef char *to = out
        cdef size_t used = 0
        cdef Py_ssize_t bad = 0, late = 0
        cdef unsigned long first_late = 0
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
                fault = request.fault(number, text, load)
                if fault is None:
                    if handshakes is not None:
                        handshakes.remember(request)
                    if clients is not None and not clients.open(request, False):
                        late += 1
                        first_late = first_late or line
                    xb_judge(&self.model, request.work)
                    used += _write_report(to + used, request, line, as_json)
                    if clients is not None:
                        clients.close(request)
                else:
                    if first is None:
                        first = (line, *fault)
                    bad += 1
                    write(to[:used])
                    used = 0
                    write(report_error(line, *fault, as_json))
                line += 1
        finally:
            request.busy -= 1
        request.take(None)
        write(to[:used])
        return Reported(line - first_line, bad, first, late, first_late)
