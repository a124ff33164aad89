/* lane.h - a ring of records in shared memory, from one writer to one reader: what a worker says of its decisions.
 *
 * Law: nobody waits. A record that finds no room is dropped, and counted. There is no lock: the writer moves `head` when a record
 * is whole, the reader moves `tail` when it has a copy. So a writer that dies leaves whole records, and the next writer of the
 * lane (board/lanes.py says whose it is) goes on behind them; a reader that stalls costs records.
 *
 * A record is a u32, its size with that, and bytes; it lies in one piece, at a multiple of 8. A size of 0 says that the next
 * one lies at the beginning.
 */
#ifndef XB_LANE_H
#define XB_LANE_H

#include "base/rate.h"

#include <stddef.h>
#include <stdint.h>

enum { XB_LANE_ROOM = 1 << 20 }; /* bytes; a record takes an eighth at most */

typedef struct {
    uint64_t head;    /* bytes that were written, ever; of the writer */
    uint64_t dropped; /* records that found no room; likewise */
    uint64_t capped;  /* records that were not begun: there were enough of them in their second; likewise */
    xb_rate rate;     /* how many there may be in a second; likewise */
    uint64_t reserved[11]; /* another line of the cache for the reader */
    uint64_t tail; /* bytes that were read; of the reader */
    uint64_t reserved2[495]; /* so that a lane is whole pages, and can be mapped alone */
    uint8_t room[XB_LANE_ROOM];
} xb_lane;

_Static_assert(sizeof(xb_lane) == XB_LANE_ROOM + 4096, "whole pages");

/* Room for a record of `size` bytes (at most XB_LANE_ROOM / 8), or NULL: then it is dropped and counted. Of the writer alone. */
void *xb_lane_begin(xb_lane *lane, size_t size);

/* May another record be begun at this time, in nanoseconds, by the lane's rate? If not, it is counted as capped. Of the writer alone. */
static inline bool xb_lane_may(xb_lane *lane, uint64_t now)
{
    const bool may = xb_rate_take(&lane->rate, now);
    if (!may)
        __atomic_fetch_add(&lane->capped, 1, __ATOMIC_RELAXED);
    return may;
}

/* The record that was begun last, with these many bytes of what it asked for or fewer, is whole: the reader may have it. */
void xb_lane_end(xb_lane *lane, size_t size);

/* The oldest record, and its size; NULL if there is none. Whatever is in the lane, it lies in its room. Of the reader alone. */
const void *xb_lane_first(xb_lane *lane, size_t *size);

/* The reader has done with it. */
void xb_lane_next(xb_lane *lane, size_t size);

#endif
