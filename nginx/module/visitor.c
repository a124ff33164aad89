#include "module.h"

static xb_span span_of(const ngx_str_t *s) { return (xb_span){s->data ? (const char *)s->data : "", s->len}; }

/* ---- the handshake ---- */

/* What the first request that was judged on a connection found out, in the connection's pool. */
typedef struct {
    xb_handshake handshake;
    size_t address_size; /* of the visitor, as text: the others who come through one connection of a CDN have not this handshake */
    char address[NGX_SOCKADDR_STRLEN];
} connection_facts;

/* Marks our entry among the connection's cleanups; there is nothing to clean up. */
static void is_ours(void *data) { (void)data; }

/* The connection itself: over HTTP/2 each stream has a copy. */
static ngx_connection_t *connection_of(ngx_http_request_t *r)
{
#if (NGX_HTTP_V2)
    if (r->stream)
        return r->stream->connection->connection;
#endif
    return r->connection;
}

/* A variable of nginx, or an absent span. By its name, since which of them there are depends on the version: once a connection. */
static xb_span variable(ngx_http_request_t *r, const char *name)
{
    ngx_str_t s = {ngx_strlen(name), (u_char *)name};
    ngx_http_variable_value_t *v = ngx_http_get_variable(r, &s, ngx_hash_key(s.data, s.len));
    return v && !v->not_found ? (xb_span){(const char *)v->data, v->len} : (xb_span){NULL, 0};
}

/* The texts are those that nginx/handshake.conf sends to the sidecar. */
static void read_handshake(ngx_http_request_t *r, xb_handshake *out)
{
    xb_tls tls = {.protocol = variable(r, "ssl_protocol")};
    if (!tls.protocol.size)
        return;
    tls.ciphers = variable(r, "ssl_ciphers");
    tls.curves = variable(r, "ssl_curves");
    tls.reused = variable(r, "ssl_session_reused");
    tls.sigalgs = variable(r, "ssl_sigalgs");
#if (nginx_version >= 1021004)
    tls.alpn = variable(r, "ssl_alpn_protocol");
    tls.alpn = tls.alpn.size ? tls.alpn : XB_SPAN("-");
#endif
    xb_handshake_of(&tls, out);
}

/* The facts of the visitor's handshake, read once a connection; `out` is all zero where there are none. */
static ngx_int_t recall_handshake(ngx_http_request_t *r, const ngx_str_t *address, xb_handshake *out)
{
    ngx_connection_t *c = connection_of(r);
    if (!r->connection->ssl || r->http_version > NGX_HTTP_VERSION_20) /* of QUIC's the features know nothing (facts.c) */
        return NGX_OK;
    connection_facts *facts = NULL;
    for (ngx_pool_cleanup_t *cln = c->pool->cleanup; cln && !facts; cln = cln->next)
        facts = cln->handler == is_ours ? cln->data : NULL;
    if (!facts) {
        ngx_pool_cleanup_t *cln = ngx_pool_cleanup_add(c->pool, sizeof *facts);
        if (!cln)
            return NGX_ERROR;
        cln->handler = is_ours;
        facts = cln->data;
        ngx_memzero(facts, sizeof *facts);
        facts->address_size = ngx_min(address->len, sizeof facts->address);
        ngx_memcpy(facts->address, address->data, facts->address_size);
        read_handshake(r, &facts->handshake);
    }
    if (facts->address_size == address->len && ngx_memcmp(facts->address, address->data, address->len) == 0)
        *out = facts->handshake;
    return NGX_OK;
}

/* ---- the request ---- */

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

static xb_span trimmed(xb_span s)
{
    if (s.size && (u_char)*s.at > ' ' && (u_char)s.at[s.size - 1] > ' ') /* nearly always */
        return s;
    while (s.size && is_blank(*s.at))
        s = (xb_span){s.at + 1, s.size - 1};
    while (s.size && is_blank(s.at[s.size - 1]))
        s.size--;
    return s;
}

/* As $host: the name that was asked for, or that of the server. */
static xb_span host_of(ngx_http_request_t *r)
{
    const ngx_http_core_srv_conf_t *server = ngx_http_get_module_srv_conf(r, ngx_http_core_module);
    return span_of(r->headers_in.server.len ? &r->headers_in.server : &server->server_name);
}

ngx_int_t xbot_read_visitor(ngx_http_request_t *r, const xbot_context *ctx, xb_request *out)
{
    const bool secure = r->connection->ssl != NULL;
    const bool fits = r->unparsed_uri.len <= XB_MAX_HEAD;
    xb_fields fields = {
        .ip = ctx->ip.len ? span_of(&ctx->ip) : (xb_span){NULL, 0},
        .method = span_of(&r->method_name),
        .uri = fits ? span_of(&r->unparsed_uri) : (xb_span){NULL, 0},
        .host = host_of(r),
        .policy = span_of(&ctx->asked),
        .headers = XB_HEADERS_ORDERED,
    };
    if (!ctx->lost) {
        fields.connection = (xb_connection_id){r->connection->number, (uint32_t)ngx_pid, (uint32_t)r->connection->requests};
        fields.protocol = span_of(&r->http_protocol);
        fields.scheme = secure ? XB_SPAN("https") : XB_SPAN("http");
    }
    xb_request_clear(out);
    for (ngx_list_part_t *part = &r->headers_in.headers.part; part; part = part->next) {
        const ngx_table_elt_t *header = part->elts;
        for (ngx_uint_t i = 0; i < part->nelts; i++)
            if (!ctx->passed || !xbot_is_own_header(&header[i].key)) /* ours, of the location before */
                xb_request_add(out, span_of(&header[i].key), trimmed(span_of(&header[i].value)));
    }
    xb_request_complete(out, &fields);
    out->required = XB_HAS_IP | XB_HAS_URL | XB_HAS_METHOD; /* a list that cannot be consulted is not taken for one that says nothing */
    if (!fits) {
        out->missing |= XB_HAS_URL;
        out->truncated = true;
    }
    if (ctx->lost) {
        out->present &= ~(uint32_t)(XB_HAS_ORDER | XB_HAS_CASE);
        return NGX_OK;
    }
    if (recall_handshake(r, &ctx->ip, &out->handshake) != NGX_OK)
        return NGX_ERROR;
    out->present |= out->handshake.known ? XB_HAS_TLS : 0;
    return NGX_OK;
}
