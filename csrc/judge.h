/* judge.h - where the hosts meet: a request, a model and policies -> a decision.
 *
 * Law: no bytes of a reply, no clock, no allocation. A worker, a log, a fuzzer and a benchmark fill the workspace's request,
 * each in its own way (request.h, dialect.h, logline.h), and call these functions.
 *
 * With a table of clients, a request is judged by what was before it, and counted after that: one function for live requests
 * and logs, so both give the same features. Without one, or without an address, the group `client` is absent, and nothing else differs.
 */
#ifndef XB_JUDGE_H
#define XB_JUDGE_H

#include "clients/visitors.h"
#include "board/wheel.h"
#include "policy/policy.h"
#include "model/scorer.h"

/* The name of the list of addresses that an operator lets by. No list of a configuration can have it. */
#define XB_BY_HAND "xbot.allow"
enum { XB_ASKED = 64 };

/* All that judging one request needs; about 1.4 MiB, most of it never touched, one for each thread, all zero before its first use. */
typedef struct {
    xb_request request;
    xb_vector vector;
    xb_verdict verdict;
    xb_decision decision;
    xb_clients *clients; /* the table, or NULL: stateless */
    xb_visitors *visitors; /* of a site that is served, or NULL: who of them is proven is kept (xb_judge) */
    uint64_t now_ms;     /* milliseconds since 1970 UTC, of this request; only for the table */
    bool reads_only;     /* this request is not counted: what the table says is only looked at */
    xb_client_keys keys; /* of the judged request, for its outcome (xb_clients_outcome); 0 where the group is absent. Says nothing (XB_SAYS) of
                            one that is not counted */
    uint64_t id;         /* of the decision; 0: it has none */
    uint8_t doubt;       /* xb_doubt of the decision (answer.h) */
    xb_client_entry *counted; /* the client's entry, if the request was counted */
    xb_connection_id asked[XB_ASKED]; /* the last questions about connections (answer.c) */
    uint16_t said[XB_ASKED];          /* and what they were counted as (XB_SAYS_*) */
    char scratch[XB_MAX_HEAD]; /* what the dialect decodes */
    char path[XB_MAX_HEAD];    /* the path, resolved for routes and lists */
} xb_workspace;

/* Featurizes w->request into w->vector, by what w->clients knows of the past, and counts it there. */
void xb_see(const xb_shape *shape, xb_workspace *w);

/* The same, and scores it into w->verdict. What a client got that is counted, w->visitors learns. */
void xb_judge(const xb_model *m, xb_workspace *w);

/* Decides about the judged request: by the policy that w->request names, else by that of its path, else by `policy`. Writes
 * w->decision. If the asker reads only the reply's status (xb_request.status_only), any policy refuses a bot; this is decided
 * here so that all hosts agree. False if no policy has the name that the request gives. */
bool xb_apply_policy(const xb_policies *policies, const xb_policy *policy, const xb_model *m, xb_workspace *w);

/* Last, what the operator decided by hand (wheel.h), at this time: whom to let by, and the mode of the decision's policy. Under
 * `observe` and `off` nobody is refused, not even where the reply's status is all that is looked at. */
void xb_steer(const xb_wheel *wheel, uint64_t now, xb_workspace *w);

/* Tells the table of clients that the decided request was refused: who refuses knows it, and nobody tells him. */
void xb_tell_refusal(const xb_workspace *w);

#endif
