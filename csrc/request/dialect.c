#include "request/dialect.h"

xb_span xb_url_decode(xb_span s, char *out, const char **bad)
{
    char *to = out;
    const char *end = s.at + s.size;
    if (bad)
        *bad = NULL;
    for (const char *p = s.at; p < end; p++) {
        if (*p == '%') {
            if (end - p > 2 && xb_hex(p[1]) >= 0 && xb_hex(p[2]) >= 0) {
                *to++ = (char)(xb_hex(p[1]) * 16 + xb_hex(p[2]));
                p += 2;
                continue;
            }
            if (bad && !*bad)
                *bad = p;
        }
        *to++ = *p == '+' ? ' ' : *p;
    }
    return xb_span_of(out, to);
}

/* The next NAME=VALUE of a query, from *p on, which stands before it and moves behind it. False at the end. */
static bool next_pair(const char **p, const char *end, xb_span *name, xb_span *value)
{
    while (*p && *p < end) {
        const char *from = *p + 1, *stop = memchr(from, '&', (size_t)(end - from));
        *p = stop ? stop : end;
        const char *equals = memchr(from, '=', (size_t)(*p - from));
        if (!equals)
            continue;
        *name = xb_span_of(from, equals);
        *value = xb_span_of(equals + 1, *p);
        return true;
    }
    return false;
}

/* The policy that the question's own target asks for. Names need no encoding, so none is undone. */
static xb_span target_policy(const xb_request *r)
{
    const char *end = r->uri.at + r->uri.size, *p = xb_span_find(r->uri, '?');
    xb_span name, value;
    while (next_pair(&p, end, &name, &value))
        if (xb_span_is(name, XB_SPAN("policy")))
            return value;
    return (xb_span){NULL, 0};
}

/* The end of the last X-Forwarded-For: each proxy on the way adds its peer's address there, the one that asks as the last.
 * What stands before it anybody may have written. */
static xb_span last_forwarded(const xb_request *r)
{
    const bool several = xb_differ(r, XB_H_X_FORWARDED_FOR);
    xb_span chain = several ? r->headers[r->last_forwarded].value : xb_value(r, XB_H_X_FORWARDED_FOR);
    if (!chain.at)
        return chain;
    const char *end = chain.at + chain.size, *p = end;
    while (p > chain.at && p[-1] != ',')
        p--;
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    return xb_span_of(p, end);
}

/* Did the proxy write this header, the first of its name, and not the visitor? */
static bool is_own(const xb_request *r, xb_header_id id, xb_telling telling)
{
    if (telling == XB_TELLS_IN_CAPITALS)
        return *r->headers[r->first[id]].name.at == 'X';
    if (!xb_has(r, XB_H_HOST) || !xb_has(r, XB_H_X_REAL_IP))
        return true;
    const uint32_t host = xb_place(r, XB_H_HOST);
    return host < xb_place(r, XB_H_X_REAL_IP) || xb_place(r, id) < host;
}

/* What the proxy says of the connection under a name. Two values that differ are not the work of one that writes over what it
 * gets. */
static xb_span told(const xb_request *r, xb_header_id id, const xb_dialect_row *row)
{
    if (!xb_has(r, id) || !is_own(r, id, row->telling) || (row->writes == XB_WRITES_OVER && xb_differ(r, id)))
        return (xb_span){NULL, 0};
    return xb_value(r, id);
}

static uint32_t small_number(xb_span s)
{
    uint32_t n = 0;
    for (size_t i = 0; i < s.size; i++) {
        if (i == 6 || !xb_is_digit(s.at[i]))
            return 0;
        n = n * 10 + (uint32_t)(s.at[i] - '0');
    }
    return n;
}

_Static_assert(XB_H_X_TLS_PROTOCOL < XB_H_X_TLS_SIGALGS && XB_H_X_TLS_SIGALGS < XB_H_X_XBOT_FILES &&
                   XB_H_X_TLS_PROTOCOL / 64 == XB_H_X_XBOT_FILES / 64,
               "headers of a connection are in one word of the bit set");

/* Is any of these headers there, which follow each other in headers.def? One look is enough. */
static bool seen_between(const xb_request *r, xb_header_id first, xb_header_id last)
{
    return r->seen[first / 64u] >> (first % 64u) & ((UINT64_C(1) << (last - first + 1)) - 1);
}

static bool of_connection(const xb_request *r) { return seen_between(r, XB_H_X_TLS_PROTOCOL, XB_H_X_XBOT_FILES); }

/* What the proxy says of the connection. Later questions of a connection may tell the handshake no more. */
static void connection(xb_request *r, const xb_dialect_row *row)
{
    if (seen_between(r, XB_H_X_TLS_PROTOCOL, XB_H_X_TLS_SIGALGS))
        r->tls = (xb_tls){told(r, XB_H_X_TLS_PROTOCOL, row), told(r, XB_H_X_TLS_CIPHERS, row), told(r, XB_H_X_TLS_CURVES, row),
                          told(r, XB_H_X_TLS_ALPN, row),     told(r, XB_H_X_TLS_REUSED, row),  told(r, XB_H_X_TLS_SIGALGS, row)};
    if (xb_tls_said(&r->tls))
        r->present |= XB_HAS_TLS;
    xb_connection_id_parse(told(r, XB_H_X_CONNECTION, row), &r->connection);
}

/* What nginx's files and HAProxy's script say of the visitor. Theirs come first, or alone. */
static void original(xb_request *r, char *scratch)
{
    (void)scratch;
    r->ip = xb_value(r, XB_H_X_REAL_IP);
    r->uri = xb_value(r, XB_H_X_ORIGINAL_URI);
    r->method = xb_value(r, XB_H_X_ORIGINAL_METHOD);
    r->protocol = xb_value(r, XB_H_X_ORIGINAL_PROTOCOL);
    r->scheme = xb_value(r, XB_H_X_ORIGINAL_SCHEME);
    r->host = xb_value(r, XB_H_X_ORIGINAL_HOST);
}

static void ingress_nginx(xb_request *r, char *scratch)
{
    (void)scratch;
    r->ip = xb_value(r, XB_H_X_REAL_IP);
    r->method = xb_value(r, XB_H_X_ORIGINAL_METHOD);
    r->protocol = r->scheme = r->host = (xb_span){NULL, 0};
    /* https://host/path?query, where host is what the visitor sent: any bytes but a slash, or none. */
    xb_span url = r->uri = xb_value(r, XB_H_X_ORIGINAL_URL);
    const char *slash = xb_span_find(url, '/');
    if (slash && slash > url.at && slash[-1] == ':' && slash + 1 < url.at + url.size && slash[1] == '/') {
        const char *end = url.at + url.size, *host = slash + 2, *path = memchr(host, '/', (size_t)(end - host));
        r->scheme = xb_span_of(url.at, slash - 1);
        r->host = xb_span_of(host, path ? path : end);
        r->uri = xb_span_of(path ? path : end, end);
        /* nginx has "?/a" for the target "http://site?/a", and takes "site?" for a host: which one it is, nobody can tell. */
        if (xb_span_find(r->host, '?'))
            r->missing |= XB_HAS_URL;
    }
    xb_request_disown(r, XB_SPAN("x-auth-request-redirect"));
    xb_request_disown(r, XB_SPAN("x-sent-from"));
    xb_request_disown(r, XB_SPAN("x-scheme"));
}

static void forward_auth(xb_request *r, char *scratch)
{
    (void)scratch;
    r->ip = last_forwarded(r);
    r->uri = xb_value(r, XB_H_X_FORWARDED_URI);
    r->method = xb_value(r, XB_H_X_FORWARDED_METHOD);
    r->protocol = (xb_span){NULL, 0};
    r->scheme = xb_value(r, XB_H_X_FORWARDED_PROTO);
    r->host = xb_value(r, XB_H_X_FORWARDED_HOST);
}

static void ext_authz(xb_request *r, char *scratch)
{
    (void)scratch;
    r->ip = xb_value(r, XB_H_X_REAL_IP);
    r->protocol = xb_value(r, XB_H_X_ORIGINAL_PROTOCOL);
    r->scheme = xb_value(r, XB_H_X_FORWARDED_PROTO);
    xb_request_disown(r, XB_SPAN("x-envoy-"));
}

/* The hackathon's endpoint knows three fields and nothing of the visitor's other headers. */
static void challenge(xb_request *r, char *scratch)
{
    const char *end = r->uri.at + r->uri.size, *p = xb_span_find(r->uri, '?');
    xb_span name, value;
    r->present = XB_HAS_UA | XB_HAS_REFERRER;
    r->method = r->protocol = r->scheme = (xb_span){NULL, 0};
    r->missing = 0;
    r->status_only = true;
    r->ip = r->agent = r->referrer = r->host = (xb_span){NULL, 0};
    while (next_pair(&p, end, &name, &value)) {
        value = xb_url_decode(value, scratch, NULL);
        scratch += value.size;
        if (xb_span_is(name, XB_SPAN("ip")))
            r->ip = value;
        else if (xb_span_is(name, XB_SPAN("user_agent")))
            r->agent = value;
        else if (xb_span_is(name, XB_SPAN("referer")))
            r->referrer = value;
    }
}

const xb_dialect_row xb_dialects[XB_DIALECT_COUNT] = {
    [XB_DIALECT_NGINX] = {"nginx", original, XB_POLICY_BY_HEADER, XB_ORDER_UNLESS_LOST, XB_WRITES_OVER,
        {{XB_H_X_REAL_IP, XB_HAS_IP}, {XB_H_X_ORIGINAL_URI, XB_HAS_URL}, {XB_H_X_ORIGINAL_METHOD, XB_HAS_METHOD}}, XB_TELLS_BEFORE_HOST},
    [XB_DIALECT_INGRESS_NGINX] = {"ingress-nginx", ingress_nginx, XB_POLICY_BY_TARGET, XB_ORDER_KEPT, XB_WRITES_OVER,
        {{XB_H_X_REAL_IP, XB_HAS_IP}, {XB_H_X_ORIGINAL_URL, XB_HAS_URL}, {XB_H_X_ORIGINAL_METHOD, XB_HAS_METHOD}}, XB_TELLS_NOTHING},
    /* Both are written in Go, which keeps headers in a map. */
    [XB_DIALECT_FORWARD_AUTH] = {"forward-auth", forward_auth, XB_POLICY_BY_TARGET, XB_ORDER_LOST, XB_WRITES_OVER,
        {{XB_H_X_FORWARDED_FOR, XB_HAS_IP}, {XB_H_X_FORWARDED_URI, XB_HAS_URL}, {XB_H_X_FORWARDED_METHOD, XB_HAS_METHOD}}, XB_TELLS_NOTHING},
    [XB_DIALECT_EXT_AUTHZ] = {"ext-authz", ext_authz, XB_POLICY_BY_HEADER, XB_ORDER_IF_SAID, XB_WRITES_OVER,
        {{XB_H_X_REAL_IP, XB_HAS_IP}}, XB_TELLS_NOTHING},
    [XB_DIALECT_HAPROXY] = {"haproxy", original, XB_POLICY_BY_TARGET, XB_ORDER_IF_SAID, XB_WRITES_BEFORE,
        {{XB_H_X_REAL_IP, XB_HAS_IP}, {XB_H_X_ORIGINAL_URI, XB_HAS_URL}, {XB_H_X_ORIGINAL_METHOD, XB_HAS_METHOD}}, XB_TELLS_IN_CAPITALS},
    [XB_DIALECT_CHALLENGE] = {"challenge", challenge, XB_POLICY_BY_NONE, XB_ORDER_LOST, XB_WRITES_OVER, {{0, 0}}, XB_TELLS_NOTHING},
};

/* What the proxy always says, and did not: not at all, empty, or in two ways. */
static void look_for_required(const xb_dialect_row *row, xb_request *r)
{
    for (size_t i = 0; i < XB_MAX_REQUIRED && row->required[i].part; i++) {
        const xb_header_id id = row->required[i].id;
        /* An X-Forwarded-For before the last is another proxy's. */
        const bool doubtful = row->writes == XB_WRITES_OVER && id != XB_H_X_FORWARDED_FOR && xb_differ(r, id);
        r->required |= row->required[i].part;
        if (doubtful || !xb_value(r, id).size)
            r->missing |= row->required[i].part;
    }
}

void xb_dialect_apply(xb_dialect dialect, xb_request *r, char *scratch)
{
    const xb_dialect_row *row = &xb_dialects[dialect];
    if (row->policy == XB_POLICY_BY_TARGET)
        r->policy = target_policy(r);
    else if (row->policy == XB_POLICY_BY_HEADER)
        r->policy = xb_value(r, XB_H_X_BOT_POLICY);
    row->apply(r, scratch);
    look_for_required(row, r);
    const bool tells = row->telling != XB_TELLS_NOTHING && of_connection(r);
    bool direct = tells;
    const bool order_said = (row->order == XB_ORDER_UNLESS_LOST || row->order == XB_ORDER_IF_SAID) && xb_has(r, XB_H_X_ORIGINAL_ORDER);
    if (order_said && xb_span_is(xb_value(r, XB_H_X_ORIGINAL_ORDER), XB_SPAN("lost"))) {
        r->present &= ~(uint32_t)(XB_HAS_ORDER | XB_HAS_CASE);
        r->protocol = r->scheme = (xb_span){NULL, 0};
        direct = false;
    }
    if (row->order == XB_ORDER_IF_SAID || row->order == XB_ORDER_LOST) /* HAProxy and Envoy keep the order alone: names come in lower case */
        r->present &= ~(uint32_t)XB_HAS_CASE;
    if (row->order == XB_ORDER_LOST || (row->order == XB_ORDER_IF_SAID && !order_said))
        r->present &= ~(uint32_t)XB_HAS_ORDER;
    if (tells)
        r->files = small_number(told(r, XB_H_X_XBOT_FILES, row));
    if (direct)
        connection(r, row);
    if (r->ip.at)
        r->present |= XB_HAS_IP;
    if (!r->uri.at)
        r->present &= ~(uint32_t)XB_HAS_URL;
}

/* ---- the other way ---- */

typedef struct {
    char *at, *end;
} room;

/* One line, if it finds room. A line break in a value would begin another line. */
static void put_line(room *to, xb_span name, xb_span value)
{
    if ((size_t)(to->end - to->at) < name.size + value.size + 4)
        return;
    char *p = (char *)memcpy(to->at, name.at, name.size) + name.size;
    *p++ = ':';
    *p++ = ' ';
    for (size_t i = 0; i < value.size; i++)
        *p++ = value.at[i] == '\r' || value.at[i] == '\n' ? ' ' : value.at[i];
    *p++ = '\r';
    *p++ = '\n';
    to->at = p;
}

static void put_field(room *to, const char *name, xb_span value)
{
    if (value.size)
        put_line(to, (xb_span){name, strlen(name)}, value);
}

static char *put_decimal(char *to, uint64_t n)
{
    char digits[20];
    size_t i = sizeof digits;
    do
        digits[--i] = (char)('0' + n % 10);
    while (n /= 10);
    return (char *)memcpy(to, digits + i, sizeof digits - i) + (sizeof digits - i);
}

static void put_connection(room *to, const xb_connection_id *c)
{
    char text[64], *p = put_decimal(text, c->process);
    if (!c->requests)
        return;
    *p++ = '-';
    p = put_decimal(p, c->serial);
    *p++ = '-';
    p = put_decimal(p, c->requests);
    put_field(to, "X-Connection", xb_span_of(text, p));
}

/* May a header of the visitor's be in a question: does it neither frame a message nor say what nginx says by itself? */
static bool may_ask(const xb_header *h)
{
    switch (h->id) {
    case XB_H_HOST:
    case XB_H_CONTENT_LENGTH:
    case XB_H_TRANSFER_ENCODING:
    case XB_H_X_REAL_IP:
    case XB_H_X_ORIGINAL_URI:
    case XB_H_X_ORIGINAL_URL:
    case XB_H_X_ORIGINAL_METHOD:
    case XB_H_X_ORIGINAL_PROTOCOL:
    case XB_H_X_ORIGINAL_SCHEME:
    case XB_H_X_ORIGINAL_HOST:
    case XB_H_X_ORIGINAL_ORDER:
    case XB_H_X_BOT_POLICY:
        return false;
    default:
        return h->id < XB_H_X_TLS_PROTOCOL || h->id == XB_H_OTHER;
    }
}

size_t xb_question_of(const xb_request *r, char *to)
{
    const xb_span first = XB_SPAN("GET / HTTP/1.1\r\n");
    room out = {(char *)memcpy(to, first.at, first.size) + first.size, to + XB_MAX_HEAD - 2};
    put_field(&out, "X-Real-IP", r->ip);
    put_field(&out, "X-Original-URI", r->uri);
    put_field(&out, "X-Original-Method", r->method);
    put_field(&out, "X-Original-Protocol", r->protocol);
    put_field(&out, "X-Original-Scheme", r->scheme);
    put_field(&out, "X-Original-Host", r->host);
    put_connection(&out, &r->connection);
    if (!(r->present & XB_HAS_ORDER))
        put_field(&out, "X-Original-Order", XB_SPAN("lost"));
    put_field(&out, "X-Bot-Policy", r->policy);
    put_field(&out, "Host", XB_SPAN("xbot"));
    for (uint32_t i = 0; i < r->n_headers; i++)
        if (may_ask(&r->headers[i]))
            put_line(&out, r->headers[i].name, r->headers[i].value);
    *out.at++ = '\r';
    *out.at++ = '\n';
    return (size_t)(out.at - to);
}
