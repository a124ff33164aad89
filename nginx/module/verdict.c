#include "module.h"

#include <stdio.h>
#include <sys/random.h>

#include "answer.h"
#include "clients/outcomes.h"

static xb_workspace work;
static xb_ids ids; /* of this worker */

/* ---- the context of a request ---- */

/* An internal redirect clears the contexts of a request: so it is found again among the cleanups of its pool, where this marks it. */
static void is_ours(void *data) { (void)data; }

xbot_context *xbot_known(ngx_http_request_t *r)
{
    r = r->main;
    xbot_context *ctx = ngx_http_get_module_ctx(r, ngx_http_xbot_module);
    if (ctx || !(r->internal || r->filter_finalize))
        return ctx;
    for (ngx_pool_cleanup_t *cln = r->pool->cleanup; cln && !ctx; cln = cln->next)
        ctx = cln->handler == is_ours ? cln->data : NULL;
    if (ctx) {
        ngx_http_set_ctx(r, ctx, ngx_http_xbot_module);
        ctx->settled = NULL;
    }
    return ctx;
}

xbot_context *xbot_make_context(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t *cln = ngx_pool_cleanup_add(r->pool, sizeof(xbot_context));
    if (!cln)
        return NULL;
    cln->handler = is_ours;
    ngx_memzero(cln->data, sizeof(xbot_context));
    ngx_http_set_ctx(r, cln->data, ngx_http_xbot_module);
    return cln->data;
}

/* ---- time ---- */

/* As nginx read the clocks when it last waited for events: CLOCK_MONOTONIC in nanoseconds, and the time of the table of clients. */
static uint64_t now_ns(void)
{
#if (NGX_HAVE_CLOCK_MONOTONIC && NGX_PTR_SIZE == 8)
    return (uint64_t)ngx_current_msec * 1000000u;
#else
    return xb_now();
#endif
}

static uint64_t table_ms(const xbot_lent *lent)
{
    const ngx_time_t *now = ngx_timeofday();
    return lent->clock_ms ? xb_time_ms(lent->clock_ms) : (uint64_t)now->sec * 1000u + now->msec;
}

/* How long a verdict takes is measured of one in so many: reading the clock twice takes as long as judging a header. What was measured
 * stands for those up to the next, so all are counted. */
enum { MEASURED = 8 };

static bool same(const ngx_str_t *a, const ngx_str_t *b) { return a->len == b->len && ngx_memcmp(a->data, b->data, a->len) == 0; }

/* ---- the decision ---- */

/* Where texts that a request keeps are written, one behind the other. */
typedef struct {
    u_char *at;
    u_char room[64 + XB_MAX_REASON + 3 * XB_MAX_NAME + XB_ID_SIZE];
} texts;

/* What was written up to here is this text: its place in the room. */
static void written(texts *t, ngx_str_t *text, size_t size)
{
    *text = (ngx_str_t){size, t->at};
    t->at += size;
}

static void put(texts *t, ngx_str_t *text, const char *from)
{
    u_char *end = t->at;
    while (*from)
        *end++ = (u_char)*from++;
    written(t, text, (size_t)(end - t->at));
}

/* The id of the decision in `work`, made at this time, which is recorded if the sidecar wants it to be. */
static uint64_t decision_id(const xbot_served *served, uint64_t now, xb_span reason)
{
    const xbot_lent *lent = xbot_lent_now();
    const uint64_t id = xb_ids_next(&ids);
    xb_span head = {work.scratch, 0};
    if (!lent->lane || xb_is_check(&work.request))
        return id;
    const xb_wish wish = xb_record_wish(lent->lane, xbot_recorder(), now, id, &work);
    if (wish.wanted)
        head.size = xb_question_of(&work.request, work.scratch);
    return id | (uint64_t)xb_record_decision(lent->lane, wish, now, id, served->made, XB_DIALECT_NGINX, head, reason, &work);
}

/* The texts of the decision in `work`, copied: what they point to may be gone before the request is logged. */
static ngx_int_t keep_texts(ngx_http_request_t *r, const xbot_served *served, uint64_t now, xbot_context *ctx)
{
    static texts t;
    ngx_str_t *const kept[] = {&ctx->score, &ctx->reason, &ctx->policy, &ctx->agent, &ctx->purpose, &ctx->id};
    const xb_decision *d = &work.decision;
    const bool proven = d->identity.proof == XB_PROVEN;
    t.at = t.room;
    written(&t, &ctx->score, (size_t)(xb_score_text((char *)t.at, work.verdict.score) - (char *)t.at));
    written(&t, &ctx->reason, xb_decision_text(d, &work.verdict, &work.vector, (char *)t.at, XB_MAX_REASON));
    const xb_span reason = {(const char *)ctx->reason.data, ctx->reason.len};
    put(&t, &ctx->policy, d->policy->name);
    put(&t, &ctx->agent, proven ? d->identity.crawler->name : "");
    put(&t, &ctx->purpose, proven ? d->identity.crawler->purpose : "");
    xb_id_text(decision_id(served, now, reason), (char *)t.at);
    written(&t, &ctx->id, XB_ID_SIZE);
    u_char *to = ngx_pnalloc(r->pool, (size_t)(t.at - t.room));
    if (!to)
        return NGX_ERROR;
    ngx_memcpy(to, t.room, (size_t)(t.at - t.room));
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        kept[i]->data = to + (kept[i]->data - t.room);
    const char *verdict = xb_outcome_names[d->outcome];
    ctx->verdict = (ngx_str_t){strlen(verdict), (u_char *)verdict};
    if (d->untold)
        ctx->verdict.len = ctx->score.len = ctx->reason.len = ctx->agent.len = ctx->purpose.len = 0;
    return NGX_OK;
}

/* Decides about the request by what is served now, as xb_answer does it for the sidecar, and counts it unless that is owed. `started`: now. */
static ngx_int_t decide(ngx_http_request_t *r, xbot_served *served, uint64_t started, xbot_context *ctx)
{
    static uint64_t judged, took;
    const xbot_lent *lent = xbot_lent_now();
    xb_stats *stats = ctx->owed ? NULL : xbot_counters();
    const bool measured = stats && judged++ % MEASURED == 0;
    const uint64_t began = measured ? xb_now() : 0;
    if (xbot_read_visitor(r, ctx, &work.request) != NGX_OK)
        return NGX_ERROR;
    const xb_policy *fallback = xb_policy_named(&served->policies, (xb_span){(const char *)ctx->fallback.data, ctx->fallback.len});
    bool policy_known = fallback != NULL;
    if (!fallback)
        fallback = xb_policy_named(&served->policies, XB_SPAN("default"));
    served->policies.crawlers.lookups = lent->lookups;
    served->policies.crawlers.asks = lent->questions;
    work.clients = lent->clients;
    work.visitors = lent->visitors;
    work.now_ms = lent->clients ? table_ms(lent) : 0;
    work.reads_only = ctx->counted || ctx->owed || xb_is_check(&work.request);
    xb_judge(&served->model, &work);
    if (xb_is_check(&work.request))
        work.keys = (xb_client_keys){0}; /* its outcome is not counted either */
    if (work.keys.client && ctx->counted) { /* it says as what, as it did then */
        work.keys.client |= ctx->said;
    } else if (work.keys.client && !work.reads_only) {
        ctx->counted = 1;
        ctx->said = (uint16_t)(work.keys.client & XB_SAYS);
    }
    policy_known &= xb_apply_policy(&served->policies, fallback, &served->model, &work);
    if (lent->wheel)
        xb_steer(lent->wheel, started, &work);
    xb_tell_refusal(&work);
    work.doubt = (uint8_t)xb_doubt_of(&work);
    ctx->keys = work.decision.refuse || !work.keys.client || ctx->owed ? (xb_client_keys){0} : work.keys;
    took = measured ? xb_now() - began : took;
    if (stats)
        xb_count(stats, &work, policy_known, took);
    return NGX_OK;
}

static ngx_int_t judge(ngx_http_request_t *r, xbot_served *served, xbot_context *ctx)
{
    const uint64_t started = now_ns();
    ctx->owed = xbot_will_ask(r, ctx);
    if (decide(r, served, started, ctx) != NGX_OK)
        return NGX_ERROR;
    ctx->margin = work.verdict.margin;
    ctx->refuse = work.decision.refuse;
    ctx->known = 1;
    return keep_texts(r, served, started, ctx);
}

static ngx_int_t tell_nothing(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t tell_address(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data);

/* What a variable of ours says, of which the configuration may say something else: `usual` where nobody did, without nginx's way through
 * its table. False: no memory. */
static bool said(ngx_http_request_t *r, ngx_int_t index, ngx_http_get_variable_pt ours, const ngx_str_t *usual, ngx_str_t *out)
{
    const ngx_http_core_main_conf_t *core = ngx_http_get_module_main_conf(r, ngx_http_core_module);
    const ngx_http_variable_t *known = core->variables.elts;
    const ngx_http_variable_value_t *v = &r->variables[index];
    *out = *usual;
    if (known[index].get_handler == ours && !v->valid)
        return true;
    v = ngx_http_get_flushed_variable(r, (ngx_uint_t)index);
    if (v)
        *out = (ngx_str_t){v->not_found ? 0 : v->len, v->not_found ? (u_char *)"" : v->data};
    return v != NULL;
}

ngx_int_t xbot_note(ngx_http_request_t *r, xbot_context *ctx)
{
    const xbot_main *conf = ngx_http_get_module_main_conf(r, ngx_http_xbot_module);
    const xbot_location *location = ngx_http_get_module_loc_conf(r, ngx_http_xbot_module);
    static const ngx_str_t nothing = {0, (u_char *)""};
    ngx_str_t policy, order, ip;
    if (!said(r, conf->policy, tell_nothing, &nothing, &policy) || !said(r, conf->order, tell_nothing, &nothing, &order) ||
        !said(r, conf->ip, tell_address, &r->connection->addr_text, &ip))
        return NGX_ERROR;
    const bool lost = order.len == 4 && ngx_strncasecmp(order.data, (u_char *)"lost", 4) == 0;
    if (ctx->judged && ctx->lost == lost && same(&ctx->asked, &policy) && same(&ctx->fallback, &location->policy) && same(&ctx->ip, &ip))
        return NGX_DONE;
    ctx->lost = lost;
    ctx->asked = policy;
    ctx->ip = ip;
    ctx->fallback = location->policy;
    return NGX_OK;
}

xbot_context *xbot_verdict(ngx_http_request_t *r)
{
    xbot_context *ctx = xbot_known(r);
    if (r != r->main || (ctx && ctx->settled && ctx->settled == ngx_http_get_module_loc_conf(r, ngx_http_xbot_module)))
        return ctx;
    if (!ctx && !(ctx = xbot_make_context(r)))
        return NULL;
    const ngx_int_t noted = xbot_note(r, ctx);
    if (noted != NGX_OK)
        return noted == NGX_DONE ? ctx : NULL;
    ctx->judged = 1;
    ctx->known = ctx->refuse = 0;
    const xbot_main *conf = ngx_http_get_module_main_conf(r, ngx_http_xbot_module);
    xbot_served *served = xbot_board_look(&conf->board, &work, r->connection->log);
    return !served || judge(r, served, ctx) == NGX_OK ? ctx : NULL;
}

/* As nginx's own $status. */
static int status_of(const ngx_http_request_t *r)
{
    return (int)(r->err_status ? r->err_status : r->headers_out.status);
}

ngx_int_t xbot_tell_outcome(ngx_http_request_t *r)
{
    const xbot_lent *lent = xbot_lent_now();
    xbot_context *ctx = r == r->main ? xbot_known(r) : NULL;
    if (ctx && ctx->owed) { /* it never came to the gate */
        const xbot_main *conf = ngx_http_get_module_main_conf(r, ngx_http_xbot_module);
        xbot_served *served = xbot_board_look(&conf->board, &work, r->connection->log);
        ctx->owed = 0;
        if (served)
            decide(r, served, now_ns(), ctx);
    }
    if (!ctx || !lent->clients || !ctx->keys.client)
        return NGX_OK;
    const ngx_str_t *type = &r->headers_out.content_type;
    const int status = status_of(r);
    const off_t bytes = r->connection->sent - (off_t)r->header_size;
    const xb_response response = {status < 100 || status > 599 ? 0 : status, bytes > 0 ? bytes : 0,
                                  (uint8_t)xb_content_of((xb_span){type->data ? (const char *)type->data : "", type->len})};
    xb_outcome_count(lent->clients, &ctx->keys, table_ms(lent), &response);
    ctx->keys = (xb_client_keys){0};
    return NGX_OK;
}

void xbot_verdict_begin(ngx_cycle_t *cycle)
{
    const xbot_main *conf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_xbot_module);
    xb_init();
    if (getrandom(ids.key, sizeof ids.key, 0) != sizeof ids.key) {
        ngx_log_error(NGX_LOG_ALERT, cycle->log, ngx_errno, "xbot: no random bytes: ids of decisions can be guessed");
        ids.key[0] = (uint64_t)ngx_pid << 32 | (uint64_t)ngx_time();
    }
    xbot_board_look(&conf->board, &work, cycle->log);
}

/* ---- the variables ---- */

/* Before the gate of its location a request is judged when somebody asks; but not once its reply has begun, nor if it could not be
 * read: an error page has a status of its own. */
static bool is_open(ngx_http_request_t *r)
{
    const xbot_location *location = ngx_http_get_module_loc_conf(r, ngx_http_xbot_module);
    return location->gate != XBOT_OFF && r == r->main && !r->header_sent && !r->err_status && r->http_state > NGX_HTTP_READING_REQUEST_STATE;
}

static xbot_context *asked_for(ngx_http_request_t *r)
{
    xbot_context *ctx = ngx_http_get_module_ctx(r, ngx_http_xbot_module);
    if (!ctx || !ctx->settled || ctx->settled != ngx_http_get_module_loc_conf(r, ngx_http_xbot_module))
        ctx = is_open(r) ? xbot_verdict(r) : xbot_known(r);
    return ctx && ctx->known ? ctx : NULL;
}

static ngx_int_t tell(ngx_http_variable_value_t *v, const ngx_str_t *text)
{
    v->not_found = !text || !text->len;
    v->valid = !v->not_found;
    v->no_cacheable = 0;
    v->data = text ? text->data : NULL;
    v->len = text ? (unsigned)text->len : 0;
    return NGX_OK;
}

/* One of the texts of a context; `offset` is its place there. What nobody is to be told is empty (keep_texts). */
static ngx_int_t tell_text(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t offset)
{
    const xbot_context *ctx = asked_for(r);
    return tell(v, ctx ? (const ngx_str_t *)(const void *)((const char *)ctx + offset) : NULL);
}

/* $xbot: always a word. */
static ngx_int_t tell_verdict(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    static const ngx_str_t unknown = ngx_string("unknown");
    const xbot_context *ctx = asked_for(r);
    (void)data;
    return tell(v, ctx && ctx->verdict.len ? &ctx->verdict : &unknown);
}

/* $xbot_margin: with all of its digits, for whoever compares it. */
static ngx_int_t tell_margin(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    enum { ROOM = 32 };
    const xbot_context *ctx = asked_for(r);
    ngx_str_t text = {0, NULL};
    (void)data;
    if (ctx && !(text.data = ngx_pnalloc(r->pool, ROOM)))
        return NGX_ERROR;
    if (ctx)
        text.len = (size_t)snprintf((char *)text.data, ROOM, "%.17g", ctx->margin);
    return tell(v, &text);
}

/* $xbot_policy and $xbot_order: nothing, until somebody says `set`. */
static ngx_int_t tell_nothing(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    (void)r, (void)data;
    *v = ngx_http_variable_null_value;
    return NGX_OK;
}

/* $xbot_ip: the visitor's address as nginx has it, until somebody says `set` or makes a map of it. */
static ngx_int_t tell_address(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    (void)data;
    return tell(v, &r->connection->addr_text);
}

static ngx_int_t add(ngx_conf_t *cf, const char *name, ngx_http_get_variable_pt get, uintptr_t data, ngx_uint_t flags)
{
    ngx_str_t text = {strlen(name), (u_char *)name};
    ngx_http_variable_t *v = ngx_http_add_variable(cf, &text, flags);
    if (!v)
        return NGX_ERROR;
    v->get_handler = get;
    v->data = data;
    return NGX_OK;
}

ngx_int_t xbot_add_variables(ngx_conf_t *cf, xbot_main *conf)
{
    static const struct {
        const char *name;
        ngx_http_get_variable_pt get;
        size_t offset;
    } told[] = {
        {"xbot", tell_verdict, 0},
        {"xbot_margin", tell_margin, 0},
        {"xbot_verdict", tell_text, offsetof(xbot_context, verdict)},
        {"xbot_score", tell_text, offsetof(xbot_context, score)},
        {"xbot_reason", tell_text, offsetof(xbot_context, reason)},
        {"xbot_policy_used", tell_text, offsetof(xbot_context, policy)},
        {"xbot_id", tell_text, offsetof(xbot_context, id)},
        {"xbot_agent", tell_text, offsetof(xbot_context, agent)},
        {"xbot_purpose", tell_text, offsetof(xbot_context, purpose)},
    };
    static ngx_str_t policy = ngx_string("xbot_policy"), order = ngx_string("xbot_order"), ip = ngx_string("xbot_ip");
    for (size_t i = 0; i < sizeof told / sizeof *told; i++)
        if (add(cf, told[i].name, told[i].get, told[i].offset, NGX_HTTP_VAR_NOCACHEABLE) != NGX_OK)
            return NGX_ERROR;
    /* outcome.conf: the module tells the table of clients what happened by itself. */
    if (add(cf, "xbot_client", tell_nothing, 0, NGX_HTTP_VAR_NOCACHEABLE) != NGX_OK)
        return NGX_ERROR;
    if (add(cf, "xbot_policy", tell_nothing, 0, NGX_HTTP_VAR_CHANGEABLE) != NGX_OK ||
        add(cf, "xbot_order", tell_nothing, 0, NGX_HTTP_VAR_CHANGEABLE) != NGX_OK ||
        add(cf, "xbot_ip", tell_address, 0, NGX_HTTP_VAR_CHANGEABLE | NGX_HTTP_VAR_NOCACHEABLE) != NGX_OK)
        return NGX_ERROR;
    conf->policy = ngx_http_get_variable_index(cf, &policy);
    conf->order = ngx_http_get_variable_index(cf, &order);
    conf->ip = ngx_http_get_variable_index(cf, &ip);
    return conf->policy == NGX_ERROR || conf->order == NGX_ERROR || conf->ip == NGX_ERROR ? NGX_ERROR : NGX_OK;
}
