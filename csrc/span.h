/* span.h - a run of bytes in somebody else's buffer, and the classes of single bytes.
 *
 * Law: nothing here owns memory and nothing reads outside [at, at + size).
 * `at == NULL` means absent (the source does not hold the thing); `at != NULL, size == 0` means present and empty.
 */
#ifndef XB_SPAN_H
#define XB_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "xbot hashes and stores little-endian words; this machine is big-endian"
#endif

typedef struct {
    const char *at;
    size_t size;
} xb_span;

#define XB_SPAN(literal) ((xb_span){(literal), sizeof(literal) - 1})

static inline xb_span xb_span_of(const char *from, const char *to)
{
    return (xb_span){from, (size_t)(to - from)};
}

static inline bool xb_is_digit(char c) { return (unsigned char)(c - '0') < 10; }
static inline bool xb_is_letter(char c) { return (unsigned char)((c | 0x20) - 'a') < 26; }
static inline bool xb_is_high(char c) { return ((unsigned char)c & 0x80) != 0; }
/* Word bytes: ASCII letters and digits, and every byte of a non-ASCII character. */
static inline bool xb_is_word(char c) { return xb_is_letter(c) || xb_is_digit(c) || xb_is_high(c); }

/* The value of a hexadecimal digit, or -1. */
static inline int xb_hex(char c)
{
    if (xb_is_digit(c))
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static inline char xb_lower(char c) { return (unsigned char)(c - 'A') < 26 ? (char)(c | 0x20) : c; }

/* Equal, letters without regard to case; `lower` is a lower-case literal. */
static inline bool xb_span_is(xb_span s, xb_span lower)
{
    if (s.size != lower.size)
        return false;
    for (size_t i = 0; i < s.size; i++)
        if (xb_lower(s.at[i]) != lower.at[i])
            return false;
    return true;
}

static inline bool xb_span_same(xb_span a, xb_span b)
{
    if (a.size != b.size)
        return false;
    for (size_t i = 0; i < a.size; i++)
        if (xb_lower(a.at[i]) != xb_lower(b.at[i]))
            return false;
    return true;
}

static inline bool xb_span_starts(xb_span s, xb_span lower)
{
    return s.size >= lower.size && xb_span_is((xb_span){s.at, lower.size}, lower);
}

static inline bool xb_span_ends(xb_span s, xb_span lower)
{
    return s.size >= lower.size && xb_span_is((xb_span){s.at + s.size - lower.size, lower.size}, lower);
}

/* First place of `c` in `s`, or NULL. */
static inline const char *xb_span_find(xb_span s, char c)
{
    return s.size ? memchr(s.at, c, s.size) : NULL;
}

static inline uint32_t xb_span_count(xb_span s, char c)
{
    uint32_t n = 0;
    for (size_t i = 0; i < s.size; i++)
        n += s.at[i] == c;
    return n;
}

/* Does `s` hold `lower` as a part of a comma-separated list, before any `;q=`? For Accept-Encoding and its kin. */
static inline bool xb_span_lists(xb_span s, xb_span lower)
{
    const char *p = s.at, *end = s.at + s.size;
    while (p && p < end) {
        while (p < end && (*p == ' ' || *p == ',' || *p == '\t'))
            p++;
        const char *from = p;
        while (p < end && *p != ',' && *p != ';' && *p != ' ')
            p++;
        if (xb_span_is(xb_span_of(from, p), lower))
            return true;
        while (p < end && *p != ',')
            p++;
    }
    return false;
}

#endif
