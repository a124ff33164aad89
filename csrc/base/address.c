#include "base/address.h"

#include <arpa/inet.h>

/* Four numbers of one to three digits, the text has at least two bytes. */
static bool address_v4(xb_span text, xb_address *out)
{
    const char *p = text.at, *end = text.at + text.size;
    for (int i = 0; i < 4; i++) {
        if (i && (p == end || *p++ != '.'))
            return false;
        const char *most = end - p < 3 ? end : p + 3;
        unsigned value = 0;
        const char *from = p;
        for (unsigned digit; p < most && (digit = (unsigned)(unsigned char)*p - '0') < 10; p++)
            value = value * 10 + digit;
        if (p == from || value > 255)
            return false;
        out->bytes[i] = (uint8_t)value;
    }
    return p == end;
}

bool xb_address_parse(xb_span text, xb_address *out)
{
    char zero_ended[INET6_ADDRSTRLEN];
    out->version = 0;
    if (text.size < 2 || text.size >= sizeof zero_ended || (xb_hex(*text.at) < 0 && *text.at != ':'))
        return false;
    if (address_v4(text, out)) {
        out->version = 4;
        return true;
    }
    if (!xb_span_find(text, ':') || memchr(text.at, 0, text.size))
        return false;
    memcpy(zero_ended, text.at, text.size);
    zero_ended[text.size] = 0;
    if (inet_pton(AF_INET6, zero_ended, out->bytes) != 1)
        return false;
    /* ::ffff:192.0.2.1 is an IPv4 visitor on an IPv6 socket. */
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (memcmp(out->bytes, mapped, sizeof mapped) == 0) {
        memmove(out->bytes, out->bytes + 12, 4);
        out->version = 4;
    } else {
        out->version = 6;
    }
    return true;
}
