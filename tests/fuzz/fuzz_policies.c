/* An image of policies and a head, in any dialect: what opens can be used. Any request gets an outcome, and a reason that a header can
 * hold; what names nobody, and is served by the image's own policies, says the same twice.
 * The input: the dialect, what the DNS and signatures say, the head's size in two bytes, more of what is around, the head, the image. */
#include "fuzz.h"
#include "answer.h"

enum { BEFORE = 5, MOST_POLICIES = 4 };

/* Bits of the fifth byte. */
enum {
    SWITCHED_OFF = 1,      /* an operator has switched all policies off */
    WITH_CLIENTS = 2,      /* there is a table of clients */
    OLD_ANSWERS = 4,       /* what the DNS said is no longer fresh */
    ASKS = 8,              /* it is asked again */
    ASKS_IN_VAIN = 16,     /* or there is no room for the question */
    DENIED_BESIDE = 32,    /* of another address in the network it said no */
    UNKNOWN_SIGNER = 64,   /* a signature is of a crawler that the image has not */
    ODD_PLACE = 128        /* the image does not lie where numbers can be read */
};
static uint8_t more;

static uint8_t said; /* of the input's second byte: the low bits are a signature's, the high bits the DNS' */

static xb_proof signed_by(const xb_signer *self, const xb_request *r, uint32_t *crawler)
{
    (void)self, (void)r;
    *crawler = more & UNKNOWN_SIGNER ? UINT32_MAX : said >> 3 & 1;
    return (xb_proof)(said % (XB_PROVEN + 1));
}

static xb_address beside(xb_address a)
{
    a.bytes[a.version == 4 ? 3 : 15] ^= 1;
    return a;
}

/* What the DNS knows of the addresses of the seeds, and whether it was asked. */
static void look_up(xb_lookups *t, const xb_address *address)
{
    const uint32_t now = xb_lookups_now();
    const xb_lookup what = {.domains = said >> 6, .state = said >> 4 & 3, .given = now - 1, .until = more & OLD_ANSWERS ? now - 1 : UINT32_MAX};
    const xb_lookup no = {.state = XB_LOOKUP_ANSWERED, .given = now, .until = UINT32_MAX};
    const xb_address other = beside(*address);
    t->secret[0]++, t->secret[1]++; /* what is in it from before is nobody's */
    if (address->version && more & DENIED_BESIDE)
        xb_lookups_keep(t, &other, &no);
    if (address->version && what.state != XB_LOOKUP_UNKNOWN)
        xb_lookups_keep(t, address, &what);
    if (more & ASKS_IN_VAIN) { /* each place holds a question about somebody else */
        static const xb_address nobody = {.version = 6};
        size_t at = 0;
        memset(t->question, 0, sizeof t->question);
        xb_lookups_ask(t, &nobody);
        while (!t->question[at].sum)
            at++;
        const xb_lookup_question one = t->question[at];
        for (at = 0; at < XB_LOOKUPS_QUESTIONS; at++)
            t->question[at] = one;
    }
}

/* An empty table of one set. */
static xb_clients *clients_of_nobody(void)
{
    enum { SIZE = sizeof(xb_clients) + sizeof(xb_client_set) };
    static _Alignas(64) char memory[SIZE];
    static const uint64_t secret[2] = {1, 2};
    xb_clients *t = (xb_clients *)(void *)memory;
    memset(memory, 0, SIZE);
    xb_clients_init(t, SIZE, secret, XB_CLIENTS_BY_ADDRESS);
    return t;
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
    static xb_wheel off;
    if (!off.engaged)
        xb_wheel_turn(&off, NULL, XB_WHEEL_OFF, 0, XB_WHEEL_EVER);
    const xb_service s = {.model = m, .policies = policies, .policy = &policies->policy[0], .dialect = dialect, .ids = &ids, .lane = &lane, .recorder = &recorder,
                          .wheel = more & SWITCHED_OFF ? &off : NULL, .clients = more & WITH_CLIENTS ? clients_of_nobody() : NULL};
    REQUIRE(xb_answer(&s, w, head, n_head, 0, false, &reply) == (long)n_head, "an answer");
    w->clients = NULL;
    REQUIRE(reply.size <= XB_MAX_REPLY && memcmp(reply.bytes, "HTTP/1.1 ", 9) == 0, "a reply");
    const xb_span text = {reply.bytes, reply.size};
    REQUIRE(!(more & SWITCHED_OFF) || (xb_contains(text, XB_SPAN("x-bot: unknown\r\n")) && !xb_contains(text, XB_SPAN("x-bot-agent:"))), "told, and switched off");
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
    said = data[1], more = data[4];
    char *image = exact_copy(data + BEFORE + n_head, size - BEFORE - n_head), *head = exact_copy(data + BEFORE, n_head);
    const char *why = xb_policies_open(&policies, image, size - BEFORE - n_head);
    if (more & ODD_PLACE && !why) {
        char *odd = aligned_alloc(16, (size + 16) / 16 * 16);
        memcpy(odd + 1, image, size - BEFORE - n_head);
        xb_policies other;
        REQUIRE(xb_policies_open(&other, odd + 1, size - BEFORE - n_head), "opened where numbers cannot be read");
        free(odd);
    }
    REQUIRE(!why || *why, "refused without a reason");
    if (!why && xb_request_parse(&work.request, head, n_head, 0) == (long)n_head) {
        xb_dialect_apply((xb_dialect)((data[0] & 15) % XB_DIALECT_COUNT), &work.request, work.scratch);
        xb_judge(m, &work);
        look_up(&lookups, &work.vector.facts.ip);
        policies.crawlers.asks = more & ASKS ? &lookups : NULL;
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
