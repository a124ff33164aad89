#include "model/scorer.h"

#include <math.h>
#include <stdio.h>

static double score_of(const xb_model *m, double margin)
{
    return 1.0 / (1.0 + exp(m->header.a * margin + m->header.b));
}

double xb_contribution(const xb_model *m, const xb_vector *v, size_t i)
{
    double x = xb_row(v, i);
    return isnan(x) ? 0.0 : (fmin(fmax(x, m->lower[i]), m->upper[i]) - m->mean[i]) * m->folded[i];
}

double xb_token_contribution(const xb_model *m, const xb_token *t)
{
    return m->bucket[t->bucket];
}

/* Two doubles at once. */
typedef double two __attribute__((vector_size(16), aligned(8), may_alias));
typedef int64_t two_mask __attribute__((vector_size(16)));

/* The larger of each, and the smaller; where one is NAN, that of `b`. */
static inline two larger(two a, two b)
{
#ifdef __SSE2__
    return _mm_max_pd(a, b);
#else
    return (two)(((two_mask)a & (a > b)) | ((two_mask)b & ~(a > b)));
#endif
}

static inline two smaller(two a, two b)
{
#ifdef __SSE2__
    return _mm_min_pd(a, b);
#else
    return (two)(((two_mask)a & (a < b)) | ((two_mask)b & ~(a < b)));
#endif
}

/* What dense rows add to the margin: their sum and the largest, by lanes. Row i of a run is in lane i % 4. */
typedef struct {
    two sum[2], most[2];
} lanes;

static inline __attribute__((always_inline)) void add_two(const xb_model *m, size_t i, const double *x, double *part, two *sum, two *most)
{
    const two value = *(const two *)x;
    const two bounded = smaller(*(const two *)(m->upper + i), larger(*(const two *)(m->lower + i), value));
    two y = (bounded - *(const two *)(m->mean + i)) * *(const two *)(m->folded + i);
    y = (two)((two_mask)y & (value == value)); /* absent: nothing */
    *(two *)part = y;
    *sum += y;
    *most = larger(y, *most);
}

/* A run of rows, from `first` on and before `end`. */
typedef struct {
    const double *dense; /* their values */
    size_t first, end;
} run;

/* Adds a run to `l`; what each row gives goes to part[row]. */
static inline __attribute__((always_inline)) lanes add_rows(const xb_model *m, run r, double *part, lanes l)
{
    const double *x = r.dense;
    size_t i = r.first;
    for (; i + 4 <= r.end; i += 4, x += 4) {
        add_two(m, i, x, part + i, &l.sum[0], &l.most[0]);
        add_two(m, i + 2, x + 2, part + i + 2, &l.sum[1], &l.most[1]);
    }
    if (i < r.end) {
        double rest[4] = {NAN, NAN, NAN, NAN};
        for (size_t lane = 0; i + lane < r.end; lane++)
            rest[lane] = x[lane];
        add_two(m, i, rest, part + i, &l.sum[0], &l.most[0]);
        add_two(m, i + 2, rest + 2, part + i + 2, &l.sum[1], &l.most[1]);
    }
    return l;
}

/* What two runs of rows (the second behind the first) and the tokens from t on, before `end`, give. */
static inline __attribute__((always_inline)) xb_part part_of(const xb_model *m, const xb_vector *v, run a, run b, uint32_t t, uint32_t end)
{
    double part[XB_PADDED_DENSE];
    lanes l = add_rows(m, b, part, add_rows(m, a, part, (lanes){{{0}, {0}}, {{0}, {0}}}));
    const two most = larger(l.most[0], l.most[1]);
    xb_part out = {.sum = (l.sum[0][0] + l.sum[0][1]) + (l.sum[1][0] + l.sum[1][1]), .strongest = most[0] > most[1] ? most[0] : most[1], .reason = -1};
    for (; t < end; t++) {
        const double weight = m->bucket[v->tokens[t].bucket];
        out.sum += weight;
        if (weight > out.strongest) {
            out.strongest = weight;
            out.reason = (int)(XB_N_DENSE + t);
        }
    }
    if (out.reason >= 0 || out.strongest == 0.0)
        return out;
    size_t i = a.first; /* a row's: no word outweighs it */
    while (i < a.end && part[i] != out.strongest)
        i++;
    for (i = i < a.end ? i : b.first; part[i] != out.strongest;)
        i++;
    out.reason = (int)i;
    return out;
}

/* What the program says adds to the margin: kept with its print, if that is. */
static __attribute__((noinline)) xb_part said_part(const xb_model *m, const xb_vector *v)
{
    const xb_print *p = v->print;
    const run of_agent = {p ? p->of_agent : v->dense + XB_FIRST_OF_UA, XB_FIRST_OF_UA, XB_BEHIND_UA};
    const run of_headers = {p ? p->of_headers : v->dense + XB_FIRST_OF_HEADERS, XB_FIRST_OF_HEADERS, XB_BEHIND_HEADERS};
    return part_of(m, v, of_agent, of_headers, 0, v->n_said);
}

static const xb_part *said(const xb_model *m, const xb_vector *v, xb_part *room)
{
    xb_print *p = v->print;
    if (!p || p->scored_by != m->number) {
        *room = said_part(m, v);
        if (!p)
            return room;
        p->part = *room;
        p->scored_by = m->number;
    }
    return &p->part;
}

xb_verdict xb_score(const xb_model *m, const xb_vector *v)
{
    xb_part room;
    const xb_part *all = said(m, v, &room);
    const run of_request = {v->dense + XB_BEHIND_UA, XB_BEHIND_UA, XB_FIRST_OF_HEADERS};
    const run of_connection = {v->dense + XB_FIRST_OF_TLS, XB_FIRST_OF_TLS, v->n_held}; /* and of the client */
    const xb_part own = part_of(m, v, of_request, of_connection, v->n_said, v->n_tokens);
    xb_verdict out = {.margin = m->header.bias + all->sum + own.sum, .reason = own.strongest > all->strongest ? own.reason : all->reason};
    out.score = score_of(m, out.margin);
    out.bot = out.score >= m->header.threshold;
    return out;
}

size_t xb_reason_text(const xb_verdict *verdict, const xb_vector *v, bool accused, char *out, size_t size)
{
    const char *name = "none";
    int reason = accused ? verdict->reason : -1;
    size_t used;
    if (reason >= XB_N_DENSE)
        name = xb_family_rows[v->tokens[reason - XB_N_DENSE].family].name;
    else if (reason >= 0)
        name = xb_feature_rows[reason].name;
    used = strlen(name);
    memcpy(out, name, used + 1);
    if (reason >= XB_N_DENSE) {
        out[used++] = '=';
        used += xb_token_text(v, &v->tokens[reason - XB_N_DENSE], out + used, size - used);
    }
    return used;
}

char *xb_score_text(char *to, double score)
{
    unsigned n = (unsigned)(score * 10000.0 + 0.5);
    to[0] = (char)('0' + n / 10000);
    to[1] = '.';
    for (int i = 5; i > 1; i--, n /= 10)
        to[i] = (char)('0' + n % 10);
    return to + 6;
}
