#include "board/lane.h"

#include <stdbool.h>
#include <string.h>

enum { MASK = XB_LANE_ROOM - 1, STEP = 8 };
_Static_assert((XB_LANE_ROOM & MASK) == 0, "a power of two");

static size_t steps(size_t size) { return (size + STEP - 1) / STEP * STEP; }
static uint64_t load(const uint64_t *at) { return __atomic_load_n(at, __ATOMIC_ACQUIRE); }
static void store(uint64_t *at, uint64_t value) { __atomic_store_n(at, value, __ATOMIC_RELEASE); }

/* Bytes from `at` to the end of the room. */
static size_t left(uint64_t at) { return XB_LANE_ROOM - (size_t)(at & MASK); }

void *xb_lane_begin(xb_lane *lane, size_t size)
{
    const uint64_t head = load(&lane->head), used = head - load(&lane->tail);
    const size_t need = steps(size), skip = left(head) < need ? left(head) : 0;
    if (used > XB_LANE_ROOM || need > XB_LANE_ROOM / 8 || need + skip > XB_LANE_ROOM - used) {
        store(&lane->dropped, load(&lane->dropped) + 1);
        return NULL;
    }
    return lane->room + ((head + skip) & MASK);
}

void xb_lane_end(xb_lane *lane, size_t size)
{
    const uint64_t head = load(&lane->head);
    const size_t need = steps(size);
    uint64_t at = head;
    if (left(head) < need) {
        memset(lane->room + (head & MASK), 0, sizeof(uint32_t));
        at += left(head);
    }
    const uint32_t said = (uint32_t)size;
    memcpy(lane->room + (at & MASK), &said, sizeof said);
    store(&lane->head, at + need);
}

const void *xb_lane_first(xb_lane *lane, size_t *size)
{
    const uint64_t head = load(&lane->head);
    uint64_t tail = load(&lane->tail);
    uint32_t said = 0;
    if (head - tail > XB_LANE_ROOM || tail % STEP) { /* no writer of ours did that */
        store(&lane->tail, head);
        return NULL;
    }
    while (tail != head) {
        memcpy(&said, lane->room + (tail & MASK), sizeof said);
        if (said >= sizeof said && steps(said) <= left(tail) && steps(said) <= head - tail) {
            store(&lane->tail, tail);
            *size = said;
            return lane->room + (tail & MASK);
        }
        if (said || left(tail) > head - tail)
            tail = head;
        else
            tail += left(tail);
    }
    store(&lane->tail, tail);
    return NULL;
}

void xb_lane_next(xb_lane *lane, size_t size) { store(&lane->tail, load(&lane->tail) + steps(size)); }
