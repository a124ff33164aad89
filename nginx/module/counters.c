#include "module.h"

#include <signal.h>

/* Law: as csrc/board/counters.h has it, a slot has one writer. Here a worker claims it by its process id, in memory that only
 * nginx's own processes share; a slot whose writer is gone is claimed again, and goes on counting. */

enum { SLOTS = 128, ZONE_SIZE = 3 << 20 };

typedef struct {
    ngx_atomic_t writer[SLOTS + 1]; /* process ids; 0: free. The first slot has no writer */
    xb_stats told[SLOTS + 1];       /* what of each slot the sidecar was told (share.c); of the slot's writer */
    uint64_t slots[];               /* a file of counters (csrc/board/counters.h) */
} shared_counters;

static shared_counters *shared;
static uint32_t claimed; /* 0: none */

static ngx_int_t begin_zone(ngx_shm_zone_t *zone, void *before)
{
    ngx_slab_pool_t *pool = (ngx_slab_pool_t *)zone->shm.addr;
    const size_t size = xb_counters_size(SLOTS + 1);
    if (before || zone->shm.exists) {
        zone->data = before ? before : pool->data;
        return NGX_OK;
    }
    shared_counters *counters = ngx_slab_calloc(pool, sizeof *counters + size);
    if (!counters)
        return NGX_ERROR;
    xb_counters_init(counters->slots, SLOTS + 1, (uint64_t)ngx_time() * 1000000000u, 0);
    zone->data = pool->data = counters;
    return NGX_OK;
}

ngx_int_t xbot_counters_zone(ngx_conf_t *cf, xbot_main *conf)
{
    static ngx_str_t name = ngx_string("xbot");
    /* It outlives a reload, but not one that brings another version of the module, whose layout may differ: nginx tells zones apart
     * by the module's address, too. */
    conf->zone = ngx_shared_memory_add(cf, &name, ZONE_SIZE, &ngx_http_xbot_module);
    if (!conf->zone)
        return NGX_ERROR;
    conf->zone->init = begin_zone;
    return NGX_OK;
}

static bool is_gone(ngx_atomic_uint_t pid) { return pid == 0 || (kill((pid_t)pid, 0) != 0 && errno == ESRCH); }

void xbot_counters_begin(xbot_main *conf, ngx_log_t *log)
{
    shared = conf->zone->data;
    for (uint32_t i = 1; i <= SLOTS && !claimed; i++) {
        const ngx_atomic_uint_t writer = shared->writer[i];
        if (is_gone(writer) && ngx_atomic_cmp_set(&shared->writer[i], writer, (ngx_atomic_uint_t)ngx_pid))
            claimed = i;
    }
    if (!claimed)
        ngx_log_error(NGX_LOG_WARN, log, 0, "xbot: more than %d workers: this one does not count", (int)SLOTS);
}

void xbot_counters_end(void)
{
    if (claimed)
        shared->writer[claimed] = 0;
    claimed = 0;
}

xb_stats *xbot_counters(void) { return claimed ? xb_counters_slot(shared->slots, claimed) : NULL; }

const xb_stats *xbot_counters_told(xb_stats **told)
{
    *told = claimed ? &shared->told[claimed] : NULL;
    return xbot_counters();
}

/* ---- the page ---- */

static u_char *put_numbers(u_char *p, u_char *end, const char *title, const char *const *names, const uint64_t *numbers, size_t n)
{
    p = ngx_slprintf(p, end, ",\"%s\":{", title);
    for (size_t i = 0; i < n; i++)
        p = ngx_slprintf(p, end, "%s\"%s\":%uL", i ? "," : "", names[i], numbers[i]);
    return ngx_slprintf(p, end, "}");
}

static u_char *put_page(u_char *p, u_char *end, const xbot_served *served, const xb_stats *s)
{
    static const char *const deciders[XB_COUNTED_DECIDERS] = {"score", "allow", "deny", "verified", "impostor"}; /* by xb_decided_by */
    const ngx_msec_t ms = served ? (ngx_msec_t)(served->made / 1000000u) : 0;
    p = ngx_slprintf(p, end, "{\"served\":");
    if (served)
        p = ngx_slprintf(p, end, "{\"made\":%M.%03M,\"policies\":%uD}", ms / 1000, ms % 1000, served->policies.n_policies);
    else
        p = ngx_slprintf(p, end, "null");
    uint64_t outcome[XB_COUNTED_OUTCOMES], decided_by[XB_COUNTED_DECIDERS], refused;
    const uint64_t requests = xb_counters_decided(s, outcome, decided_by, &refused);
    p = ngx_slprintf(p, end, ",\"requests\":%uL,\"refused\":%uL", requests, refused);
    p = put_numbers(p, end, "verdict", xb_outcome_names, outcome, XB_COUNTED_OUTCOMES);
    p = put_numbers(p, end, "decided_by", deciders, decided_by, XB_COUNTED_DECIDERS);
    return ngx_slprintf(p, end, ",\"unknown_policy\":%uL,\"truncated\":%uL,\"judging_ns\":%uL}\n", s->unknown_policy, s->truncated, s->sum_ns);
}

ngx_int_t xbot_status_page(ngx_http_request_t *r)
{
    enum { ROOM = 1024 };
    const xbot_main *conf = ngx_http_get_module_main_conf(r, ngx_http_xbot_module);
    if (!(r->method & (NGX_HTTP_GET | NGX_HTTP_HEAD)))
        return NGX_HTTP_NOT_ALLOWED;
    ngx_int_t rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK)
        return rc;
    ngx_buf_t *b = ngx_create_temp_buf(r->pool, ROOM);
    if (!b)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    static xb_stats total; /* nginx's workers have one thread */
    ngx_memzero(&total, sizeof total);
    if (conf->zone && conf->zone->data)
        xb_counters_add(&total, ((const shared_counters *)conf->zone->data)->slots);
    b->last = put_page(b->pos, b->end, xbot_served_now(), &total);
    b->last_buf = 1;
    b->last_in_chain = 1;
    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = b->last - b->pos;
    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    rc = ngx_http_send_header(r);
    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only)
        return rc;
    ngx_chain_t out = {b, NULL};
    return ngx_http_output_filter(r, &out);
}
