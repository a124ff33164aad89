/* The hash of short texts at both edges of readable memory, against the same function stated byte by byte. */
#include "harness.h"
#include "base/hash.h"
#include "base/ids.h"

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
    CHECK(xb_span_same(XB_SPAN(""), (xb_span){NULL, 0}) && !xb_span_same(XB_SPAN(""), XB_SPAN("a")));
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
    /* As CPython hashes these eight bytes with PYTHONHASHSEED=0, which is SipHash-1-3 with a key of zeros. */
    const uint64_t key[2] = {0, 0};
    CHECK(xb_sip13(key, 0) == UINT64_C(0xbd60acb658c79e45));
    CHECK(xb_sip13(key, 1) == UINT64_C(0x1e9f734161d62dd9));
    CHECK(xb_sip13(key, UINT64_C(0x0123456789abcdef)) == UINT64_C(0x8662046e52264db8));
    xb_ids ids = {.key = {1, 2}};
    CHECK(xb_ids_next(&ids) == (xb_sip13(ids.key, 0) & XB_ID_MASK) && ids.count == 1);
    char letters[XB_ID_SIZE];
    xb_id_text(XB_ID_MASK | XB_RECORDED, letters);
    CHECK_TEXT(((xb_span){letters, sizeof letters}), "zzzzzzzzzzzz");
    xb_id_text(1 << 5, letters);
    CHECK_TEXT(((xb_span){letters, sizeof letters}), "000000000010");
    return done("hash");
}
