/* rate.h - at most so many in a second.
 *
 * Law: one writer, no clock of its own: seconds are those of the time that the caller gives. All zero: none are let by.
 */
#ifndef XB_RATE_H
#define XB_RATE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint32_t most, left; /* in a second; in what is left of this one */
    uint64_t second;
} xb_rate;

/* Is there room for one more at this time, in nanoseconds? Takes it. */
static inline bool xb_rate_take(xb_rate *r, uint64_t now)
{
    const uint64_t second = now / 1000000000u;
    if (second != r->second) {
        r->second = second;
        r->left = r->most;
    }
    if (!r->left)
        return false;
    r->left--;
    return true;
}

#endif
