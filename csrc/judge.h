/* judge.h - where the hosts meet: a request, a model and policies -> a decision.
 *
 * Law: no bytes of a reply, no clock, no allocation. A worker, a log, a fuzzer and a benchmark fill the workspace's request,
 * each in its own way (request.h, dialect.h, logline.h), and ask here.
 */
#ifndef XB_JUDGE_H
#define XB_JUDGE_H

#include "policy/policy.h"
#include "model/scorer.h"

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

/* Decides on what was judged, by the policy that w->request asks for by name, else by that of its path, else by `policy`,
 * into w->decision. Where the reply's status is all that is looked at (xb_request.status_only), a bot is refused by any policy:
 * so every host tells the same, and not the reply alone. False if there is none of the name it asks for. */
bool xb_apply_policy(const xb_policies *policies, const xb_policy *policy, const xb_model *m, xb_workspace *w);

#endif
