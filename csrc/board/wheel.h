/* wheel.h - what an operator decides at once, in memory that all workers read: the mode of policies, and addresses that are let by.
 *
 * Law: one writer, the master; every host reads it for each request, so that what is written holds from the next answer on in
 * every process that answers, and also in one that hangs, from the first answer that it gives again. There is no lock: what a
 * reader acts upon is one word, written and read whole. The rest of a slot (a name, an address) is changed only while its word
 * is 0, and a reader looks at the word before and after. A writer that dies leaves each slot as it was, or empty.
 *
 * Each word ends at a time of CLOCK_MONOTONIC that every reader compares by itself. So an override that runs out needs nobody
 * to end it.
 *
 * The memory has the header of the board (file.h), so that it can also be a file there: a copy of it, for other hosts and for
 * the next sidecar. Its times are those of one boot.
 */
#ifndef XB_WHEEL_H
#define XB_WHEEL_H

#include "base/address.h"
#include "board/file.h"

/* What an override makes of a policy. */
typedef enum {
    XB_WHEEL_CONFIGURED, /* nothing: as the policy says */
    XB_WHEEL_OBSERVE,    /* nobody is refused */
    XB_WHEEL_ENFORCE,    /* bots are refused */
    XB_WHEEL_OFF,        /* nobody is refused, and the site is told nothing */
    XB_N_WHEEL_MODES
} xb_wheel_mode;
extern const char *const xb_wheel_names[XB_N_WHEEL_MODES];

enum {
    XB_WHEEL_VERSION = 1,
    XB_WHEEL_HEADER = 192,
    XB_WHEEL_NAME = 32,      /* bytes of a policy's name, padded with zeros */
    XB_WHEEL_POLICIES = 64,  /* that can have an override of their own */
    XB_WHEEL_ADDRESSES = 64, /* addresses or networks that are let by */
};
#define XB_WHEEL_EVER (UINT64_MAX & ~UINT64_C(255)) /* as an end: never */

typedef struct {
    uint64_t name[XB_WHEEL_NAME / 8];
    uint64_t word; /* its end in nanoseconds, but for the lowest byte: an xb_wheel_mode. Past its end it says nothing */
} xb_wheel_policy;

typedef struct {
    uint64_t high, low; /* the address as a number; IPv4 as ::ffff:192.0.2.1 */
    uint64_t word;      /* its end, but for the lowest byte: how many bits of the address count, 0 to 128 */
} xb_wheel_address;

typedef struct {
    xb_board_header board;
    uint64_t engaged; /* 0: nobody has said anything, and there is nothing to look at */
    uint64_t all;     /* a word as of a policy: for all that have none of their own */
    uint64_t reserved[6];
    xb_wheel_policy policy[XB_WHEEL_POLICIES];
    xb_wheel_address address[XB_WHEEL_ADDRESSES];
} xb_wheel;

_Static_assert(offsetof(xb_wheel, policy) == XB_WHEEL_HEADER, "the header has no padding");

extern const xb_board_kind xb_wheel_kind;

/* Makes an empty one. */
void xb_wheel_init(xb_wheel *w, uint64_t made, uint64_t booted);

/* Checks one of which `size` bytes are there. Returns NULL, or why it is refused. */
const char *xb_wheel_check(const void *file, size_t size, uint64_t booted);

/* ---- for whoever judges ---- */

static inline bool xb_wheel_engaged(const xb_wheel *w) { return __atomic_load_n(&w->engaged, __ATOMIC_ACQUIRE); }

/* The mode of the policy with this name, XB_WHEEL_NAME bytes that end in zeros, at this time. */
xb_wheel_mode xb_wheel_mode_of(const xb_wheel *w, const char *name, uint64_t now);

/* Is this address let by? */
bool xb_wheel_lets_by(const xb_wheel *w, const xb_address *address, uint64_t now);

/* ---- for the writer ---- */

/* Sets the mode of the policy with this name until `end`; of all policies, and ends their own overrides, where `name` is NULL.
 * False if every place is taken. */
bool xb_wheel_turn(xb_wheel *w, const char *name, xb_wheel_mode mode, uint64_t now, uint64_t end);

/* Lets by whoever shares the first `bits` bits with the address (of 32, or of 128) until `end`; where `end` is not after `now`,
 * no longer. False if every place is taken, or there are not so many bits. */
bool xb_wheel_let_by(xb_wheel *w, const xb_address *address, unsigned bits, uint64_t now, uint64_t end);

#endif
