/* Proven visitors: whose highest margin is kept, also from before the proof, and whom nobody can push out. */
#include "harness.h"

#include "base/hash.h"
#include "clients/visitors.h"

static xb_visitors *all;
static const uint64_t NOON = UINT64_C(1795737600000);
enum { MODEL = 0x12345678, OTHER = 0x12345699 };

static void fresh(void)
{
    free(all);
    all = aligned_alloc(64, sizeof *all);
    if (!all)
        exit(2);
    memset(all, 0, sizeof *all);
    xb_visitors_init(all);
}

static xb_client_keys keys_of(uint64_t client, uint64_t network)
{
    return (xb_client_keys){xb_mix(client) & ~(uint64_t)XB_SAYS, xb_mix(network + 1000000007), 7 << 16};
}

static const xb_visitor *visitor(xb_client_keys k)
{
    for (size_t i = 0; i < XB_VISITORS_SETS; i++)
        for (size_t j = 0; j < XB_VISITORS_WAYS; j++)
            if (all->set[i].client[j] == (k.client & ~(uint64_t)XB_SAYS))
                return &all->set[i].visitor[j];
    return NULL;
}

static size_t visitors(void)
{
    size_t n = 0;
    for (size_t i = 0; i < XB_VISITORS_SETS; i++)
        for (size_t j = 0; j < XB_VISITORS_WAYS; j++)
            n += all->set[i].client[j] != 0;
    return n;
}

/* Up to the step in which a margin is kept, 1/256. */
static bool near(double a, double b) { return a - b < 0.004 && b - a < 0.004; }

static void highest(void)
{
    xb_client_entry e = {.marks = XB_MARK_BROWSER | XB_MARK_PAGED};
    xb_client_keys k = keys_of(1, 1);
    xb_client_view view;
    fresh();
    xb_visitors_note(all, &e, &k, NOON, MODEL, 1.5, false, false);
    CHECK(!visitor(k));
    xb_client_read(&e, NOON, &view);
    CHECK(view.marks == (XB_MARK_BROWSER | XB_MARK_PAGED)); /* rows see marks alone */
    k.client |= 99; /* what a request was counted as is no part of the key */
    xb_visitors_note(all, &e, &k, NOON + 5, MODEL, -2.0, true, false);
    CHECK(visitor(k) && near(visitor(k)->margin, 1.5) && visitor(k)->margin >= 1.5f); /* that of before the proof */
    CHECK(visitor(k)->network == k.network && visitor(k)->shape == k.shape && visitor(k)->last == NOON + 5);
    xb_visitors_note(all, &e, &k, NOON, MODEL, 3.25, true, false);
    CHECK(visitors() == 1 && near(visitor(k)->margin, 3.25));
    xb_visitors_note(all, &e, &k, NOON, OTHER, -1.0, true, false); /* by another model all begins anew */
    CHECK(visitor(k)->model == OTHER && near(visitor(k)->margin, -1.0));
    const double wild[] = {1e300, -1e300, __builtin_nan("")};
    for (size_t i = 0; i < 3; i++) {
        xb_visitors_note(all, &e, &k, NOON, OTHER, wild[i], true, false);
        CHECK(visitor(k)->margin <= 32.0f && visitor(k)->margin >= -32.0f);
    }
}

static void nobody(void)
{
    xb_client_entry library = {.marks = XB_MARK_PAGED}, person = {.marks = XB_MARK_BROWSER};
    xb_client_keys k = keys_of(1, 1);
    fresh();
    xb_visitors_note(all, &library, &k, NOON, MODEL, 1.0, true, false);
    xb_visitors_note(all, NULL, &k, NOON, MODEL, 1.0, true, false);
    CHECK(visitors() == 0 && library.marks == XB_MARK_PAGED);
    xb_visitors_note(all, &person, &k, NOON, MODEL, 1.0, true, false);
    CHECK(visitors() == 1);
    xb_visitors_note(all, &person, &k, NOON, MODEL, 1.0, false, true); /* who contradicts himself goes, for good */
    CHECK(visitors() == 0);
    xb_visitors_note(all, &person, &k, NOON, MODEL, 1.0, true, false);
    CHECK(visitors() == 0);
}

static void crowds(void)
{
    xb_client_keys k;
    fresh();
    for (uint64_t n = 1; n <= 300; n++) { /* people, of networks of their own */
        xb_client_entry e = {.marks = XB_MARK_BROWSER};
        k = keys_of(n, n);
        xb_visitors_note(all, &e, &k, NOON + n, MODEL, 0.0, true, false);
    }
    const size_t before = visitors();
    CHECK(before > 280);
    for (uint64_t n = 0; n < 100000; n++) { /* one network, with as many clients as it likes */
        xb_client_entry e = {.marks = XB_MARK_BROWSER};
        k = keys_of(n + 1000000, 1000000);
        xb_visitors_note(all, &e, &k, NOON + 1000 + n, MODEL, 5.0, true, false);
    }
    size_t high = 0;
    for (size_t i = 0; i < XB_VISITORS_SETS; i++)
        for (size_t j = 0; j < XB_VISITORS_WAYS; j++)
            high += all->set[i].client[j] && all->set[i].visitor[j].margin > 4.0f;
    CHECK(high <= XB_VISITORS_WAYS && visitors() >= before);
    CHECK(visitor(keys_of(1000000 + 99999, 1)) != NULL); /* of a full set, who was idle for longest went */
}

static void files(void)
{
    fresh();
    CHECK(xb_visitors_check(all, sizeof *all) == NULL);
    CHECK(xb_visitors_check(all, sizeof *all - 64) != NULL);
    all->board.version++;
    CHECK(xb_visitors_check(all, sizeof *all) != NULL);
    fresh();
    all->board.size -= 64; /* as it says, and yet not as many as there are */
    CHECK(xb_visitors_check(all, sizeof *all - 64) != NULL);
    fresh();
    for (size_t i = sizeof all->board; i < sizeof *all; i++) /* whatever lies in it, nothing outside it is touched */
        ((uint8_t *)all)[i] = (uint8_t)(i * 37);
    CHECK(xb_visitors_check(all, sizeof *all) == NULL);
    for (uint64_t n = 1; n <= 3000; n++) {
        xb_client_entry e = {.marks = XB_MARK_BROWSER | (uint32_t)xb_mix(n)};
        const xb_client_keys k = keys_of(n, n);
        xb_visitors_note(all, &e, &k, NOON, MODEL, 0.0, n % 3, n % 5 == 0);
    }
}

int main(void)
{
    highest();
    nobody();
    crowds();
    files();
    free(all);
    return done("test_visitors");
}
