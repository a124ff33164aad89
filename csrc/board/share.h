/* share.h - what a sidecar lends to a host of another user, such as nginx's workers: one message over a Unix socket (SOCK_SEQPACKET)
 * with the descriptors of memory beside it.
 *
 * Law: all that is lent is anonymous memory of a sealed size (file.h says why), and whoever gets a descriptor checks the seal, the
 * size and the header before it uses a byte. What would decide
 * for others is lent for reading only: the operator's word, and what the DNS said. All else both sides write, and neither trusts it.
 * The connection is the loan: a lane and counters have the one writer that they were lent to, until the connection ends. When it does, the
 * host goes on with the other memory as it is, and asks again; so nobody waits for the other.
 *
 * To a connection that stands the sidecar may send further messages: those without descriptors only say the rest anew.
 */
#ifndef XB_SHARE_H
#define XB_SHARE_H

#include <stddef.h>
#include <stdint.h>

#define XB_SHARE_MAGIC "XBSHARE\n"
enum { XB_SHARE_VERSION = 2 /* of this, and of memory that has no header: lookups.h, lane.h */, XB_SHARE_MOST = 16 };

/* What lies behind a descriptor. */
typedef enum {
    XB_SHARE_CLIENTS,  /* the table of clients.h */
    XB_SHARE_WHEEL,    /* wheel.h; for reading */
    XB_SHARE_COUNTERS, /* a file of counters (counters.h) with two slots; the second is of this host alone, and counts since it was lent */
    XB_SHARE_LOOKUPS,  /* xb_lookups: answers; for reading */
    XB_SHARE_QUESTIONS, /* xb_lookups: where hosts put questions, which the sidecar takes over into its own */
    XB_SHARE_LANE,     /* xb_lane, of this host alone */
    XB_SHARE_VISITORS, /* the table of visitors.h */
    XB_SHARE_CLOCK,    /* the time of the tables in milliseconds, a word: tests and replays have it */
    XB_N_SHARES
} xb_share_kind;
extern const char *const xb_share_names[XB_N_SHARES];

typedef struct {
    uint8_t magic[8];
    uint32_t version;
    uint32_t n;      /* descriptors that come with it */
    uint64_t sample; /* this and the next four say which decisions are recorded (record.h) */
    uint32_t logged, per_second; /* not 0: there is a log; records of the lane in a second, this host's share */
    uint32_t accused, others;
    uint32_t signs;  /* not 0: the sidecar checks signatures, so it is to be asked about requests that have one */
    uint32_t reserved;
    uint8_t kind[XB_SHARE_MOST]; /* of each descriptor, in their order; one that the receiver does not know it closes */
} xb_share;

_Static_assert(sizeof(xb_share) == 64, "no padding");

/* Checks a message of `size` bytes with `n` descriptors. NULL, or why it is refused. */
const char *xb_share_check(const xb_share *message, size_t size, size_t n);

#endif
