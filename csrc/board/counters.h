/* counters.h - what workers count: a file of the board, or memory that only they share, made of slots.
 *
 * Law: a slot has one writer, which holds a lock on the slot's bytes (fcntl, F_SETLK; nobody waits for it, and the kernel
 * releases it when the process ends), any number of readers, and 64-bit counters that only go up. Readers may see one counter
 * ahead of another by a request, never half a number. A slot outlives its writer: the next writer continues its counters.
 *
 * Decisions are counted by policy, what decided, and verdict, at once: so every sum over them agrees with every other. A slot gives a
 * place to each policy by its name when it first decides, XB_COUNTED_POLICIES of them at most; what further ones decide counts in the
 * first place, which has no name. Places are never given away: a counter would go down.
 *
 * Layout:
 *   header  xb_counters_header
 *   slots   n_slots times XB_COUNTERS_SLOT bytes, an xb_stats in each. The first has no writer: it holds what was counted in
 *           an earlier file, which had too few.
 */
#ifndef XB_COUNTERS_H
#define XB_COUNTERS_H

#include "board/file.h"

/* Why a connection was closed without a reply (connection.h). */
typedef enum {
    XB_CLOSED_SLOW,        /* the rest of its head did not come in time */
    XB_CLOSED_UNREAD,      /* its peer did not take the replies in time */
    XB_CLOSED_CONNECTIONS, /* there were too many, and it had waited longest */
    XB_CLOSED_BYTES,       /* they held too many bytes, and it had waited longest */
    XB_N_CLOSED
} xb_closed;

enum { XB_HISTOGRAM = 64, XB_SCORES = 20, XB_MARGINS = 32, XB_COUNTED_OUTCOMES = 4, XB_COUNTED_DECIDERS = 5 };
enum { XB_COUNTED_POLICIES = 32, XB_COUNTED_NAME = 32 /* bytes, with the closing zero: XB_MAX_NAME */ };

/* What one policy decided. */
typedef struct {
    char name[XB_COUNTED_NAME]; /* padded with zeros */
    uint64_t named;             /* 1: the name is there, and stays; set last */
    uint64_t decided[XB_COUNTED_DECIDERS][XB_COUNTED_OUTCOMES]; /* requests that got a verdict, by xb_decided_by and xb_outcome */
    uint64_t refused[XB_COUNTED_DECIDERS];                      /* of these, answered 403 */
} xb_policy_counts;

typedef struct {
    uint64_t unknown_policy; /* asked for a policy that does not exist; the listener's policy decided */
    uint64_t bad_request;  /* answered 400 */
    uint64_t truncated;    /* more head, headers or words than the bounds: judged on what fits */
    uint64_t connections_total;
    uint64_t asked_again;  /* answered 428: the proxy asks again, with the handshake */
    uint64_t older_files, newer_files; /* questions from files of nginx/ with a version other than XB_FILES (dialect.h) */
    uint64_t closed[XB_N_CLOSED]; /* connections */
    uint64_t sum_ns;       /* from the last byte of the head to the reply, over all answers */
    uint64_t histogram[XB_HISTOGRAM]; /* bucket i: answers that took [2^i, 2^(i+1)) ns */
    uint64_t probes;       /* questions of `xbot check` that got a verdict; in none of the others but what is of connections and files */
    uint64_t sum_score;    /* of all verdicts, in millionths */
    uint64_t score[XB_SCORES];   /* bucket i: scores in [i, i+1) / XB_SCORES; 1 is in the last */
    uint64_t margin[XB_MARGINS]; /* bucket i: margins in [i, i+1) / 2 - XB_MARGINS / 4; what is beyond is in the first and the last */
    uint64_t doubted, regretted; /* clients that look like people, and yet were called bots by their score; refused for it (answer.c) */
    xb_policy_counts policy[1 + XB_COUNTED_POLICIES];
} xb_stats;

/* A counter at the end, where a slot has room, leaves the version as it is: there it was 0. */
_Static_assert(sizeof(xb_stats) == 8976, "another xb_stats is another XB_COUNTERS_VERSION");

enum { XB_COUNTERS_VERSION = 2, XB_COUNTERS_HEADER = 256, XB_COUNTERS_MOST = 1 << 14 /* slots */ };
#define XB_COUNTERS_SLOT ((sizeof(xb_stats) + 127) / 128 * 128) /* no two writers share a cache line, nor two lines that are
#fetched together */

typedef struct {
    xb_board_header board;
    uint32_t n_slots;
    uint32_t slot_size; /* XB_COUNTERS_SLOT */
    uint8_t reserved[120];
} xb_counters_header;

_Static_assert(sizeof(xb_counters_header) == XB_COUNTERS_HEADER, "the header has no padding");

extern const xb_board_kind xb_counters_kind;

/* Bytes of a file with this many slots, 2 to XB_COUNTERS_MOST. */
size_t xb_counters_size(uint32_t n_slots);

/* Makes a new file in memory of xb_counters_size(n_slots) bytes: every counter is 0. */
void xb_counters_init(void *file, uint32_t n_slots, uint64_t made, uint64_t booted);

/* Checks a file of which `size` bytes were read. Returns NULL, or why it is refused; *n_slots is 0 then. */
const char *xb_counters_check(const void *file, size_t size, uint32_t *n_slots);

/* A slot of a file that was checked, in memory aligned to 8. */
xb_stats *xb_counters_slot(void *file, uint32_t i);

/* Writes what `now` has counted since it was `before` into a slot that others read, each policy in its place. Nobody counts in `now`
 * meanwhile. */
void xb_counters_since(xb_stats *slot, const xb_stats *now, const xb_stats *before);

/* Adds what a file that was checked has counted, in all of its slots; policies by their names. */
void xb_counters_add(xb_stats *total, const void *file);

/* The place in a slot of the policy of this name, which is padded with zeros; given to it if it had none. Of the slot's writer alone. */
xb_policy_counts *xb_counters_policy(xb_stats *slot, const char name[XB_COUNTED_NAME]);

/* The bucket of a score, 0 to 1, and of a margin; in the first where it is no number. */
unsigned xb_score_bucket(double score);
unsigned xb_margin_bucket(double margin);

/* Requests that got a verdict, over all policies, by xb_outcome and by xb_decided_by; returns how many there are, and of these *refused. */
uint64_t xb_counters_decided(const xb_stats *stats, uint64_t outcome[XB_COUNTED_OUTCOMES], uint64_t decided_by[XB_COUNTED_DECIDERS],
                             uint64_t *refused);

#endif
