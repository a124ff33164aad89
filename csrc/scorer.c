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

xb_verdict xb_score(const xb_model *m, const xb_vector *v)
{
    xb_verdict out = {.margin = m->header.bias, .reason = -1};
    double strongest = 0.0;
    double part[XB_N_DENSE];
    for (size_t i = 0; i < XB_N_DENSE; i++)
        part[i] = xb_contribution(m, v, i);
    for (size_t i = 0; i < XB_N_DENSE; i++) {
        out.margin += part[i];
        if (part[i] > strongest) {
            strongest = part[i];
            out.reason = (int)i;
        }
    }
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
