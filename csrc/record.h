/* record.h - a decision, with all that it was made from, as one record of a lane (board/lane.h).
 *
 * Law: what is kept is what was judged: the head as it came, the facts of the handshake, and the very vector, so that whoever
 * reads it gets the very margin, whatever else the vector was made from. Cookies and secrets are in the head: a record stays in
 * memory that only workers and their master share, and is cleaned before it goes anywhere (sidecar/decisions/).
 */
#ifndef XB_RECORD_H
#define XB_RECORD_H

#include "base/ids.h"
#include "board/lane.h"
#include "judge.h"
#include "request/dialect.h"

typedef struct {
    uint32_t bucket, family;
} xb_record_word;

typedef struct {
    uint32_t size;       /* of the record; the lane's */
    uint32_t head;       /* bytes of the head */
    uint64_t id;         /* with its fate */
    uint64_t generation; /* of the model and the policies */
    int64_t time;        /* nanoseconds since 1970 UTC */
    double margin, score;
    uint32_t n_dense, n_words;
    uint8_t dialect, outcome, refuse, untold;
    uint8_t has_tls; /* the handshake is known */
    uint8_t reserved[3];
    xb_handshake handshake;
    char policy[XB_MAX_NAME];
    char reason[XB_MAX_REASON];
    /* double dense[n_dense]; xb_record_word words[n_words]; char head[head] */
} xb_record;

_Static_assert(sizeof(xb_record) % 8 == 0, "doubles follow it");

/* Is the decision with this id one of those that are recorded: bots and refusals always, of all others a share of `sample` / 2^58? */
static inline bool xb_record_wanted(uint64_t sample, uint64_t id, const xb_decision *d)
{
    return d->refuse || d->outcome == XB_BOT || id >> XB_FATE_BITS < sample;
}

/* Records the decision of the workspace, about this head: bots and refusals always, of all others a share of `sample` / 2^58.
 * `reason` is that of xb_decision_text. Never waits. Returns the fate of the record, which is also in it. */
xb_fate xb_record_decision(xb_lane *lane, uint64_t sample, uint64_t id, uint64_t generation, xb_dialect dialect, xb_span head,
                           xb_span reason, const xb_workspace *w);

#endif
