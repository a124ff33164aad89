#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#include "record.h"

#include <time.h>

xb_fate xb_record_decision(xb_lane *lane, uint64_t sample, uint64_t id, uint64_t generation, xb_dialect dialect, xb_span head,
                           xb_span reason, const xb_workspace *w)
{
    const xb_decision *d = &w->decision;
    const xb_vector *v = &w->vector;
    if (!xb_record_wanted(sample, id, d))
        return XB_NOT_SAMPLED;
    const size_t size = sizeof(xb_record) + XB_N_DENSE * sizeof(double) + v->n_tokens * sizeof(xb_record_word) + head.size;
    char *to = xb_lane_begin(lane, size);
    if (!to)
        return XB_DROPPED;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    xb_record r = {
        .head = (uint32_t)head.size,
        .id = id | XB_RECORDED,
        .generation = generation,
        .time = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec,
        .margin = w->verdict.margin,
        .score = w->verdict.score,
        .n_dense = XB_N_DENSE,
        .n_words = v->n_tokens,
        .dialect = (uint8_t)dialect,
        .outcome = (uint8_t)d->outcome,
        .refuse = d->refuse,
        .untold = d->untold,
        .has_tls = w->vector.facts.handshake.known != 0,
        .handshake = w->vector.facts.handshake,
    };
    memcpy(r.policy, d->policy->name, sizeof r.policy);
    memcpy(r.reason, reason.at, reason.size < sizeof r.reason ? reason.size : sizeof r.reason);
    memcpy(to, &r, sizeof r);
    to += sizeof r;
    memcpy(to, v->dense, XB_N_DENSE * sizeof(double));
    to += XB_N_DENSE * sizeof(double);
    for (uint32_t i = 0; i < v->n_tokens; i++, to += sizeof(xb_record_word))
        memcpy(to, &(xb_record_word){v->tokens[i].bucket, v->tokens[i].family}, sizeof(xb_record_word));
    memcpy(to, head.at, head.size);
    xb_lane_end(lane, size);
    return XB_RECORDED;
}
