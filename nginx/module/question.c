#include "module.h"

/* A request that is signed (RFC 9421) is the one thing that the module cannot judge: the sidecar has the keys and the nonces. So it is
 * asked, by the location that would be asked without the module, and its word counts as ours would. While it is away, or does not check
 * signatures, the request is judged here, as one that is not signed. */

typedef struct {
    ngx_http_request_t *request; /* the subrequest */
    unsigned done : 1;
} question;

static ngx_int_t at_answer(ngx_http_request_t *sr, void *data, ngx_int_t rc)
{
    question *asked = data;
    asked->request = sr;
    asked->done = 1;
    return rc;
}

static ngx_int_t ask(ngx_http_request_t *r, const xbot_location *location, xbot_context *ctx)
{
    question *asked = ngx_pcalloc(r->pool, sizeof *asked);
    ngx_http_post_subrequest_t *then = ngx_palloc(r->pool, sizeof *then);
    ngx_http_request_t *sr;
    ngx_str_t target = location->question;
    if (!asked || !then || (ctx->passed && xbot_remove_headers(r) != NGX_OK))
        return NGX_ERROR;
    ctx->passed = 0;
    *then = (ngx_http_post_subrequest_t){at_answer, asked};
    if (ngx_http_subrequest(r, &target, NULL, &sr, then, NGX_HTTP_SUBREQUEST_WAITED) != NGX_OK)
        return NGX_ERROR;
    sr->request_body = ngx_pcalloc(r->pool, sizeof(ngx_http_request_body_t)); /* so that nobody reads the visitor's */
    if (!sr->request_body)
        return NGX_ERROR;
    sr->header_only = 1;
    ctx->question = asked;
    return NGX_AGAIN;
}

static bool is_word(const ngx_str_t *text, const char *word)
{
    return text->len == strlen(word) && ngx_memcmp(text->data, word, text->len) == 0;
}

/* Takes the answer; what it says lies in the request's pool. False if it is none. */
static bool take(const question *asked, xbot_context *ctx)
{
    ngx_str_t verdict = {0, NULL}, client = {0, NULL};
    const struct {
        const char *name;
        ngx_str_t *to;
    } told[] = {
        {"X-Bot", &verdict},           {"X-Bot-Score", &ctx->score},     {"X-Bot-Reason", &ctx->reason},   {"X-Bot-Policy", &ctx->policy},
        {"X-Bot-Agent", &ctx->agent},  {"X-Bot-Purpose", &ctx->purpose}, {"X-Bot-Id", &ctx->id},           {"X-Bot-Client", &client},
    };
    const ngx_http_request_t *sr = asked->request;
    bool known = false;
    if (!sr->upstream)
        return false;
    for (size_t i = 0; i < sizeof told / sizeof *told; i++)
        *told[i].to = (ngx_str_t){0, NULL};
    for (ngx_list_part_t *part = &sr->upstream->headers_in.headers.part; part; part = part->next) {
        const ngx_table_elt_t *header = part->elts;
        for (ngx_uint_t k = 0; k < part->nelts; k++)
            for (size_t i = 0; i < sizeof told / sizeof *told; i++)
                if (header[k].key.len == strlen(told[i].name) && ngx_strcasecmp(header[k].key.data, (u_char *)told[i].name) == 0)
                    *told[i].to = header[k].value;
    }
    for (int i = 0; i < XB_N_OUTCOMES; i++)
        known |= is_word(&verdict, xb_outcome_names[i]);
    ctx->verdict = known ? verdict : (ngx_str_t){0, NULL};
    ctx->refuse = sr->headers_out.status == NGX_HTTP_FORBIDDEN;
    if (!xb_client_keys_parse((xb_span){client.data ? (const char *)client.data : "", client.len}, &ctx->keys))
        ctx->keys = (xb_client_keys){0};
    return known || is_word(&verdict, "unknown");
}

static bool is_signed(ngx_http_request_t *r)
{
    static const ngx_str_t names[] = {ngx_string("signature"), ngx_string("signature-input")};
    unsigned found = 0;
    for (ngx_list_part_t *part = &r->headers_in.headers.part; part; part = part->next) {
        const ngx_table_elt_t *header = part->elts;
        for (ngx_uint_t k = 0; k < part->nelts; k++)
            for (unsigned i = 0; i < 2; i++)
                if (header[k].key.len == names[i].len && ngx_strncasecmp(header[k].key.data, names[i].data, names[i].len) == 0)
                    found |= 1u << i;
    }
    return found == 3;
}

bool xbot_will_ask(ngx_http_request_t *r, const xbot_context *ctx)
{
    const xbot_lent *lent = xbot_lent_now();
    const xbot_location *location = ngx_http_get_module_loc_conf(r, ngx_http_xbot_module);
    return lent->connected && lent->signs && location->question.len && !(ctx && ctx->was_asked) && is_signed(r);
}

ngx_int_t xbot_ask_of_signature(ngx_http_request_t *r, const xbot_location *location)
{
    xbot_context *ctx = xbot_known(r);
    if (ctx && ctx->question) {
        const question *asked = ctx->question;
        if (!asked->done)
            return NGX_AGAIN;
        ctx->question = NULL;
        if (xbot_note(r, ctx) == NGX_ERROR)
            return NGX_ERROR;
        ctx->judged = ctx->known = take(asked, ctx);
        ctx->owed &= !ctx->judged;
        return NGX_OK;
    }
    if (!xbot_will_ask(r, ctx))
        return NGX_OK;
    if (!ctx && !(ctx = xbot_make_context(r)))
        return NGX_ERROR;
    ctx->was_asked = 1;
    return ask(r, location, ctx);
}
