#include "judge.h"

void xb_see(const xb_shape *shape, xb_workspace *w)
{
    w->keys = (xb_client_keys){0};
    w->counted = NULL;
    if (!w->clients) {
        xb_featurize(&w->request, shape, &w->vector);
        return;
    }
    xb_client_look look = {.table = w->clients, .now_ms = w->now_ms};
    xb_featurize_client(&w->request, shape, &look, &w->vector);
    if (look.keys.client && !w->reads_only)
        w->counted = xb_clients_count(w->clients, &look.keys, &look.places, w->now_ms, &look.visit);
    w->keys = look.keys;
}

void xb_judge(const xb_model *m, xb_workspace *w)
{
    xb_see(&m->shape, w);
    w->verdict = xb_score(m, &w->vector);
    if (w->visitors && w->counted) {
        const xb_proven proves = xb_behaviour_proves(&w->vector.behaviour, &w->vector.facts);
        xb_visitors_note(w->visitors, w->counted, &w->keys, w->now_ms, xb_model_mark(m), w->verdict.margin, proves == XB_PROVEN_VISITOR,
                         proves == XB_PROVEN_FALSE);
    }
}

_Static_assert((int)XB_WHEEL_NAME == (int)XB_MAX_NAME, "a policy has the same name in both");

void xb_steer(const xb_wheel *wheel, uint64_t now, xb_workspace *w)
{
    static const xb_list by_hand = {.name = XB_BY_HAND};
    const xb_facts *f = &w->vector.facts;
    xb_decision *d = &w->decision;
    if (!xb_wheel_engaged(wheel))
        return;
    if (!w->request.missing && xb_wheel_lets_by(wheel, &f->ip, now))
        *d = (xb_decision){.policy = d->policy, .outcome = XB_HUMAN, .by = XB_BY_ALLOW, .list = &by_hand};
    switch (xb_wheel_mode_of(wheel, d->policy->name, now)) {
    case XB_WHEEL_ENFORCE:
        d->refuse = d->outcome == XB_BOT;
        break;
    case XB_WHEEL_OFF:
        d->untold = true;
        __attribute__((fallthrough));
    case XB_WHEEL_OBSERVE:
        d->refuse = false;
        break;
    default:
        break;
    }
}

bool xb_apply_policy(const xb_policies *policies, const xb_policy *policy, const xb_model *m, xb_workspace *w)
{
    xb_span wanted = w->request.policy;
    const xb_facts *f = &w->vector.facts;
    const xb_policy *found = wanted.size && policies ? xb_policy_named(policies, wanted) : NULL;
    bool known = found || !wanted.size;
    if (!found && policies && policies->n_routes && f->present & XB_HAS_URL)
        found = xb_policy_for_path(policies, f->path.url.path, w->path);
    w->decision = xb_decide(policies, found ? found : policy, m, f, &w->verdict, w->path);
    w->decision.refuse |= w->request.status_only && w->decision.outcome == XB_BOT;
    return known;
}

void xb_tell_refusal(const xb_workspace *w)
{
    if (w->clients && w->decision.refuse && !w->reads_only)
        xb_clients_outcome(w->clients, &w->keys, w->now_ms, &(xb_response){403, -1, XB_CONTENT_UNKNOWN});
}
