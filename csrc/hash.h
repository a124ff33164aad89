/* hash.h - the one hash of this project: words, header names and hosts to 64 bits, letters without regard to case.
 *
 * Law: pure functions; the values are part of the model file's meaning, so a change here is a new featurizer version
 * (XB_FEATURIZER_VERSION in featurizer.h). tests/test_hash.py states the same function in Python.
 *
 * The input is taken as little-endian 8-byte words, the last one padded with zeros. Bit 5 of every byte is set: that
 * folds A-Z onto a-z, and a few control and punctuation bytes onto each other, which only costs a rare collision.
 * Each word goes through a multiply and xor-shift round, the finish is one more (the mixing steps are those of
 * MurmurHash3's 64-bit finaliser, by Austin Appleby, public domain; the constants are his).
 */
#ifndef XB_HASH_H
#define XB_HASH_H

#include "span.h"

#define XB_MIX_1 UINT64_C(0xff51afd7ed558ccd)
#define XB_MIX_2 UINT64_C(0xc4ceb9fe1a85ec53)
#define XB_GOLDEN UINT64_C(0x9e3779b97f4a7c15)

static inline uint64_t xb_mix(uint64_t h)
{
    h ^= h >> 33;
    h *= XB_MIX_1;
    h ^= h >> 29;
    h *= XB_MIX_2;
    return h ^ (h >> 32);
}

static inline uint64_t xb_load64(const char *p)
{
    uint64_t w;
    memcpy(&w, p, 8);
    return w;
}

/* The byte `c` in each of the eight bytes of a word. */
#define XB_EVERY(c) (UINT64_C(0x0101010101010101) * (uint8_t)(c))

/* The top bit of each byte that is zero, and maybe of some above the lowest such byte; 0 if there is none. */
static inline uint64_t xb_zero_bytes(uint64_t w)
{
    return (w - XB_EVERY(1)) & ~w & XB_EVERY(0x80);
}

/* The last `n` bytes (1 to 7) before `end`, zero-padded; `whole` says that 8 bytes before `end` are readable. */
static inline uint64_t xb_load_tail(const char *end, size_t n, bool whole)
{
    if (whole)
        return xb_load64(end - 8) >> (8 * (8 - n));
    uint64_t w = 0;
    const char *p = end - n;
    if (n & 4) {
        uint32_t four;
        memcpy(&four, p, 4);
        w = four;
        p += 4;
    }
    size_t shift = (n & 4) * 8;
    if (n & 2) {
        uint16_t two;
        memcpy(&two, p, 2);
        w |= (uint64_t)two << shift;
        p += 2;
        shift += 16;
    }
    if (n & 1)
        w |= (uint64_t)(unsigned char)*p << shift;
    return w;
}

#define XB_FOLD UINT64_C(0x2020202020202020)

static inline uint64_t xb_hash_word(uint64_t h, uint64_t word)
{
    h = (h ^ (word | XB_FOLD)) * XB_MIX_1;
    return h ^ h >> 32;
}

static inline uint64_t xb_hash_end(uint64_t h)
{
    h *= XB_MIX_2;
    return h ^ (h >> 29);
}

static inline uint64_t xb_hash(xb_span s)
{
    uint64_t h = s.size * XB_GOLDEN;
    const char *p = s.at, *end = s.at + s.size;
    for (; end - p >= 8; p += 8)
        h = xb_hash_word(h, xb_load64(p));
    if (p < end)
        h = xb_hash_word(h, xb_load_tail(end, (size_t)(end - p), s.size >= 8));
    return xb_hash_end(h);
}

/* The same of `size` bytes (at least 1), of which whole words can be read: what is behind them does not count. */
static inline uint64_t xb_hash_readable(const char *at, size_t size)
{
    uint64_t h = size * XB_GOLDEN;
    for (; size > 8; at += 8, size -= 8)
        h = xb_hash_word(h, xb_load64(at));
    unsigned unused = 64 - 8 * (unsigned)size;
    return xb_hash_end(xb_hash_word(h, xb_load64(at) << unused >> unused));
}

#endif
