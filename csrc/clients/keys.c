#include "clients/keys.h"

char *xb_client_keys_text(const xb_client_keys *k, char *to)
{
    const uint64_t keys[] = {k->client, k->network, k->shape};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        for (int shift = 60; shift >= 0; shift -= 4)
            *to++ = "0123456789abcdef"[keys[i] >> shift & 15];
    return to;
}

bool xb_client_keys_parse(xb_span text, xb_client_keys *out)
{
    uint64_t keys[3] = {0};
    *out = (xb_client_keys){0};
    if (text.size != XB_CLIENT_KEYS_TEXT)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        const int digit = xb_hex(text.at[i]);
        if (digit < 0)
            return false;
        keys[i / 16] = keys[i / 16] << 4 | (unsigned)digit;
    }
    *out = (xb_client_keys){keys[0], keys[1], keys[2]};
    return true;
}
