#include "request.h"

#include "hash.h"

typedef struct {
    xb_span name;
    uint64_t hash;
    uint8_t id;
    bool visitor;
} known_header;

enum { ROLE_HOP, ROLE_PROXY, ROLE_VISITOR };

/* Open addressing on the top bits; at most a quarter full, so a miss ends at the first or second slot. */
enum { TABLE_BITS = 8, TABLE_SIZE = 1 << TABLE_BITS };
static known_header table[TABLE_SIZE];

static void table_put(xb_span name, uint8_t id, bool visitor)
{
    uint64_t hash = xb_hash(name);
    size_t slot = hash >> (64 - TABLE_BITS);
    while (table[slot].name.at && table[slot].hash != hash)
        slot = (slot + 1) % TABLE_SIZE;
    table[slot] = (known_header){name, hash, id, visitor};
}

void xb_request_init(void)
{
#define XB_HEADER(id, name, role) table_put(XB_SPAN(name), XB_H_##id, ROLE_##role == ROLE_VISITOR);
#include "headers.def"
#undef XB_HEADER
}

void xb_request_clear(xb_request *r)
{
    memset(r, 0, offsetof(xb_request, first));
    memset(&r->n_headers, 0, offsetof(xb_request, headers) - offsetof(xb_request, n_headers));
}

void xb_request_add(xb_request *r, xb_span name, xb_span value)
{
    if (r->n_headers == XB_MAX_HEADERS) {
        r->truncated = true;
        return;
    }
    xb_header *h = &r->headers[r->n_headers];
    h->name = name;
    h->value = value;
    h->hash = xb_hash(name);
    h->id = XB_H_OTHER;
    h->visitor = true;
    for (size_t slot = h->hash >> (64 - TABLE_BITS); table[slot].name.at; slot = (slot + 1) % TABLE_SIZE) {
        if (table[slot].hash != h->hash || !xb_same_name(name, table[slot].name))
            continue;
        h->id = table[slot].id;
        h->visitor = table[slot].visitor;
        if (!xb_has(r, h->id)) {
            r->seen |= UINT64_C(1) << h->id;
            r->first[h->id] = (uint16_t)r->n_headers;
        }
        break;
    }
    r->n_headers++;
}

size_t xb_head_end(const char *buf, size_t size, size_t from)
{
    const char *end = buf + size, *p = buf + (from > 3 ? from - 3 : 0);
    while (p < end && (p = memchr(p, '\n', (size_t)(end - p)))) {
        p++;
        if (p < end && *p == '\n')
            return (size_t)(p + 1 - buf);
        if (p + 1 < end && p[0] == '\r' && p[1] == '\n')
            return (size_t)(p + 2 - buf);
    }
    return 0;
}

/* "GET /path HTTP/1.1": the target is all between the first and the last space, so no byte in it is refused. */
static bool request_line(xb_request *r, const char *p, const char *end, bool *http11)
{
    const char *space = memchr(p, ' ', (size_t)(end - p));
    if (!space || space == p || end - space < 11)
        return false;
    const char *version = end - 9; /* " HTTP/1.x" */
    if (version <= space || memcmp(version, " HTTP/1.", 8) != 0 || (end[-1] != '0' && end[-1] != '1'))
        return false;
    r->method = xb_span_of(p, space);
    r->uri = xb_span_of(space + 1, version);
    r->protocol = xb_span_of(version + 1, end);
    *http11 = end[-1] == '1';
    return r->uri.size > 0;
}

static inline const char *line_end(const char *p, const char *end)
{
    return memchr(p, '\n', (size_t)(end - p));
}

static inline bool is_blank(char c) { return c == ' ' || c == '\t'; }

/* One header line without its line break. Lines without a name are counted and let be. */
static void header_line(xb_request *r, const char *p, const char *end)
{
    const char *colon = memchr(p, ':', (size_t)(end - p));
    if (!colon || colon == p) {
        r->malformed++;
        return;
    }
    const char *value = colon + 1;
    while (value < end && is_blank(*value))
        value++;
    while (end > value && is_blank(end[-1]))
        end--;
    xb_request_add(r, xb_span_of(p, colon), xb_span_of(value, end));
}

/* Content-Length and Transfer-Encoding decide whether a body follows; they are rare, so they are looked at last. */
static bool framing(xb_request *r, bool http11)
{
    r->keepalive = http11;
    bool close = r->truncated; /* what was not looked at may announce a body */
    for (uint32_t i = xb_has(r, XB_H_CONNECTION) ? r->first[XB_H_CONNECTION] : r->n_headers; i < r->n_headers; i++) {
        if (r->headers[i].id != XB_H_CONNECTION)
            continue;
        xb_span connection = r->headers[i].value, option;
        const char *p = connection.at, *end = p + connection.size;
        while (xb_list_next(&p, end, &option)) {
            close |= xb_span_is(option, XB_SPAN("close"));
            r->keepalive |= xb_span_is(option, XB_SPAN("keep-alive"));
        }
    }
    r->keepalive &= !close;
    r->body = xb_has(r, XB_H_TRANSFER_ENCODING);
    if (!xb_has(r, XB_H_CONTENT_LENGTH))
        return true;
    xb_span length = xb_value(r, XB_H_CONTENT_LENGTH);
    for (uint32_t i = 0; i < r->n_headers; i++)
        if (r->headers[i].id == XB_H_CONTENT_LENGTH && !xb_span_same(r->headers[i].value, length))
            return false;
    if (length.size == 0 || length.size > 18)
        return length.size == 0; /* an empty value is how some proxies say "none" */
    for (size_t i = 0; i < length.size; i++) {
        if (!xb_is_digit(length.at[i]))
            return false;
        r->body |= length.at[i] != '0';
    }
    return true;
}

/* Parses whole lines until the empty one; returns its end, or NULL if it did not come. */
static const char *lines(xb_request *r, const char *p, const char *end)
{
    const char *newline;
    while (p < end && (newline = line_end(p, end))) {
        const char *stop = newline > p && newline[-1] == '\r' ? newline - 1 : newline;
        if (stop == p)
            return newline + 1;
        header_line(r, p, stop);
        p = newline + 1;
    }
    return NULL;
}

enum { MAX_STRAY = 64 };

static long parse(xb_request *r, const char *buf, size_t size, bool whole)
{
    const char *p = buf, *end = buf + size;
    xb_request_clear(r);
    /* A stray line break before a request is allowed by RFC 9112, 2.2; a flood of them, looked at again with each byte, is
     * not. */
    while (p < end && (*p == '\r' || *p == '\n'))
        if (++p - buf > MAX_STRAY)
            return XB_BAD;
    const char *newline = p < end ? line_end(p, end) : NULL;
    if (!newline)
        return whole ? XB_PARTIAL : XB_BAD;
    bool http11 = false;
    const char *stop = newline > p && newline[-1] == '\r' ? newline - 1 : newline;
    if (!request_line(r, p, stop, &http11))
        return XB_BAD;
    const char *done = lines(r, newline + 1, end);
    if (!done && whole)
        return XB_PARTIAL;
    r->truncated |= !whole;
    r->present = XB_HAS_UA | XB_HAS_REFERRER | XB_HAS_URL | XB_HAS_HEADERS | XB_HAS_ORDER;
    r->agent = xb_value(r, XB_H_USER_AGENT);
    r->referrer = xb_value(r, XB_H_REFERER);
    r->host = xb_value(r, XB_H_HOST);
    if (!framing(r, http11))
        return XB_BAD;
    return done ? (long)(done - buf) : (long)size;
}

long xb_request_parse(xb_request *r, const char *buf, size_t size, size_t seen_size)
{
    if (seen_size && !xb_head_end(buf, size, seen_size)) {
        /* Only stray line breaks so far would make an "end" of nothing; parse() below sees that. */
        return XB_PARTIAL;
    }
    return parse(r, buf, size, true);
}

long xb_request_parse_truncated(xb_request *r, const char *buf, size_t size)
{
    return parse(r, buf, size, false);
}
