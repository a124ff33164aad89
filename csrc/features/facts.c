#include "features/facts.h"

#include <arpa/inet.h>

#include "features/claims.h"
#include "base/hash.h"

/* ---- words with a meaning ---- */

typedef struct {
    xb_span word;
    uint64_t hash;
    uint16_t marks;
    uint8_t browser, os, category;
} agent_word;

enum { TABLE_BITS = 10, TABLE_SIZE = 1 << TABLE_BITS };
static agent_word table[TABLE_SIZE];

static void table_put(agent_word w)
{
    w.hash = xb_hash(w.word);
    size_t slot = w.hash >> (64 - TABLE_BITS);
    while (table[slot].word.at && table[slot].hash != w.hash)
        slot = (slot + 1) % TABLE_SIZE;
    table[slot] = w;
}

void xb_facts_init(void)
{
#define XB_AGENT(word, browser, os, category, mark) \
    table_put((agent_word){XB_SPAN(word), 0, XB_MARK_##mark, XB_BROWSER_##browser, XB_OS_##os, XB_CATEGORY_##category});
#include "features/agents.def"
#undef XB_AGENT
}

static const uint8_t vendor_of[] = {
#define XB_BROWSER(name, vendor) XB_VENDOR_##vendor,
#include "features/agents.def"
#undef XB_BROWSER
};

static const agent_word *find_word(uint64_t hash)
{
    for (size_t slot = hash >> (64 - TABLE_BITS); table[slot].word.at; slot = (slot + 1) % TABLE_SIZE)
        if (table[slot].hash == hash)
            return &table[slot];
    return NULL;
}

/* ---- the address ---- */

static bool address_v4(xb_span text, xb_address *out)
{
    const char *p = text.at, *end = text.at + text.size;
    for (int i = 0; i < 4; i++) {
        unsigned value = 0;
        const char *from = p;
        while (p < end && xb_is_digit(*p) && p - from < 4)
            value = value * 10 + (unsigned)(*p++ - '0');
        if (p == from || p - from > 3 || value > 255)
            return false;
        out->bytes[i] = (uint8_t)value;
        if (i < 3 && (p == end || *p++ != '.'))
            return false;
    }
    return p == end;
}

bool xb_address_parse(xb_span text, xb_address *out)
{
    char zero_ended[INET6_ADDRSTRLEN];
    out->version = 0;
    if (text.size < 2 || text.size >= sizeof zero_ended)
        return false;
    if (address_v4(text, out)) {
        out->version = 4;
        return true;
    }
    if (!xb_span_find(text, ':') || memchr(text.at, 0, text.size))
        return false;
    memcpy(zero_ended, text.at, text.size);
    zero_ended[text.size] = 0;
    if (inet_pton(AF_INET6, zero_ended, out->bytes) != 1)
        return false;
    /* ::ffff:192.0.2.1 is an IPv4 visitor on an IPv6 socket. */
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (memcmp(out->bytes, mapped, sizeof mapped) == 0) {
        memmove(out->bytes, out->bytes + 12, 4);
        out->version = 4;
    } else {
        out->version = 6;
    }
    return true;
}

/* ---- the agent ---- */

static bool bot_suffix(xb_span w)
{
    char last = (char)(w.at[w.size - 1] | 0x20);
    return (last == 't' && xb_span_ends(w, XB_SPAN("bot"))) ||
           (last == 'r' && (xb_span_ends(w, XB_SPAN("spider")) || xb_span_ends(w, XB_SPAN("crawler"))));
}

/* The number behind "Chrome/" or "MSIE ": at most 6 digits. */
static uint32_t version_behind(const char *p, const char *end)
{
    uint32_t n = 0;
    if (end - p < 2 || (*p != '/' && *p != ' '))
        return 0;
    for (const char *from = ++p; p < end && p - from < 6 && xb_is_digit(*p); p++)
        n = n * 10 + (uint32_t)(*p - '0');
    return n;
}

/* What stands behind "Chrome": its version. Browsers have said only the major one since 2023. */
static void chromium_fact(xb_agent_facts *a, const char *behind, const char *end)
{
    const uint32_t version = version_behind(behind, end);
    if (!version)
        return;
    a->chromium = version;
    const char *p = behind + 1;
    while (p < end && xb_is_digit(*p))
        p++;
    a->full_version = end - p < 6 || memcmp(p, ".0.0.0", 6) != 0;
}

/* Takes a word into account; says whether it is known. */
static bool agent_word_fact(xb_agent_facts *a, xb_word w, const char *end)
{
    const agent_word *known = find_word(w.hash);
    if (bot_suffix(w.text) && !(known && known->marks & XB_MARK_NOT_A_BOT))
        a->bot_word = true;
    if (!known)
        return false;
    const char *behind = w.text.at + w.text.size;
    if (known->marks & (XB_MARK_PRODUCT | XB_MARK_EDGEHTML) && (behind == end || (*behind != '/' && *behind != '-')))
        return true;
    if (known->marks & XB_MARK_URL && (behind == end || (*behind != ':' && *behind != '.')))
        return true; /* "Go-http-client" holds no address */
    a->marks |= known->marks;
    if (known->marks & XB_MARK_CHROMIUM)
        chromium_fact(a, behind, end);
    if (known->browser >= a->browser && known->browser) {
        a->browser = known->browser;
        /* Behind "Safari" stands a build of WebKit; its version stands behind "Version". */
        uint32_t major = known->browser == XB_BROWSER_SAFARI ? 0 : version_behind(w.text.at + w.text.size, end);
        if (major)
            a->major = major;
    } else if (known->marks & XB_MARK_VERSION && a->browser <= XB_BROWSER_SAFARI) {
        a->major = version_behind(w.text.at + w.text.size, end);
    }
    if (known->os > a->os)
        a->os = known->os;
    if (known->category > a->category)
        a->category = known->category;
    return true;
}

/* Does the word at p stand in brackets? */
static bool in_brackets(const char *from, const char *p)
{
    while (p > from && *--p != ')')
        if (*p == '(')
            return true;
    return false;
}

/* How many products the agent names outside its brackets that are not in agents.def; `known` has bit i for word i. A product
 * stands at the beginning or behind a blank or semicolon; what stands behind a slash is its version. */
static uint32_t foreign_products(xb_span s, const xb_agent_facts *a, uint64_t known)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < a->n_words; i++) {
        const char *word = a->word[i].text.at;
        if (!(known >> i & 1) && (word == s.at || word[-1] == ' ' || word[-1] == ';'))
            n += !in_brackets(s.at, word);
    }
    return n;
}

/* Is there an @ before a letter? */
static bool holds_mail(xb_span s)
{
    for (const char *p = s.at, *end = s.at + s.size; (p = memchr(p, '@', (size_t)(end - p)));)
        if (++p < end && xb_class(*p) & XB_LETTER)
            return true;
    return false;
}

/* Which of 64 bytes are of a class: bit i is byte i. */
typedef struct {
    uint64_t word, digit, strange, semicolon, at;
} byte_classes;

/* Adds the classes of the 16 bytes at p, which are the bytes from `first` on. */
static inline void classify_16(const char *p, unsigned first, byte_classes *c)
{
#ifdef __SSE2__
    /* Compares are of signed bytes: moved by -128, the range that begins at 0 lies lowest; a byte above 0x7f is negative. */
    const __m128i x = _mm_loadu_si128((const __m128i *)p), lower = _mm_or_si128(x, _mm_set1_epi8(0x20));
    const __m128i digit = _mm_cmplt_epi8(_mm_add_epi8(x, _mm_set1_epi8((char)(-128 - '0'))), _mm_set1_epi8(-128 + 10));
    const __m128i letter = _mm_cmplt_epi8(_mm_add_epi8(lower, _mm_set1_epi8((char)(-128 - 'a'))), _mm_set1_epi8(-128 + 26));
    const __m128i strange = _mm_or_si128(_mm_cmplt_epi8(x, _mm_set1_epi8(0x20)), _mm_cmpeq_epi8(x, _mm_set1_epi8(0x7f)));
#define BITS(vector) ((uint64_t)(unsigned)_mm_movemask_epi8(vector) << first)
    c->word |= BITS(_mm_or_si128(_mm_or_si128(digit, letter), x));
    c->digit |= BITS(digit);
    c->strange |= BITS(strange);
    c->semicolon |= BITS(_mm_cmpeq_epi8(x, _mm_set1_epi8(';')));
    c->at |= BITS(_mm_cmpeq_epi8(x, _mm_set1_epi8('@')));
#undef BITS
#else
    for (unsigned i = 0; i < 16; i++) {
        const uint8_t class = xb_class(p[i]);
        const unsigned bit = first + i;
        c->word |= (uint64_t)((class & XB_WORD) != 0) << bit;
        c->digit |= (uint64_t)((class & XB_DIGIT) != 0) << bit;
        c->strange |= (uint64_t)((class & (XB_CONTROL | XB_HIGH)) != 0) << bit;
        c->semicolon |= (uint64_t)(p[i] == ';') << bit;
        c->at |= (uint64_t)(p[i] == '@') << bit;
    }
#endif
}

/* Of p[0, size), or of its first 64 bytes. */
static inline byte_classes classify(const char *p, size_t size)
{
    byte_classes c = {0, 0, 0, 0, 0};
    for (unsigned first = 0; first < 64 && first < size; first += 16) {
        if (size - first >= 16) {
            classify_16(p + first, first, &c);
            continue;
        }
        char padded[16];
        memset(padded, ' ', sizeof padded); /* of no class */
        memcpy(padded, p + first, size - first);
        classify_16(padded, first, &c);
    }
    return c;
}

static void agent_facts(xb_span s, xb_agent_facts *a)
{
    const char *end = s.at + s.size, *from = NULL; /* of the word that has begun */
    uint64_t last = 0;                             /* bit 0: the byte before these 64 is of a word */
    bool named = false;                            /* the word has more than digits in earlier blocks */
    bool at = false;
    uint64_t known = 0; /* bit i: word i is in agents.def */
    memset(a, 0, offsetof(xb_agent_facts, word));
    a->length = (uint32_t)s.size;
    a->mozilla = xb_span_starts(s, XB_SPAN("mozilla/"));
    for (const char *p = s.at;; p += 64) { /* at least one byte behind the end is classified: there the last word ends */
        const byte_classes c = classify(p, (size_t)(end - p));
        uint64_t others = c.word & ~c.digit;
        a->digits += (uint32_t)__builtin_popcountll(c.digit);
        a->semicolons += (uint32_t)__builtin_popcountll(c.semicolon);
        a->strange |= c.strange != 0;
        at |= c.at != 0;
        /* Where a byte of a word is beside one that is of none, a word begins or ends. */
        for (uint64_t edges = c.word ^ (c.word << 1 | last); edges; edges &= edges - 1) {
            const uint64_t before = (edges & -edges) - 1; /* the bits before the edge */
            const char *edge = p + __builtin_ctzll(edges);
            if (!from) {
                from = edge;
                others &= ~before;
                continue;
            }
            xb_span text = xb_span_of(from, edge);
            from = NULL;
            a->words++;
            if (!named && !(others & before))
                continue; /* a bare number is a version: it would teach the age of the agents */
            named = false;
            xb_word w = {text, xb_hash_within(text, end)};
            const bool is_known = agent_word_fact(a, w, end);
            if (a->n_words < XB_MAX_WORDS) {
                known |= (uint64_t)is_known << a->n_words;
                a->word[a->n_words++] = w;
            }
        }
        last = c.word >> 63;
        named |= from && others;
        if (end - p < 64)
            break;
    }
    if (a->browser == XB_BROWSER_SAFARI && a->os == XB_OS_ANDROID)
        a->browser = XB_BROWSER_ANDROID;
    if (a->bot_word)
        a->category = XB_CATEGORY_CRAWLER;
    if (a->category == XB_CATEGORY_NONE && a->os == XB_OS_ANDROID)
        a->category = XB_CATEGORY_TABLET; /* Android without "Mobile" */
    if (a->category == XB_CATEGORY_NONE && a->os != XB_OS_NONE && a->mozilla)
        a->category = XB_CATEGORY_PC;
    a->vendor = vendor_of[a->browser];
    a->mail = at && holds_mail(s);
    if (a->mozilla && a->browser)
        a->foreign = foreign_products(s, a, known);
}

/* ---- URLs ---- */

/* The host alone: of "[::1]:8080" what is within the brackets. */
xb_span xb_without_port(xb_span host)
{
    const char *mark = xb_span_find(host, host.size && *host.at == '[' ? ']' : ':');
    if (!mark)
        return host;
    if (*mark == ']')
        return xb_span_of(host.at + 1, mark);
    return memchr(mark + 1, ':', (size_t)(host.at + host.size - mark - 1)) ? host : xb_span_of(host.at, mark);
}

/* The colon of "https://": letters, digits, "+", "-" and ".", of them a letter first (RFC 3986, 3.1). NULL if there is none, as
 * in "/login?to=http://host/". nginx takes no other target for a whole URL. */
static const char *scheme_end(xb_span s)
{
    const char *p = s.at, *end = s.at + s.size;
    if (!s.size || !(xb_class(*p) & XB_LETTER))
        return NULL;
    while (p < end && (xb_class(*p) & (XB_LETTER | XB_DIGIT) || *p == '+' || *p == '-' || *p == '.'))
        p++;
    return end - p > 2 && p[0] == ':' && p[1] == '/' && p[2] == '/' ? p : NULL;
}

static void split_url(xb_span s, xb_url *u)
{
    const char *end = s.at + s.size;
    *u = (xb_url){.length = (uint32_t)s.size};
    const char *colon = scheme_end(s), *rest = s.at;
    if (colon) {
        u->scheme = xb_span_of(s.at, colon);
        const char *from = colon + 3;
        for (rest = from; rest < end && *rest != '/' && *rest != '?' && *rest != '#'; rest++)
            if (*rest == '@')
                from = rest + 1;
        u->host = xb_without_port(xb_span_of(from, rest));
        u->dots = xb_span_count(u->host, '.');
        xb_address ignored;
        u->numeric = xb_address_parse(u->host, &ignored);
    }
    xb_span tail = xb_span_of(rest, end);
    const char *query = xb_span_find(tail, '?');
    u->path = xb_span_of(rest, query ? query : end);
    u->query = query ? xb_span_of(query + 1, end) : (xb_span){end, 0};
}

static xb_span without_www(xb_span host)
{
    return xb_span_starts(host, XB_SPAN("www.")) ? (xb_span){host.at + 4, host.size - 4} : host;
}

static uint8_t kind_of(xb_span extension)
{
    static const struct {
        xb_span text;
        uint8_t kind;
    } kinds[] = {
        {{"html", 4}, XB_KIND_PAGE},   {{"htm", 3}, XB_KIND_PAGE},    {{"php", 3}, XB_KIND_SCRIPT},
        {{"asp", 3}, XB_KIND_SCRIPT},  {{"aspx", 4}, XB_KIND_SCRIPT}, {{"jsp", 3}, XB_KIND_SCRIPT},
        {{"cgi", 3}, XB_KIND_SCRIPT},  {{"css", 3}, XB_KIND_ASSET},   {{"js", 2}, XB_KIND_ASSET},
        {{"mjs", 3}, XB_KIND_ASSET},   {{"png", 3}, XB_KIND_MEDIA},   {{"jpg", 3}, XB_KIND_MEDIA},
        {{"jpeg", 4}, XB_KIND_MEDIA},  {{"gif", 3}, XB_KIND_MEDIA},   {{"ico", 3}, XB_KIND_MEDIA},
        {{"svg", 3}, XB_KIND_MEDIA},   {{"webp", 4}, XB_KIND_MEDIA},  {{"avif", 4}, XB_KIND_MEDIA},
        {{"woff", 4}, XB_KIND_ASSET},  {{"woff2", 5}, XB_KIND_ASSET}, {{"ttf", 3}, XB_KIND_ASSET},
        {{"map", 3}, XB_KIND_ASSET},   {{"mp4", 3}, XB_KIND_MEDIA},   {{"webm", 4}, XB_KIND_MEDIA},
        {{"xml", 3}, XB_KIND_FEED},    {{"rss", 3}, XB_KIND_FEED},    {{"atom", 4}, XB_KIND_FEED},
    };
    if (extension.size >= 2 && extension.size <= 5)
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
            if (xb_span_is(extension, kinds[i].text))
                return kinds[i].kind;
    return XB_KIND_OTHER;
}

static void path_facts(xb_span uri, xb_path_facts *f)
{
    memset(f, 0, offsetof(xb_path_facts, word));
    split_url(uri, &f->url);
    const char *p = f->url.path.at, *end = p + f->url.path.size, *dot = NULL;
    while (p < end) {
        char c = *p;
        if (xb_is_word(c)) {
            const char *from = p;
            uint8_t kinds = 0, kind;
            while (p < end && (kind = xb_class(*p)) & XB_WORD) {
                kinds |= kind;
                p++;
            }
            if (kinds != XB_DIGIT && f->n_words < XB_MAX_WORDS)
                f->word[f->n_words++] = (xb_word){xb_span_of(from, p), xb_hash_within(xb_span_of(from, p), uri.at + uri.size)};
            continue;
        }
        if (c == '/') {
            f->depth++;
            f->hidden |= p + 1 < end && p[1] == '.' && p + 2 < end && p[2] != '.' && p[2] != '/' &&
                         !(f->depth == 1 && xb_span_starts(xb_span_of(p, end), XB_SPAN("/.well-known/")));
            dot = NULL;
        } else if (c == '.') {
            f->dots++;
            dot = p;
        } else if (c == '%') {
            f->percent++;
        }
        p++;
    }
    f->kind = dot ? kind_of(xb_span_of(dot + 1, end)) : XB_KIND_PAGE;
    if (f->url.query.size)
        f->parameters = 1 + xb_span_count(f->url.query, '&');
    f->percent += xb_span_count(f->url.query, '%');
}

/* ---- headers ---- */

static uint32_t protocol_number(xb_span s)
{
    if (s.size < 6 || !xb_span_starts(s, XB_SPAN("http/")) || !xb_is_digit(s.at[5]))
        return 0;
    uint32_t n = (uint32_t)(s.at[5] - '0') * 10;
    return s.size >= 8 && s.at[6] == '.' && xb_is_digit(s.at[7]) ? n + (uint32_t)(s.at[7] - '0') : n;
}

static void header_facts(const xb_request *r, xb_facts *f)
{
    f->n_visitor = 0;
    for (uint32_t i = 0; i < r->n_headers; i++)
        f->n_visitor += r->headers[i].visitor;
    f->encodings = 0;
    xb_span encodings = xb_value(r, XB_H_ACCEPT_ENCODING);
    if (!encodings.at)
        return;
    const char *p = encodings.at, *end = p + encodings.size;
    xb_span one;
    while (xb_list_next(&p, end, &one)) {
        switch (one.size) {
        case 2:
            f->encodings |= xb_span_is(one, XB_SPAN("br")) ? XB_ENCODING_BR : 0;
            break;
        case 4:
            f->encodings |= xb_span_is(one, XB_SPAN("gzip")) ? XB_ENCODING_GZIP : 0;
            f->encodings |= xb_span_is(one, XB_SPAN("zstd")) ? XB_ENCODING_ZSTD : 0;
            break;
        case 7:
            f->encodings |= xb_span_is(one, XB_SPAN("deflate")) ? XB_ENCODING_DEFLATE : 0;
            break;
        case 8:
            f->encodings |= xb_span_is(one, XB_SPAN("identity")) ? XB_ENCODING_IDENTITY : 0;
            break;
        default:
            break;
        }
    }
}

/* What is absent reads as empty here; its group's bit keeps the difference. */
static xb_span present(xb_span s)
{
    return s.at ? s : XB_SPAN("");
}

/* A lone dash is how logs write "nothing"; a visitor who sends one must look the same in a log and on the wire. */
static xb_span undashed(xb_span s)
{
    return s.size == 1 && *s.at == '-' ? (xb_span){s.at, 0} : present(s);
}

void xb_facts_of(const xb_request *r, xb_facts *f)
{
    f->present = r->present;
    f->request = r;
    f->ip.version = 0;
    if (r->present & XB_HAS_IP)
        xb_address_parse(r->ip, &f->ip);
    if (!f->ip.version)
        f->present &= ~(uint32_t)XB_HAS_IP; /* "unix:" and the like: no address, so nothing to go by */
    agent_facts(undashed(r->agent), &f->agent);
    split_url(undashed(r->referrer), &f->referrer);
    path_facts(present(r->uri), &f->path);
    f->referrer_own = r->host.size && f->referrer.host.size &&
                      xb_span_same(without_www(f->referrer.host), without_www(xb_without_port(r->host)));
    f->protocol = protocol_number(r->protocol);
    header_facts(r, f);
    f->odd = xb_claims(r, f);
}
