#include "record.h"

xb_wish xb_record_wish(xb_lane *lane, xb_recorder *recorder, uint64_t now, uint64_t id, const xb_workspace *w)
{
    const xb_decision *d = &w->decision;
    const bool accused = d->refuse || d->outcome == XB_BOT || w->doubt;
    const bool wanted = recorder->logged && (accused || id >> XB_FATE_BITS < recorder->sample);
    if (wanted && xb_lane_may(lane, now))
        return (xb_wish){true, XB_RECORDED};
    return (xb_wish){xb_rate_take(accused ? &recorder->accused : &recorder->others, now),
                     !recorder->logged ? XB_NO_LOG : wanted ? XB_DROPPED : XB_NOT_SAMPLED};
}

xb_fate xb_record_decision(xb_lane *lane, xb_wish wish, uint64_t now, uint64_t id, uint64_t generation, xb_dialect dialect, xb_span head,
                           xb_span reason, const xb_workspace *w)
{
    const xb_decision *d = &w->decision;
    if (!wish.wanted)
        return wish.fate;
    const bool logged = wish.fate == XB_RECORDED;
    const size_t past = w->keys.client ? XB_PAST * sizeof(double) : 0, size = sizeof(xb_record) + past + head.size;
    xb_record *r = xb_lane_begin(lane, size);
    if (!r)
        return logged ? XB_DROPPED : wish.fate;
    r->head = (uint32_t)head.size;
    r->id = id | wish.fate;
    r->generation = generation;
    r->time = now;
    r->margin = w->verdict.margin;
    r->score = w->verdict.score;
    r->keys = (xb_client_keys){w->keys.client & ~(uint64_t)XB_SAYS, w->keys.network, w->keys.shape};
    r->dialect = (uint8_t)dialect;
    r->outcome = (uint8_t)d->outcome;
    r->refuse = d->refuse;
    r->untold = d->untold;
    r->has_tls = w->vector.facts.handshake.known != 0;
    r->logged = logged;
    r->past = past ? XB_PAST : 0;
    r->reason_size = (uint8_t)(reason.size < sizeof r->reason ? reason.size : sizeof r->reason);
    r->doubt = w->doubt;
    r->handshake = w->vector.facts.handshake;
    memcpy(r->policy, d->policy->name, sizeof r->policy);
    memcpy(r->reason, reason.at, r->reason_size);
    char *to = (char *)(r + 1);
    memcpy(to, w->vector.dense + XB_FIRST_OF_CLIENT, past);
    memcpy(to + past, head.at, head.size);
    xb_lane_end(lane, size);
    return wish.fate;
}
