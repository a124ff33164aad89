/* clients.h - what clients did before: counts of their requests that fade, in memory that workers share.
 *
 * Law: one table of a fixed size, in memory that the caller gives. Any process may read and write it at any time, and none
 * ever waits: there is no lock, so no process can die while it holds one. Everything is read and written as whole words of 32
 * or 64 bits, in any order. Two that write at once may lose a count, and an entry that is replaced in that moment may get a
 * count of the one before it. So a count may be off by a few, and nothing else can be wrong: no number that is read here is
 * ever used as a place in memory without a check, also where another user writes it. No allocation, no system call.
 *
 * An entry is one of
 *   client   an address (IPv6: its /64; or the network, XB_CLIENTS_BY_NETWORK) and an agent
 *   network  the /24 of an IPv4 address, the /48 of an IPv6 address
 *   shape    what a program looks like, whoever runs it (features/behaviour.h)
 * and there is one more, in the header: the site, which counts requests of all who claim a browser.
 *
 * Keys are hashes with a secret of the table, so nobody outside can choose who shares a place with whom, nor write a key. A
 * key has eight possible places, one set. If all are taken, the one that was idle for longest is replaced; one that was seen
 * only once counts as idle for eight times as long, so a flood of addresses pushes out itself first.
 *
 * Counts fade: XB_CLIENTS_HALF_LIFE_MS after a request, half of it is left. Six hours: a visit is remembered in full, the day
 * before hardly counts, and a program that asks every ten minutes still gathers fifty pages. They fade when they are used,
 * in steps of 1/64 of a half-life, so an entry that nobody uses costs nothing. Beside them a fast count of pages has
 * XB_CLIENTS_FAST_MS: some five minutes, long enough for a burst and too short to remember a visit. Marks (a part was loaded, a cookie
 * came) do not fade: who loaded a part once has loaded one.
 *
 * What a gate refuses says nothing against who asked: a page that is answered with 401, 403, 407 or 429 takes back all that it counted as
 * a page (xb_clients_outcome). Nobody who was refused by mistake gathers evidence by trying again. It stays a request.
 *
 * Sketches: 64 bits, one for each of 64 classes of what is told apart. n distinct things set about 64 (1 - e^(-n/64)) of
 * them (linear counting, Whang, Vander-Zanden and Taylor, 1990). At each half-life, half of the bits are cleared, others each time.
 *
 * Time is in milliseconds since 1970 UTC, given by the caller; a log gives its lines' own. Going back is harmless: no time
 * has passed then. Going back by more than an hour takes the clock for set, and counts from the new time on.
 */
#ifndef XB_CLIENTS_H
#define XB_CLIENTS_H

#include "base/span.h"
#include "board/file.h"

enum {
    XB_CLIENTS_VERSION = 2, /* of the layout and of what fields mean */
    XB_CLIENTS_WAYS = 8,
    XB_CLIENTS_FAMILIES = 16, /* browsers of which versions are counted */
    XB_CLIENTS_VERSIONS = 8,  /* versions of a browser that are told apart at a time */
    XB_CLIENTS_SKETCHES = 3,
    XB_CLIENTS_HALF_LIFE_MS = 6 * 3600 * 1000,
    XB_CLIENTS_FAST_MS = 320 * 1000
};

/* What is counted. The last seven are counts of clients that claim a browser
 * (ARRIVED and NETWORKS: of any), in all entries but those of clients. */
typedef enum {
    XB_TALLY_REQUESTS,
    XB_TALLY_PAGES,
    XB_TALLY_PARTS,       /* styles, scripts, fonts, pictures */
    XB_TALLY_UNREFERRED,  /* pages without a referrer */
    XB_TALLY_OWN,         /* pages with a referrer of this site, where the host is known */
    XB_TALLY_EXTERNAL,    /* pages with another site's, where the host is known */
    XB_TALLY_TYPED,       /* pages with Sec-Fetch-Site: none */
    XB_TALLY_QUERIES,     /* pages with a query */
    XB_TALLY_POSTS,
    XB_TALLY_HEADS,       /* requests by HEAD */
    XB_TALLY_CONDITIONAL, /* conditional requests */
    XB_TALLY_COOKIES,     /* requests with a cookie */
    XB_TALLY_OUTCOMES,    /* requests of which the outcome is known; the next two are of these */
    XB_TALLY_ERRORS,      /* 4xx but those by which a gate refuses: 401, 403, 407, 429, and 499, where the visitor left */
    XB_TALLY_UNCHANGED,   /* 304 */
    XB_TALLY_CONNECTED,   /* requests of which the place on their connection is known */
    XB_TALLY_CONNECTIONS, /* of these, the first on theirs */
    XB_TALLY_ARRIVED,     /* new clients */
    XB_TALLY_VISITORS,    /* clients that opened a page */
    XB_TALLY_LOADERS,     /* of these, clients that loaded a part */
    XB_TALLY_KEEPERS,     /* of VISITORS, clients that sent a cookie */
    XB_TALLY_LOADED_PAGES, /* pages that LOADERS opened after their first part */
    XB_TALLY_LOADED_PARTS, /* parts that they loaded after it */
    XB_TALLY_NETWORKS,    /* of a shape: networks that it was new to */
    XB_N_TALLIES
} xb_tally;

#define XB_COUNT(name) (UINT32_C(1) << XB_TALLY_##name)

/* What is known of a client for good. */
enum {
    XB_MARK_PAGED = 1 << 0,  /* opened a page */
    XB_MARK_PARTED = 1 << 1, /* loaded a part */
    XB_MARK_KEEPS = 1 << 2,  /* sent a cookie */
    XB_MARK_BROUGHT = 1 << 3, /* sent a cookie, and none with its first request: brought one back */
    XB_MARK_ROBOTS = 1 << 4, /* asked for /robots.txt */
    XB_MARK_BROWSER = 1 << 5, /* claims a browser */
    XB_MARK_REFUSED = 1 << 6, /* was refused its first page: that it opened none says nothing */
    XB_MARK_FALSE = 1 << 7,  /* opened a page that contradicts its agent */
    /* What this gate said of it; no row reads them (answer.c). */
    XB_MARK_CALLED = 1 << 8,    /* called a bot by its score */
    XB_MARK_GATED = 1 << 9,     /* refused for it */
    XB_MARK_DOUBTED = 1 << 10,  /* counted as one that was called a bot, and looks like a person */
    XB_MARK_REGRETTED = 1 << 11, /* likewise, refused */
    XB_MARK_ALL = 0xfff
};
#define XB_MARK_HIGHEST UINT32_C(0xfffff000) /* no marks: the highest margin that its requests got (visitors.h) */

/* An entry. Words are only read and written atomically; use the functions below. */
typedef struct {
    float count[XB_N_TALLIES];
    float fast;                 /* pages, with a half-life of XB_CLIENTS_FAST_MS */
    float gap_mean, gap_spread; /* of the gaps between pages: mean and variance of log2 of milliseconds, the last eight weigh most */
    uint32_t faded, fast_faded; /* when, in 1/64 of the half-life */
    uint32_t marks;             /* XB_MARK_* */
    uint32_t pages_since_part, gaps; /* of a client, at most 255 */
    uint32_t first;             /* seconds since 1970 */
    uint32_t last_gap;          /* milliseconds by which the last page moved last_page; UINT32_MAX: from what counts as none */
    uint64_t last, last_page;   /* milliseconds since 1970; 0: none yet */
    uint64_t shape;             /* of a client: the key of the shape that its first page had; 0: none yet */
    uint64_t sketch[XB_CLIENTS_SKETCHES]; /* client: paths; network: agents, addresses, shapes */
    float mean_before, spread_before; /* gap_mean and gap_spread before the last page, in case that it is taken back */
} xb_client_entry;

typedef struct {
    uint32_t tag[XB_CLIENTS_WAYS];  /* 32 bits of the key, never 0; 0: empty */
    uint32_t used[XB_CLIENTS_WAYS]; /* when: about seconds (1024 ms), twice; the lowest bit says that it was used again */
    xb_client_entry entry[XB_CLIENTS_WAYS];
} xb_client_set;

typedef enum { XB_CLIENTS_BY_ADDRESS, XB_CLIENTS_BY_NETWORK } xb_clients_privacy;

typedef struct {
    xb_board_header board;
    uint64_t secret[2]; /* random; set by the process that makes the table, before it shares it */
    uint64_t n_sets;
    uint32_t privacy;   /* xb_clients_privacy */
    uint32_t unused;
    uint64_t keyed_ms;  /* when the secret was drawn, in milliseconds since 1970 UTC; 0: with the table */
    uint64_t reserved[3];
    uint64_t entries;   /* places taken so far */
    uint64_t replaced;  /* entries that had to go for others */
    uint64_t outcomes;     /* what happened to requests, as it was told (outcomes.h) */
    uint64_t bad_outcomes; /* messages about it that were none */
    uint64_t reserved_too[4];
    xb_client_entry site;
    uint64_t versions[XB_CLIENTS_FAMILIES][XB_CLIENTS_VERSIONS]; /* upper half: the version; lower: how many, as a float's bits */
    xb_client_set set[];
} xb_clients;

_Static_assert(sizeof(xb_client_entry) == 192 && sizeof(xb_client_set) % 64 == 0, "whole lines of the cache");
_Static_assert(sizeof(xb_clients) % 64 == 0 && offsetof(xb_clients, site) % 64 == 0, "the header is whole lines, too");

/* The keys of one request. 0: absent. The lowest 16 bits of `client` are no part of its key: they say what the request was
 * counted as (XB_SAYS_*), so that its outcome can correct that. */
typedef struct {
    uint64_t client, network, shape;
} xb_client_keys;

/* Where the entries of a request are; NULL where there is none yet. */
typedef struct {
    xb_client_entry *client, *network, *shape;
} xb_client_places;

typedef enum { XB_VISIT_OTHER, XB_VISIT_PAGE, XB_VISIT_PART } xb_visit_what;

/* The lowest bits of a client's key, as xb_clients_count leaves them. All but XB_SAYS_WHAT and XB_SAYS_LOADED are only said of pages. */
enum {
    XB_SAYS_WHAT = 3,            /* xb_visit_what */
    XB_SAYS_FIRST = 1 << 2,      /* the client's first page: it made XB_MARK_PAGED */
    XB_SAYS_LOADED = 1 << 3,     /* the client had loaded a part: a page counted as LOADED_PAGES, a part as LOADED_PARTS */
    XB_SAYS_GAP = 1 << 4,        /* the gap before it was counted */
    XB_SAYS_NEW = 1 << 5,        /* its path was new to the sketch, in the class of the next six bits */
    XB_SAYS_CLASS = 6,           /* shift */
    XB_SAYS_REFERRER = 12,       /* shift of two bits: 1 UNREFERRED, 2 OWN, 3 EXTERNAL, 0 none of these */
    XB_SAYS_TYPED = 1 << 14,
    XB_SAYS_QUERIES = 1 << 15,
    XB_SAYS = 0xffff             /* all of them */
};

/* One request, as it is counted. */
typedef struct {
    uint32_t counts;    /* XB_COUNT(...) of what goes up by one, without those of clients and outcomes; at most one kind of referrer */
    uint32_t marks;     /* XB_MARK_BROWSER, _KEEPS, _ROBOTS of this request; the others follow */
    uint8_t what;       /* xb_visit_what */
    uint8_t family;     /* of its browser, below XB_CLIENTS_FAMILIES */
    uint32_t version;   /* of the browser, below 65536; 0: unknown */
    uint64_t path, agent, address; /* hashes of them, for the sketches */
} xb_visit;

/* What is in an entry at some moment: faded, and sane whatever bytes were in memory. All zero: nothing is known. */
typedef struct {
    float count[XB_N_TALLIES]; /* 0 to 2^24 */
    float fast;               /* likewise */
    float gap_mean, gap_spread; /* log2 of milliseconds, and standard deviation of it; 0 for fewer than two gaps */
    uint32_t marks, pages_since_part, gaps;
    uint64_t age_ms, idle_ms; /* since its first request; since its last */
    uint32_t distinct[XB_CLIENTS_SKETCHES]; /* about how many the sketches have seen, at most 311 */
} xb_client_view;

/* Bytes of a table of about so many MiB, at least one set, at most 2^32 sets; for memory aligned to 64. */
size_t xb_clients_size(unsigned mebibytes);

/* Makes a table of zeroed memory of `size` bytes (xb_clients_size). */
void xb_clients_init(xb_clients *t, size_t size, const uint64_t secret[2], xb_clients_privacy privacy);

/* Gives the table another secret, while others use it. Whatever was counted so far is no longer found, nor can anybody find out by
 * trying whose it was; it goes as its places are needed. A request that is counted in this moment may be lost. */
void xb_clients_rekey(xb_clients *t, const uint64_t secret[2], uint64_t now_ms);

/* Is what lies in `size` bytes of memory, aligned to 64, a table that this program can use? NULL, or why it is refused. Its entries
 * need no check. */
const char *xb_clients_check(const void *memory, size_t size);

/* How many sets a table has that was made or checked by this process: not what its memory says now, which others may write. */
uint64_t xb_clients_sets(const xb_clients *t);

/* Asks for the memory in which the keys' sets begin, and returns at once. */
void xb_clients_prefetch(const xb_clients *t, const xb_client_keys *k);

/* Finds the entries of these keys, and asks for their memory. Changes nothing. */
xb_client_places xb_clients_find(const xb_clients *t, const xb_client_keys *k);

/* What an entry says at this moment; all zero for NULL. */
void xb_client_read(const xb_client_entry *e, uint64_t now_ms, xb_client_view *out);

/* The version of a browser that people of this site have: three of ten of those who loaded parts have this one or a newer one.
 * 0 while fewer than eight are known. */
uint32_t xb_clients_version(const xb_clients *t, unsigned family);

/* Counts a request, in the places where its keys were found just now, or in new ones; and puts what it counted as into the
 * client's key. Returns the client's entry; NULL without a key. */
xb_client_entry *xb_clients_count(xb_clients *t, xb_client_keys *k, const xb_client_places *places, uint64_t now_ms, const xb_visit *visit);

/* Adds marks to a client's entry; nothing if there is none. */
void xb_clients_mark(xb_clients *t, const xb_client_keys *k, uint32_t marks);

/* ---- what happened to a request ---- */

typedef enum {
    XB_CONTENT_UNKNOWN,
    XB_CONTENT_PAGE,
    XB_CONTENT_SCRIPT,
    XB_CONTENT_STYLE,
    XB_CONTENT_IMAGE,
    XB_CONTENT_FONT,
    XB_CONTENT_DATA, /* JSON, XML, feeds */
    XB_CONTENT_OTHER
} xb_content;

typedef struct {
    int status;    /* 0: unknown */
    int64_t bytes; /* of the body; -1: unknown */
    uint8_t content; /* xb_content */
} xb_response;

/* Which kind a content type is of ("text/html; charset=utf-8"); unknown for an absent or empty one, and for a lone dash. */
xb_content xb_content_of(xb_span content_type);

/* Counts what happened to the request of these keys, as xb_clients_count left them. Entries that are gone stay so.
 *
 * A page that was refused, and one that was of another content, was none: what it counted as a page is taken back, in the entries of
 * client, network, shape and site. Of a client's first page that was refused, also that it opened one (XB_MARK_PAGED; VISITORS, and what
 * follows from it), unless it has another by now. Paths, agents and shapes that networks have seen stay. */
void xb_clients_outcome(xb_clients *t, const xb_client_keys *k, uint64_t now_ms, const xb_response *r);

/* ---- what other machines counted (exchange.h) ---- */

/* What was added to an entry of a table with the same secret and as many sets. */
typedef struct {
    uint32_t set, tag;
    uint32_t marks;
    uint32_t first; /* seconds since 1970; 0: unknown */
    float count[XB_N_TALLIES]; /* may be less than 0: what was taken back */
    uint64_t shape;
    uint64_t sketch[XB_CLIENTS_SKETCHES];
} xb_client_delta;

_Static_assert(sizeof(xb_client_delta) == 144, "it has no padding");

/* Adds it to the entry, or to a new one. In whatever order several come, the entry becomes the same, but for what fades in between. What
 * cannot be is left out. Returns the entry, and whether it is new; NULL if there is no such place. */
xb_client_entry *xb_clients_merge(xb_clients *t, const xb_client_delta *d, uint64_t now_ms, bool *is_new);

/* Lets an entry fade up to this time. */
void xb_client_fade(xb_client_entry *e, uint64_t now_ms);

/* Was this place of a set used at this time, or later? */
bool xb_clients_used(const xb_client_set *set, size_t place, uint64_t since_ms);

/* ---- keys as text ---- */

enum { XB_CLIENT_KEYS_TEXT = 48 };

/* Writes 48 hexadecimal digits, without a zero behind them; returns the place behind them. */
char *xb_client_keys_text(const xb_client_keys *k, char *to);

/* Reads them. False, and all zero, if it is anything else. */
bool xb_client_keys_parse(xb_span text, xb_client_keys *out);

#endif
