/* answer.h - from the bytes on a socket to the bytes of the reply. What a server, a fuzzer and a test call.
 *
 * Law: no allocation, no system call but the clock; everything that a request needs lies in one workspace.
 *
 * With a table of clients, each request is judged by what was before it, and counted. What the sidecar refuses is told to the table
 * here; what else happens to a request only the proxy can tell (clients/outcomes.h): to nginx's files of version XB_FILES_OUTCOME the
 * reply says the keys of the request's client, in X-Bot-Client, which they pass on to nobody. A question of `xbot check` is not
 * counted, nor one that nginx asks a second time for the same request (try_files, index, error_page).
 *
 * The score may be wrong about a person. Who was called a bot by it and, before or after that, does what people do (opens pages and their
 * parts, brings a cookie back, follows a link of the site) is counted, once a client, and once more when it is refused. A program can
 * do all of this, too: it is for the owner to look at, and decides nothing.
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
    xb_recorder *recorder;     /* which ones; not NULL with a lane */
    uint64_t generation;       /* of model and policies, for the records */
    const xb_wheel *wheel;     /* or NULL: then no operator can intervene */
    xb_clients *clients;       /* or NULL: then each request is judged alone */
    xb_visitors *visitors;     /* or NULL: then nobody learns what proven visitors get */
    const uint64_t *clock_ms;  /* the time of `clients`; NULL: the system's. Only tests and replays set it, in shared memory */
} xb_service;

enum { XB_MAX_REPLY = 512 };

/* Whether a decision lets its client be counted as one whom the gate may be wrong about. */
typedef enum {
    XB_NO_DOUBT,
    XB_DOUBTED,  /* the client looks like a person (xb_behaviour_proves), and its score called it a bot: now or before */
    XB_REGRETTED /* likewise, and refused it */
} xb_doubt;

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

/* Is it a question of `xbot check`, which is no visitor's? */
bool xb_is_check(const xb_request *r);

/* Does the decision in `w`, or one before it, look wrong by what the client does? Remembers in the table what was said of it. */
xb_doubt xb_doubt_of(const xb_workspace *w);

/* Counts the decision in `w`, which took `ns` nanoseconds; one for `xbot check` as a probe, and no more. `policy_known`: what
 * xb_apply_policy returned. For a host that judges without xb_answer. */
void xb_count(xb_stats *stats, const xb_workspace *w, bool policy_known, uint64_t ns);

/* Nanoseconds of a monotonic clock with an arbitrary start. */
uint64_t xb_now(void);

/* The time of a table of clients, in milliseconds since 1970 UTC: *clock_ms, or the system's where that is NULL. It is the same for all
 * processes, outlives them and the machine's boot, and is that of logs; clients.h says why a step of it is harmless. The system's is
 * read without a system call and is up to 4 ms old. */
uint64_t xb_time_ms(const uint64_t *clock_ms);

#endif
