#include "dialect.h"

const char *const xb_dialect_names[XB_DIALECT_COUNT] = {"nginx", "challenge"};

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

static void nginx(xb_request *r)
{
    r->ip = xb_value(r, XB_H_X_REAL_IP);
    r->uri = xb_value(r, XB_H_X_ORIGINAL_URI);
    r->method = xb_value(r, XB_H_X_ORIGINAL_METHOD);
    r->protocol = xb_value(r, XB_H_X_ORIGINAL_PROTOCOL);
    r->scheme = xb_value(r, XB_H_X_ORIGINAL_SCHEME);
    r->host = xb_value(r, XB_H_X_ORIGINAL_HOST);
    r->policy = xb_value(r, XB_H_X_BOT_POLICY);
}

/* The hackathon's endpoint knows three fields and nothing of the visitor's other headers. */
static void challenge(xb_request *r, char *scratch)
{
    const char *end = r->uri.at + r->uri.size, *p = xb_span_find(r->uri, '?');
    r->present = XB_HAS_UA | XB_HAS_REFERRER;
    r->ip = r->agent = r->referrer = r->host = (xb_span){NULL, 0};
    while (p && p < end) {
        const char *name = p + 1, *stop = memchr(name, '&', (size_t)(end - name));
        if (!stop)
            stop = end;
        const char *equals = memchr(name, '=', (size_t)(stop - name));
        if (equals) {
            xb_span key = xb_span_of(name, equals);
            xb_span value = xb_url_decode(xb_span_of(equals + 1, stop), scratch, NULL);
            scratch += value.size;
            if (xb_span_is(key, XB_SPAN("ip")))
                r->ip = value;
            else if (xb_span_is(key, XB_SPAN("user_agent")))
                r->agent = value;
            else if (xb_span_is(key, XB_SPAN("referer")))
                r->referrer = value;
        }
        p = stop;
    }
}

void xb_dialect_apply(xb_dialect dialect, xb_request *r, char *scratch)
{
    if (dialect == XB_DIALECT_CHALLENGE)
        challenge(r, scratch);
    else
        nginx(r);
    if (r->ip.at)
        r->present |= XB_HAS_IP;
    if (!r->uri.at)
        r->present &= ~(uint32_t)XB_HAS_URL;
}
