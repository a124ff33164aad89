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

/* Two doubles at once, which every 64-bit machine has registers for; GCC and Clang make them of this without -ffast-math. */
typedef double pair __attribute__((vector_size(16)));
typedef int64_t pair_mask __attribute__((vector_size(16)));

static inline pair load_pair(const double *at)
{
    pair x;
    memcpy(&x, at, sizeof x);
    return x;
}

/* x where it lies in the bounds, else the bound. Each lane is one maxpd and minpd: they give their second operand where the
 * first is no larger (no smaller), and so keep a NAN in x. */
static inline pair bounded(pair x, pair lower, pair upper)
{
    for (size_t lane = 0; lane < 2; lane++) {
        x[lane] = lower[lane] > x[lane] ? lower[lane] : x[lane];
        x[lane] = upper[lane] < x[lane] ? upper[lane] : x[lane];
    }
    return x;
}

/* The dense features' parts of the margin, and the largest of them where it is above *strongest. Returns their sum. Two pairs
 * a round, each with a sum of its own: one chain of additions would wait for each before the next. */
static double dense_part(const xb_model *m, const xb_vector *v, double part[XB_PADDED_DENSE], double *strongest)
{
    pair sum[2] = {{0}}, most[2] = {{0}};
    for (size_t i = 0; i < XB_PADDED_DENSE; i += 4)
        for (size_t half = 0; half < 2; half++) {
            size_t at = i + 2 * half;
            pair x = bounded(load_pair(v->dense + at), load_pair(m->lower + at), load_pair(m->upper + at));
            pair y = (x - load_pair(m->mean + at)) * load_pair(m->folded + at);
            y = (pair)((pair_mask)y & (x == x)); /* NAN is not equal to itself */
            memcpy(part + at, &y, sizeof y);
            sum[half] += y;
            pair_mask above = y > most[half];
            most[half] = (pair)(((pair_mask)y & above) | ((pair_mask)most[half] & ~above));
        }
    for (size_t lane = 0; lane < 4; lane++)
        if (most[lane / 2][lane % 2] > *strongest)
            *strongest = most[lane / 2][lane % 2];
    return (sum[0][0] + sum[0][1]) + (sum[1][0] + sum[1][1]);
}

xb_verdict xb_score(const xb_model *m, const xb_vector *v)
{
    xb_verdict out = {.reason = -1};
    double part[XB_PADDED_DENSE], strongest = 0.0;
    out.margin = m->header.bias + dense_part(m, v, part, &strongest);
    for (uint32_t t = 0; t < v->n_tokens; t++) {
        double weight = m->bucket[v->tokens[t].bucket];
        out.margin += weight;
        if (weight > strongest) {
            strongest = weight;
            out.reason = (int)(XB_N_DENSE + t);
        }
    }
    for (int i = 0; out.reason < 0 && strongest > 0.0; i++) /* a feature's: no word outweighs it */
        if (part[i] == strongest)
            out.reason = i;
    out.score = xb_margin_to_score(m, out.margin);
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
        used += xb_token_text(&v->tokens[reason - XB_N_DENSE], out + used, size - used);
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
