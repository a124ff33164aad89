/* exchange.h - what the table of clients counted since the last time, for the tables of other machines; and what they counted.
 *
 * Law: counts are told as what was added, and adding is all that is done with what is told, so neither order nor the number of machines
 * matters. Nothing that came from others is told again. It stands beside the requests: one process reads and writes the table as
 * workers do, and nobody waits. In doubt too little is told: what was counted of an entry that nobody remembers is not.
 *
 * What was told last is remembered for XB_EXCHANGE_SLOTS entries, those that were used of late; and of every place, whether its entry
 * was seen: with that, nothing is told twice. That is four bytes beside each entry of 200.
 * No more than so many entries are told at once as the caller has room for; the next time goes on behind them.
 *
 * Pages since the last part, gaps, and the marks of a model's margins stay each machine's own; so does the site's entry.
 */
#ifndef XB_EXCHANGE_H
#define XB_EXCHANGE_H

#include "clients/table.h"

enum { XB_EXCHANGE_SLOTS = 1 << 15, XB_EXCHANGE_WAYS = 8 };

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

typedef struct {
    uint32_t set, tag; /* tag 0: empty */
    uint64_t used;     /* when, in milliseconds since 1970 */
    xb_client_entry told;
} xb_exchange_slot;

typedef struct {
    uint64_t since_ms; /* entries that were used since are looked at */
    uint64_t began_ms; /* when this pass over the table began */
    uint64_t at;       /* the set where it goes on */
    xb_exchange_slot slot[XB_EXCHANGE_SLOTS];
    uint32_t seen[]; /* of each place of the table, the tag that it had when it was looked at, or told */
} xb_exchange;

/* Bytes of it for this table. */
size_t xb_exchange_size(const xb_clients *t);

/* Begins, in zeroed memory: what was counted so far is not told. */
void xb_exchange_init(xb_exchange *x, uint64_t now_ms);

/* Writes what was added since the last time, of at most `most` entries. Returns of how many. */
size_t xb_exchange_collect(xb_exchange *x, const xb_clients *t, uint64_t now_ms, xb_client_delta *out, size_t most);

/* Adds what another machine told. Returns how many of the `n` there was a place for. */
size_t xb_exchange_merge(xb_exchange *x, xb_clients *t, uint64_t now_ms, const xb_client_delta *in, size_t n);

#endif
