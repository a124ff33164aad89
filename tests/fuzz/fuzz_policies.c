/* An image of policies and a head, in any dialect: what opens can be used. Any request gets an outcome, and a reason that a header can
 * hold; what names nobody, and is served by the image's own policies, says the same twice.
 * The input: the dialect, what the DNS and signatures say, the head's size in two bytes, the head, the image. */
#include "fuzz.h"
#include "answer.h"

enum { BEFORE = 4, MOST_POLICIES = 4 };

static uint8_t said; /* of the input's second byte: the low bits are a signature's, the high bits the DNS' */

static xb_proof signed_by(const xb_signer *self, const xb_request *r, uint32_t *crawler)
{
    (void)self, (void)r;
    *crawler = said >> 3 & 1;
    return (xb_proof)(said % (XB_PROVEN + 1));
}

/* What the DNS knows of the addresses of the seeds. */
static void look_up(xb_lookups *t, const xb_address *address)
{
    const xb_lookup what = {.domains = said >> 6, .state = said >> 4 & 3, .given = 1, .until = UINT32_MAX};
    memset(t->entry, 0, sizeof t->entry);
    if (address->version && what.state != XB_LOOKUP_UNKNOWN)
        xb_lookups_keep(t, address, &what);
}

static void decide(const xb_policies *policies, const xb_policy *policy, const xb_model *m, xb_workspace *w)
{
    char reason[XB_MAX_REASON];
    if (!xb_apply_policy(policies, policy, m, w)) {
        REQUIRE(w->request.policy.size && !xb_policy_named(policies, w->request.policy), "a policy that is there");
        return;
    }
    const xb_decision *d = &w->decision;
    REQUIRE(d->outcome < XB_N_OUTCOMES && d->by < XB_N_DECIDERS, "an outcome");
    REQUIRE((d->by != XB_BY_SCORE) == (d->list || d->by == XB_BY_IMPOSTOR || (d->identity.crawler && d->by >= XB_BY_DENY)), "who decided");
    REQUIRE(!d->refuse || d->outcome == XB_BOT, "a refusal of whom nobody calls a bot");
    REQUIRE(!d->refuse || d->policy->mode == XB_mode_enforce || w->request.status_only, "a refusal");
    REQUIRE(d->by != XB_BY_VERIFIED || d->outcome == XB_VERIFIED, "whom it verified");
    REQUIRE(xb_decision_text(d, &w->verdict, &w->vector, reason, sizeof reason) < sizeof reason, "a reason");
    for (const char *p = reason; *p; p++)
        REQUIRE(xb_is_reason(*p), "a byte that is no letter of a reason");
}

/* The whole answer, by the image's first policy, recorded. */
static void answer(const xb_policies *policies, const xb_model *m, xb_dialect dialect, const char *head, size_t n_head, xb_workspace *w)
{
    static xb_lane lane;
    static xb_ids ids;
    xb_reply reply;
    xb_recorder recorder = {.logged = true, .sample = UINT64_MAX};
    lane.head = lane.tail = 0;
    lane.rate.most = UINT32_MAX;
    const xb_service s = {.model = m, .policies = policies, .policy = &policies->policy[0], .dialect = dialect, .ids = &ids, .lane = &lane, .recorder = &recorder};
    REQUIRE(xb_answer(&s, w, head, n_head, 0, false, &reply) == (long)n_head, "an answer");
    REQUIRE(reply.size <= XB_MAX_REPLY && memcmp(reply.bytes, "HTTP/1.1 ", 9) == 0, "a reply");
    size_t size;
    const xb_record *r = xb_lane_first(&lane, &size);
    REQUIRE(!r || (r->head == n_head && r->outcome == w->decision.outcome && size <= sizeof lane.room / 8), "a record");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static xb_workspace work;
    static xb_lookups lookups;
    static const xb_signer signer = {signed_by};
    const xb_model *m = fuzz_model();
    xb_policies policies;
    if (size < BEFORE)
        return 0;
    const size_t n_head = data[2] | (size_t)data[3] << 8;
    if (n_head > size - BEFORE)
        return 0;
    said = data[1];
    char *image = exact_copy(data + BEFORE + n_head, size - BEFORE - n_head), *head = exact_copy(data + BEFORE, n_head);
    const char *why = xb_policies_open(&policies, image, size - BEFORE - n_head);
    REQUIRE(!why || *why, "refused without a reason");
    if (!why && xb_request_parse(&work.request, head, n_head, 0) == (long)n_head) {
        xb_dialect_apply((xb_dialect)((data[0] & 15) % XB_DIALECT_COUNT), &work.request, work.scratch);
        xb_judge(m, &work);
        look_up(&lookups, &work.vector.facts.ip);
        policies.crawlers.lookups = data[0] & 0x40 ? NULL : &lookups;
        policies.crawlers.signer = data[0] & 0x80 ? NULL : &signer;
        for (uint32_t i = 0; i < policies.n_policies && i < MOST_POLICIES; i++)
            decide(&policies, &policies.policy[i], m, &work);
        decide(&policies, &xb_observing, m, &work);
        const xb_decision before = work.decision;
        decide(&policies, &xb_observing, m, &work);
        REQUIRE(before.outcome == work.decision.outcome && before.by == work.decision.by && before.list == work.decision.list, "another word");
        answer(&policies, m, (xb_dialect)((data[0] & 15) % XB_DIALECT_COUNT), head, n_head, &work);
    }
    free(head);
    free(image);
    return 0;
}
