#include "features/agent.h"

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

void xb_agent_init(void)
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

const char *const xb_browser_names[] = {
#define XB_BROWSER(name, vendor) #name,
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

/* Is the word a product that the agent names outside its brackets? Such a one stands at the beginning or behind a blank or
 * semicolon; what stands behind a slash is its version. */
static bool is_product(xb_span agent, xb_span word)
{
    const bool begins = word.at == agent.at || word.at[-1] == ' ' || word.at[-1] == ';';
    return begins && !in_brackets(agent.at, word.at);
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

void xb_agent_facts_of(xb_span s, xb_agent_facts *a)
{
    const char *end = s.at + s.size, *from = NULL; /* of the word that has begun */
    uint64_t last = 0;                             /* bit 0: the byte before these 64 is of a word */
    bool named = false;                            /* the word has more than digits in earlier blocks */
    bool at = false;
    uint64_t unknown = 0; /* bit i: word i is not in agents.def */
    memset(a, 0, offsetof(xb_agent_facts, word));
    a->text = s;
    a->hash = xb_hash(s);
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
                unknown |= (uint64_t)!is_known << a->n_words;
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
    for (; a->mozilla && a->browser && unknown; unknown &= unknown - 1)
        a->foreign += is_product(s, a->word[__builtin_ctzll(unknown)].text);
}
