#include "request/challenge.h"

#include "base/address.h"
#include "request/dialect.h"

/* The usual state machine of RFC 3629: no overlong form, no surrogate, nothing above U+10FFFF. */
static bool valid_utf8(xb_span s)
{
    const unsigned char *p = (const unsigned char *)s.at, *end = p + s.size;
    while (p < end) {
        unsigned c = *p++, more, low = 0x80, high = 0xbf;
        if (c < 0x80)
            continue;
        if (c >= 0xc2 && c <= 0xdf)
            more = 1;
        else if ((c & 0xf0) == 0xe0)
            more = 2;
        else if (c >= 0xf0 && c <= 0xf4)
            more = 3;
        else
            return false;
        if (c == 0xe0)
            low = 0xa0;
        else if (c == 0xed)
            high = 0x9f;
        else if (c == 0xf0)
            low = 0x90;
        else if (c == 0xf4)
            high = 0x8f;
        for (; more; more--, low = 0x80, high = 0xbf)
            if (p == end || *p < low || *p++ > high)
                return false;
    }
    return true;
}

static const char *why_no_address(xb_span s)
{
    size_t dots = xb_span_count(s, '.');
    if (s.size == 0)
        return "empty";
    for (size_t i = 0; i < s.size; i++)
        if (!xb_is_digit(s.at[i]) && s.at[i] != '.')
            return "not an IPv4 or IPv6 address";
    return dots == 3 ? "bad octet: each is a number from 0 to 255" : "an IPv4 address has four octets";
}

static const char *const challenge_fields[] = {"ip", "user_agent", "referrer", "status"};

bool xb_challenge_line(xb_span line, char *scratch, xb_request *r, xb_line *out)
{
    xb_span field[4];
    size_t n = 0;
    xb_request_clear(r);
    xb_line_clear(out);
    if (line.size > XB_MAX_LINE)
        return xb_line_fail(out, "line", "longer than 65536 bytes");
    for (const char *p = line.at, *end = line.at + line.size; p; n++) {
        const char *tab = p < end ? memchr(p, '\t', (size_t)(end - p)) : NULL;
        if (n < 4)
            field[n] = xb_span_of(p, tab ? tab : end);
        p = tab ? tab + 1 : NULL;
    }
    if (n < 3)
        return xb_line_fail(out, "line", "fewer than 3 fields: expected ip, user_agent, referrer and perhaps true or false");
    if (n > 4)
        return xb_line_fail(out, "line", "more than 4 fields: expected ip, user_agent, referrer and perhaps true or false");
    for (size_t i = 0; i < n; i++) {
        const char *bad;
        field[i] = xb_url_decode(field[i], scratch, &bad);
        scratch += field[i].size;
        if (bad)
            return xb_line_fail(out, challenge_fields[i], "bad escape: % is followed by two hexadecimal digits");
        if (field[i].size && memchr(field[i].at, 0, field[i].size))
            return xb_line_fail(out, challenge_fields[i], "holds a NUL");
        if (!valid_utf8(field[i]))
            return xb_line_fail(out, challenge_fields[i], "invalid UTF-8");
    }
    xb_address ignored;
    if (!xb_address_parse(field[0], &ignored))
        return xb_line_fail(out, "ip", why_no_address(field[0]));
    if (n == 4) {
        if (xb_span_is(field[3], XB_SPAN("true")))
            out->label = XB_LABEL_HUMAN;
        else if (xb_span_is(field[3], XB_SPAN("false")))
            out->label = XB_LABEL_BOT;
        else
            return xb_line_fail(out, "status", "neither true (human) nor false (bot)");
    }
    r->present = XB_HAS_IP | XB_HAS_UA | XB_HAS_REFERRER;
    r->ip = field[0];
    r->agent = field[1];
    r->referrer = field[2];
    return true;
}
