/* counters.h - what workers count: a file of the board, or memory that only they share, made of slots.
 *
 * Law: a slot has one writer, which holds a lock on the slot's bytes (fcntl, F_SETLK; nobody waits for it, and the kernel
 * releases it when the process ends), any number of readers, and 64-bit counters that only go up. Readers may see one counter
 * ahead of another by a request, never half a number. A slot outlives its writer: the next writer continues its counters.
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

enum { XB_HISTOGRAM = 64, XB_COUNTED_OUTCOMES = 4, XB_COUNTED_DECIDERS = 5 };

typedef struct {
    uint64_t requests;
    uint64_t outcome[XB_COUNTED_OUTCOMES]; /* by xb_outcome; they add up to `requests` */
    uint64_t decided_by[XB_COUNTED_DECIDERS];       /* by xb_decided_by; likewise */
    uint64_t unknown_policy; /* asked for a policy that does not exist; the listener's policy decided */
    uint64_t refused;      /* answered 403 */
    uint64_t bad_request;  /* answered 400 */
    uint64_t truncated;    /* more head, headers or words than the bounds: judged on what fits */
    uint64_t connections_total;
    uint64_t asked_again;  /* answered 428: the proxy asks again, with the handshake */
    uint64_t older_files, newer_files; /* questions from files of nginx/ with a version other than XB_FILES (dialect.h) */
    uint64_t closed[XB_N_CLOSED]; /* of these */
    uint64_t sum_ns;       /* from the last byte of the head to the reply, over all answers */
    uint64_t histogram[XB_HISTOGRAM]; /* bucket i: answers that took [2^i, 2^(i+1)) ns */
    uint64_t probes;       /* questions of `xbot check` that got a verdict; in none of the above but what is of connections and files */
} xb_stats;

/* A counter at the end, where a slot has room, leaves the version as it is: there it was 0. */
_Static_assert(sizeof(xb_stats) == 704, "another xb_stats is another XB_COUNTERS_VERSION");

enum { XB_COUNTERS_VERSION = 1, XB_COUNTERS_HEADER = 256, XB_COUNTERS_MOST = 1 << 14 /* slots */ };
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

/* Writes what `now` has counted since it was `before` into a slot that others read. Nobody counts in `now` meanwhile. */
void xb_counters_since(xb_stats *slot, const xb_stats *now, const xb_stats *before);

/* Adds what a file that was checked has counted, in all of its slots. */
void xb_counters_add(xb_stats *total, const void *file);

#endif
