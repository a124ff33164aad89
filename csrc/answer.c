#define _GNU_SOURCE /* CLOCK_REALTIME_COARSE */
#include "answer.h"

#include <time.h>

_Static_assert((int)XB_COUNTED_NAME == (int)XB_MAX_NAME && (int)XB_COUNTED_OUTCOMES == (int)XB_N_OUTCOMES && (int)XB_COUNTED_DECIDERS == (int)XB_N_DECIDERS, "counters.h counts all of policy.h");

uint64_t xb_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t xb_time_ms(const uint64_t *clock_ms)
{
    if (clock_ms)
        return __atomic_load_n(clock_ms, __ATOMIC_RELAXED);
    struct timespec t;
    clock_gettime(CLOCK_REALTIME_COARSE, &t);
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

/* Is it a question of `xbot check`? It asks as a visitor at this address, which no visitor can have (RFC 5737); a header that
 * said so anybody could send. */
bool xb_is_check(const xb_request *r)
{
    return xb_span_is(r->ip, XB_SPAN("192.0.2.1"));
}

/* Where the last question about this request of its connection is kept, with others. */
static size_t asked_at(const xb_connection_id *c) { return (c->serial + c->requests) % XB_ASKED; }

/* Was this very request of the visitor asked about just before? The proxy counts the requests on a connection. */
static bool asked_before(xb_workspace *w)
{
    const xb_connection_id *asked = &w->request.connection;
    if (!asked->requests)
        return false;
    xb_connection_id *last = &w->asked[asked_at(asked)];
    const bool same = last->serial == asked->serial && last->process == asked->process && last->requests == asked->requests;
    *last = *asked;
    return same;
}

static void look_up(const xb_service *s, xb_workspace *w)
{
    w->clients = s->clients;
    w->visitors = s->visitors;
    if (!s->clients)
        return;
    w->now_ms = xb_time_ms(s->clock_ms);
    w->reads_only = xb_is_check(&w->request) || asked_before(w);
}

/* A request that is asked about again was counted once: its keys say as what, as they did then. */
static void recall(xb_workspace *w)
{
    const xb_connection_id *asked = &w->request.connection;
    if (xb_is_check(&w->request))
        w->keys = (xb_client_keys){0}; /* its outcome is not counted either */
    if (!asked->requests || !w->keys.client)
        return;
    uint16_t *said = &w->said[asked_at(asked)];
    if (w->reads_only)
        w->keys.client |= *said;
    else
        *said = (uint16_t)(w->keys.client & XB_SAYS);
}

static char *copy(char *to, xb_span s)
{
    memcpy(to, s.at, s.size);
    return to + s.size;
}

static char *copy_text(char *to, const char *text) { return copy(to, (xb_span){text, strlen(text)}); }

/* `id` is NULL where the service gives none. */
static void write_reply(const xb_service *s, const xb_workspace *w, xb_span reason, const uint64_t *id, xb_reply *reply)
{
    char *p = reply->bytes;
    const xb_decision *d = &w->decision;
    if (d->refuse)
        p = copy(p, XB_SPAN("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nX-Bot: "));
    else if (w->request.status_only)
        p = copy(p, XB_SPAN("HTTP/1.1 204 No Content\r\nX-Bot: ")); /* RFC 9110, 8.6: no length with 204 */
    else
        p = copy(p, XB_SPAN("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Bot: "));
    if (d->untold) {
        p = copy(p, XB_SPAN("unknown"));
    } else {
        p = copy_text(p, xb_outcome_names[d->outcome]);
        p = copy(p, XB_SPAN("\r\nX-Bot-Score: "));
        p = xb_score_text(p, w->verdict.score);
        p = copy(p, XB_SPAN("\r\nX-Bot-Reason: "));
        p = copy(p, reason);
    }
    if (d->identity.proof == XB_PROVEN && !d->untold) {
        p = copy_text(copy(p, XB_SPAN("\r\nX-Bot-Agent: ")), d->identity.crawler->name);
        p = copy_text(copy(p, XB_SPAN("\r\nX-Bot-Purpose: ")), d->identity.crawler->purpose);
    }
    if (d->policy->name[0])
        p = copy_text(copy(p, XB_SPAN("\r\nX-Bot-Policy: ")), d->policy->name);
    if (s->clients && w->keys.client && !d->refuse && s->dialect == XB_DIALECT_NGINX && w->request.files >= XB_FILES_OUTCOME)
        p = xb_client_keys_text(&w->keys, copy(p, XB_SPAN("\r\nX-Bot-Client: ")));
    if (id) {
        p = copy(p, XB_SPAN("\r\nX-Bot-Id: "));
        xb_id_text(*id, p);
        p += XB_ID_SIZE;
    }
    if (reply->close)
        p = copy(p, XB_SPAN("\r\nConnection: close"));
    p = copy(p, XB_SPAN("\r\n\r\n"));
    reply->size = (size_t)(p - reply->bytes);
}

static void write_again(xb_reply *reply)
{
    char *p = copy(reply->bytes, XB_SPAN("HTTP/1.1 428 Precondition Required\r\nContent-Length: 0\r\n"));
    if (reply->close)
        p = copy(p, XB_SPAN("Connection: close\r\n"));
    p = copy(p, XB_SPAN("\r\n"));
    reply->size = (size_t)(p - reply->bytes);
    reply->again = true;
}

void xb_count(xb_stats *stats, const xb_workspace *w, bool policy_known, uint64_t ns)
{
    const xb_decision *d = &w->decision;
    if (xb_is_check(&w->request)) {
        stats->probes++;
        return;
    }
    xb_policy_counts *policy = xb_counters_policy(stats, d->policy->name);
    policy->decided[d->by][d->outcome]++;
    policy->refused[d->by] += d->refuse;
    stats->sum_score += (uint64_t)(w->verdict.score * 1e6);
    stats->score[xb_score_bucket(w->verdict.score)]++;
    stats->margin[xb_margin_bucket(w->verdict.margin)]++;
    stats->doubted += w->doubt == XB_DOUBTED;
    stats->regretted += w->doubt == XB_REGRETTED;
    stats->unknown_policy += !policy_known;
    stats->truncated += w->request.truncated || w->vector.truncated;
    stats->sum_ns += ns;
    stats->histogram[63 - __builtin_clzll(ns | 1)]++;
}

xb_doubt xb_doubt_of(const xb_workspace *w)
{
    const xb_decision *d = &w->decision;
    if (!w->clients || !w->keys.client || w->reads_only)
        return XB_NO_DOUBT;
    const uint32_t before = w->vector.behaviour.client.marks;
    uint32_t marks = before;
    if (d->outcome == XB_BOT && d->by == XB_BY_SCORE)
        marks |= d->refuse ? XB_MARK_CALLED | XB_MARK_GATED : XB_MARK_CALLED;
    if (!(marks & XB_MARK_CALLED))
        return XB_NO_DOUBT;
    xb_doubt found = XB_NO_DOUBT;
    if (xb_behaviour_proves(&w->vector.behaviour, &w->vector.facts) == XB_PROVEN_VISITOR) {
        if (marks & XB_MARK_GATED && !(marks & XB_MARK_REGRETTED)) {
            marks |= XB_MARK_REGRETTED | XB_MARK_DOUBTED;
            found = XB_REGRETTED;
        } else if (!(marks & XB_MARK_DOUBTED)) {
            marks |= XB_MARK_DOUBTED;
            found = XB_DOUBTED;
        }
    }
    if (marks != before)
        xb_clients_mark(w->clients, &w->keys, marks & (XB_MARK_CALLED | XB_MARK_GATED | XB_MARK_DOUBTED | XB_MARK_REGRETTED));
    return found;
}

static void count_files(xb_stats *stats, const xb_request *r)
{
    stats->older_files += r->files && r->files < XB_FILES;
    stats->newer_files += r->files > XB_FILES;
}

long xb_answer(const xb_service *s, xb_workspace *w, const char *buf, size_t size, size_t seen_size, bool truncated, xb_reply *reply)
{
    uint64_t started = s->stats || s->handshakes || s->wheel || s->lane ? xb_now() : 0;
    reply->again = false;
    long used = truncated ? xb_request_parse_truncated(&w->request, buf, size)
                          : xb_request_parse(&w->request, buf, size, seen_size);
    if (used == XB_PARTIAL)
        return XB_PARTIAL;
    if (used == XB_BAD) {
        reply->close = true;
        reply->size = (size_t)(copy(reply->bytes, XB_SPAN("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")) - reply->bytes);
        if (s->stats)
            s->stats->bad_request++;
        return XB_BAD;
    }
    /* A body is never read: after a verdict on such a head the connection goes, so that no byte of a body, nor of one
     * that was announced and never comes, is taken for a request. */
    reply->close = s->closing || !w->request.keepalive || w->request.body;
    xb_dialect_apply(s->dialect, &w->request, w->scratch);
    if (s->stats)
        count_files(s->stats, &w->request);
    if (s->handshakes && !xb_handshakes_recall(s->handshakes, s->listener, (uint32_t)(started / 1000000000u), &w->request) &&
        w->request.files >= XB_FILES_TELL) {
        write_again(reply);
        if (s->stats)
            s->stats->asked_again++;
        return used;
    }
    look_up(s, w);
    xb_judge(s->model, w);
    recall(w);
    bool policy_known = xb_apply_policy(s->policies, s->policy, s->model, w);
    if (s->wheel)
        xb_steer(s->wheel, started, w);
    xb_tell_refusal(w);
    char text[XB_MAX_REASON];
    const xb_span reason = {text, xb_decision_text(&w->decision, &w->verdict, &w->vector, text, sizeof text)};
    w->doubt = (uint8_t)xb_doubt_of(w);
    w->id = s->ids ? xb_ids_next(s->ids) : 0;
    if (s->ids && s->lane && !xb_is_check(&w->request)) {
        const xb_wish wish = xb_record_wish(s->lane, s->recorder, started, w->id, w);
        w->id |= xb_record_decision(s->lane, wish, started, w->id, s->generation, s->dialect, (xb_span){buf, (size_t)used}, reason, w);
    }
    write_reply(s, w, reason, s->ids ? &w->id : NULL, reply);
    if (s->stats)
        xb_count(s->stats, w, policy_known, xb_now() - started);
    return used;
}
