#include "model/scorer.h"

#include <math.h>
#include <stdio.h>

double xb_margin_to_score(const xb_model *m, double margin)
{
    return 1.0 / (1.0 + exp(m->header.a * margin + m->header.b));
}

double xb_contribution(const xb_model *m, const xb_vector *v, size_t i)
{
    double x = v->dense[i];
    return isnan(x) ? 0.0 : (fmin(fmax(x, m->lower[i]), m->upper[i]) - m->mean[i]) * m->folded[i];
}

double xb_token_contribution(const xb_model *m, const xb_token *t)
{
    return m->bucket[t->bucket];
}

/* Four doubles at once. Where the processor has no registers for them, the compiler makes two pairs of this. */
typedef double four __attribute__((vector_size(32), aligned(8), may_alias));
typedef int64_t four_mask __attribute__((vector_size(32)));

/* With glibc, the function that follows is compiled twice, and the one that the processor can run is taken at start. Both add in
 * the same order, so they give the same sum. */
#ifdef WIDE /* `make coverage` counts the lines of one of them */
#elif defined(__x86_64__) && defined(__GLIBC__)
#define WIDE __attribute__((target_clones("avx2", "default")))
#else
#define WIDE
#endif

/* The dense features' parts of the margin, those before n_held, and the largest of them where it is above *strongest. Returns their sum. */
WIDE static double dense_part(const xb_model *m, const xb_vector *v, double part[XB_PADDED_DENSE], double *strongest)
{
#define SELECT(mask, a, b) (four)(((four_mask)(a) & (mask)) | ((four_mask)(b) & ~(mask)))
    const size_t n = v->n_held;
    four sum = {0}, most = {0};
    for (size_t i = 0; i < n; i += 4) {
        const four lower = *(const four *)(m->lower + i), upper = *(const four *)(m->upper + i);
        four x = *(const four *)(v->dense + i);
        x = SELECT(x < lower, lower, x); /* NAN is not below, nor above, nor equal to itself */
        x = SELECT(x > upper, upper, x);
        four y = (x - *(const four *)(m->mean + i)) * *(const four *)(m->folded + i);
        y = (four)((four_mask)y & (x == x));
        *(four *)(part + i) = y;
        sum += y;
        most = SELECT(y > most, y, most);
    }
#undef SELECT
    for (size_t lane = 0; lane < 4; lane++)
        if (most[lane] > *strongest)
            *strongest = most[lane];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

xb_verdict xb_score(const xb_model *m, const xb_vector *v)
{
    double part[XB_PADDED_DENSE], strongest = 0.0, margin = m->header.bias + dense_part(m, v, part, &strongest);
    xb_verdict out = {.reason = -1};
    const double *weights = m->bucket;
    for (uint32_t t = 0, n = v->n_tokens; t < n; t++) {
        const double weight = weights[v->tokens[t].bucket];
        margin += weight;
        if (weight > strongest) {
            strongest = weight;
            out.reason = (int)(XB_N_DENSE + t);
        }
    }
    for (int i = 0; out.reason < 0 && strongest > 0.0; i++) /* a feature's: no word outweighs it */
        if (part[i] == strongest)
            out.reason = i;
    out.margin = margin;
    out.score = xb_margin_to_score(m, margin);
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
