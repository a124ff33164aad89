#include "model/model.h"

#include <math.h>
#include <stdio.h>

#include "model/scorer.h"

/* A part of the image, in order; `at` moves on. */
typedef struct {
    const char *at, *end;
} cursor;

static const void *take(cursor *c, uint64_t bytes)
{
    if (bytes > (uint64_t)(c->end - c->at))
        return NULL;
    const void *part = c->at;
    c->at += bytes;
    return part;
}

static uint64_t round_up(uint64_t n) { return (n + 7) & ~UINT64_C(7); }

static bool all_finite(const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return false;
    return true;
}

/* Numbers that a fit can give; beyond, sums and products of them could overflow to infinity or NaN. */
static bool all_small(const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabs(x[i]) <= 1e60))
            return false;
    return true;
}

static const char *check_header(const xb_model_header *h, size_t size)
{
    if (memcmp(h->magic, XB_MODEL_MAGIC, sizeof h->magic) != 0)
        return "wrong magic: this is no xbot model";
    if (h->version > XB_MODEL_VERSION)
        return "a future format version: made by a newer xbot";
    if (h->version == 1)
        return "format version 1, made by xbot 0.1: train again with this xbot";
    if (h->version != XB_MODEL_VERSION || h->header_size != XB_MODEL_HEADER)
        return "unknown format version";
    if (h->file_size != size)
        return "wrong size: truncated, or more was appended";
    if (h->n_dense > XB_MAX_MODEL_ROWS || h->n_families > XB_MAX_MODEL_FAMILIES)
        return "more rows than a model can have";
    if (h->k < XB_MIN_K || h->k > XB_MAX_K)
        return "k out of range";
    if ((uint64_t)h->families >> h->n_families)
        return "families of words that the file does not name";
    if (h->dtype != XB_DTYPE_F64)
        return "unknown dtype";
    const double numbers[] = {h->bias, h->threshold, h->a, h->b};
    if (!all_finite(numbers, 4))
        return "NaN or infinity in the header";
    if (!all_small(numbers, 4))
        return "a number beyond 1e60 in the header";
    if (h->threshold < 0.0 || h->threshold > 1.0)
        return "threshold outside 0 to 1";
    return NULL;
}

/* Which of the program's rows (`n` of them) has this name, looked for from `likely` on, and then before it; n if none. */
static size_t row_named(const xb_feature_row *rows, size_t n, const char *name, size_t likely)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(rows[(likely + i) % n].name, name) == 0)
            return (likely + i) % n;
    return n;
}

/* Maps `n_theirs` rows of the file onto the program's `n`: place[i] is where the program has the file's row i. Each row is there
 * once, and computed by the same version. */
static const char *map_rows(xb_model *m, const xb_model_row *theirs, size_t n_theirs, const xb_feature_row *rows, size_t n,
                            const char *kind, uint16_t *place)
{
    bool taken[XB_N_DENSE + XB_N_FAMILIES] = {false};
    for (size_t i = 0; i < n_theirs; i++) {
        const char *name = theirs[i].name;
        if (!*name || !memchr(name, 0, XB_ROW_NAME) || name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")])
            return "a row without a readable name";
        size_t at = row_named(rows, n, name, i); /* mostly files have the program's order */
        if (at == n)
            snprintf(m->why, sizeof m->why, "%s %s: this xbot has none of that name; train again, or upgrade", kind, name);
        else if (theirs[i].version != rows[at].version)
            snprintf(m->why, sizeof m->why, "%s %s: version %u, this xbot computes version %u; train again", kind, name,
                     theirs[i].version, rows[at].version);
        else if (taken[at])
            snprintf(m->why, sizeof m->why, "%s %s: named twice", kind, name);
        else {
            taken[at] = true;
            place[i] = (uint16_t)at;
            continue;
        }
        return m->why;
    }
    return NULL;
}

/* What the file's arrays say of its dense rows, in its own order. */
typedef struct {
    const double *mean, *scale, *lower, *upper, *weight;
} arrays;

static const char *check_arrays(const xb_model *m, const arrays *a)
{
    const xb_model_header *h = &m->header;
    const size_t n = h->n_dense, n_weights = n + ((size_t)1 << h->k);
    for (size_t i = 0; i < n; i++)
        if (a->scale[i] == 0.0)
            return "a scale of 0";
    if (!all_finite(a->mean, n) || !all_finite(a->scale, n) || !all_finite(a->lower, n) || !all_finite(a->upper, n) ||
        !all_finite(a->weight, n_weights))
        return "NaN or infinity in the arrays";
    if (!all_small(a->mean, n) || !all_small(a->weight, n_weights))
        return "a number beyond 1e60 in the arrays";
    for (size_t i = 0; i < n; i++) {
        const double folded = a->weight[i] / a->scale[i];
        if (!all_small(&folded, 1))
            return "a weight over its scale beyond 1e60";
        if (a->lower[i] > a->upper[i])
            return "bounds out of order: a lower above its upper";
        if (!all_small(&a->lower[i], 1) || !all_small(&a->upper[i], 1))
            return "a bound beyond 1e60";
    }
    for (uint32_t i = 1; i < m->shape.hosts.count; i++)
        if (m->shape.hosts.hash[i - 1] >= m->shape.hosts.hash[i])
            return "known hosts out of order";
    return NULL;
}

/* Puts the file's rows where the program has them. */
static const char *take_rows(xb_model *m, const arrays *a)
{
    const xb_model_header *h = &m->header;
    uint16_t place[XB_N_DENSE + XB_N_FAMILIES], families[XB_N_FAMILIES];
    const char *why = map_rows(m, m->rows, h->n_dense, xb_feature_rows, XB_N_DENSE, "row", place);
    if (!why)
        why = map_rows(m, m->rows + h->n_dense, h->n_families, xb_family_rows, XB_N_FAMILIES, "family", families);
    if (why)
        return why;
    for (size_t i = 0; i < XB_PADDED_DENSE; i++) {
        m->mean[i] = m->weight[i] = m->folded[i] = m->lower[i] = m->upper[i] = 0.0;
        m->scale[i] = 1.0;
    }
    for (uint32_t i = 0; i < h->n_dense; i++) {
        size_t at = place[i];
        m->mean[at] = a->mean[i];
        m->scale[at] = a->scale[i];
        m->lower[at] = a->lower[i];
        m->upper[at] = a->upper[i];
        m->weight[at] = a->weight[i];
        m->folded[at] = a->weight[i] / a->scale[i];
    }
    memset(&m->shape.salt, 0, sizeof m->shape.salt);
    m->shape.families = 0;
    for (uint32_t i = 0; i < h->n_families; i++) {
        m->shape.salt[families[i]] = xb_family_salt(i);
        m->shape.families |= (h->families >> i & 1) << families[i];
    }
    return NULL;
}

/* The next part of a self-test. False if it is cut short. */
static bool take_part(cursor *c, xb_span *part)
{
    uint32_t size;
    const char *at = take(c, sizeof size);
    if (!at)
        return false;
    memcpy(&size, at, sizeof size);
    *part = (xb_span){NULL, 0};
    if (size == UINT32_MAX)
        return true;
    *part = (xb_span){take(c, size), size};
    return part->at != NULL;
}

/* Makes the request of a self-test of its parts. */
static bool take_request(cursor parts, uint32_t headers, xb_request *r)
{
    const uint32_t kind = headers & ~(uint32_t)XB_TEST_TLS;
    xb_fields f = {.headers = (xb_headers)kind};
    xb_span *const fields[] = {&f.ip, &f.method, &f.uri, &f.protocol, &f.scheme, &f.host, &f.agent, &f.referrer,
                               &f.tls.protocol, &f.tls.ciphers, &f.tls.curves, &f.tls.alpn, &f.tls.reused, &f.tls.sigalgs};
    const size_t n_fields = headers & XB_TEST_TLS ? sizeof fields / sizeof *fields : 8;
    if (kind >= XB_HEADERS_KINDS)
        return false;
    for (size_t i = 0; i < n_fields; i++)
        if (!take_part(&parts, fields[i]))
            return false;
    if (parts.at < parts.end && kind == XB_HEADERS_UNKNOWN)
        return false;
    xb_request_clear(r);
    while (parts.at < parts.end) {
        xb_span name, value;
        if (!take_part(&parts, &name) || !take_part(&parts, &value) || !name.at || !value.at)
            return false;
        xb_request_add(r, name, value);
    }
    return xb_request_complete(r, &f);
}

static const char *self_test(const xb_model *m, xb_request *r, xb_vector *v)
{
    cursor c = {m->tests, m->tests + m->header.tests_size};
    for (uint32_t i = 0; i < m->header.n_tests; i++) {
        xb_self_test test;
        const char *entry = take(&c, sizeof test);
        if (!entry)
            return "self-test cut short";
        memcpy(&test, entry, sizeof test);
        const char *parts = take(&c, round_up(test.size));
        if (!parts || !isfinite(test.margin) || !take_request((cursor){parts, parts + test.size}, test.headers, r))
            return "self-test unreadable";
        xb_featurize(r, &m->shape, v);
        if (!(fabs(xb_score(m, v).margin - test.margin) <= 1e-9 * fmax(1.0, fabs(test.margin))))
            return "failed self-test: this build gives other margins than the one that made the model";
    }
    return c.at == c.end ? NULL : "self-test too long";
}

const char *xb_model_open(xb_model *m, const void *image, size_t size, xb_request *r, xb_vector *v)
{
    if (size < XB_MODEL_HEADER)
        return size >= 8 && memcmp(image, XB_MODEL_MAGIC, 8) == 0 ? "wrong size: truncated" : "wrong magic: this is no xbot model";
    if ((uintptr_t)image % 8)
        return "image not aligned to 8 bytes";
    memcpy(&m->header, image, XB_MODEL_HEADER);
    const xb_model_header *h = &m->header;
    const char *why = check_header(h, size);
    if (why)
        return why;
    if (size < XB_MODEL_HEADER + XB_MODEL_DIGEST)
        return "wrong size: truncated";
    cursor c = {(const char *)image + XB_MODEL_HEADER, (const char *)image + size - XB_MODEL_DIGEST};
    const uint64_t column = 8 * (uint64_t)h->n_dense;
    arrays a;
    m->rows = take(&c, sizeof(xb_model_row) * ((uint64_t)h->n_dense + h->n_families));
    a.mean = take(&c, column);
    a.scale = take(&c, column);
    a.lower = take(&c, column);
    a.upper = take(&c, column);
    a.weight = take(&c, column + (UINT64_C(8) << h->k));
    m->shape.hosts.hash = take(&c, round_up(4 * (uint64_t)h->n_hosts));
    m->shape.hosts.count = h->n_hosts;
    m->tests = take(&c, h->tests_size);
    m->provenance = (xb_span){take(&c, h->provenance_size), h->provenance_size};
    if (!m->rows || !a.mean || !a.scale || !a.lower || !a.upper || !a.weight || !m->shape.hosts.hash || !m->tests ||
        !m->provenance.at || c.at != c.end)
        return "wrong size: the parts do not add up to the file";
    static uint64_t opened;
    m->number = __atomic_add_fetch(&opened, 1, __ATOMIC_RELAXED);
    m->shape.k = h->k;
    m->bucket = a.weight + h->n_dense;
    why = take_rows(m, &a);
    if (!why)
        why = check_arrays(m, &a);
    return why ? why : self_test(m, r, v);
}
