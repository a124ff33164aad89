/* answer.h - from the bytes on a socket to the bytes of the reply. What a server, a fuzzer and a test call.
 *
 * Law: no allocation, no system call but the clock; everything that a request needs lies in one workspace.
 *
 * If the handshake of a connection is not known (the proxy did not ask about the first request, or the table is younger than
 * the connection), a question is answered 428, provided that the proxy's files ask again with the handshake. So a visitor's
 * handshake is known whatever the first request was.
 */
#ifndef XB_ANSWER_H
#define XB_ANSWER_H

#include "base/ids.h"
#include "board/counters.h"
#include "request/dialect.h"
#include "board/handshakes.h"
#include "judge.h"
#include "record.h"

typedef struct {
    const xb_model *model;
    const xb_policies *policies; /* or NULL: then no request can name a policy */
    const xb_policy *policy;     /* for requests that name none and whose path has none; &xb_observing or one of `policies` */
    xb_dialect dialect;
    bool closing;   /* close each connection after its answer, and say so in it */
    xb_stats *stats; /* or NULL */
    xb_handshakes *handshakes; /* or NULL: then a handshake is known only for the request that has it */
    uint32_t listener;         /* its number, in the keys of `handshakes` */
    xb_ids *ids;               /* or NULL: then decisions have no id */
    xb_lane *lane;             /* where decisions are recorded, by their ids; or NULL */
    uint64_t sample;           /* of those that are not bots: a share of 2^58 */
    uint64_t generation;       /* of model and policies, for the records */
    const xb_wheel *wheel;     /* or NULL: then no operator can intervene */
} xb_service;

enum { XB_MAX_REPLY = 448 };

typedef struct {
    size_t size; /* bytes of `bytes` */
    bool close;  /* the connection must be closed once the reply is sent */
    bool again;  /* 428: there is no verdict for this request in the workspace */
    char bytes[XB_MAX_REPLY];
} xb_reply;

/* Parses one head from buf[0, size), judges it and writes the reply.
 * Returns the bytes consumed (> 0) with a reply; XB_PARTIAL, without one; XB_BAD with a reply of 400 that closes.
 * `seen_size`: see xb_request_parse. `truncated`: buf holds the first XB_MAX_HEAD bytes of a longer head; then what fits
 * is judged, `size` is returned, and the reply closes: the rest may announce a body. */
long xb_answer(const xb_service *s, xb_workspace *w, const char *buf, size_t size, size_t seen_size, bool truncated, xb_reply *reply);

/* Nanoseconds of a monotonic clock with an arbitrary start. */
uint64_t xb_now(void);

#endif
