/* table.h - the memory of the table of clients, and where in it an entry is.
 *
 * Law: one table of a fixed size, in memory that the caller gives and others may write (clients.h). No number that is read from it is
 * used as a place: how many sets there are, this process knows by itself.
 *
 * A key has ten possible places, one set. If all are taken, the one that was idle for longest is replaced; one that was seen
 * only once counts as idle for eight times as long, so a flood of addresses pushes out itself first.
 *
 * Memory decides what a request costs where there are many clients: a set that is not in a cache is two hundred nanoseconds away, half of that
 * because its page is not known to the processor, which does little else meanwhile. So a set is half a page, and never on two (where the
 * table begins with one); the sets of a request are asked for one after the other, as early as their keys are known; and its entries as soon
 * as the tags are there, long before they are read.
 */
#ifndef XB_TABLE_H
#define XB_TABLE_H

#include "board/file.h"
#include "clients/entry.h"
#include "clients/keys.h"

enum {
    XB_CLIENTS_VERSION = 3, /* of the layout and of what fields mean */
    XB_CLIENTS_WAYS = 10,
    XB_CLIENTS_FAMILIES = 16, /* browsers of which versions are counted */
    XB_CLIENTS_VERSIONS = 8   /* versions of a browser that are told apart at a time */
};

/* What is looked at to find an entry comes first. */
typedef struct {
    _Alignas(64) uint32_t tag[16]; /* 32 bits of the key, never 0; 0: empty. Those beyond XB_CLIENTS_WAYS are not used */
    uint32_t used[16];             /* when: about seconds (1024 ms), twice; the lowest bit says that it was used again */
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
    xb_client_entry site; /* requests of all who claim a browser */
    uint64_t versions[XB_CLIENTS_FAMILIES][XB_CLIENTS_VERSIONS]; /* upper half: the version; lower: how many, as a float's bits */
    uint64_t reserved_last[72];
    xb_client_set set[];
} xb_clients;

_Static_assert(sizeof(xb_client_set) == 2048 && sizeof(xb_clients) == 2048, "halves of a page");
_Static_assert(offsetof(xb_clients, site) % 64 == 0 && offsetof(xb_client_set, entry) % 64 == 0, "whole lines of the cache");

/* Bytes of a table of about so many MiB, at least one set, at most 2^32 sets; for memory aligned to 64, better to a page. */
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

/* ---- finding ---- */

/* Where the keys of a request belong, and their entries; NULL for an absent key, and where there is no entry yet. A set that is NULL, of
 * a key that is there, was not looked for. */
typedef struct {
    xb_client_entry *client, *network, *shape;
    xb_client_set *of_client, *of_network, *of_shape;
} xb_client_places;

/* The set of a key, of which the memory is asked for; NULL without a key. Returns at once. */
xb_client_set *xb_clients_seek(const xb_clients *t, uint64_t key);

/* The entry of a key in its set, of which the memory is asked for; NULL if there is none. Changes nothing. */
xb_client_entry *xb_clients_look(xb_client_set *set, uint64_t key);

/* All entries of these keys, in the sets of `places`. */
void xb_clients_look_all(const xb_client_keys *k, xb_client_places *places);

/* Both at once, where nobody has anything else to do meanwhile. */
xb_client_places xb_clients_find(const xb_clients *t, const xb_client_keys *k);

/* ---- taking places ---- */

/* A key's entry was used now. */
void xb_clients_touch(xb_client_entry *e, xb_client_set *set, xb_moment now);

/* A new entry for a key (its tag: xb_clients_tag) in its set: in the place of none, or of the one that was idle for longest. */
xb_client_entry *xb_clients_take(xb_clients *t, xb_client_set *set, uint32_t tag, xb_moment now);

/* What tells the keys of a set apart. Not 0. */
static inline uint32_t xb_clients_tag(uint64_t key)
{
    const uint32_t tag = (uint32_t)(key >> 16); /* all that is not in the lowest bits */
    return tag ? tag : 1;
}

/* The place of a tag in a set, below XB_CLIENTS_WAYS; XB_CLIENTS_WAYS if it is not there. */
size_t xb_clients_place(const xb_client_set *set, uint32_t tag);

/* Was this place of a set used at this time, or later? */
bool xb_clients_used(const xb_client_set *set, size_t place, uint64_t since_ms);

#endif
