/* record.h - a decision, with all that it was made from, as one record of a lane (board/lane.h).
 *
 * Law: what is kept is what the decision cannot be made from again: the head as it came, the facts of the handshake, and the rows of
 * the client, which are of the past. Whoever reads it has the model, and makes the very vector and the very margin from these, in a time
 * that no request waits for. Cookies and secrets are in the head: a record stays in memory that only workers and their master share, and is
 * cleaned before it goes anywhere (sidecar/decisions/).
 *
 * There are two readers: the log, which wants all that its owner asked for, and whoever watches the sidecar live, to whom a few in each
 * second are enough. A record that only the second one wants costs a bounded share of a worker's time, however many requests there are.
 */
#ifndef XB_RECORD_H
#define XB_RECORD_H

#include "base/ids.h"
#include "base/rate.h"
#include "board/lane.h"
#include "judge.h"
#include "request/dialect.h"

enum { XB_PAST = XB_N_DENSE - XB_FIRST_OF_CLIENT /* rows of the client */ };

typedef struct {
    uint32_t size;       /* of the record; the lane's */
    uint32_t head;       /* bytes of the head */
    uint64_t id;         /* with its fate */
    uint64_t generation; /* of the model and the policies */
    uint64_t time;       /* nanoseconds of CLOCK_MONOTONIC, which a worker has at hand; its reader knows what time that was */
    double margin, score;
    xb_client_keys keys; /* whose it was; 0 where there is no table of clients. Says nothing (XB_SAYS) of what it counted as */
    uint8_t dialect, outcome, refuse, untold;
    uint8_t has_tls; /* the handshake is known */
    uint8_t logged;  /* for the log; else it is only watched */
    uint8_t past;    /* rows of the client: XB_PAST, or 0: the group is absent */
    uint8_t reason_size;
    uint8_t doubt; /* xb_doubt (answer.h) */
    uint8_t reserved[7];
    xb_handshake handshake;
    char policy[XB_MAX_NAME];
    char reason[XB_MAX_REASON]; /* bytes behind its size are of older records */
    /* double past[past]; char head[head] */
} xb_record;

_Static_assert(sizeof(xb_record) % 8 == 0, "doubles follow it");

/* What is recorded of the decisions of a worker. */
typedef struct {
    bool logged;     /* there is a log: it gets all bots, refusals and what is in doubt (answer.h), and of all others a share of `sample` / 2^58,
                        but no more in a second than its lane may hold (lane.h) */
    uint64_t sample;
    xb_rate accused, others; /* for who watches: so many of these in a second, and so many of all others */
} xb_recorder;

/* Who wants a decision. */
typedef struct {
    bool wanted;  /* anybody does: it is to be recorded */
    xb_fate fate; /* of the log's record: XB_RECORDED if the log wants it */
} xb_wish;

/* Does anybody want the decision of the workspace, which has this id, at this time (nanoseconds of CLOCK_MONOTONIC)? Takes its place in
 * this second. */
xb_wish xb_record_wish(xb_lane *lane, xb_recorder *recorder, uint64_t now, uint64_t id, const xb_workspace *w);

/* Records the decision of the workspace, about this head, if it is wanted. `now` and `id` are those of the wish; `reason` is that of
 * xb_decision_text. Never waits. Returns the fate of the log's record, which is also in it. */
xb_fate xb_record_decision(xb_lane *lane, xb_wish wish, uint64_t now, uint64_t id, uint64_t generation, xb_dialect dialect, xb_span head,
                           xb_span reason, const xb_workspace *w);

#endif
