/* hash.h - the hashes of this project, to 64 bits: xb_hash of words, header names and hosts, letters without regard to
 * case; xb_hash_bytes of bytes that are not text, such as an address; xb_hash_keyed of bytes that a visitor chooses, with a secret.
 *
 * Law: pure functions; the values of the first two are part of the model file's meaning, so a change here is a new version
 * of each family and of ref_host_known (features.def). tests/core/test_hash.py states the same function in Python.
 *
 * xb_hash: the input is taken as little-endian 8-byte words, the last one padded with zeros. Bit 5 of every byte is set: that
 * folds A-Z onto a-z, and a few control and punctuation bytes onto each other, which only costs a rare collision.
 * Each word goes through a multiply and xor-shift round, the finish is one more (the mixing steps are those of
 * MurmurHash3's 64-bit finaliser, by Austin Appleby, public domain; the constants are his).
 */
#ifndef XB_HASH_H
#define XB_HASH_H

#include "base/span.h"

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

/* The last `n` bytes (1 to 7) before `end`, padded with zeros; `whole` says that 8 bytes before `end` are readable. */
static inline uint64_t xb_load_tail(const char *end, size_t n, bool whole)
{
    return whole ? xb_load64(end - 8) >> (8 * (8 - n)) : xb_load_few(end - n, n);
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

/* The same of a span (not empty) in a text that goes on until `end`. */
static inline uint64_t xb_hash_within(xb_span s, const char *end)
{
    return (size_t)(end - s.at) >= ((s.size + 7) & ~(size_t)7) ? xb_hash_readable(s.at, s.size) : xb_hash(s);
}

/* Of bytes as they are: the same words, none folded, each through xb_mix. xb_mix is one to one, so inputs of the same size
 * up to 8 bytes never have the same hash. */
static inline uint64_t xb_hash_bytes(xb_span s)
{
    uint64_t h = s.size * XB_GOLDEN;
    const char *p = s.at, *end = s.at + s.size;
    for (; end - p >= 8; p += 8)
        h = xb_mix(h ^ xb_load64(p));
    if (p < end)
        h = xb_mix(h ^ xb_load_tail(end, (size_t)(end - p), s.size >= 8));
    return h;
}

/* The product of two words, its halves folded onto each other (as in wyhash, by Wang Yi, public domain). */
static inline uint64_t xb_fold(uint64_t a, uint64_t b)
{
    const __uint128_t product = (__uint128_t)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Continues `h` with bytes as they are, 16 at a time. Who does not know `secret` (random, and `h` begins with another secret)
 * cannot find two inputs of the same hash. */
static inline uint64_t xb_hash_keyed(uint64_t h, xb_span s, uint64_t secret)
{
    const char *p = s.at, *end = s.at + s.size;
    h ^= s.size * XB_GOLDEN;
    for (; end - p >= 16; p += 16)
        h = xb_fold(xb_load64(p) ^ secret, xb_load64(p + 8) ^ h);
    if (end - p >= 8) {
        h = xb_fold(xb_load64(p) ^ secret, h ^ XB_MIX_1);
        p += 8;
    }
    if (p < end)
        h = xb_fold(xb_load_tail(end, (size_t)(end - p), s.size >= 8) ^ secret, h ^ XB_MIX_2);
    return h;
}

#endif
