/* rate.h - at most so many in a second.
 *
 * Law: one writer, no clock of its own: a second begins with the first that is asked for after the last one has passed. All zero: none are
 * let by.
 */
#ifndef XB_RATE_H
#define XB_RATE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint32_t most, left; /* in a second; in what is left of this one */
    uint64_t began;      /* this second, at its first request */
} xb_rate;

/* Is there room for one more at this time, in nanoseconds? Takes it. */
static inline bool xb_rate_take(xb_rate *r, uint64_t now)
{
    if (now - r->began >= 1000000000u) {
        r->began = now;
        r->left = r->most;
    }
    if (!r->left)
        return false;
    r->left--;
    return true;
}

#endif
