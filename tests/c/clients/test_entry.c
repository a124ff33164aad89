/* One entry: gaps, sketches, counts that fade, and what clocks can do to them. */
#include "client_table.h"

static void gaps(void)
{
    const xb_client_keys clock = keys_of(1, 0, 0), person = keys_of(2, 0, 0);
    uint64_t at = NOON;
    case_name = "gaps";
    fresh(1);
    static const uint64_t pauses[] = {900, 40000, 3000, 700, 300000, 12000, 5000, 90000, 800, 20000};
    double mean = 0.0, spread = 0.0;
    for (size_t i = 0; i < 10; i++) {
        count(clock, NOON + 8000 * i, page());
        count(person, at, page());
        at += pauses[i];
    }
    for (size_t i = 0; i < 9; i++) { /* the mean and the variance of all weigh the same up to eight of them; the ninth a bit more */
        const double x = log2((double)pauses[i]), weight = i < 7 ? 1.0 / (double)(i + 1) : 0.125, off = x - mean;
        mean += weight * off;
        spread = (1.0 - weight) * (spread + weight * off * off);
    }
    CHECK_EQUAL(client_of(clock, NOON).gaps, 9);
    CHECK(fabs((double)client_of(clock, NOON).gap_mean - log2(8000)) < 0.02);
    CHECK(client_of(clock, NOON).gap_spread < 0.01f);
    CHECK(fabs((double)client_of(person, NOON).gap_mean - mean) < 0.02);
    CHECK(fabs((double)client_of(person, NOON).gap_spread - sqrt(spread)) < 0.02);
    count(clock, NOON + 8000 * 9, page()); /* at the same moment: half a second, as in a log of whole seconds */
    CHECK(client_of(clock, NOON).gap_mean < (float)log2(8000) - 0.4f);
    const float before = client_of(person, at).gap_mean;
    count(person, at + 7 * HOUR, page()); /* another visit */
    CHECK(client_of(person, at).gap_mean == before);
    CHECK_EQUAL(client_of(person, at).gaps, 9);
    for (int i = 0; i < 300; i++)
        count(person, at + 7 * HOUR + 1000 * (uint64_t)i, page());
    CHECK_EQUAL(client_of(person, at + 8 * HOUR).gaps, 255);
    CHECK_EQUAL(client_of(person, at + 8 * HOUR).pages_since_part, 255);
}

static void sketches(void)
{
    const xb_client_keys k = keys_of(1, 0, 0);
    xb_visit v = page();
    case_name = "sketches";
    fresh(1);
    for (uint64_t n = 1; n <= 200; n++) {
        v.path = n;
        count(k, NOON, v);
        count(k, NOON, v); /* the same again is none more */
        const double seen = client_of(k, NOON).distinct[0];
        CHECK(fabs(seen - (double)n) <= 4 + 0.25 * (double)n);
    }
    for (uint64_t n = 0; n < 5000; n++) {
        v.path = n;
        count(k, NOON, v);
    }
    CHECK_EQUAL(client_of(k, NOON).distinct[0], 311);
    const uint32_t later = client_of(k, NOON + 6 * HOUR).distinct[0];
    CHECK(later > 20 && later < 70); /* half of the bits: 64 ln 2 = 44 */
    CHECK(client_of(k, NOON + 18 * HOUR).distinct[0] < later);
    CHECK_EQUAL(client_of(k, NOON + 60 * HOUR).distinct[0], 0);
    v.path = 1;
    count(k, NOON + 6 * HOUR, v); /* what is read and what is kept fade alike */
    CHECK(client_of(k, NOON + 6 * HOUR).distinct[0] <= later + 3);
}

static void faded(void)
{
    const xb_client_keys k = keys_of(1, 1, 1), busy = keys_of(2, 2, 2);
    case_name = "faded";
    fresh(1);
    for (int i = 0; i < 100; i++)
        count(k, NOON, page());
    CHECK_NEAR(TALLY(client_of(k, NOON), PAGES), 100);
    CHECK(fabs((double)TALLY(client_of(k, NOON + HOUR), PAGES) - 100 * exp2(-1 / 6.0)) < 1.2); /* in steps of a hundredth */
    CHECK_NEAR(TALLY(client_of(k, NOON + 6 * HOUR), PAGES), 50);
    CHECK_NEAR(TALLY(client_of(k, NOON + 24 * HOUR), PAGES), 6.25);
    CHECK_NEAR(TALLY(shape_of(k, NOON + 24 * HOUR), PAGES), 6.25);
    CHECK_NEAR(TALLY(site(NOON + 24 * HOUR), PAGES), 6.25);
    CHECK_EQUAL(TALLY(client_of(k, NOON + 1000 * HOUR), PAGES), 0);
    CHECK_EQUAL(client_of(k, NOON + 1000 * HOUR).marks, XB_MARK_PAGED | XB_MARK_BROWSER); /* for good */
    CHECK_NEAR(client_of(k, NOON).fast, 100);
    CHECK_NEAR(client_of(k, NOON + XB_CLIENTS_FAST_MS).fast, 50);
    count(k, NOON + 6 * HOUR, page());
    CHECK_NEAR(TALLY(client_of(k, NOON + 6 * HOUR), PAGES), 51);
    CHECK_NEAR(client_of(k, NOON + 6 * HOUR).fast, 1);
    double want = 0.0, fast = 0.0;
    for (uint64_t minute = 0; minute < 3000; minute++) { /* one page each ten minutes; a fade of many small steps is one of a big one */
        count(busy, NOON + minute * 600 * 1000, page());
    }
    const uint64_t end = NOON + 2999 * 600 * 1000;
    for (uint64_t minute = 0; minute < 3000; minute++) {
        const uint64_t then = NOON + minute * 600 * 1000, step = XB_CLIENTS_HALF_LIFE_MS / 64, fast_step = XB_CLIENTS_FAST_MS / 64;
        want += exp2(-(double)(end / step - then / step) / 64);
        fast += exp2(-(double)(end / fast_step - then / fast_step) / 64);
    }
    CHECK_NEAR(TALLY(client_of(busy, end), PAGES), want);
    CHECK_NEAR(client_of(busy, end).fast, fast);
    CHECK(want > 45 && want < 60);
}

static void clocks(void)
{
    const xb_client_keys k = keys_of(1, 1, 1);
    const uint64_t far = NOON + UINT64_C(100) * 365 * 24 * HOUR;
    case_name = "clocks";
    fresh(1);
    for (uint64_t i = 0; i < 10; i++)
        count(k, NOON + 1000 * i, page());
    count(k, NOON + 4000, page()); /* a line out of order: no time has passed */
    CHECK_NEAR(TALLY(client_of(k, NOON), PAGES), 11);
    CHECK_EQUAL(client_of(k, NOON).gaps, 9);
    CHECK_EQUAL(client_of(k, NOON + 9000).idle_ms, 0);
    count(k, 5, page()); /* the clock was set: it goes on from there */
    count(k, 2005, page());
    CHECK_NEAR(TALLY(client_of(k, 2005), PAGES), 13);
    CHECK_EQUAL(client_of(k, 2005).gaps, 10);
    CHECK_NEAR(TALLY(client_of(k, 2005 + 6 * HOUR), PAGES), 6.5);
    count(k, far, page());
    CHECK_NEAR(TALLY(client_of(k, far), PAGES), 1); /* all others are gone */
    count(k, NOON, page());
    CHECK_NEAR(TALLY(client_of(k, NOON), PAGES), 2);
    CHECK_NEAR(TALLY(client_of(k, NOON + 6 * HOUR), PAGES), 1);
    CHECK_NEAR(TALLY(site(NOON + 6 * HOUR), PAGES), 1);
    static const uint64_t any[] = {0, 1, UINT64_MAX, UINT64_MAX / 2, UINT64_C(1) << 32, UINT64_C(1) << 42, 0};
    for (size_t i = 0; i < sizeof any / sizeof *any; i++)
        for (size_t j = 0; j < sizeof any / sizeof *any; j++) {
            count(k, any[i], page());
            const xb_client_view view = client_of(k, any[j]);
            CHECK(TALLY(view, PAGES) >= 0 && TALLY(view, PAGES) < 100 && view.gaps < 256);
        }
    fresh(0); /* those of a clock that was a little ahead are as those of now */
    for (uint64_t i = 1; i <= XB_CLIENTS_WAYS; i++)
        count(keys_of(i, 0, 0), i == 1 ? NOON - 60000 : NOON + 2000, page());
    count(keys_of(100, 0, 0), NOON, page());
    CHECK(!there(keys_of(1, 0, 0)) && there(keys_of(2, 0, 0)) && there(keys_of(100, 0, 0)));
    fresh(0); /* entries of the future do not stay for a hundred years */
    for (uint64_t i = 1; i <= XB_CLIENTS_WAYS; i++)
        count(keys_of(i, 0, 0), far, page()), count(keys_of(i, 0, 0), far, page());
    for (uint64_t i = 101; i <= 100 + XB_CLIENTS_WAYS; i++)
        count(keys_of(i, 0, 0), NOON + 10000 * i, page());
    for (uint64_t i = 101; i <= 100 + XB_CLIENTS_WAYS; i++)
        CHECK(there(keys_of(i, 0, 0)));
}

/* Beyond what a float can count, shares stay. */
static void beyond(void)
{
    const xb_client_keys k = keys_of(1, 0, 1);
    case_name = "beyond";
    fresh(1);
    for (uint32_t i = 0; i < 9000000; i++)
        count(k, NOON, i % 4 ? part() : page());
    const xb_client_view view = shape_of(k, NOON);
    CHECK(TALLY(view, REQUESTS) > 2000000 && TALLY(view, REQUESTS) < 4200000);
    CHECK(fabs((double)TALLY(view, PAGES) / (double)TALLY(view, REQUESTS) - 0.25) < 0.01);
}

int main(void)
{
    gaps();
    sketches();
    faded();
    clocks();
    beyond();
    free(table_of_all);
    return done("test_entry");
}
