#include "scorer.h"

#include <math.h>
#include <stdio.h>

double xb_margin_to_score(const xb_model *m, double margin)
{
    return 1.0 / (1.0 + exp(m->header.a * margin + m->header.b));
}

double xb_contribution(const xb_model *m, const xb_vector *v, size_t i)
{
    double x = v->dense[i];
    return isnan(x) ? 0.0 : (x - m->mean[i]) * m->folded[i];
}

double xb_token_contribution(const xb_model *m, const xb_token *t)
{
    return m->bucket[t->bucket];
}

/* The dense part of the margin and its largest contribution, if above 0. Four chains: one chain of additions would wait
 * for each before the next. Written so that the compiler uses the machine's vectors without -ffast-math. */
static double dense_part(const xb_model *m, const xb_vector *v, double *strongest, int *reason)
{
    double part[XB_PADDED_DENSE], sum[4] = {0}, most[4] = {0};
    for (size_t i = 0; i < XB_PADDED_DENSE; i++) {
        double x = v->dense[i], y = (x - m->centre[i]) * m->folded[i];
        part[i] = x == x ? y : 0.0; /* NAN is not equal to itself */
    }
    for (size_t i = 0; i < XB_PADDED_DENSE; i += 4)
        for (size_t lane = 0; lane < 4; lane++) {
            sum[lane] += part[i + lane];
            most[lane] = part[i + lane] > most[lane] ? part[i + lane] : most[lane];
        }
    for (size_t lane = 0; lane < 4; lane++)
        *strongest = most[lane] > *strongest ? most[lane] : *strongest;
    for (int i = 0; *strongest > 0.0 && *reason < 0; i++)
        if (part[i] == *strongest)
            *reason = i;
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

xb_verdict xb_score(const xb_model *m, const xb_vector *v)
{
    xb_verdict out = {.reason = -1};
    double strongest = 0.0;
    out.margin = m->header.bias + dense_part(m, v, &strongest, &out.reason);
    for (uint32_t t = 0; t < v->n_tokens; t++) {
        double weight = m->bucket[v->tokens[t].bucket];
        out.margin += weight;
        if (weight > strongest) {
            strongest = weight;
            out.reason = (int)(XB_N_DENSE + t);
        }
    }
    out.score = xb_margin_to_score(m, out.margin);
    out.bot = out.score >= m->header.threshold;
    return out;
}

size_t xb_reason_text(const xb_verdict *verdict, const xb_vector *v, char *out, size_t size)
{
    const char *name = "none";
    size_t used;
    if (verdict->reason >= XB_N_DENSE)
        name = xb_family_rows[v->tokens[verdict->reason - XB_N_DENSE].family].name;
    else if (verdict->reason >= 0)
        name = xb_feature_rows[verdict->reason].name;
    used = strlen(name);
    memcpy(out, name, used + 1);
    if (verdict->reason >= XB_N_DENSE) {
        out[used++] = '=';
        used += xb_token_text(&v->tokens[verdict->reason - XB_N_DENSE], out + used, size - used);
    }
    return used;
}
