#include "base/address.h"

#include <arpa/inet.h>

/* Four numbers of one to three digits: 7 to 15 bytes, read from a copy that ends with a byte which is none of them. */
static bool address_v4(xb_span text, xb_address *out)
{
    char copy[16] = {0};
    if (text.size < 7 || text.size > 15)
        return false;
    memcpy(copy, text.at, 7);
    memcpy(copy + text.size - 7, text.at + text.size - 7, 7);
    if (text.size == 15)
        copy[7] = text.at[7];
    const char *p = copy;
    for (int i = 0; i < 4; i++) {
        if (i && *p++ != '.')
            return false;
        unsigned value = (unsigned)(unsigned char)*p++ - '0', digit;
        if (value > 9)
            return false;
        if ((digit = (unsigned)(unsigned char)*p - '0') < 10) {
            value = value * 10 + digit;
            if ((digit = (unsigned)(unsigned char)*++p - '0') < 10) {
                value = value * 10 + digit;
                p++;
            }
        }
        if (value > 255)
            return false;
        out->bytes[i] = (uint8_t)value;
    }
    return p == copy + text.size;
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

bool xb_address_is_nobodys(const xb_address *address)
{
    static const uint8_t none[16];
    return memcmp(address->bytes, none, address->version == 4 ? 4 : 16) == 0;
}
