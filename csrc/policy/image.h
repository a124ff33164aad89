/* image.h - what the parts of an image of policies share: names, texts, ranges of addresses, and how one is found.
 *
 * Law: offsets count from the image's beginning and are checked once, when it is opened; a lookup reads what was checked.
 */
#ifndef XB_IMAGE_H
#define XB_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/address.h"
#include "base/span.h"

enum { XB_MAX_NAME = 32 /* bytes of a name, with its closing zero */ };

typedef struct {
    uint64_t first[2], last[2]; /* the address as two numbers, the upper half first */
} xb_range6;

typedef struct {
    uint32_t at, size;
} xb_text;

/* `n` things of `size` bytes at `at`, or NULL if they do not lie in the image's `total` bytes. */
static inline const void *xb_image_part(const char *image, uint64_t total, uint64_t at, uint64_t n, size_t size)
{
    return at % 8 == 0 && at <= total && n <= (total - at) / size ? image + at : NULL;
}

static inline bool xb_text_fits(xb_text t, uint64_t total) { return t.at <= total && t.size <= total - t.at; }

/* A name goes into headers as it is: of the letters of a reason, ended by a zero within `size` bytes, and not empty. */
static inline bool xb_is_name(const char *name, size_t size)
{
    const char *p = name;
    while (p < name + size && xb_is_reason(*p))
        p++;
    return p > name && p < name + size && *p == 0;
}

static inline int xb_compare6(const uint64_t *a, const uint64_t *b)
{
    int upper = (a[0] > b[0]) - (a[0] < b[0]);
    return upper ? upper : (a[1] > b[1]) - (a[1] < b[1]);
}

/* Ascending, and none touching another? `first` holds n first addresses, then n last ones. */
static inline bool xb_ranges4_ordered(const uint32_t *first, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (first[i] > first[n + i] || (i && first[i] <= first[n + i - 1]))
            return false;
    return true;
}

static inline bool xb_ranges6_ordered(const xb_range6 *range, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (xb_compare6(range[i].first, range[i].last) > 0 || (i && xb_compare6(range[i].first, range[i - 1].last) <= 0))
            return false;
    return true;
}

static inline uint32_t xb_number4(const xb_address *address)
{
    uint32_t number;
    memcpy(&number, address->bytes, 4);
    return __builtin_bswap32(number);
}

static inline uint64_t xb_big_endian64(const uint8_t *bytes)
{
    uint64_t n;
    memcpy(&n, bytes, 8);
    return __builtin_bswap64(n);
}

/* The place of the range that holds the address, or -1. */
static inline int64_t xb_find4(const uint32_t *first, uint32_t n, uint32_t address)
{
    const uint32_t *last = first + n, *base = first;
    if (n == 0)
        return -1;
    for (uint32_t left = n; left > 1; left -= left / 2)
        base += base[left / 2] <= address ? left / 2 : 0; /* a conditional move: nothing to mispredict */
    return *base <= address && address <= last[base - first] ? base - first : -1;
}

static inline int64_t xb_find6(const xb_range6 *range, uint32_t n, const uint64_t *address)
{
    const xb_range6 *base = range;
    if (n == 0)
        return -1;
    for (uint32_t left = n; left > 1; left -= left / 2)
        base += xb_compare6(base[left / 2].first, address) <= 0 ? left / 2 : 0;
    return xb_compare6(base->first, address) <= 0 && xb_compare6(address, base->last) <= 0 ? base - range : -1;
}

#endif
