#include "request/fields.h"

static void set(xb_request *r, xb_span *to, xb_span field, uint32_t part)
{
    if (!field.at)
        return;
    *to = field;
    r->present |= part;
}

bool xb_request_complete(xb_request *r, const xb_fields *f)
{
    if (f->uri.size > XB_MAX_HEAD) {
        xb_request_clear(r);
        return false;
    }
    r->present = 0;
    if (f->headers != XB_HEADERS_UNKNOWN) {
        r->present = XB_HAS_UA | XB_HAS_REFERRER | XB_HAS_HEADERS;
        r->agent = xb_value(r, XB_H_USER_AGENT);
        r->referrer = xb_value(r, XB_H_REFERER);
        r->host = xb_value(r, XB_H_HOST);
    }
    if (f->headers == XB_HEADERS_ORDERED)
        r->present |= XB_HAS_ORDER | XB_HAS_CASE;
    set(r, &r->ip, f->ip, XB_HAS_IP);
    set(r, &r->agent, f->agent, XB_HAS_UA);
    set(r, &r->referrer, f->referrer, XB_HAS_REFERRER);
    set(r, &r->uri, f->uri, XB_HAS_URL);
    set(r, &r->method, f->method, 0);
    set(r, &r->protocol, f->protocol, 0);
    set(r, &r->scheme, f->scheme, 0);
    set(r, &r->host, f->host, 0);
    set(r, &r->policy, f->policy, 0);
    r->tls = f->tls;
    if (xb_tls_said(&f->tls))
        r->present |= XB_HAS_TLS;
    r->connection = f->connection;
    return true;
}
