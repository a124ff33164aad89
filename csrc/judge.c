#include "judge.h"

void xb_judge(const xb_model *m, xb_workspace *w)
{
    xb_featurize(&w->request, &m->shape, &w->vector);
    w->verdict = xb_score(m, &w->vector);
}

bool xb_apply_policy(const xb_policies *policies, const xb_policy *policy, const xb_model *m, xb_workspace *w)
{
    xb_span wanted = w->request.policy;
    const xb_facts *f = &w->vector.facts;
    const xb_policy *found = wanted.size && policies ? xb_policy_named(policies, wanted) : NULL;
    bool known = found || !wanted.size;
    if (!found && policies && policies->n_routes && f->present & XB_HAS_URL)
        found = xb_policy_for_path(policies, xb_path_resolve(f->path.url.path, w->path));
    w->decision = xb_decide(policies, found ? found : policy, m, f, &w->verdict, w->path);
    w->decision.refuse |= w->request.status_only && w->decision.outcome == XB_BOT;
    return known;
}
