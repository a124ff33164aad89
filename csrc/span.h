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

/* Classes of bytes: a table, as a loop over an agent asks for several of them for each byte. */
enum { XB_LETTER = 1, XB_DIGIT = 2, XB_HIGH = 4, XB_WORD = XB_LETTER | XB_DIGIT | XB_HIGH, XB_CONTROL = 8 };

static const uint8_t xb_classes[256] = {
    [0 ... 0x1f] = XB_CONTROL, [0x7f] = XB_CONTROL,    ['0' ... '9'] = XB_DIGIT,
    ['a' ... 'z'] = XB_LETTER, ['A' ... 'Z'] = XB_LETTER, [0x80 ... 0xff] = XB_HIGH,
};

static inline uint8_t xb_class(char c) { return xb_classes[(unsigned char)c]; }
static inline bool xb_is_digit(char c) { return (unsigned char)(c - '0') < 10; }
/* Word bytes: ASCII letters and digits, and every byte of a non-ASCII character. */
static inline bool xb_is_word(char c) { return (xb_class(c) & XB_WORD) != 0; }

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

/* The next member of a comma-separated list, without its parameters ("gzip;q=0.5" gives "gzip"), from *p on, which moves
 * behind it. False at the end. For Accept-Encoding and its kin. */
static inline bool xb_list_next(const char **p, const char *end, xb_span *member)
{
    while (*p < end && (**p == ' ' || **p == ',' || **p == '\t'))
        (*p)++;
    if (*p == end)
        return false;
    const char *from = *p;
    while (*p < end && **p != ',' && **p != ';' && **p != ' ')
        (*p)++;
    *member = xb_span_of(from, *p);
    while (*p < end && **p != ',')
        (*p)++;
    return true;
}

#endif
