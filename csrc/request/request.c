#define _GNU_SOURCE /* memrchr */
#include "request/request.h"

#include "base/hash.h"

/* A known name and a colon fit into so many bytes; the longest name has 29. */
enum { NAME_BYTES = 32 };

typedef uint64_t two_words __attribute__((vector_size(16), aligned(1), may_alias));

/* A line begins with this name and a colon where (its bytes ^ text) & mask is 0. The mask leaves out what is behind the colon, and of
 * letters bit 5, which is their case; of a hyphen it is not, or CR would pass for it. */
typedef struct {
    char text[NAME_BYTES], mask[NAME_BYTES];
    uint64_t size;
    uint64_t bit, word; /* in xb_request.seen */
    uint8_t id;
    bool visitor;
    uint8_t listed;     /* in xb_request.names: the id, or 0 for one that is not the visitor's */
    uint8_t small;      /* the bit by which a small letter differs from a capital, or 0 likewise */
} __attribute__((aligned(64))) known_header;

enum { ROLE_HOP, ROLE_PROXY, ROLE_VISITOR };

static known_header known_headers[XB_H_COUNT];
uint64_t xb_name_hashes[XB_H_COUNT];

/* The ids of known names by a hash of the name, 1 more than each; 0: an empty slot. Open addressing; at most a quarter full, so a
 * miss ends at the first or second slot. */
enum { TABLE_BITS = 9, TABLE_SIZE = 1 << TABLE_BITS };
_Static_assert(64 * XB_SEEN_WORDS <= TABLE_SIZE / 4, "a fuller table");
static uint8_t table[TABLE_SIZE];

/* Where the search for a name of `size` bytes (at least 1) begins: its last eight bytes and its size tell known names apart. Eight bytes
 * before its end can be read. The factor was found by trying: with it, each of the known names has a slot of its own. */
static inline size_t slot_of(const char *end, size_t size)
{
    const uint64_t last = xb_load64(end - 8) >> (size < 8 ? 64 - 8 * size : 0) | XB_FOLD;
    return ((last ^ size) * UINT64_C(0x874a903353752bd3)) >> (64 - TABLE_BITS);
}

/* Does the line at `readable`, of which NAME_BYTES can be read, begin with this name and a colon? */
static inline bool begins_with(const char *readable, const known_header *known)
{
    const two_words *line = (const two_words *)(const void *)readable;
    const two_words *text = (const two_words *)(const void *)known->text, *mask = (const two_words *)(const void *)known->mask;
    const two_words differ = ((line[0] ^ text[0]) & mask[0]) | ((line[1] ^ text[1]) & mask[1]);
#ifdef __SSE2__
    return _mm_movemask_epi8(_mm_cmpeq_epi8((__m128i)differ, _mm_setzero_si128())) == 0xffff;
#else
    return !(differ[0] | differ[1]);
#endif
}

/* `readable`: NAME_BYTES that begin with a name of `size` bytes, less than NAME_BYTES, and a colon; the name has none, and eight more bytes
 * can be read before it. */
static inline const known_header *find_known(const char *readable, size_t size)
{
    for (size_t slot = slot_of(readable + size, size); table[slot]; slot = (slot + 1) % TABLE_SIZE)
        if (begins_with(readable, &known_headers[table[slot] - 1]))
            return &known_headers[table[slot] - 1];
    return NULL;
}

/* A name of any size, as find_known wants it. */
typedef struct {
    char before[8], name[NAME_BYTES];
} padded_name;

static const known_header *find_padded(xb_span name)
{
    padded_name padded = {{0}, {0}};
    if (name.size - 1 >= NAME_BYTES - 1)
        return NULL;
    const char *end = name.at + name.size;
    if (name.size >= 16) {
        memcpy(padded.name, name.at, 16);
        memcpy(padded.name + name.size - 16, end - 16, 16);
    } else if (name.size >= 8) {
        memcpy(padded.name, name.at, 8);
        memcpy(padded.name + name.size - 8, end - 8, 8);
    } else {
        const uint64_t few = xb_load_few(name.at, name.size);
        memcpy(padded.name, &few, 8);
    }
    padded.name[name.size] = ':';
    const known_header *known = find_known(padded.name, name.size);
    return known && known->size == name.size ? known : NULL; /* it may hold a colon itself */
}

static void table_put(xb_span name, uint8_t id, bool visitor)
{
    known_header known = {.size = name.size, .bit = UINT64_C(1) << (id % 64), .word = id / 64, .id = id, .visitor = visitor,
                          .listed = visitor ? id : 0, .small = visitor ? 0x20 : 0};
    xb_name_hashes[id] = xb_hash(name);
    padded_name padded = {{0}, {0}};
    memcpy(known.text, name.at, name.size);
    memcpy(padded.name, name.at, name.size);
    for (size_t i = 0; i < name.size; i++)
        known.mask[i] = (char)(xb_class(name.at[i]) & XB_LETTER ? ~0x20 : ~0);
    known.text[name.size] = ':';
    known.mask[name.size] = ~0;
    known_headers[id] = known;
    size_t slot = slot_of(padded.name + name.size, name.size);
    while (table[slot] && table[slot] != id + 1)
        slot = (slot + 1) % TABLE_SIZE;
    table[slot] = (uint8_t)(id + 1);
}

void xb_request_init(void)
{
    xb_handshake_init();
#define XB_HEADER(id, name, role) \
    _Static_assert(sizeof(name) <= NAME_BYTES, "a longer name"); \
    table_put(XB_SPAN(name), XB_H_##id, ROLE_##role == ROLE_VISITOR);
#include "request/headers.def"
#undef XB_HEADER
}

void xb_request_clear(xb_request *r)
{
    size_t size = offsetof(xb_request, first);
    __asm__("" : "+r"(size)); /* unknown to the compiler: the memset of the C library is quicker than the loop that it writes for a known one */
    memset(r, 0, size);
    memset(&r->n_headers, 0, offsetof(xb_request, headers) - offsetof(xb_request, n_headers));
}

static void put_bit(uint64_t *set, uint8_t id) { set[id / 64u] |= UINT64_C(1) << (id % 64u); }

/* A name that was there before; headers[at] is its place. */
__attribute__((noinline, cold)) static void add_again(xb_request *r, uint8_t id, size_t at, xb_span value)
{
    xb_span first = r->headers[r->first[id]].value;
    if (first.size != value.size || memcmp(first.at, value.at, value.size) != 0)
        put_bit(r->again, id);
    if (id == XB_H_X_FORWARDED_FOR)
        r->last_forwarded = (uint16_t)at;
}

/* A header past the bound. A known name has a place of its own there, for the first such value, of X-Forwarded-For for the
 * last. Not inlined: few heads come here, and the others should not pay. */
__attribute__((noinline, cold)) static void add_late(xb_request *r, xb_span name, const known_header *known, xb_span value)
{
    r->truncated = true;
    if (!known)
        return;
    const uint8_t id = known->id;
    const size_t at = XB_MAX_HEADERS + (size_t)id;
    const bool before = xb_has(r, id);
    if (before)
        add_again(r, id, at, value);
    if (before && id != XB_H_X_FORWARDED_FOR)
        return;
    r->headers[at] = (xb_header){name, value, known->id, known->visitor};
    if (!before) {
        put_bit(r->seen, id);
        r->first[id] = (uint16_t)at;
        r->late[id] = (uint16_t)(XB_MAX_HEADERS + r->n_late++);
    }
}

/* Adds a header, the one behind n others, that is neither past the bound nor of a name that means nothing here. `visitor`: how many of
 * the headers are the visitor's. */
static inline __attribute__((always_inline)) void add_known(xb_request *r, size_t n, uint32_t *visitor, xb_span name, const known_header *known, xb_span value)
{
    xb_header *h = &r->headers[n];
    h->name = name;
    h->value = value;
    h->id = known->id;
    h->visitor = known->visitor;
    r->names[*visitor % XB_MAX_LISTED] = (uint8_t)(known->listed | (*name.at & known->small) << 2); /* XB_LISTED_SMALL */
    *visitor += known->visitor;
    uint64_t *seen = &r->seen[known->word];
    if (*seen & known->bit) {
        add_again(r, known->id, n, value);
        return;
    }
    *seen |= known->bit;
    r->first[known->id] = (uint16_t)n;
}

/* Adds any other. Returns how many headers there are then. */
static __attribute__((noinline)) size_t add_other(xb_request *r, size_t n, uint32_t *visitor, xb_span name, const known_header *known, xb_span value)
{
    if (n == XB_MAX_HEADERS) {
        add_late(r, name, known, value);
        return n;
    }
    r->headers[n] = (xb_header){name, value, XB_H_OTHER, true};
    r->names[(*visitor)++ % XB_MAX_LISTED] = XB_H_OTHER;
    return n + 1;
}

void xb_request_add(xb_request *r, xb_span name, xb_span value)
{
    const known_header *known = find_padded(name);
    if (known && r->n_headers < XB_MAX_HEADERS)
        add_known(r, r->n_headers++, &r->n_visitor, name, known, value);
    else
        r->n_headers = (uint32_t)add_other(r, r->n_headers, &r->n_visitor, name, known, value);
}

void xb_request_disown(xb_request *r, xb_span prefix)
{
    r->n_visitor = 0;
    memset(r->names, 0, sizeof r->names);
    for (uint32_t i = 0; i < r->n_headers; i++) {
        xb_header *h = &r->headers[i];
        h->visitor = h->visitor && !xb_span_starts(h->name, prefix);
        if (h->visitor)
            r->names[r->n_visitor++ % XB_MAX_LISTED] = (uint8_t)(h->id | (h->id != XB_H_OTHER && *h->name.at & 0x20 ? XB_LISTED_SMALL : 0));
    }
}

size_t xb_head_end(const char *buf, size_t size, size_t from)
{
    const char *end = buf + size, *p = buf + (from > 3 ? from - 3 : 0);
    while (p < end && (p = memchr(p, '\n', (size_t)(end - p)))) {
        p++;
        if (p < end && *p == '\n')
            return (size_t)(p + 1 - buf);
        if (p + 1 < end && p[0] == '\r' && p[1] == '\n')
            return (size_t)(p + 2 - buf);
    }
    return 0;
}

/* "GET /path HTTP/1.1": the target is all between the first and the last space, so no byte in it is refused. */
static bool request_line(xb_request *r, const char *p, const char *end, bool *http11)
{
    const char *space = memchr(p, ' ', (size_t)(end - p));
    if (!space || space == p || end - space < 11)
        return false;
    const char *version = end - 9; /* " HTTP/1.x" */
    if (version <= space || memcmp(version, " HTTP/1.", 8) != 0 || (end[-1] != '0' && end[-1] != '1'))
        return false;
    r->method = xb_span_of(p, space);
    r->uri = xb_span_of(space + 1, version);
    r->protocol = xb_span_of(version + 1, end);
    *http11 = end[-1] == '1';
    return r->uri.size > 0;
}

/* The first line feed, or NULL. Most lines end soon; memchr is faster where they do not. */
static inline const char *line_end(const char *p, const char *end)
{
    const char *soon = end - p > 64 ? p + 64 : end, *found = xb_find(p, soon, '\n', '\n');
    return found < soon ? found : memchr(soon, '\n', (size_t)(end - soon));
}

static inline bool is_blank(char c) { return (unsigned char)c <= ' ' && (c == ' ' || c == '\t'); }

/* Content-Length and Transfer-Encoding decide whether a body follows; they are rare, so they are looked at last. */
static bool framing(xb_request *r, bool http11)
{
    r->keepalive = http11;
    bool close = r->truncated; /* what was not looked at may announce a body */
    for (uint32_t i = xb_has(r, XB_H_CONNECTION) ? r->first[XB_H_CONNECTION] : r->n_headers; i < r->n_headers; i++) {
        if (r->headers[i].id != XB_H_CONNECTION)
            continue;
        xb_span connection = r->headers[i].value, option;
        const char *p = connection.at, *end = p + connection.size;
        while (xb_list_next(&p, end, &option)) {
            close |= xb_span_is(option, XB_SPAN("close"));
            r->keepalive |= xb_span_is(option, XB_SPAN("keep-alive"));
        }
    }
    r->keepalive &= !close;
    r->body = xb_has(r, XB_H_TRANSFER_ENCODING);
    if (!xb_has(r, XB_H_CONTENT_LENGTH))
        return true;
    xb_span length = xb_value(r, XB_H_CONTENT_LENGTH);
    if (xb_differ(r, XB_H_CONTENT_LENGTH))
        return false;
    if (length.size == 0 || length.size > 18)
        return length.size == 0; /* an empty value is how some proxies say "none" */
    for (size_t i = 0; i < length.size; i++) {
        if (!xb_is_digit(length.at[i]))
            return false;
        r->body |= length.at[i] != '0';
    }
    return true;
}

/* The line feeds of a text, one after the other: 64 bytes are looked at together, and bit i says that byte i is one. */
typedef struct {
    const char *block, *end;
    uint64_t found; /* of the block, those that were not given yet */
} line_feeds;

static inline uint64_t line_feeds_of(const char *p)
{
    uint64_t found = 0;
#ifdef __SSE2__
    const __m128i feed = _mm_set1_epi8('\n');
    for (unsigned i = 0; i < 64; i += 16) {
        const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(p + i));
        found |= (uint64_t)(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, feed)) << i;
    }
#else
    for (unsigned i = 0; i < 64; i++)
        found |= (uint64_t)(p[i] == '\n') << i;
#endif
    return found;
}

static inline uint64_t line_feeds_before(const char *p, const char *end)
{
    if (end - p >= 64)
        return line_feeds_of(p);
    char padded[64] = {0};
    memcpy(padded, p, (size_t)(end - p));
    return line_feeds_of(padded);
}

static inline line_feeds line_feeds_from(const char *p, const char *end) { return (line_feeds){p, end, line_feeds_before(p, end)}; }

/* The next one, or NULL. */
static inline const char *next_line_feed(line_feeds *feeds)
{
    while (!feeds->found) {
        if (feeds->end - feeds->block <= 64)
            return NULL;
        feeds->block += 64;
        feeds->found = line_feeds_before(feeds->block, feeds->end);
    }
    const char *at = feeds->block + __builtin_ctzll(feeds->found);
    feeds->found &= feeds->found - 1;
    return at;
}

/* The first colon of the line [p, newline), or `newline`; bytes before `end` can be read. */
static inline const char *colon_of(const char *p, const char *newline, const char *end)
{
#ifdef __SSE2__
    const __m128i colon = _mm_set1_epi8(':');
    for (; end - p >= 16; p += 16) {
        const int found = _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(const void *)p), colon));
        if (found) {
            p += __builtin_ctz((unsigned)found);
            return p < newline ? p : newline;
        }
        if (newline - p <= 16)
            return newline;
    }
#endif
    return xb_find(p, newline, ':', ':');
}

/* The end of the name that the line [p, newline) begins with, NULL if there is none; and what is known of the name, NULL if nothing. The
 * bytes before p can be read, and behind it those before `end`. */
__attribute__((noinline)) static const char *name_end(const char *p, const char *newline, const char *end, const known_header **known)
{
    const char *colon = colon_of(p, newline, end);
    if (colon == newline || colon == p)
        return NULL;
    if (end - p < NAME_BYTES)
        *known = find_padded(xb_span_of(p, colon));
    else
        *known = colon - p < NAME_BYTES ? find_known(p, (size_t)(colon - p)) : NULL;
    return colon;
}

__attribute__((noinline)) static xb_span trimmed(const char *p, const char *stop)
{
    while (is_blank(*p)) /* what ends the line is not blank */
        p++;
    while (is_blank(stop[-1]) && stop > p)
        stop--;
    return xb_span_of(p, stop);
}

/* What is behind the colon, without the blanks around it: mostly one before it. */
static inline xb_span value_of(const char *p, const char *stop)
{
    if (*p == ' ' && (unsigned char)p[1] > ' ' && (unsigned char)stop[-1] > ' ')
        return xb_span_of(p + 1, stop);
    return trimmed(p, stop);
}

/* Parses whole lines until the empty one; returns its end, or NULL if it did not come. Lines without a name are counted
 * and let be. The first line stands before p, so bytes before p can be read.
 *
 * Names mostly follow each other as they did in the heads before. So the name that came last time is looked for first: where it is
 * there, neither its end nor its meaning has to be found. Where it is not, both are, and that name is expected next time. */
__attribute__((noinline)) static const char *lines(xb_request *r, const char *p, const char *end)
{
    if (p == end)
        return NULL;
    const char *done = NULL, *const last = end - NAME_BYTES; /* where a name can be looked at whole; behind p, or before it */
    uint8_t *expected = &r->expected[XB_H_COUNT]; /* behind the name before */
    size_t n = 0;
    uint32_t visitor = 0;
    line_feeds feeds = line_feeds_from(p, end);
    for (const char *newline; (newline = next_line_feed(&feeds)); p = newline + 1) {
        const char *stop = newline - (newline[-1] == '\r');
        if (stop <= p) {
            done = newline + 1;
            break;
        }
        const known_header *known = &known_headers[*expected];
        const bool came = p <= last && begins_with(p, known);
        const char *colon = p + known->size;
        if (!came || n == XB_MAX_HEADERS) {
            const known_header *found = known;
            if (!came)
                colon = name_end(p, newline, end, &found);
            if (!colon || !found || n == XB_MAX_HEADERS) {
                uint32_t theirs = visitor; /* a copy: what has an address is kept in memory */
                if (colon)
                    n = add_other(r, n, &theirs, xb_span_of(p, colon), found, value_of(colon + 1, stop));
                else
                    r->malformed++;
                visitor = theirs;
                continue;
            }
            known = found;
            *expected = known->id;
        }
        add_known(r, n++, &visitor, xb_span_of(p, colon), known, value_of(colon + 1, stop));
        expected = &r->expected[known->id];
    }
    r->n_headers = (uint32_t)n;
    r->n_visitor = visitor;
    return done;
}

enum { MAX_STRAY = 64 };

static long parse_head(xb_request *r, const char *buf, size_t size, bool whole)
{
    const char *p = buf, *end = buf + size;
    xb_request_clear(r);
    /* A stray line break before a request is allowed by RFC 9112, 2.2; a flood of them, looked at again with each byte, is
     * not. */
    while (p < end && (*p == '\r' || *p == '\n'))
        if (++p - buf > MAX_STRAY)
            return XB_BAD;
    const char *newline = p < end ? line_end(p, end) : NULL;
    if (!newline)
        return whole ? XB_PARTIAL : XB_BAD;
    bool http11 = false;
    const char *stop = newline > p && newline[-1] == '\r' ? newline - 1 : newline;
    if (!request_line(r, p, stop, &http11))
        return XB_BAD;
    const char *done = lines(r, newline + 1, end);
    if (!done && whole)
        return XB_PARTIAL;
    if (!whole) {
        r->truncated = true;
        r->missing |= xb_has(r, XB_H_USER_AGENT) ? 0 : XB_HAS_UA; /* it may stand in what was cut off */
    }
    r->present = XB_HAS_UA | XB_HAS_REFERRER | XB_HAS_URL | XB_HAS_HEADERS | XB_HAS_ORDER | XB_HAS_CASE;
    r->agent = xb_value(r, XB_H_USER_AGENT);
    r->referrer = xb_value(r, XB_H_REFERER);
    r->host = xb_value(r, XB_H_HOST);
    if (!framing(r, http11))
        return XB_BAD;
    return done ? (long)(done - buf) : (long)size;
}

static long parse(xb_request *r, const char *buf, size_t size, bool whole)
{
    long used = parse_head(r, buf, size, whole);
    if (used <= 0)
        xb_request_clear(r);
    return used;
}

/* Does the first line end in the bytes behind `seen`? Stray line breaks before it are all in buf[0, seen). Looks back no further
 * than to the line break before, so that a head that comes byte by byte costs linear time. */
static bool ends_first_line(const char *buf, size_t size, size_t seen)
{
    if (!memchr(buf + seen, '\n', size - seen))
        return false;
    const char *before = memrchr(buf, '\n', seen);
    if (!before)
        return true;
    while (buf <= before && (*buf == '\r' || *buf == '\n'))
        buf++;
    return buf > before; /* nothing but stray ones */
}

long xb_request_parse(xb_request *r, const char *buf, size_t size, size_t seen_size)
{
    /* What was seen is the beginning of a good head. Only the end of the head, that of its first line, or one stray line break
     * too many can make another thing of it. */
    if (seen_size > MAX_STRAY && !xb_head_end(buf, size, seen_size) && !ends_first_line(buf, size, seen_size)) {
        xb_request_clear(r);
        return XB_PARTIAL;
    }
    return parse(r, buf, size, true);
}

long xb_request_parse_truncated(xb_request *r, const char *buf, size_t size)
{
    return parse(r, buf, size, false);
}
