#include "model.h"

#include <math.h>

#include "answer.h"

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
    if (h->version != XB_MODEL_VERSION || h->header_size != XB_MODEL_HEADER)
        return "unknown format version";
    if (h->file_size != size)
        return "wrong size: truncated, or more was appended";
    if (h->schema != xb_schema_id() || h->n_dense != XB_N_DENSE)
        return "wrong schema: fitted on another feature table; train again";
    if (h->k < XB_MIN_K || h->k > XB_MAX_K)
        return "k out of range";
    if (h->families & ~(uint32_t)XB_ALL_FAMILIES)
        return "families of words that this xbot does not know";
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

static const char *check_arrays(xb_model *m)
{
    const xb_model_header *h = &m->header;
    for (size_t i = 0; i < h->n_dense; i++)
        if (m->scale[i] == 0.0)
            return "a scale of 0";
    if (!all_finite(m->mean, h->n_dense) || !all_finite(m->scale, h->n_dense) ||
        !all_finite(m->weight, h->n_dense + ((size_t)1 << h->k)))
        return "NaN or infinity in the arrays";
    if (!all_small(m->mean, h->n_dense) || !all_small(m->weight, h->n_dense + ((size_t)1 << h->k)))
        return "a number beyond 1e60 in the arrays";
    for (size_t i = 0; i < h->n_dense; i++) {
        m->centre[i] = m->mean[i];
        m->folded[i] = m->weight[i] / m->scale[i];
        if (!all_small(&m->folded[i], 1))
            return "a weight over its scale beyond 1e60";
    }
    for (uint32_t i = 1; i < m->shape.hosts.count; i++)
        if (m->shape.hosts.hash[i - 1] >= m->shape.hosts.hash[i])
            return "known hosts out of order";
    return NULL;
}

static const char *self_test(xb_model *m, xb_workspace *w)
{
    cursor c = {m->tests, m->tests + m->header.tests_size};
    for (uint32_t i = 0; i < m->header.n_tests; i++) {
        const char *entry = take(&c, 16);
        double want;
        uint32_t size;
        if (!entry)
            return "self-test cut short";
        memcpy(&want, entry, 8);
        memcpy(&size, entry + 8, 4);
        const char *head = take(&c, round_up(size));
        if (!head || !isfinite(want) || xb_request_parse(&w->request, head, size, 0) != (long)size)
            return "self-test unreadable";
        xb_dialect_apply(XB_DIALECT_NGINX, &w->request, w->scratch);
        xb_judge(m, w);
        if (!(fabs(w->verdict.margin - want) <= 1e-9 * fmax(1.0, fabs(want))))
            return "failed self-test: this build gives other margins than the one that made the model";
    }
    return c.at == c.end ? NULL : "self-test too long";
}

const char *xb_model_open(xb_model *m, const void *image, size_t size, xb_workspace *work)
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
    m->mean = take(&c, 8 * (uint64_t)h->n_dense);
    m->scale = take(&c, 8 * (uint64_t)h->n_dense);
    m->weight = take(&c, 8 * ((uint64_t)h->n_dense + (UINT64_C(1) << h->k)));
    m->shape.hosts.hash = take(&c, round_up(4 * (uint64_t)h->n_hosts));
    m->shape.hosts.count = h->n_hosts;
    m->tests = take(&c, h->tests_size);
    m->provenance = (xb_span){take(&c, h->provenance_size), h->provenance_size};
    if (!m->mean || !m->scale || !m->weight || !m->shape.hosts.hash || !m->tests || !m->provenance.at || c.at != c.end)
        return "wrong size: the parts do not add up to the file";
    m->shape.k = h->k;
    m->shape.families = h->families;
    m->bucket = m->weight + h->n_dense;
    memset(m->centre, 0, sizeof m->centre);
    memset(m->folded, 0, sizeof m->folded);
    why = check_arrays(m);
    return why ? why : self_test(m, work);
}
