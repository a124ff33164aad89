/* The table of clients: what is counted of whom, how it fades, who has to go when it is full, and what clocks, strangers' bytes
 * and killed writers can do to it. */
#include "harness.h"

#include <math.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "base/hash.h"
#include "clients/clients.h"

static xb_clients *table_of_all;
static size_t table_size;
static const uint64_t secret[2] = {0x1234567890abcdef, 0xfedcba0987654321};
static const uint64_t NOON = UINT64_C(1795737600000); /* some day's, in milliseconds */
static const uint64_t HOUR = 3600 * 1000;

/* A new table of this size; 0 is one set. */
static void fresh(unsigned mebibytes)
{
    free(table_of_all);
    table_size = xb_clients_size(mebibytes);
    table_of_all = aligned_alloc(64, table_size);
    if (!table_of_all)
        exit(2);
    memset(table_of_all, 0, table_size);
    xb_clients_init(table_of_all, table_size, secret, XB_CLIENTS_BY_ADDRESS);
}

static xb_client_keys keys_of(uint64_t client, uint64_t network, uint64_t shape)
{
    const xb_client_keys k = {client ? xb_mix(client) & ~(uint64_t)XB_SAYS : 0, network ? xb_mix(network + 1000000007) : 0,
                              shape ? xb_mix(shape + 2000000011) : 0};
    return k;
}

static xb_visit page(void)
{
    return (xb_visit){.counts = XB_COUNT(REQUESTS) | XB_COUNT(PAGES), .marks = XB_MARK_BROWSER, .what = XB_VISIT_PAGE, .path = 1};
}

static xb_visit part(void)
{
    return (xb_visit){.counts = XB_COUNT(REQUESTS) | XB_COUNT(PARTS), .marks = XB_MARK_BROWSER, .what = XB_VISIT_PART};
}

static xb_visit other(void) { return (xb_visit){.counts = XB_COUNT(REQUESTS), .marks = XB_MARK_BROWSER, .what = XB_VISIT_OTHER}; }

static xb_client_keys count(xb_client_keys k, uint64_t now, xb_visit v)
{
    const xb_client_places places = xb_clients_find(table_of_all, &k);
    xb_clients_count(table_of_all, &k, &places, now, &v);
    return k;
}

static void happened(xb_client_keys k, uint64_t now, int status, xb_content content)
{
    const xb_response r = {.status = status, .bytes = -1, .content = (uint8_t)content};
    xb_clients_outcome(table_of_all, &k, now, &r);
}

static xb_client_view view_of(const xb_client_entry *e, uint64_t now)
{
    xb_client_view view;
    memset(&view, 0xff, sizeof view);
    xb_client_read(e, now, &view);
    return view;
}

static xb_client_view client_of(xb_client_keys k, uint64_t now) { return view_of(xb_clients_find(table_of_all, &k).client, now); }
static xb_client_view network_of(xb_client_keys k, uint64_t now) { return view_of(xb_clients_find(table_of_all, &k).network, now); }
static xb_client_view shape_of(xb_client_keys k, uint64_t now) { return view_of(xb_clients_find(table_of_all, &k).shape, now); }
static xb_client_view site(uint64_t now) { return view_of(&table_of_all->site, now); }

static bool there(xb_client_keys k) { return xb_clients_find(table_of_all, &k).client != NULL; }

static bool near(double a, double b) { return fabs(a - b) <= 1e-4 * fmax(1.0, fabs(b)); }
#define CHECK_NEAR(got, want) \
    (CHECK(near((got), (want))) ? (void)0 : (void)fprintf(stderr, "    got %.6f, want %.6f\n", (double)(got), (double)(want)))
#define TALLY(view, name) ((view).count[XB_TALLY_##name])

/* ---- the memory ---- */

static void memory(void)
{
    case_name = "memory";
    CHECK_EQUAL(xb_clients_size(0), sizeof(xb_clients) + sizeof(xb_client_set));
    CHECK(xb_clients_size(64) <= 64u << 20 && xb_clients_size(64) > (64u << 20) - 2 * sizeof(xb_client_set));
    CHECK((xb_clients_size(64) - sizeof(xb_clients)) / sizeof(xb_client_set) * XB_CLIENTS_WAYS > 300000);
    fresh(1);
    CHECK(!xb_clients_check(table_of_all, table_size));
    CHECK(xb_clients_check(table_of_all, table_size - 64));
    CHECK(xb_clients_check(table_of_all, 100));
    CHECK(xb_clients_check(table_of_all, 0));
    table_of_all->n_sets++;
    CHECK(xb_clients_check(table_of_all, table_size));
    table_of_all->n_sets = 0;
    CHECK(xb_clients_check(table_of_all, table_size));
    xb_clients_init(table_of_all, sizeof *table_of_all, secret, XB_CLIENTS_BY_ADDRESS); /* a header, and no set */
    CHECK(xb_clients_check(table_of_all, sizeof *table_of_all));
    const size_t most = (sizeof *table_of_all + sizeof(xb_client_set) * (UINT64_C(1) << 32)); /* of which only the header is looked at */
    xb_clients_init(table_of_all, most, secret, XB_CLIENTS_BY_ADDRESS);
    CHECK(xb_clients_check(table_of_all, most));
    fresh(1);
    table_of_all->privacy = 2;
    CHECK(xb_clients_check(table_of_all, table_size));
    fresh(1);
    table_of_all->board.version++;
    CHECK(xb_clients_check(table_of_all, table_size));
}

/* Of a set's line of tags only those of its places are one: whoever else may write the rest leads nobody behind the entries. */
static void tags(void)
{
    const xb_client_keys k = keys_of(1, 0, 0);
    case_name = "tags";
    CHECK_EQUAL(xb_clients_tag(UINT64_C(5) << 48), 1); /* never that of an empty place */
    fresh(0);
    for (size_t i = 0; i < sizeof table_of_all->set->tag / sizeof *table_of_all->set->tag; i++) {
        memset(table_of_all->set->tag, 0, sizeof table_of_all->set->tag);
        table_of_all->set->tag[i] = xb_clients_tag(k.client);
        CHECK_EQUAL(xb_clients_place(table_of_all->set, xb_clients_tag(k.client)), i < XB_CLIENTS_WAYS ? i : XB_CLIENTS_WAYS);
        CHECK(there(k) == (i < XB_CLIENTS_WAYS));
    }
}

/* ---- what is counted ---- */

static void counted(void)
{
    const xb_client_keys k = keys_of(1, 1, 1);
    xb_visit first = page(), second = page();
    case_name = "counted";
    fresh(1);
    CHECK_EQUAL(TALLY(client_of(k, NOON), REQUESTS), 0); /* nothing is known */
    CHECK_EQUAL(client_of(k, NOON).age_ms, 0);
    first.counts |= XB_COUNT(UNREFERRED) | XB_COUNT(TYPED);
    second.counts |= XB_COUNT(OWN) | XB_COUNT(COOKIES) | XB_COUNT(QUERIES);
    second.marks |= XB_MARK_KEEPS;
    second.path = 2;
    xb_client_keys done = count(k, NOON, first);
    CHECK_EQUAL(done.client & XB_SAYS_WHAT, XB_VISIT_PAGE);
    CHECK_EQUAL(done.client & ~(uint64_t)XB_SAYS, k.client);
    CHECK_EQUAL(client_of(k, NOON).pages_since_part, 1);
    done = count(done, NOON + 100, part()); /* a key that says what it was counted as is the same key */
    CHECK_EQUAL(done.client & XB_SAYS, XB_VISIT_PART);
    CHECK_EQUAL(client_of(k, NOON).pages_since_part, 0);
    count(k, NOON + 10000, second);
    const xb_client_view c = client_of(k, NOON + 11000);
    CHECK_NEAR(TALLY(c, REQUESTS), 3);
    CHECK_NEAR(TALLY(c, PAGES), 2);
    CHECK_NEAR(TALLY(c, PARTS), 1);
    CHECK_NEAR(TALLY(c, UNREFERRED), 1);
    CHECK_NEAR(TALLY(c, TYPED), 1);
    CHECK_NEAR(TALLY(c, OWN), 1);
    CHECK_NEAR(TALLY(c, COOKIES), 1);
    CHECK_NEAR(TALLY(c, QUERIES), 1);
    CHECK_EQUAL(TALLY(c, POSTS), 0);
    CHECK_EQUAL(c.distinct[0], 2);
    CHECK_EQUAL(c.age_ms, 11000);
    CHECK_EQUAL(c.idle_ms, 1000);
    CHECK_EQUAL(c.marks, XB_MARK_PAGED | XB_MARK_PARTED | XB_MARK_KEEPS | XB_MARK_BROUGHT | XB_MARK_BROWSER);
    CHECK_EQUAL(c.pages_since_part, 1);
    CHECK_NEAR(TALLY(site(NOON + 11000), REQUESTS), 3);
    CHECK_EQUAL(table_of_all->entries, 3);
    CHECK_EQUAL(table_of_all->replaced, 0);
    xb_visit with_cookie = page();
    with_cookie.marks |= XB_MARK_KEEPS;
    count(keys_of(2, 1, 1), NOON, with_cookie);
    count(keys_of(2, 1, 1), NOON, with_cookie);
    CHECK(!(client_of(keys_of(2, 1, 1), NOON).marks & XB_MARK_BROUGHT)); /* it had one when it came */
    CHECK_EQUAL(count(keys_of(0, 0, 0), NOON, page()).client, 0); /* without an address */
    CHECK_EQUAL(table_of_all->entries, 4);
    count(keys_of(9, 0, 0), NOON, page());
    CHECK_EQUAL(table_of_all->entries, 5);
}

/* Two in one network, one elsewhere, all of one shape; what the parts look like is another one. */
static void groups(void)
{
    case_name = "groups";
    fresh(1);
    xb_visit a = page(), b = page();
    a.agent = 11, a.address = 21;
    b.agent = 12, b.address = 22;
    count(keys_of(1, 1, 1), NOON, a);
    count(keys_of(2, 1, 1), NOON, b);
    count(keys_of(3, 2, 1), NOON, a);
    count(keys_of(1, 1, 7), NOON, part());
    count(keys_of(1, 1, 7), NOON, part());
    count(keys_of(1, 1, 1), NOON, a);
    xb_client_view n = network_of(keys_of(0, 1, 0), NOON), s = shape_of(keys_of(0, 0, 1), NOON);
    CHECK_NEAR(TALLY(n, REQUESTS), 5);
    CHECK_NEAR(TALLY(n, ARRIVED), 2);
    CHECK_NEAR(TALLY(n, VISITORS), 2);
    CHECK_NEAR(TALLY(n, LOADERS), 1);
    CHECK_NEAR(TALLY(n, LOADED_PARTS), 1);
    CHECK_NEAR(TALLY(n, LOADED_PAGES), 1);
    CHECK_EQUAL(n.distinct[0], 3); /* the parts had agent 0 */
    CHECK_EQUAL(n.distinct[1], 3);
    CHECK_NEAR(TALLY(s, REQUESTS), 4);
    CHECK_NEAR(TALLY(s, ARRIVED), 3);
    CHECK_NEAR(TALLY(s, VISITORS), 3);
    CHECK_NEAR(TALLY(s, LOADERS), 1); /* by parts that look otherwise */
    CHECK_NEAR(TALLY(s, LOADED_PARTS), 1);
    CHECK_NEAR(TALLY(s, NETWORKS), 2);
    CHECK_EQUAL(TALLY(shape_of(keys_of(0, 0, 7), NOON), LOADERS), 0);
    CHECK_NEAR(TALLY(site(NOON), VISITORS), 3);
    CHECK_NEAR(TALLY(site(NOON), LOADERS), 1);
    xb_visit crawler = page();
    crawler.marks = 0;
    count(keys_of(4, 1, 2), NOON, crawler); /* what claims no browser is no visitor */
    CHECK_NEAR(TALLY(network_of(keys_of(0, 1, 0), NOON), VISITORS), 2);
    CHECK_NEAR(TALLY(network_of(keys_of(0, 1, 0), NOON), ARRIVED), 3);
    CHECK_NEAR(TALLY(site(NOON), REQUESTS), 6);
}

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

/* ---- time ---- */

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

/* ---- full ---- */

static void full(void)
{
    enum { WAYS = XB_CLIENTS_WAYS };
    case_name = "full";
    fresh(0);
    for (uint64_t i = 1; i <= WAYS; i++)
        for (int twice = 0; twice < 2; twice++)
            count(keys_of(i, 0, 0), NOON + 60000 * i, page());
    count(keys_of(3, 0, 0), NOON + 60000 * (WAYS + 1), page());
    const xb_client_keys once = keys_of(WAYS + 1, 0, 0);
    count(once, NOON + 60000 * (WAYS + 2), page()); /* 1 was idle for longest */
    CHECK(!there(keys_of(1, 0, 0)));
    for (uint64_t i = 2; i <= WAYS + 1; i++)
        CHECK(there(keys_of(i, 0, 0)));
    CHECK_NEAR(TALLY(client_of(once, NOON + 60000 * (WAYS + 2)), PAGES), 1); /* and nothing of 1 is in it */
    CHECK_EQUAL(client_of(once, NOON).gaps, 0);
    count(keys_of(WAYS + 2, 0, 0), NOON + 60000 * (WAYS + 5), page()); /* that one came once, and counts as idle eight times as long */
    CHECK(!there(once) && there(keys_of(2, 0, 0)));
    CHECK_EQUAL(table_of_all->entries, WAYS);
    CHECK_EQUAL(table_of_all->replaced, 2);
}

/* A million addresses in a table of a tenth as many places, and one person who goes on. */
static void flood(void)
{
    enum { N = 1000000 };
    const xb_client_keys person = keys_of(N + 1, N + 1, 1);
    case_name = "flood";
    fresh(16);
    const size_t places = table_of_all->n_sets * XB_CLIENTS_WAYS;
    CHECK(places < N / 10);
    xb_visit v = page();
    for (uint64_t i = 1; i <= N; i++) {
        v.address = i;
        count(keys_of(i, i / 8 + 1, 1), NOON + i / 4, v);
        if (i % 5000 == 0)
            count(person, NOON + i / 4, page());
    }
    const uint64_t end = NOON + N / 4;
    CHECK_NEAR(TALLY(client_of(person, end), PAGES), N / 5000);
    CHECK(table_of_all->entries <= places && table_of_all->entries > places * 98 / 100);
    uint64_t recent = 0;
    for (uint64_t i = N - places / 4; i < N; i++)
        recent += there(keys_of(i, 0, 0));
    CHECK(recent > places / 4 * 95 / 100);
    CHECK(fabs((double)TALLY(shape_of(person, end), REQUESTS) - (N + N / 5000)) < 10); /* no count is lost where one writes */
    CHECK(TALLY(site(end), ARRIVED) > N * 0.999);
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

/* ---- what happened ---- */

static void happenings(void)
{
    case_name = "happenings";
    fresh(1);
    xb_client_keys k = count(keys_of(1, 1, 1), NOON, page());
    happened(k, NOON, 200, XB_CONTENT_PAGE);
    CHECK_NEAR(TALLY(client_of(k, NOON), PAGES), 1);
    CHECK_NEAR(TALLY(client_of(k, NOON), OUTCOMES), 1);
    CHECK_EQUAL(TALLY(client_of(k, NOON), ERRORS), 0);
    k = count(keys_of(1, 1, 2), NOON, page()); /* "/thumb/17": a picture */
    happened(k, NOON, 200, XB_CONTENT_IMAGE);
    CHECK_NEAR(TALLY(client_of(k, NOON), PAGES), 1);
    CHECK_NEAR(TALLY(client_of(k, NOON), PARTS), 1);
    CHECK(client_of(k, NOON).marks & XB_MARK_PARTED);
    CHECK_EQUAL(client_of(k, NOON).pages_since_part, 0);
    CHECK_NEAR(TALLY(shape_of(keys_of(0, 0, 1), NOON), LOADERS), 1); /* of the shape of its page */
    CHECK_NEAR(TALLY(network_of(k, NOON), LOADERS), 1);
    CHECK_NEAR(TALLY(site(NOON), LOADERS), 1);
    k = count(keys_of(2, 1, 1), NOON, page()); /* "/api/items" is data, and no part */
    happened(k, NOON, 200, XB_CONTENT_DATA);
    CHECK_EQUAL(TALLY(client_of(k, NOON), PAGES), 0);
    CHECK_EQUAL(TALLY(client_of(k, NOON), PARTS), 0);
    CHECK_EQUAL(client_of(k, NOON).pages_since_part, 0);
    k = count(keys_of(3, 1, 1), NOON, part()); /* "/a.css" that is not there proves nothing */
    CHECK(client_of(k, NOON).marks & XB_MARK_PARTED);
    happened(k, NOON, 404, XB_CONTENT_PAGE);
    CHECK(!(client_of(k, NOON).marks & XB_MARK_PARTED));
    CHECK_EQUAL(TALLY(client_of(k, NOON), PARTS), 0);
    CHECK_NEAR(TALLY(client_of(k, NOON), ERRORS), 1);
    k = count(keys_of(4, 1, 1), NOON, part());
    happened(k, NOON, 200, XB_CONTENT_PAGE); /* nor one that is a page */
    CHECK(!(client_of(k, NOON).marks & XB_MARK_PARTED));
    k = count(keys_of(5, 1, 1), NOON, part());
    happened(k, NOON, 304, XB_CONTENT_UNKNOWN);
    CHECK(client_of(k, NOON).marks & XB_MARK_PARTED);
    CHECK_NEAR(TALLY(client_of(k, NOON), UNCHANGED), 1);
    k = keys_of(6, 9, 9); /* gone, or never there */
    happened(k, NOON, 404, XB_CONTENT_PAGE);
    CHECK(!there(k));
    static const struct {
        int status;
        bool error;
    } statuses[] = {{200, false}, {301, false}, {400, true},  {401, false}, {403, false}, {404, true},
                    {410, true},  {429, false}, {499, false}, {500, false}, {503, false}, {-1, false}};
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        k = count(keys_of(100 + i, 0, 0), NOON, other());
        happened(k, NOON, statuses[i].status, XB_CONTENT_UNKNOWN);
        CHECK_NEAR(TALLY(client_of(k, NOON), ERRORS), statuses[i].error);
        CHECK_NEAR(TALLY(client_of(k, NOON), OUTCOMES), 1);
    }
    static const struct {
        const char *type;
        xb_content content;
    } types[] = {{"", XB_CONTENT_UNKNOWN},
                 {"-", XB_CONTENT_UNKNOWN},
                 {" ; charset=utf-8", XB_CONTENT_UNKNOWN},
                 {"text/html; charset=utf-8", XB_CONTENT_PAGE},
                 {"Text/HTML ;charset=utf-8", XB_CONTENT_PAGE},
                 {"application/xhtml+xml", XB_CONTENT_PAGE},
                 {"text/css", XB_CONTENT_STYLE},
                 {"text/javascript", XB_CONTENT_SCRIPT},
                 {"application/x-javascript", XB_CONTENT_SCRIPT},
                 {"image/svg+xml", XB_CONTENT_IMAGE},
                 {"image/avif", XB_CONTENT_IMAGE},
                 {"font/woff2", XB_CONTENT_FONT},
                 {"application/font-woff", XB_CONTENT_FONT},
                 {"application/json", XB_CONTENT_DATA},
                 {"application/ld+json", XB_CONTENT_DATA},
                 {"application/rss+xml; charset=utf-8", XB_CONTENT_DATA},
                 {"application/pdf", XB_CONTENT_OTHER},
                 {"text/html2", XB_CONTENT_OTHER}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const size_t size = strlen(types[i].type);
        CHECK_EQUAL(xb_content_of((xb_span){at_end(types[i].type, size), size}), types[i].content);
    }
    CHECK_EQUAL(xb_content_of((xb_span){NULL, 0}), XB_CONTENT_UNKNOWN);
}

/* All of a view but the time, which goes on, and what a refused request is besides a page. */
static bool same_pages(const xb_client_view *a, const xb_client_view *b)
{
    static const uint32_t besides = XB_COUNT(REQUESTS) | XB_COUNT(OUTCOMES) | XB_COUNT(ARRIVED);
    bool same = a->pages_since_part == b->pages_since_part && a->gaps == b->gaps && a->distinct[0] == b->distinct[0] && near(a->fast, b->fast) &&
                near(a->gap_mean, b->gap_mean) && near(a->gap_spread, b->gap_spread) && (a->marks & ~XB_MARK_REFUSED) == (b->marks & ~XB_MARK_REFUSED);
    for (int i = 0; i < XB_N_TALLIES; i++)
        if (!(besides >> i & 1) && !near(a->count[i], b->count[i])) {
            same = false;
            fprintf(stderr, "    count %d: %.4f, want %.4f\n", i, (double)a->count[i], (double)b->count[i]);
        }
    return same;
}

/* A page that was refused leaves the table as it was but for the request: at whatever point of a visit it comes, and whatever it was. */
/* An entry that had to go meanwhile gets nothing, and nobody else gets it. */
static void gone(void)
{
    case_name = "gone";
    fresh(1);
    const xb_client_keys k = keys_of(1, 0, 1), otherwise = keys_of(1, 0, 2);
    xb_clients_mark(table_of_all, &k, XB_MARK_CALLED); /* nobody was counted */
    CHECK_EQUAL(table_of_all->entries, 0);
    count(k, NOON, page());
    xb_client_set *set = xb_clients_seek(table_of_all, k.shape);
    set->tag[xb_clients_place(set, xb_clients_tag(k.shape))] = 0;
    xb_visit with_version = part();
    with_version.version = 100;
    count(otherwise, NOON, with_version); /* the page's shape would have a loader more */
    CHECK_EQUAL(TALLY(site(NOON), LOADERS), 1);
    CHECK_EQUAL(TALLY(shape_of(k, NOON), LOADERS), 0);
    for (size_t i = 0; i < XB_CLIENTS_VERSIONS; i++)
        CHECK_EQUAL(table_of_all->versions[0][i], 0); /* without a network nobody says which versions people have */
}

static void refused(void)
{
    static const int gates[] = {401, 403, 407, 429};
    static const uint32_t kinds[] = {XB_COUNT(UNREFERRED) | XB_COUNT(TYPED), XB_COUNT(OWN) | XB_COUNT(QUERIES), XB_COUNT(EXTERNAL), 0};
    const xb_client_keys k = keys_of(1, 1, 1), people = keys_of(2, 1, 1);
    case_name = "refused";
    fresh(1);
    count(people, NOON, page()), count(people, NOON, part()); /* others, whose counts stay */
    for (unsigned step = 0; step < 12; step++) {
        const uint64_t now = NOON + 40000 * step;
        xb_visit let_by = step % 4 == 2 ? part() : page();
        let_by.path = 100 + step;
        let_by.marks |= step > 5 ? XB_MARK_KEEPS : 0;
        if (step == 0) { /* known from what is no page */
            let_by = other();
            let_by.marks |= XB_MARK_KEEPS;
        }
        count(k, now, let_by);
        const uint64_t then = now + 1000;
        const xb_client_view client = client_of(k, then), network = network_of(k, then), shape = shape_of(k, then), all = site(then);
        for (unsigned i = 0; i < 10; i++) {
            xb_visit v = page();
            v.counts |= kinds[i % 4];
            v.path = i % 3 ? 1000 + i : 100;
            const xb_client_keys done = count(k, then + 10 * i, v);
            CHECK_NEAR(TALLY(client_of(k, then), PAGES), TALLY(client, PAGES) + 1);
            happened(done, then + 10 * i, gates[i % 4], i % 2 ? XB_CONTENT_PAGE : XB_CONTENT_UNKNOWN);
        }
        const xb_client_view after[] = {client_of(k, then), network_of(k, then), shape_of(k, then), site(then)};
        CHECK(same_pages(&after[0], &client));
        CHECK(same_pages(&after[1], &network));
        CHECK(same_pages(&after[2], &shape));
        CHECK(same_pages(&after[3], &all));
        CHECK_NEAR(TALLY(after[0], REQUESTS), TALLY(client, REQUESTS) + 10);
        CHECK_EQUAL(TALLY(after[0], ERRORS), 0);
    }
    const xb_client_keys other_shape = keys_of(3, 1, 3), late = keys_of(3, 1, 4); /* the shape is that of the first page that was let by */
    happened(count(other_shape, NOON, page()), NOON, 403, XB_CONTENT_PAGE);
    CHECK_EQUAL(client_of(other_shape, NOON).marks, XB_MARK_BROWSER | XB_MARK_REFUSED);
    count(late, NOON, page()), count(keys_of(3, 1, 9), NOON, part());
    CHECK_EQUAL(TALLY(shape_of(other_shape, NOON), VISITORS), 0);
    CHECK_NEAR(TALLY(shape_of(late, NOON), VISITORS), 1);
    CHECK_NEAR(TALLY(shape_of(late, NOON), LOADERS), 1);

    case_name = "refused, several at once";
    xb_client_keys tabs[15];
    const xb_client_keys one = keys_of(4, 4, 4);
    for (unsigned i = 0; i < 15; i++) {
        xb_visit v = page();
        v.path = 2000 + i;
        tabs[i] = count(one, NOON + i, v);
    }
    for (unsigned i = 0; i < 15; i++)
        happened(tabs[i], NOON + 20, 429, XB_CONTENT_PAGE);
    CHECK_EQUAL(TALLY(client_of(one, NOON), PAGES), 0);
    CHECK_EQUAL(client_of(one, NOON).gaps, 0);
    CHECK_EQUAL(client_of(one, NOON).distinct[0], 0);
    CHECK_EQUAL(client_of(one, NOON).fast, 0);
    const xb_client_keys two = keys_of(5, 5, 5), first = count(two, NOON, page()); /* a first page that is refused after another was let by */
    count(two, NOON, page());
    happened(first, NOON, 403, XB_CONTENT_PAGE);
    CHECK_EQUAL(client_of(two, NOON).marks, XB_MARK_BROWSER | XB_MARK_PAGED);
    CHECK_NEAR(TALLY(network_of(two, NOON), VISITORS), 1);

    case_name = "refused, and no page";
    const xb_client_keys three = keys_of(6, 6, 6);
    happened(count(three, NOON, part()), NOON, 403, XB_CONTENT_PAGE); /* it wanted a part, as browsers do */
    CHECK(client_of(three, NOON).marks & XB_MARK_PARTED);
    CHECK_NEAR(TALLY(client_of(three, NOON), PARTS), 1);
    happened(count(three, NOON, page()), NOON, 499, XB_CONTENT_UNKNOWN); /* the visitor left */
    CHECK_NEAR(TALLY(client_of(three, NOON), PAGES), 1);
}

/* What the content type corrects is corrected for loaders, too. */
static void loaded(void)
{
    const xb_client_keys k = keys_of(1, 1, 1);
    case_name = "loaded";
    fresh(1);
    count(k, NOON, page()), count(k, NOON, part());
#define LOADED(pages, parts)                                                                                            \
    do {                                                                                                                \
        const xb_client_view of[] = {network_of(k, NOON), shape_of(k, NOON), site(NOON)};                               \
        for (int i = 0; i < 3; i++)                                                                                     \
            CHECK_NEAR(TALLY(of[i], LOADED_PAGES), pages), CHECK_NEAR(TALLY(of[i], LOADED_PARTS), parts);               \
    } while (0)
    LOADED(0, 0);
    xb_client_keys done = count(k, NOON, page());
    LOADED(1, 0);
    happened(done, NOON, 200, XB_CONTENT_IMAGE); /* "/thumb/17" */
    LOADED(0, 1);
    happened(count(k, NOON, page()), NOON, 200, XB_CONTENT_DATA);
    LOADED(0, 1);
    happened(count(k, NOON, other()), NOON, 200, XB_CONTENT_SCRIPT);
    LOADED(0, 2);
    happened(count(k, NOON, part()), NOON, 200, XB_CONTENT_STYLE);
    LOADED(0, 3);
    happened(count(k, NOON, part()), NOON, 200, XB_CONTENT_PAGE);
    LOADED(0, 3);
    happened(count(k, NOON, page()), NOON, 200, XB_CONTENT_PAGE);
    LOADED(1, 3);
    CHECK_NEAR(client_of(k, NOON).fast, 2); /* nor do pages that were none count in any other way */
    CHECK_EQUAL(client_of(k, NOON).gaps, 1);
}

static void versions(void)
{
    case_name = "versions";
    fresh(4);
    CHECK_EQUAL(xb_clients_version(table_of_all, 3), 0);
    for (uint64_t i = 1; i <= 40; i++) { /* 25 of 142, 10 of 143, 5 older; each in a network of its own */
        xb_visit p = page(), q = part();
        p.family = q.family = 3;
        p.version = q.version = i <= 25 ? 142 : i <= 35 ? 143 : 109;
        count(keys_of(i, i, 1), NOON, p);
        CHECK_EQUAL(xb_clients_version(table_of_all, 3), i <= 8 ? 0 : 142);
        count(keys_of(i, i, 1), NOON, q);
    }
    xb_visit p = page(), q = part();
    p.family = q.family = 3;
    p.version = q.version = 999; /* one network of impostors, and many that load nothing */
    for (uint64_t i = 100; i < 1000; i++) {
        count(keys_of(i, 99, 1), NOON, p);
        count(keys_of(i, 99, 1), NOON, q);
        count(keys_of(i + 10000, i + 10000, 1), NOON, p);
    }
    CHECK_EQUAL(xb_clients_version(table_of_all, 3), 142);
    CHECK_EQUAL(xb_clients_version(table_of_all, 4), 0);
    p.version = q.version = 143; /* the site's people take the new one */
    for (uint64_t i = 20000; i < 20400; i++) {
        count(keys_of(i, i, 1), NOON, p);
        count(keys_of(i, i, 1), NOON, q);
    }
    CHECK_EQUAL(xb_clients_version(table_of_all, 3), 143);
    for (uint64_t i = 30000; i < 30400; i++) { /* more versions than are told apart */
        p.version = q.version = 100 + (uint32_t)(i % 40);
        count(keys_of(i, i, 1), NOON, p);
        count(keys_of(i, i, 1), NOON, q);
    }
    CHECK(xb_clients_version(table_of_all, 3) >= 100 && xb_clients_version(table_of_all, 3) <= 143);
}

static void texts(void)
{
    const xb_client_keys k = {0x0123456789abcdef, 0xfedcba9876543210, 0x00000000000000ff};
    xb_client_keys read;
    char *text = room(XB_CLIENT_KEYS_TEXT);
    case_name = "texts";
    CHECK(xb_client_keys_text(&k, text) == text + XB_CLIENT_KEYS_TEXT);
    CHECK_TEXT(((xb_span){text, XB_CLIENT_KEYS_TEXT}), "0123456789abcdeffedcba987654321000000000000000ff");
    CHECK(xb_client_keys_parse((xb_span){text, XB_CLIENT_KEYS_TEXT}, &read) && !memcmp(&read, &k, sizeof k));
    CHECK(!xb_client_keys_parse((xb_span){text, XB_CLIENT_KEYS_TEXT - 1}, &read) && !read.client && !read.network);
    text[47] = 'g';
    CHECK(!xb_client_keys_parse((xb_span){text, XB_CLIENT_KEYS_TEXT}, &read) && !read.client && !read.shape);
    CHECK(!xb_client_keys_parse(XB_SPAN("-"), &read));
}

/* ---- what no writer of ours leaves ---- */

static bool sane_view(const xb_client_view *v)
{
    for (int i = 0; i < XB_N_TALLIES; i++)
        if (!(v->count[i] >= 0.0f && v->count[i] <= 16777216.0f))
            return false;
    for (int i = 0; i < XB_CLIENTS_SKETCHES; i++)
        if (v->distinct[i] > 311)
            return false;
    return v->fast >= 0.0f && v->fast <= 16777216.0f && v->gap_mean >= 0.0f && v->gap_mean <= 16777216.0f && v->gap_spread >= 0.0f &&
           v->gap_spread <= 16777216.0f && v->gaps < 256 && v->pages_since_part < 256;
}

/* Any bytes behind the header: numbers are wrong then, and nothing else. */
static void strange_bytes(void)
{
    uint64_t random = 1;
    case_name = "strange bytes";
    fresh(1);
    for (int round = 0; round < 40; round++) {
        uint64_t *words = (uint64_t *)&table_of_all->site;
        const size_t n = (table_size - offsetof(xb_clients, site)) / 8;
        for (size_t i = 0; i < n; i++) {
            random = xb_mix(random + XB_GOLDEN);
            words[i] = round % 4 ? random : round % 8 ? UINT64_MAX : UINT64_C(0x7fc000007fc00000); /* all ones; NAN */
        }
        for (uint64_t i = 1; i < 200; i++) {
            const uint64_t now = i % 3 ? NOON + i * 50000 : xb_mix(random + i);
            xb_visit v = i % 2 ? page() : part();
            v.family = 3, v.version = (uint32_t)i;
            const xb_client_keys k = count(keys_of(i % 50, i % 20, i % 7), now, v);
            happened(k, now, 200, (xb_content)(i % 8));
            const xb_client_view views[] = {client_of(k, now), network_of(k, now), shape_of(k, now), site(now)};
            for (size_t j = 0; j < 4; j++)
                CHECK(sane_view(&views[j]));
            xb_clients_version(table_of_all, (unsigned)i);
        }
    }
}

/* Writers that are killed at any moment: the others go on, nothing waits, and every number is one that somebody counted. */
static void killed(void)
{
    case_name = "killed";
    const size_t size = xb_clients_size(0);
    xb_clients *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        exit(2);
    xb_clients_init(shared, size, secret, XB_CLIENTS_BY_ADDRESS);
    xb_clients *const own = table_of_all;
    table_of_all = shared;
    for (int round = 0; round < 60; round++) {
        pid_t child[2];
        for (int c = 0; c < 2; c++) {
            child[c] = fork();
            if (child[c] == 0) {
                for (uint64_t i = 0;; i++) {
                    const xb_client_keys k = count(keys_of(i % 5 + 1, i % 2 + 1, 1), NOON + i * 1000, i % 3 ? part() : page());
                    happened(k, NOON + i * 1000, 404, XB_CONTENT_UNKNOWN);
                }
            }
            CHECK(child[c] > 0);
        }
        const struct timespec pause = {.tv_nsec = 1000000 + round * 77777};
        nanosleep(&pause, NULL);
        for (int c = 0; c < 2; c++) {
            kill(child[c], SIGKILL);
            CHECK_EQUAL(waitpid(child[c], NULL, 0), child[c]);
        }
        CHECK(!xb_clients_check(shared, size));
        for (uint64_t i = 1; i <= 5; i++) {
            const xb_client_keys k = keys_of(i, i % 2 + 1, 1);
            const xb_client_view before = client_of(k, NOON);
            const uint64_t late = NOON + (1000 + 10 * (uint64_t)round) * 24 * HOUR; /* nothing of before is left */
            CHECK(sane_view(&before));
            count(k, late, page());
            CHECK_NEAR(TALLY(client_of(k, late), PAGES), 1); /* it can be used as before */
            CHECK(there(k));
        }
    }
    CHECK(shared->entries <= XB_CLIENTS_WAYS + 2 * 60 * 2);
    munmap(shared, size);
    table_of_all = own;
}

/* Whoever else may write the table cannot have its users look elsewhere, nor miss what they had counted. */
static void another_size(void)
{
    static const uint64_t said[] = {0, 1, 2, UINT32_MAX, UINT64_MAX};
    case_name = "a table that says another number of sets";
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        fresh(1);
        CHECK(!xb_clients_check(table_of_all, table_size));
        const xb_client_keys mine = count(keys_of(7, 8, 9), NOON, page());
        table_of_all->n_sets = said[i];
        for (uint64_t n = 0; n < 2000; n++)
            happened(count(keys_of(n + 100, n, n), NOON, page()), NOON, 200, XB_CONTENT_PAGE);
        CHECK(xb_clients_find(table_of_all, &mine).client);
        CHECK(xb_clients_check(table_of_all, table_size));
    }
}

int main(void)
{
    memory();
    tags();
    counted();
    groups();
    gaps();
    sketches();
    faded();
    clocks();
    full();
    flood();
    beyond();
    happenings();
    gone();
    refused();
    loaded();
    versions();
    texts();
    strange_bytes();
    another_size();
    killed();
    free(table_of_all);
    return done("test_clients");
}
