/* answer.h - from the bytes on a socket to the bytes of the reply. What a server, a fuzzer and a test call.
 *
 * Law: no allocation, no system call but the clock; everything that a request needs lies in one workspace.
 *
 * A question about a later request of a connection whose handshake nobody has told (the first request was not asked about, or the
 * table is younger than the connection) is answered 428, where the proxy's files know to ask once more and tell it. Nobody
 * loses a handshake by what he asks for first.
 */
#ifndef XB_ANSWER_H
#define XB_ANSWER_H

#include "board/counters.h"
#include "request/dialect.h"
#include "board/handshakes.h"
#include "judge.h"

typedef struct {
    const xb_model *model;
    const xb_policies *policies; /* or NULL: then no request can ask for one by name */
    const xb_policy *policy;     /* for requests that ask for none and whose path has none; &xb_observing or one of `policies` */
    xb_dialect dialect;
    bool closing;   /* say so in every answer, and close */
    xb_stats *stats; /* or NULL */
    xb_handshakes *handshakes; /* or NULL: then a handshake is known only to the request that tells it */
    uint32_t listener;         /* its number, in the keys of `handshakes` */
} xb_service;

enum { XB_MAX_REPLY = 416 };

typedef struct {
    size_t size; /* bytes of `bytes` */
    bool close;  /* the connection must be closed once the reply is sent */
    bool again;  /* 428, no verdict: the workspace holds none of this request */
    char bytes[XB_MAX_REPLY];
} xb_reply;

/* Parses one head from buf[0, size), judges it and writes the reply.
 * Returns the bytes consumed (> 0) with a reply; XB_PARTIAL, without one; XB_BAD with a reply of 400 that closes.
 * `seen_size`: see xb_request_parse. `truncated`: buf holds the first XB_MAX_HEAD bytes of a longer head; then what fits
 * is judged, `size` is returned, and the reply closes: the rest may announce a body. */
long xb_answer(const xb_service *s, xb_workspace *w, const char *buf, size_t size, size_t seen_size, bool truncated, xb_reply *reply);

/* Nanoseconds of a clock that never goes back, and whose beginning means nothing. */
uint64_t xb_now(void);

#endif
