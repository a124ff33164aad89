/* judge.h - where the hosts meet: a request, a model and policies -> a decision.
 *
 * Law: no bytes of a reply, no clock, no allocation. A worker, a log, a fuzzer and a benchmark fill the workspace's request,
 * each in its own way (request.h, dialect.h, logline.h), and call these functions.
 */
#ifndef XB_JUDGE_H
#define XB_JUDGE_H

#include "board/wheel.h"
#include "policy/policy.h"
#include "model/scorer.h"

/* The name of the list of addresses that an operator lets by. No list of a configuration can have it. */
#define XB_BY_HAND "xbot.allow"

/* All that judging one request needs; about 300 KiB, most of it never touched, one for each thread, all zero before its first use. */
typedef struct {
    xb_request request;
    xb_vector vector;
    xb_verdict verdict;
    xb_decision decision;
    char scratch[XB_MAX_HEAD]; /* what the dialect decodes */
    char path[XB_MAX_HEAD];    /* the path, resolved for routes and lists */
} xb_workspace;

/* Featurizes and scores w->request into w->vector and w->verdict. */
void xb_judge(const xb_model *m, xb_workspace *w);

/* Decides about the judged request: by the policy that w->request names, else by that of its path, else by `policy`. Writes
 * w->decision. If the asker reads only the reply's status (xb_request.status_only), any policy refuses a bot; this is decided
 * here so that all hosts agree. False if no policy has the name that the request gives. */
bool xb_apply_policy(const xb_policies *policies, const xb_policy *policy, const xb_model *m, xb_workspace *w);

/* Last, what the operator decided by hand (wheel.h), at this time: whom to let by, and the mode of the decision's policy. Under
 * `observe` and `off` nobody is refused, not even where the reply's status is all that is looked at. */
void xb_steer(const xb_wheel *wheel, uint64_t now, xb_workspace *w);

#endif
