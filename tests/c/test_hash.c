/* The hash of short texts at both edges of readable memory, against the same function stated byte by byte. */
#include "harness.h"
#include "base/hash.h"

/* csrc/base/hash.h's comment, word for word; no load wider than a byte. */
static uint64_t reference(const unsigned char *s, size_t size)
{
    uint64_t h = size * UINT64_C(0x9e3779b97f4a7c15);
    for (size_t i = 0; i < size; i += 8) {
        uint64_t w = 0;
        for (size_t j = 0; j < 8 && i + j < size; j++)
            w |= (uint64_t)s[i + j] << (8 * j);
        h = (h ^ (w | UINT64_C(0x2020202020202020))) * UINT64_C(0xff51afd7ed558ccd);
        h ^= h >> 32;
    }
    h *= UINT64_C(0xc4ceb9fe1a85ec53);
    return h ^ (h >> 29);
}

/* And of the other hash. */
static uint64_t reference_bytes(const unsigned char *s, size_t size)
{
    uint64_t h = size * UINT64_C(0x9e3779b97f4a7c15);
    for (size_t i = 0; i < size; i += 8) {
        uint64_t w = 0;
        for (size_t j = 0; j < 8 && i + j < size; j++)
            w |= (uint64_t)s[i + j] << (8 * j);
        h = xb_mix(h ^ w);
    }
    return h;
}

int main(void)
{
    unsigned char text[40];
    uint64_t state = 17, all = 0;
    for (size_t size = 0; size <= sizeof text; size++)
        for (int round = 0; round < 50; round++) {
            for (size_t i = 0; i < size; i++)
                text[i] = (unsigned char)((state = xb_mix(state + i + 1)) >> 56);
            uint64_t want = reference(text, size);
            for (int edge = 0; edge < 2; edge++) {
                xb_span s = {placements[edge](text, size), size};
                CHECK(xb_hash(s) == want);
                CHECK(xb_hash_bytes(s) == reference_bytes(text, size));
            }
            for (size_t i = 0; i < size; i++)
                text[i] = (unsigned char)((text[i] | 0x20) == text[i] ? text[i] & ~0x20 : text[i] | 0x20);
            CHECK(xb_hash((xb_span){at_end(text, size), size}) == want); /* bit 5 does not count */
            all |= want;
        }
    CHECK(all == UINT64_MAX); /* every bit of the result is used */
    /* What is behind or before the text does not count; its length does. */
    CHECK(xb_hash((xb_span){"abcdefgh-x" + 1, 8}) == xb_hash(XB_SPAN("bcdefgh-")));
    CHECK(xb_hash(XB_SPAN("a")) != xb_hash((xb_span){"a\0", 2}));
    return done("hash");
}
