/* lookups.h - what the DNS said of addresses: which domains confirm one, and which addresses are still to be looked up.
 *
 * Law: a table of a fixed size in memory that workers and one process that looks up share. Nobody waits: there is no lock, so no
 * process can die while it holds one. A worker only reads answers and only puts questions; the process that looks up
 * (sidecar/verify/lookups.py) only writes answers and only takes questions. What is written carries a checksum, keyed by a secret
 * of the table: what is half written, or mixed from two writers, counts as absent. So an answer is right or absent, never wrong.
 *
 * A visitor can put a question for each address that he has, and no more:
 *   - a question that finds its place taken is dropped, and put again by the next request: a storm costs questions, no memory;
 *   - of the eight places that an answer may take, one that confirms nothing is replaced before one that confirms a domain, so
 *     a storm pushes out no crawler that is proven. A secret decides where an address is stored.
 *
 * An answer is fresh until its time. Then the question is put again, and the old answer counts for XB_LOOKUPS_STALE seconds more,
 * from when it was given: a short outage costs no crawler its proof.
 *
 * Times are seconds of CLOCK_MONOTONIC, the same for all processes of a boot.
 */
#ifndef XB_LOOKUPS_H
#define XB_LOOKUPS_H

#include "base/address.h"

enum {
    XB_LOOKUPS_WAYS = 8,
    XB_LOOKUPS_SETS = 2048,
    XB_LOOKUPS_QUESTIONS = 1024,
    XB_LOOKUPS_STALE = 86400,
    XB_MAX_DOMAINS = 64
};

/* What came of a look-up. The order is kept in memory: do not change it. */
typedef enum {
    XB_LOOKUP_UNKNOWN,  /* not looked up yet */
    XB_LOOKUP_AWAY,     /* nobody answered, and the resolver answers nothing else either */
    XB_LOOKUP_SILENT,   /* nobody answered for this address, but the resolver works */
    XB_LOOKUP_ANSWERED, /* `domains` are all that confirm the address; none: none does */
    XB_N_LOOKUPS
} xb_lookup_state;

typedef struct {
    uint64_t domains; /* a bit for each domain, by its number in the catalogue */
    uint32_t state;   /* xb_lookup_state */
    uint32_t given;   /* when */
    uint32_t until;   /* it is fresh */
} xb_lookup;

enum { XB_LOOKUP_WORDS = 5 }; /* the address, domains, given and until, state */

typedef struct {
    uint64_t sum;                    /* of the words, keyed; 0: empty */
    uint64_t words[XB_LOOKUP_WORDS];
    uint64_t reserved[2];
} xb_lookup_entry;

typedef struct {
    uint64_t sum; /* likewise */
    uint64_t address[2];
    uint64_t reserved;
} xb_lookup_question;

typedef struct {
    uint64_t secret[2]; /* random; set by the process that makes the table, before it shares it */
    uint64_t asked;     /* questions that found a place, ever; roughly: two at once may count as one */
    uint64_t dropped;   /* questions that found none */
    uint64_t looked[XB_N_LOOKUPS]; /* look-ups by what came of them; of those that were answered, `confirmed` confirmed a domain */
    uint64_t confirmed;
    uint64_t reserved[7];
    xb_lookup_question question[XB_LOOKUPS_QUESTIONS];
    xb_lookup_entry entry[XB_LOOKUPS_SETS][XB_LOOKUPS_WAYS];
} xb_lookups;

_Static_assert(sizeof(xb_lookup_entry) == 64 && sizeof(xb_lookup_question) == 32, "no padding");
_Static_assert(offsetof(xb_lookups, question) == 128, "whole lines of the cache");

/* Seconds of the clock. */
uint32_t xb_lookups_now(void);

/* What is known of an address of version 4 or 6 at `now`. False: nothing, and `out` is all zero. */
bool xb_lookups_find(const xb_lookups *t, const xb_address *address, uint32_t now, xb_lookup *out);

/* Does a fresh answer say that nothing confirms an address of the same /24 or, of IPv6, /48? Whoever has one address often has its
 * network: none of them is excused for being new. */
bool xb_lookups_neighbour_denied(const xb_lookups *t, const xb_address *address, uint32_t now);

/* Asks for a look-up of this address, unless it is asked for already. False if there was no room for the question: so at most
 * XB_LOOKUPS_QUESTIONS addresses at a time are waited for. */
bool xb_lookups_ask(xb_lookups *t, const xb_address *address);

/* For the process that looks up: takes up to `most` questions, from the place `*at` on, which it moves. Returns how many. */
size_t xb_lookups_take(xb_lookups *t, uint32_t *at, xb_address *out, size_t most);

/* For the process that looks up: what came of it. An answer that confirms nothing speaks for the /64, too. Does not keep
 * XB_LOOKUP_UNKNOWN. Where nobody answered, an older answer stays, and is fresh until `what->until`, but no longer than
 * XB_LOOKUPS_STALE after it was given. */
void xb_lookups_keep(xb_lookups *t, const xb_address *address, const xb_lookup *what);

#endif
