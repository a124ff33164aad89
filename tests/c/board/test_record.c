/* Records of decisions: which are kept, for whom, what their fate is, and that what is kept is what was decided. */
#include "harness.h"
#include "model_image.h"

#include "answer.h"

#define HEAD "GET /xbot HTTP/1.1\r\nUser-Agent: curl/8\r\n\r\n"

static xb_lane *lane;
static xb_workspace work;
static xb_recorder recorder;
static const uint64_t NOW = UINT64_C(5000000000), ID = 77 << XB_FATE_BITS;

static void fresh(bool logged, uint64_t sample, uint32_t accused, uint32_t others)
{
    memset(lane, 0, sizeof *lane);
    lane->rate.most = 2;
    recorder = (xb_recorder){.logged = logged, .sample = sample, .accused.most = accused, .others.most = others};
}

static xb_fate record(size_t head_size)
{
    const xb_span reason = XB_SPAN("ua_word=curl");
    return xb_record_decision(lane, xb_record_wish(lane, &recorder, NOW, ID, &work), NOW, ID, 3, XB_DIALECT_HAPROXY, (xb_span){HEAD, head_size}, reason, &work);
}

static const xb_record *first(void)
{
    size_t size = 0;
    const xb_record *r = xb_lane_first(lane, &size);
    if (r)
        xb_lane_next(lane, size);
    return r;
}

/* Kept for whom? By the log there is, the share of it, room for whoever watches, and whom the decision speaks of. */
static void kept(void)
{
    static const struct {
        const char *name;
        bool logged;
        uint64_t sample;
        uint32_t accused, others;
        xb_outcome outcome;
        bool refuse;
        uint8_t doubt;
        xb_fate fate;
        bool is_there, for_log;
    } cases[] = {
        {"no log, nobody watches", false, 0, 0, 0, XB_BOT, true, 0, XB_NO_LOG, false, false},
        {"no log, a bot is watched", false, 0, 1, 0, XB_BOT, false, 0, XB_NO_LOG, true, false},
        {"no log, a human is watched", false, 0, 0, 1, XB_HUMAN, false, 0, XB_NO_LOG, true, false},
        {"room for bots is none for humans", false, 0, 1, 0, XB_HUMAN, false, 0, XB_NO_LOG, false, false},
        {"not sampled", true, 77, 0, 0, XB_HUMAN, false, 0, XB_NOT_SAMPLED, false, false},
        {"not sampled, but watched", true, 77, 0, 1, XB_HUMAN, false, 0, XB_NOT_SAMPLED, true, false},
        {"sampled", true, 78, 0, 0, XB_HUMAN, false, 0, XB_RECORDED, true, true},
        {"a bot", true, 0, 0, 0, XB_BOT, false, 0, XB_RECORDED, true, true},
        {"a refusal", true, 0, 0, 0, XB_HUMAN, true, 0, XB_RECORDED, true, true},
        {"in doubt", true, 0, 0, 0, XB_HUMAN, false, XB_DOUBTED, XB_RECORDED, true, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        case_name = cases[i].name;
        fresh(cases[i].logged, cases[i].sample, cases[i].accused, cases[i].others);
        work.decision = (xb_decision){.policy = &xb_observing, .outcome = cases[i].outcome, .refuse = cases[i].refuse};
        work.doubt = cases[i].doubt;
        CHECK_EQUAL(record(strlen(HEAD)), cases[i].fate);
        const xb_record *r = first();
        CHECK_EQUAL(r != NULL, cases[i].is_there);
        if (r) {
            CHECK_EQUAL(r->logged, cases[i].for_log);
            CHECK_EQUAL(r->id, ID | cases[i].fate);
        }
    }
    work.doubt = 0;
}

/* Past the lane's rate, or where it is full, a record is dropped, unless whoever watches has room. */
static void dropped(void)
{
    work.decision = (xb_decision){.policy = &xb_observing, .outcome = XB_BOT};
    case_name = "rate";
    fresh(true, 0, 1, 0);
    CHECK_EQUAL(record(10), XB_RECORDED);
    CHECK_EQUAL(record(10), XB_RECORDED);
    CHECK_EQUAL(record(10), XB_DROPPED); /* there for who watches */
    CHECK_EQUAL(record(10), XB_DROPPED);
    CHECK(first() && first() && first() && !first());
    CHECK_EQUAL(lane->capped, 2);
    case_name = "full";
    fresh(true, 0, 0, 0);
    lane->head = XB_LANE_ROOM; /* nothing is read */
    CHECK_EQUAL(record(10), XB_DROPPED);
    fresh(false, 0, 1, 0);
    lane->head = XB_LANE_ROOM;
    CHECK_EQUAL(record(10), XB_NO_LOG);
    CHECK_EQUAL(lane->dropped, 1);
}

/* What is in it: the decision, the rows of the client if there is one, the head. */
static void contents(void)
{
    for (int with_client = 0; with_client < 2; with_client++) {
        case_name = with_client ? "with a client" : "without a client";
        fresh(true, 0, 0, 0);
        work.decision = (xb_decision){.policy = &xb_enforcing, .outcome = XB_BOT, .refuse = true, .untold = true};
        work.verdict = (xb_verdict){.margin = 1.5, .score = 0.75, .bot = true};
        work.keys = with_client ? (xb_client_keys){0x1000 | XB_SAYS, 2, 3} : (xb_client_keys){0};
        work.vector.facts.handshake.known = with_client;
        for (size_t i = 0; i < XB_PAST; i++)
            work.vector.dense[XB_FIRST_OF_CLIENT + i] = (double)i;
        CHECK_EQUAL(record(strlen(HEAD)), XB_RECORDED);
        const xb_record *r = first();
        if (!CHECK(r != NULL))
            return;
        const double *past = (const double *)(const void *)(r + 1);
        CHECK(r->margin == 1.5 && r->score == 0.75 && r->generation == 3 && r->time == NOW);
        CHECK(r->outcome == XB_BOT && r->refuse && r->untold && r->logged && r->dialect == XB_DIALECT_HAPROXY);
        CHECK_EQUAL(r->past, with_client ? XB_PAST : 0);
        CHECK_EQUAL(r->has_tls, with_client);
        CHECK_EQUAL(r->keys.client, with_client ? 0x1000 & ~(uint64_t)XB_SAYS : 0);
        CHECK(!with_client || (past[0] == 0.0 && past[XB_PAST - 1] == XB_PAST - 1));
        CHECK_TEXT(((xb_span){(const char *)(past + r->past), r->head}), HEAD);
        CHECK_TEXT(((xb_span){r->reason, r->reason_size}), "ua_word=curl");
    }
}

int main(void)
{
    lane = calloc(1, sizeof *lane);
    if (!lane)
        return 2;
    xb_init();
    kept();
    dropped();
    contents();
    free(lane);
    return done("test_record");
}
