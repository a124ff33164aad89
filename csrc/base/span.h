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

#ifdef __SSE2__
#include <emmintrin.h>
#endif

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

/* The letters of X-Bot-Reason and X-Bot-Policy: what no page, shell or log takes for anything but text. */
static inline bool xb_is_reason(char c)
{
    return xb_is_digit(c) || (c >= 'a' && c <= 'z') || (c && strchr("._:/*,;=+>-", c) != NULL);
}

/* ---- eight bytes at a time ---- */

/* The byte `c` in each of the eight bytes of a word. */
#define XB_EVERY(c) (UINT64_C(0x0101010101010101) * (uint8_t)(c))

static inline uint64_t xb_load64(const char *p)
{
    uint64_t w;
    memcpy(&w, p, 8);
    return w;
}

/* `n` bytes, 0 to 7, padded with zeros. */
static inline uint64_t xb_load_few(const char *p, size_t n)
{
    uint64_t w = 0;
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

/* The top bit of each byte that is zero, and maybe of some above the lowest such byte; 0 if there is none. */
static inline uint64_t xb_zero_bytes(uint64_t w)
{
    return (w - XB_EVERY(1)) & ~w & XB_EVERY(0x80);
}

/* xb_lower of each byte: the sums reach the top bit of a byte from 'A' on, and from behind 'Z' on. */
static inline uint64_t xb_lower_bytes(uint64_t w)
{
    uint64_t low = w & XB_EVERY(0x7f);
    uint64_t upper = (low + XB_EVERY(0x80 - 'A')) & ~(low + XB_EVERY(0x80 - 'Z' - 1)) & ~w & XB_EVERY(0x80);
    return w | upper >> 2;
}

/* The first `a` or `b` of [p, end), or `end`. For short stretches, where a call of memchr costs more than it finds. */
static inline const char *xb_find(const char *p, const char *end, char a, char b)
{
#ifdef __SSE2__
    const __m128i all_a = _mm_set1_epi8(a), all_b = _mm_set1_epi8(b);
    for (; end - p >= 16; p += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)p);
        int found = _mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(bytes, all_a), _mm_cmpeq_epi8(bytes, all_b)));
        if (found)
            return p + __builtin_ctz((unsigned)found);
    }
#endif
    for (; end - p >= 8; p += 8) {
        uint64_t w = xb_load64(p), found = xb_zero_bytes(w ^ XB_EVERY(a)) | xb_zero_bytes(w ^ XB_EVERY(b));
        if (found)
            return p + __builtin_ctzll(found) / 8;
    }
    while (p < end && *p != a && *p != b)
        p++;
    return p;
}

/* The first `a`, `b` or `c` of [p, end), or `end`. */
static inline const char *xb_find_any(const char *p, const char *end, char a, char b, char c)
{
#ifdef __SSE2__
    const __m128i all_a = _mm_set1_epi8(a), all_b = _mm_set1_epi8(b), all_c = _mm_set1_epi8(c);
    for (; end - p >= 16; p += 16) {
        const __m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
        const int found = _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(x, all_a), _mm_cmpeq_epi8(x, all_b)), _mm_cmpeq_epi8(x, all_c)));
        if (found)
            return p + __builtin_ctz((unsigned)found);
    }
#endif
    while (p < end && *p != a && *p != b && *p != c)
        p++;
    return p;
}

/* The first byte of [p, end) that is of no word (xb_is_word), or `end`. */
static inline const char *xb_word_end(const char *p, const char *end)
{
#ifdef __SSE2__
    /* Compares are of signed bytes: moved by -128, the range that begins at 0 lies lowest; a byte above 0x7f is negative. */
    for (; end - p >= 16; p += 16) {
        const __m128i x = _mm_loadu_si128((const __m128i *)(const void *)p), lower = _mm_or_si128(x, _mm_set1_epi8(0x20));
        const __m128i digit = _mm_cmplt_epi8(_mm_add_epi8(x, _mm_set1_epi8((char)(-128 - '0'))), _mm_set1_epi8(-128 + 10));
        const __m128i letter = _mm_cmplt_epi8(_mm_add_epi8(lower, _mm_set1_epi8((char)(-128 - 'a'))), _mm_set1_epi8(-128 + 26));
        const int others = _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(digit, letter), x)) ^ 0xffff;
        if (others)
            return p + __builtin_ctz((unsigned)others);
    }
#endif
    while (p < end && xb_is_word(*p))
        p++;
    return p;
}

/* ---- whole spans ---- */

/* Are `n` bytes the same? For short texts, where a call of memcmp costs more than it compares. */
static inline bool xb_same_bytes(const char *a, const char *b, size_t n)
{
    if (n < 8)
        return !n || xb_load_few(a, n) == xb_load_few(b, n);
    uint64_t differ = xb_load64(a + n - 8) ^ xb_load64(b + n - 8);
#ifdef __SSE2__
    for (; n >= 16; n -= 16, a += 16, b += 16) {
        const __m128i same = _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(const void *)a), _mm_loadu_si128((const __m128i *)(const void *)b));
        if (_mm_movemask_epi8(same) != 0xffff)
            return false;
    }
#endif
    for (; n >= 8; n -= 8, a += 8, b += 8)
        differ |= xb_load64(a) ^ xb_load64(b);
    return !differ;
}

/* Equal, letters without regard to case. It counts by the size of `b`, which in most calls is a literal: the compiler then
 * sees which loads there are. */
static inline bool xb_span_same(xb_span a, xb_span b)
{
    if (a.size != b.size)
        return false;
    if (!b.size)
        return true;
    uint64_t differ = 0;
    size_t i = 0;
    for (; b.size - i >= 8; i += 8)
        differ |= xb_lower_bytes(xb_load64(a.at + i)) ^ xb_lower_bytes(xb_load64(b.at + i));
    size_t rest = b.size - i;
    return !(differ | (xb_lower_bytes(xb_load_few(a.at + i, rest)) ^ xb_lower_bytes(xb_load_few(b.at + i, rest))));
}

/* The same; `lower` is a lower-case literal. */
static inline bool xb_span_is(xb_span s, xb_span lower) { return xb_span_same(s, lower); }

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

/* Where `lower`, a lower-case literal of at least two bytes, stands in `s` without regard to case, or NULL. Bytes are looked at
 * only where the first and the last one fit. */
static inline const char *xb_find_text(xb_span s, xb_span lower)
{
    if (s.size < lower.size)
        return NULL;
    const char *p = s.at, *end = s.at + (s.size - lower.size) + 1; /* one behind the last place */
#ifdef __SSE2__
    const __m128i fold = _mm_set1_epi8(0x20), first = _mm_set1_epi8((char)(lower.at[0] | 0x20));
    const __m128i last = _mm_set1_epi8((char)(lower.at[lower.size - 1] | 0x20));
    while (end - s.at >= 16 && p < end) {
        p = end - p < 16 ? end - 16 : p; /* the last 16 places: some of them a second time */
        const __m128i a = _mm_or_si128(_mm_loadu_si128((const __m128i *)p), fold);
        const __m128i b = _mm_or_si128(_mm_loadu_si128((const __m128i *)(p + lower.size - 1)), fold);
        unsigned found = (unsigned)_mm_movemask_epi8(_mm_and_si128(_mm_cmpeq_epi8(a, first), _mm_cmpeq_epi8(b, last)));
        for (; found; found &= found - 1) {
            const char *at = p + __builtin_ctz(found);
            if (xb_span_is((xb_span){at, lower.size}, lower))
                return at;
        }
        p += 16;
    }
#endif
    for (; p < end; p++)
        if (xb_lower(*p) == lower.at[0] && xb_span_is((xb_span){p, lower.size}, lower))
            return p;
    return NULL;
}

static inline bool xb_contains(xb_span s, xb_span lower) { return xb_find_text(s, lower) != NULL; }

static inline uint32_t xb_span_count(xb_span s, char c)
{
    uint32_t n = 0;
    for (size_t i = 0; i < s.size; i++)
        n += s.at[i] == c;
    return n;
}

/* A number of at most so many digits, and nothing else; 18 digits fit. */
static inline bool xb_span_number(xb_span s, size_t most_digits, int64_t *out)
{
    *out = 0;
    if (!s.size || s.size > most_digits)
        return false;
    for (size_t i = 0; i < s.size; i++) {
        if (!xb_is_digit(s.at[i]))
            return false;
        *out = 10 * *out + (s.at[i] - '0');
    }
    return true;
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
