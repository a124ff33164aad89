#include "module.h"

/* The headers X-Bot and its kin: the visitor's own go, and where `xbot_pass on` says so the verdict takes their place. They stand among
 * the request's own headers then, so any way to a site hands them on: proxy_pass, grpc_pass, fastcgi_pass and uwsgi_pass. */

static struct {
    const char *name;
    size_t text;            /* its place in xbot_context; an empty text is not sent */
    ngx_table_elt_t header; /* without its value */
    u_char lower[sizeof "x-bot-purpose"];
} told[] = {
    {.name = "X-Bot", .text = offsetof(xbot_context, verdict)},
    {.name = "X-Bot-Score", .text = offsetof(xbot_context, score)},
    {.name = "X-Bot-Reason", .text = offsetof(xbot_context, reason)},
    {.name = "X-Bot-Agent", .text = offsetof(xbot_context, agent)},
    {.name = "X-Bot-Purpose", .text = offsetof(xbot_context, purpose)},
    {.name = "X-Bot-Id", .text = offsetof(xbot_context, id)},
};

enum { TOLD = sizeof told / sizeof *told };

void xbot_headers_init(void)
{
    for (size_t i = 0; i < TOLD; i++) {
        ngx_table_elt_t *header = &told[i].header;
        header->key = (ngx_str_t){strlen(told[i].name), (u_char *)told[i].name};
        header->lowcase_key = told[i].lower;
        header->hash = ngx_hash_strlow(told[i].lower, header->key.data, header->key.len);
    }
}

static bool is_letter(u_char c) { return xb_class((char)c) & (XB_LETTER | XB_DIGIT); }

static inline bool is_ours(const ngx_str_t *name)
{
    const u_char *p = name->data;
    return name->len >= 5 && (p[0] | 0x20) == 'x' && !is_letter(p[1]) && (p[2] | 0x20) == 'b' && (p[3] | 0x20) == 'o' &&
           (p[4] | 0x20) == 't' && (name->len == 5 || !is_letter(p[5]));
}

bool xbot_is_own_header(const ngx_str_t *name) { return is_ours(name); }

/* How many headers there are, and how many of them have our names. */
static ngx_uint_t count(const ngx_http_request_t *r, ngx_uint_t *all)
{
    ngx_uint_t ours = 0;
    *all = 0;
    for (const ngx_list_part_t *part = &r->headers_in.headers.part; part; part = part->next) {
        const ngx_table_elt_t *header = part->elts;
        *all += part->nelts;
        for (ngx_uint_t i = 0; i < part->nelts; i++)
            ours += is_ours(&header[i].key);
    }
    return ours;
}

/* A list without those of our names, with room for ours. Others point to single headers of the list, and requests share it: so it is a
 * new one, and the old one stays as it is. */
static ngx_int_t keep_others(ngx_http_request_t *r, ngx_uint_t all)
{
    ngx_list_t kept;
    if (ngx_list_init(&kept, r->pool, all + TOLD, sizeof(ngx_table_elt_t)) != NGX_OK)
        return NGX_ERROR;
    for (const ngx_list_part_t *part = &r->headers_in.headers.part; part; part = part->next) {
        const ngx_table_elt_t *header = part->elts;
        for (ngx_uint_t i = 0; i < part->nelts; i++)
            if (!is_ours(&header[i].key))
                *(ngx_table_elt_t *)ngx_list_push(&kept) = header[i]; /* there is room for all */
    }
    r->headers_in.headers = kept;
    r->headers_in.headers.last = &r->headers_in.headers.part;
    return NGX_OK;
}

ngx_int_t xbot_remove_headers(ngx_http_request_t *r)
{
    ngx_uint_t all;
    return count(r, &all) ? keep_others(r, all) : NGX_OK;
}

/* Adds what is known; X-Bot always has a word. */
static ngx_int_t add(ngx_http_request_t *r, const xbot_context *ctx)
{
    static const ngx_str_t unknown = ngx_string("unknown"), nothing = ngx_null_string;
    for (size_t i = 0; i < TOLD; i++) {
        const ngx_str_t *text = ctx && ctx->known ? (const ngx_str_t *)(const void *)((const char *)ctx + told[i].text) : &nothing;
        text = text->len || i ? text : &unknown;
        if (!text->len)
            continue;
        ngx_table_elt_t *header = ngx_list_push(&r->headers_in.headers);
        if (!header)
            return NGX_ERROR;
        *header = told[i].header;
        header->value = *text;
    }
    return NGX_OK;
}

ngx_int_t xbot_pass_headers(ngx_http_request_t *r, xbot_context *ctx)
{
    if (ctx)
        ctx->passed = 1;
    return add(r, ctx);
}

ngx_int_t xbot_pass_to_subrequest(ngx_http_request_t *r)
{
    const xbot_location *location = ngx_http_get_module_loc_conf(r, ngx_http_xbot_module);
    const xbot_context *ctx = r == r->main || !location->pass ? NULL : xbot_known(r);
    ngx_uint_t all;
    if (r == r->main || !location->pass || (ctx && ctx->question)) /* the sidecar is asked about the visitor's own headers */
        return NGX_DECLINED;
    count(r, &all);
    return keep_others(r, all) == NGX_OK && add(r, ctx) == NGX_OK ? NGX_DECLINED : NGX_ERROR;
}
