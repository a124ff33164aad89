/* invariants.h - what holds for every request that was judged, whatever its bytes were. Shared with tests/fuzz. */
#ifndef INVARIANTS_H
#define INVARIANTS_H

#include <math.h>
#include <stdio.h>

#include "answer.h"

static inline bool invariant_fail(char *out, size_t size, const char *what)
{
    snprintf(out, size, "%s", what);
    return false;
}

/* Is the text safe to send as a header's value, and to show in a page? */
static inline bool safe_text(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!text[i] || !strchr("abcdefghijklmnopqrstuvwxyz0123456789._:/*,;=+>-", text[i]))
            return false;
    return true;
}

/* False, with what is wrong, if the verdict does not follow from the vector, or the vector is none. */
static inline bool judged_well(const xb_model *m, const xb_workspace *w, char *wrong, size_t size)
{
    const xb_vector *v = &w->vector;
    double sum = m->header.bias, magnitude = fabs(sum), strongest = 0.0;
    if (!(w->verdict.score >= 0.0 && w->verdict.score <= 1.0))
        return invariant_fail(wrong, size, "score outside 0 to 1");
    if (w->verdict.bot != (w->verdict.score >= m->header.threshold))
        return invariant_fail(wrong, size, "verdict and threshold disagree");
    for (size_t i = 0; i < XB_N_DENSE; i++) {
        double part = xb_contribution(m, v, i);
        if (!isnan(xb_row(v, i)) && !(v->facts.present & xb_feature_rows[i].group))
            return invariant_fail(wrong, size, "a feature of an absent group has a value");
        if (isinf(xb_row(v, i)) || (isnan(xb_row(v, i)) && part != 0.0))
            return invariant_fail(wrong, size, "an absent feature contributes, or a feature is infinite");
        sum += part;
        magnitude += fabs(part);
        strongest = fmax(strongest, part);
    }
    if (v->n_tokens > XB_MAX_TOKENS)
        return invariant_fail(wrong, size, "too many tokens");
    static uint64_t seen[(1u << XB_MAX_K) / 64];
    uint64_t taken = 0, twice = 0;
    for (size_t i = 0; i < ((size_t)1 << m->header.k) / 64; i++)
        taken += (uint64_t)__builtin_popcountll(v->taken[i]);
    for (uint32_t t = 0; t < v->n_tokens; t++) {
        twice |= seen[v->tokens[t].bucket / 64] >> (v->tokens[t].bucket % 64) & 1;
        seen[v->tokens[t].bucket / 64] |= UINT64_C(1) << (v->tokens[t].bucket % 64);
    }
    for (uint32_t t = 0; t < v->n_tokens; t++)
        seen[v->tokens[t].bucket / 64] = 0;
    if (twice || v->n_said > v->n_tokens || taken != v->n_tokens - (v->print ? v->n_said : 0))
        return invariant_fail(wrong, size, "a bucket appears twice, or one of another request is left");
    for (uint32_t t = 0; t < v->n_tokens; t++) {
        const xb_token *token = &v->tokens[t];
        if (token->bucket >> m->header.k || token->family >= XB_N_FAMILIES)
            return invariant_fail(wrong, size, "bucket or family out of range");
        if (!(v->facts.present & xb_family_rows[token->family].group))
            return invariant_fail(wrong, size, "a word of an absent group");
        double part = xb_token_contribution(m, token);
        sum += part;
        magnitude += fabs(part);
        strongest = fmax(strongest, part);
        char text[48];
        size_t n = xb_token_text(v, token, text, sizeof text);
        if (n >= sizeof text || strlen(text) != n || !safe_text(text, n))
            return invariant_fail(wrong, size, "a token's text is unsafe or too long");
    }
    if (!(fabs(sum - w->verdict.margin) <= 1e-9 * fmax(1.0, magnitude)))
        return invariant_fail(wrong, size, "contributions do not add up to the margin");
    if ((w->verdict.reason >= 0) != (strongest > 0.0))
        return invariant_fail(wrong, size, "a reason without a contribution, or the other way round");
    if (w->verdict.reason >= 0) {
        size_t i = (size_t)w->verdict.reason;
        double part = i < XB_N_DENSE ? xb_contribution(m, v, i) : xb_token_contribution(m, &v->tokens[i - XB_N_DENSE]);
        if (part != strongest)
            return invariant_fail(wrong, size, "the reason is not the strongest contribution");
    }
    char reason[XB_MAX_REASON];
    size_t n = xb_reason_text(&w->verdict, v, true, reason, sizeof reason);
    if (!n || n >= sizeof reason || !safe_text(reason, n))
        return invariant_fail(wrong, size, "the reason's text is unsafe or too long");
    return true;
}

/* Does the span lie in [from, from + size)? Absent ones do. */
static inline bool span_inside(xb_span s, const char *from, size_t size)
{
    return !s.at || (s.at >= from && s.size <= size && (size_t)(s.at - from) <= size - s.size);
}

#endif
