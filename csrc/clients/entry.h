/* entry.h - one entry of the table of clients: counts that fade, marks that stay, gaps and sketches.
 *
 * Law: here is all that knows how an entry changes with time, and what its numbers may be. What is read is sane, whatever bytes were
 * in memory: counts are 0 to 2^24, and nothing is ever used as a place.
 *
 * Counts fade: XB_CLIENTS_HALF_LIFE_MS after a request, half of it is left. Six hours: a visit is remembered in full, the day
 * before hardly counts, and a program that asks every ten minutes still gathers fifty pages. They fade when they are used,
 * in steps of 1/64 of a half-life, so an entry that nobody uses costs nothing. Beside them a fast count of pages has
 * XB_CLIENTS_FAST_MS: some five minutes, long enough for a burst and too short to remember a visit. Marks (a part was loaded, a cookie
 * came) do not fade: who loaded a part once has loaded one.
 *
 * Of a group that many clients share, those that opened their first page moments ago are counted once more, with XB_CLIENTS_LATEST_MS: their
 * parts are still on the way, so nothing can be said of them yet.
 *
 * Two processes that let an entry fade in the very same moment may let it fade twice: it is forgotten by so much sooner.
 *
 * Sketches: 64 bits, one for each of 64 classes of what is told apart. n distinct things set about 64 (1 - e^(-n/64)) of
 * them (linear counting, Whang, Vander-Zanden and Taylor, 1990). At each half-life, half of the bits are cleared, others each time.
 */
#ifndef XB_ENTRY_H
#define XB_ENTRY_H

#include "base/hash.h"
#include "clients/atomic.h"

enum {
    XB_CLIENTS_SKETCHES = 3,
    XB_CLIENTS_HALF_LIFE_MS = 6 * 3600 * 1000,
    XB_CLIENTS_FAST_MS = 320 * 1000,
    XB_CLIENTS_LATEST_MS = 16 * 1000, /* a page that is slow to come and its first part */
    XB_CLIENTS_STEPS = 64, /* of a half-life, and of that of the fast count */
    XB_CLIENTS_SET_BACK_MS = 3600 * 1000 /* going back by more takes the clock for set */
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
    XB_TALLY_POSTS,       /* forms that were sent by POST */
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

/* An entry. Words are only read and written atomically; use the functions below. In lines of 64 bytes: what each request counts;
 * what a group is asked about, times and marks; gaps, sketches, and what only an outcome needs. */
typedef struct {
    _Alignas(16) float count[XB_N_TALLIES];
    uint32_t faded, fast_faded; /* when, in 1/64 of the half-life */
    float fast;                 /* pages, with a half-life of XB_CLIENTS_FAST_MS */
    uint32_t marks;             /* XB_MARK_* */
    uint64_t last;              /* milliseconds since 1970 */
    uint32_t first;             /* seconds since 1970 */
    uint32_t pages_since_part;  /* of a client, at most 255 */
    float gap_mean, gap_spread; /* of the gaps between pages: mean and variance of log2 of milliseconds, the last eight weigh most */
    uint32_t gaps;              /* of a client, at most 255 */
    uint32_t last_gap;          /* milliseconds by which the last page moved last_page; UINT32_MAX: from what counts as none */
    uint64_t last_page;         /* milliseconds since 1970; 0: none yet */
    uint64_t sketch[XB_CLIENTS_SKETCHES]; /* client: paths; network: agents, addresses, shapes */
    uint64_t shape;             /* of a client: the key of the shape that its first page had; 0: none yet */
    union { /* of a client, and of a group */
        struct {
            float mean_before, spread_before; /* gap_mean and gap_spread before the last page, in case that it is taken back */
        };
        struct {
            float latest;          /* clients that opened their first page moments ago, with a half-life of XB_CLIENTS_LATEST_MS */
            uint32_t latest_faded; /* when, in 1/64 of it */
        };
    };
} xb_client_entry;

_Static_assert(sizeof(xb_client_entry) == 192, "whole lines of the cache");

/* What is in an entry at some moment: faded, and sane whatever bytes were in memory. All zero: nothing is known. */
typedef struct {
    float count[XB_N_TALLIES]; /* 0 to 2^24 */
    float fast;               /* likewise */
    float gap_mean, gap_spread; /* log2 of milliseconds, and standard deviation of it; 0 for fewer than two gaps */
    uint32_t marks, pages_since_part, gaps;
    uint64_t age_ms, idle_ms; /* since its first request; since its last */
    uint32_t distinct[XB_CLIENTS_SKETCHES]; /* about how many the sketches have seen, at most 311 */
} xb_client_view;

/* A time, in milliseconds since 1970 and in the steps by which entries fade. */
typedef struct {
    uint64_t ms;
    uint32_t step, fast_step;
} xb_moment;

static inline xb_moment xb_moment_of(uint64_t now_ms)
{
    return (xb_moment){.ms = now_ms,
                       .step = (uint32_t)(now_ms / (XB_CLIENTS_HALF_LIFE_MS / XB_CLIENTS_STEPS)),
                       .fast_step = (uint32_t)(now_ms / (XB_CLIENTS_FAST_MS / XB_CLIENTS_STEPS))};
}

/* What no writer of ours left there counts as nothing. */
static inline float xb_sane(float x)
{
    const float most = x <= 16777216.0f ? x : 0.0f; /* NAN is not */
    return most > 0.0f ? most : 0.0f;
}

/* ---- reading ---- */

/* What an entry says at this moment; all zero for NULL. */
void xb_client_read(const xb_client_entry *e, uint64_t now_ms, xb_client_view *out);

/* The same, of an entry that is there. */
void xb_entry_read(const xb_client_entry *e, xb_moment now, xb_client_view *out);

/* Of these, for who needs no more: the counts; the fast count; about how many a sketch has seen. */
void xb_entry_counts(const xb_client_entry *e, xb_moment now, float count[XB_N_TALLIES]);
float xb_entry_fast(const xb_client_entry *e, xb_moment now);

/* Of a group: how many of its VISITORS opened their first page moments ago, each as what is left after XB_CLIENTS_LATEST_MS: of a moment 1, then
 * less. */
float xb_entry_latest(const xb_client_entry *e, xb_moment now);
uint32_t xb_entry_distinct(const xb_client_entry *e, xb_moment now, size_t sketch);

/* ---- writing ---- */

/* Makes an entry that knows nothing, and begins now. */
void xb_entry_clear(xb_client_entry *e, xb_moment now);

/* Lets it fade up to now. */
void xb_entry_fade(xb_client_entry *e, xb_moment now);

/* Counts one more of each of `counts` (XB_COUNT), of a request that comes now. */
void xb_entry_count(xb_client_entry *e, xb_moment now, uint32_t counts);

/* Counts up and down what is known later. */
void xb_entry_correct(xb_client_entry *e, xb_moment now, uint32_t up, uint32_t down);

/* Adds counts that were made elsewhere; what cannot be is left out. */
void xb_entry_add(xb_client_entry *e, xb_moment now, const float count[XB_N_TALLIES]);

/* Which of the 64 classes of a sketch. */
static inline unsigned xb_entry_class(uint64_t hash) { return (unsigned)(xb_mix(hash) >> 58); }

/* Marks a class of the sketch. Was it new? */
static inline bool xb_entry_saw(uint64_t *sketch, unsigned class_of)
{
    const uint64_t bit = UINT64_C(1) << class_of, before = xb_get64(sketch);
    if (before & bit)
        return false;
    xb_put64(sketch, before | bit);
    return true;
}

/* Counts the gap before a page. Gaps below half a second count as that: logs have whole seconds. Those beyond a half-life are between
 * visits. Was there one? */
bool xb_entry_gap(xb_client_entry *e, xb_moment now);

/* As if the last page had not been; `counted`: its gap was. Of several that are taken back, the last one's gap goes wholly; of the
 * others only the number. */
void xb_entry_take_gap_back(xb_client_entry *e, bool counted);

#endif
