#include "request/jsonline.h"

#include "base/address.h"
#include "base/hash.h"
#include "request/fields.h"

/* Numbers of so few digits are exact as doubles, and so is their quotient by a power of ten, rounded once. */
enum { MOST_DIGITS = 15, MOST_OF_OBJECT = 64 /* headers */ };
static const uint64_t END_OF_TIME = UINT64_C(253402300800), MOST_BYTES = (UINT64_C(1) << 53) - 1; /* seconds: the year 10000 */

typedef struct {
    const char *p, *end;
    char *scratch;
} reader;

static void skip_blanks(reader *j)
{
    while (j->p < j->end && (*j->p == ' ' || *j->p == '\t' || *j->p == '\r'))
        j->p++;
}

/* Takes this byte, and blanks before it, of which most lines have none. */
static inline bool take(reader *j, char c)
{
    if (j->p < j->end && *j->p != c && *j->p <= ' ')
        skip_blanks(j);
    if (j->p == j->end || *j->p != c)
        return false;
    j->p++;
    return true;
}

static bool take_word(reader *j, xb_span word)
{
    if ((size_t)(j->end - j->p) < word.size || memcmp(j->p, word.at, word.size) != 0)
        return false;
    j->p += word.size;
    return true;
}

/* The first byte from p on that does not stand for itself: a quote, a backslash, a control byte, one above 0x7f. Or `end`. */
static const char *plain_until(const char *p, const char *end)
{
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\'), blank = _mm_set1_epi8(' ');
    for (; end - p >= 16; p += 16) {
        const __m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
        /* Compared as signed bytes, those above 0x7f are below the blank, too. */
        const __m128i odd = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(x, quote), _mm_cmpeq_epi8(x, backslash)), _mm_cmplt_epi8(x, blank));
        const int found = _mm_movemask_epi8(odd);
        if (found)
            return p + __builtin_ctz((unsigned)found);
    }
#endif
    while (p < end && *p != '"' && *p != '\\' && (unsigned char)*p >= ' ' && (unsigned char)*p < 0x80)
        p++;
    return p;
}

/* What stands behind a backslash, as one byte; -1 if it is none. */
static int unescaped(reader *j)
{
    static const char names[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
    if (j->p == j->end)
        return -1;
    const char c = *j->p++, *found = memchr(names, c, sizeof names - 1);
    if (found)
        return bytes[found - names];
    if (c != 'u' || j->end - j->p < 4 || j->p[0] != '0' || j->p[1] != '0')
        return -1;
    const int high = xb_hex(j->p[2]), low = xb_hex(j->p[3]);
    j->p += 4;
    return high < 0 || high > 7 || low < 0 ? -1 : high * 16 + low;
}

/* A text, behind its first quote: where it stands in the line, or unescaped in the scratch. */
static bool take_text(reader *j, xb_span *text)
{
    const char *from = j->p;
    char *to = NULL;
    for (;;) {
        const char *stop = plain_until(j->p, j->end);
        if (stop == j->end || (*stop != '"' && *stop != '\\'))
            return false;
        if (*stop == '\\' && !to)
            to = j->scratch;
        if (to) {
            memcpy(j->scratch, j->p, (size_t)(stop - j->p));
            j->scratch += stop - j->p;
        }
        j->p = stop + 1;
        if (*stop == '"') {
            *text = to ? xb_span_of(to, j->scratch) : xb_span_of(from, stop);
            return true;
        }
        const int byte = unescaped(j);
        if (byte < 0)
            return false;
        *j->scratch++ = (char)byte;
    }
}

static bool take_null(reader *j) { return take_word(j, XB_SPAN("null")); }

/* A text or null, which is absent. */
static bool take_text_or_null(reader *j, xb_span *text)
{
    *text = (xb_span){NULL, 0};
    if (j->p < j->end && *j->p == '"') {
        j->p++;
        return take_text(j, text);
    }
    return take_null(j);
}

/* Digits, none of them a leading zero: their number, and how many there are; none if there are too many. */
static int take_digits(reader *j, uint64_t *n)
{
    const char *from = j->p;
    for (*n = 0; j->p < j->end && xb_is_digit(*j->p) && j->p - from <= MOST_DIGITS; j->p++)
        *n = *n * 10 + (uint64_t)(*j->p - '0');
    const int count = (int)(j->p - from);
    return count > MOST_DIGITS || (count > 1 && *from == '0') ? 0 : count;
}

/* A whole number up to `most`, or null, which is `none`. */
static bool take_number(reader *j, uint64_t most, int64_t none, int64_t *out)
{
    uint64_t n;
    *out = none;
    if (take_null(j))
        return true;
    if (!take_digits(j, &n) || n > most)
        return false;
    *out = (int64_t)n;
    return true; /* a fraction or an exponent is what no member may begin with */
}

/* Seconds since 1970, as milliseconds; or null. */
static bool take_time(reader *j, int64_t *out)
{
    static const double tens[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    uint64_t n, whole;
    *out = -1;
    if (take_null(j))
        return true;
    int digits = take_digits(j, &whole), decimals = 0;
    if (!digits)
        return false;
    n = whole;
    if (j->p < j->end && *j->p == '.') {
        for (j->p++; j->p < j->end && xb_is_digit(*j->p); j->p++, decimals++) {
            if (digits + decimals == MOST_DIGITS)
                return false;
            n = n * 10 + (uint64_t)(*j->p - '0');
        }
        if (!decimals)
            return false;
    }
    if (whole >= END_OF_TIME)
        return false;
    const volatile double milliseconds = (double)n / tens[decimals] * 1000; /* volatile: rounded here, whatever the processor can do at once */
    *out = (int64_t)(milliseconds + 0.001);                                 /* 1773299700.123 is a little less as a double */
    return true;
}

/* ---- members ---- */

enum {
#define FIELD(name) MEMBER_##name,
#define FIELDS                                                                                                                    \
    FIELD(ip) FIELD(time) FIELD(method) FIELD(uri) FIELD(protocol) FIELD(scheme) FIELD(host) FIELD(status) FIELD(bytes)               \
    FIELD(type) FIELD(agent) FIELD(referrer) FIELD(label) FIELD(policy) FIELD(headers) FIELD(tls) FIELD(handshake) FIELD(order)       \
    FIELD(connection) FIELD(connection_requests)
    FIELDS
#undef FIELD
    N_MEMBERS
};

static const xb_span members[N_MEMBERS] = {
#define FIELD(name) {#name, sizeof #name - 1},
    FIELDS
#undef FIELD
};

static const xb_span members_of_tls[] = {{"protocol", 8}, {"ciphers", 7}, {"curves", 6}, {"alpn", 4}, {"reused", 6}, {"sigalgs", 7}};
enum { N_MEMBERS_OF_TLS = sizeof members_of_tls / sizeof *members_of_tls };

/* The number of a name among `n`; n for none of them. It is looked for from `from` on first, because lines mostly have one order. */
static size_t member(xb_span name, const xb_span *names, size_t n, size_t from)
{
    for (size_t i = 0, at = from; i < n; i++, at++) {
        at = at < n ? at : at - n;
        if (names[at].size == name.size && memcmp(names[at].at, name.at, name.size) == 0)
            return at;
    }
    return n;
}

/* Takes the next member of an object as far as its value; `first`: the object has begun. False where there is none: *over at its end. */
static bool next_member(reader *j, bool first, xb_span *name, bool *over)
{
    const bool another = !first && take(j, ',');
    *over = !another && take(j, '}');
    if (*over || !(first || another) || !take(j, '"') || !take_text(j, name) || !take(j, ':'))
        return false;
    skip_blanks(j);
    return true;
}

/* Any value: nothing is made of it, but it must be one. */
static bool skip(reader *j)
{
    static const xb_span words[] = {{"null", 4}, {"true", 4}, {"false", 5}};
    xb_span text;
    uint64_t n;
    if (take(j, '"'))
        return take_text(j, &text);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (take_word(j, words[i]))
            return true;
    if (!take_digits(j, &n)) /* an array or an object is seldom let be, and left to the other reader */
        return false;
    if (j->p == j->end || *j->p != '.')
        return true;
    const char *from = ++j->p;
    while (j->p < j->end && xb_is_digit(*j->p))
        j->p++;
    return j->p > from && j->p - from <= MOST_DIGITS;
}

/* [["Host", "a"], ...]: in the order of the request. */
static bool take_list(reader *j, xb_request *r)
{
    xb_span name, value;
    if (take(j, ']'))
        return true;
    do {
        if (!take(j, '[') || !take(j, '"') || !take_text(j, &name) || !take(j, ',') || !take(j, '"') || !take_text(j, &value) || !take(j, ']'))
            return false;
        xb_request_add(r, name, value);
    } while (take(j, ','));
    return take(j, ']');
}

/* {"Host": "a", ...}: of an unknown order, and an empty value is none. Of names that are there twice nobody knows here which one counts. */
static bool take_object(reader *j, xb_request *r)
{
    uint64_t hashes[MOST_OF_OBJECT], classes = 0;
    size_t n = 0;
    xb_span name, value;
    bool over;
    for (bool first = true; next_member(j, first, &name, &over); first = false) {
        if (n == MOST_OF_OBJECT || !take(j, '"') || !take_text(j, &value))
            return false;
        const uint64_t hash = xb_hash(name), class = UINT64_C(1) << (hash >> 58);
        for (size_t i = 0; classes & class && i < n; i++)
            if (hashes[i] == hash)
                return false;
        classes |= class;
        hashes[n++] = hash;
        if (value.size)
            xb_request_add(r, name, value);
    }
    return over;
}

static bool take_headers(reader *j, xb_request *r, xb_fields *f)
{
    if (take(j, '[')) {
        f->headers = XB_HEADERS_ORDERED;
        return take_list(j, r);
    }
    if (take(j, '{')) {
        f->headers = XB_HEADERS_UNORDERED;
        return take_object(j, r);
    }
    return take_null(j);
}

static bool take_tls(reader *j, xb_tls *tls)
{
    xb_span *const texts[N_MEMBERS_OF_TLS] = {&tls->protocol, &tls->ciphers, &tls->curves, &tls->alpn, &tls->reused, &tls->sigalgs};
    uint32_t there = 0;
    xb_span name;
    bool over;
    if (take_null(j))
        return true;
    if (!take(j, '{'))
        return false;
    for (bool first = true; next_member(j, first, &name, &over); first = false) {
        const size_t which = member(name, members_of_tls, N_MEMBERS_OF_TLS, 0);
        if (which == N_MEMBERS_OF_TLS ? !skip(j) : there >> which & 1 || !take_text_or_null(j, texts[which]))
            return false;
        there |= UINT32_C(1) << which;
    }
    return over;
}

static bool take_label(reader *j, int *label)
{
    xb_span text;
    if (!take_text_or_null(j, &text))
        return false;
    if (text.at && text.size == 3 && memcmp(text.at, "bot", 3) == 0)
        *label = XB_LABEL_BOT;
    else if (text.at && text.size == 5 && memcmp(text.at, "human", 5) == 0)
        *label = XB_LABEL_HUMAN;
    else
        return !text.at;
    return true;
}

/* A value of one of `members`. */
static bool take_member(reader *j, size_t which, xb_request *r, xb_fields *f, xb_line *out)
{
    xb_span text;
    xb_address address;
    int64_t n;
    bool good;
    switch (which) {
    case MEMBER_headers:
        return take_headers(j, r, f);
    case MEMBER_agent:
        return take_text_or_null(j, &f->agent);
    case MEMBER_referrer:
        return take_text_or_null(j, &f->referrer);
    case MEMBER_ip: /* a text that is no address is none */
        good = take_text_or_null(j, &text);
        f->ip = good && text.at && xb_address_parse(text, &address) && !xb_address_is_nobodys(&address) ? text : (xb_span){NULL, 0};
        return good;
    case MEMBER_time:
        return take_time(j, &out->time);
    case MEMBER_method:
        return take_text_or_null(j, &f->method);
    case MEMBER_uri:
        return take_text_or_null(j, &f->uri);
    case MEMBER_protocol:
        return take_text_or_null(j, &f->protocol);
    case MEMBER_scheme:
        return take_text_or_null(j, &f->scheme);
    case MEMBER_host:
        return take_text_or_null(j, &f->host);
    case MEMBER_status:
        good = take_number(j, 999, -1, &n);
        out->status = (int)n;
        return good;
    case MEMBER_bytes:
        return take_number(j, MOST_BYTES, -1, &out->bytes);
    case MEMBER_type:
        good = take_text_or_null(j, &text);
        out->type = text.size ? text : (xb_span){NULL, 0};
        return good;
    case MEMBER_label:
        return take_label(j, &out->label);
    case MEMBER_policy:
        good = take_text_or_null(j, &text);
        f->policy = text.size ? text : (xb_span){NULL, 0};
        return good;
    case MEMBER_tls:
        return take_tls(j, &f->tls);
    case MEMBER_handshake:
        return take_null(j);
    case MEMBER_order:
        return take_text_or_null(j, &text) && !(text.size == 4 && memcmp(text.at, "lost", 4) == 0);
    case MEMBER_connection:
        good = take_number(j, UINT64_MAX, 0, &n);
        f->connection.serial = (uint64_t)n;
        return good;
    case MEMBER_connection_requests:
        good = take_number(j, UINT32_MAX, 0, &n);
        f->connection.requests = (uint32_t)n;
        return good;
    default:
        return skip(j);
    }
}

static bool take_line(reader *j, xb_request *r, xb_line *out)
{
    xb_fields f = {.headers = XB_HEADERS_UNKNOWN};
    uint32_t there = 0;
    size_t next = 0;
    xb_span name;
    bool over;
    if (!take(j, '{'))
        return false;
    for (bool first = true; next_member(j, first, &name, &over); first = false) {
        const size_t which = member(name, members, N_MEMBERS, next);
        next = which + 1;
        if ((which < N_MEMBERS && there >> which & 1) || !take_member(j, which, r, &f, out))
            return false;
        there |= UINT32_C(1) << which;
    }
    skip_blanks(j);
    if (!over || j->p < j->end)
        return false;
    if (f.headers == XB_HEADERS_UNKNOWN ? !f.agent.at : f.agent.at || f.referrer.at)
        return false;
    return xb_request_complete(r, &f);
}

bool xb_json_line(xb_span line, char *scratch, xb_request *r, xb_line *out)
{
    reader j = {line.at, line.at + line.size, scratch};
    xb_request_clear(r);
    xb_line_clear(out);
    if (line.size <= XB_MAX_LINE && take_line(&j, r, out))
        return true;
    xb_request_clear(r);
    xb_line_clear(out);
    return false;
}
