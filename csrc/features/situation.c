#include "features/situation.h"

/* "/.well-known/..." that stays there: browsers and systems ask for these by themselves. "/.well-known/.." is the root. */
static bool well_known(xb_span path)
{
    return xb_span_starts(path, XB_SPAN("/.well-known/")) && !xb_span_find(path, '%') && !xb_contains(path, XB_SPAN("/.."));
}

/* Does the visitor reach a host that browsers trust without TLS? Then they send what else only https gets. A visitor can write
 * such a name into Host, but then only a server without a name of its own answers. */
static bool loopback(const xb_facts *f)
{
    const xb_address *ip = &f->ip;
    static const uint8_t one6[16] = {[15] = 1};
    if ((ip->version == 4 && ip->bytes[0] == 127) || (ip->version == 6 && memcmp(ip->bytes, one6, sizeof one6) == 0))
        return true;
    const xb_span host = f->host;
    return xb_span_is(host, XB_SPAN("localhost")) || xb_span_ends(host, XB_SPAN(".localhost")) ||
           xb_span_starts(host, XB_SPAN("127.")) || xb_span_is(host, XB_SPAN("::1"));
}

static xb_situation_method method_of(xb_span method)
{
    switch (method.size) {
    case 0:
        return XB_METHOD_NONE;
    case 3:
        return xb_span_is(method, XB_SPAN("get")) ? XB_METHOD_GET : xb_span_is(method, XB_SPAN("put")) ? XB_METHOD_UNSAFE : XB_METHOD_OTHER;
    case 4:
        return xb_span_is(method, XB_SPAN("post")) ? XB_METHOD_POST : xb_span_is(method, XB_SPAN("head")) ? XB_METHOD_HEAD : XB_METHOD_OTHER;
    case 5:
        return xb_span_is(method, XB_SPAN("patch")) ? XB_METHOD_UNSAFE : XB_METHOD_OTHER;
    case 6:
        return xb_span_is(method, XB_SPAN("delete")) ? XB_METHOD_UNSAFE : XB_METHOD_OTHER;
    default:
        return xb_span_is(method, XB_SPAN("options")) ? XB_METHOD_OPTIONS : XB_METHOD_OTHER;
    }
}

static xb_situation_scheme scheme_of(const xb_request *r, const xb_facts *f)
{
    if (!r->scheme.size)
        return XB_SCHEME_NONE;
    if (xb_span_is(r->scheme, XB_SPAN("https")))
        return XB_SCHEME_HTTPS;
    return loopback(f) ? XB_SCHEME_LOOPBACK : XB_SCHEME_PLAIN;
}

/* A form posts one of three types (HTML, 4.10.19.6). */
static bool of_a_form(xb_span type)
{
    return !type.size || xb_span_starts(type, XB_SPAN("application/x-www-form-urlencoded")) ||
           xb_span_starts(type, XB_SPAN("multipart/form-data")) || xb_span_starts(type, XB_SPAN("text/plain"));
}

uint32_t xb_situation_of(const xb_request *r, const xb_facts *f)
{
    const xb_situation_method method = method_of(r->method);
    const xb_situation_protocol protocol = !f->protocol ? XB_PROTOCOL_NONE : f->protocol < 20 ? XB_PROTOCOL_1 : XB_PROTOCOL_2;
    uint32_t situation = f->present & XB_SITUATION_HOLDS;
    situation |= r->malformed ? XB_SITUATION_MALFORMED : 0;
    situation |= well_known(f->path.url.path) ? XB_SITUATION_WELL_KNOWN : 0;
    if (method == XB_METHOD_POST) {
        situation |= f->referrer.length ? 0 : XB_SITUATION_NO_REFERRER;
        situation |= of_a_form(xb_value(r, XB_H_CONTENT_TYPE)) ? XB_SITUATION_FORM : 0;
    }
    return situation | (uint32_t)method << XB_SITUATION_METHOD | (uint32_t)scheme_of(r, f) << XB_SITUATION_SCHEME |
           (uint32_t)protocol << XB_SITUATION_PROTOCOL | (uint32_t)f->path.kind << XB_SITUATION_KIND;
}
