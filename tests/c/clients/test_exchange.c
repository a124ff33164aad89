/* Two tables that tell each other: sums are the same whoever tells first, nothing is told twice or back, and nonsense does nothing. */
#include "harness.h"

#include <math.h>

#include "base/hash.h"
#include "clients/clients.h"
#include "clients/exchange.h"

enum { MEBIBYTES = 1, MOST = 4096 };
static const uint64_t secret[2] = {1, 2}, NOON = UINT64_C(1795737600000);
static xb_clients *tables[3];
static xb_exchange *exchange[3];
static xb_client_delta told[3][MOST];

static void fresh(uint64_t now)
{
    for (int i = 0; i < 3; i++) {
        free(tables[i]);
        free(exchange[i]);
        const size_t size = xb_clients_size(MEBIBYTES);
        tables[i] = aligned_alloc(64, size);
        if (!tables[i])
            exit(2);
        memset(tables[i], 0, size);
        xb_clients_init(tables[i], size, secret, XB_CLIENTS_BY_ADDRESS);
        exchange[i] = calloc(1, xb_exchange_size(tables[i]));
        if (!exchange[i])
            exit(2);
        xb_exchange_init(exchange[i], now);
    }
}

static xb_client_keys keys_of(uint64_t n)
{
    return (xb_client_keys){xb_mix(n + 1) & ~(uint64_t)XB_SAYS, xb_mix(n / 4 + 500000) & ~(uint64_t)XB_SAYS, xb_mix(700000) & ~(uint64_t)XB_SAYS};
}

static void count(int at, uint64_t n, uint64_t now, bool page)
{
    xb_client_keys k = keys_of(n);
    const xb_client_places places = xb_clients_find(tables[at], &k);
    const xb_visit v = {.counts = XB_COUNT(REQUESTS) | (page ? XB_COUNT(PAGES) : XB_COUNT(PARTS)),
                        .marks = XB_MARK_BROWSER,
                        .what = page ? XB_VISIT_PAGE : XB_VISIT_PART,
                        .path = now,
                        .address = n};
    xb_clients_count(tables[at], &k, &places, now, &v);
}

static xb_client_view view(int at, uint64_t n, int kind, uint64_t now)
{
    const xb_client_keys k = keys_of(n);
    const xb_client_places places = xb_clients_find(tables[at], &k);
    const xb_client_entry *e = kind == 0 ? places.client : kind == 1 ? places.network : places.shape;
    xb_client_view v;
    xb_client_read(e, now, &v);
    return v;
}

static bool near(double a, double b) { return fabs(a - b) < 0.02 + 0.01 * fabs(b); }

/* Each tells what it has, then each takes what the others told. Returns of how many entries that was. */
static size_t round_of(int machines, uint64_t now)
{
    size_t n[3], sum = 0;
    for (int i = 0; i < machines; i++)
        sum += n[i] = xb_exchange_collect(exchange[i], tables[i], now, told[i], MOST);
    for (int i = 0; i < machines; i++)
        for (int j = machines - 1; j >= 0; j--)
            if (i != j)
                CHECK_EQUAL(xb_exchange_merge(exchange[i], tables[i], now, told[j], n[j]), n[j]);
    return sum;
}

static void sums(void)
{
    uint64_t now = NOON, random = 1;
    float pages[40] = {0};
    case_name = "sums";
    fresh(now);
    for (int step = 0; step < 60; step++) {
        for (int i = 0; i < 30; i++) {
            random = xb_mix(random + XB_GOLDEN);
            const uint64_t n = random % 40;
            count((int)((random >> 30) % 3), n, now, true);
            pages[n] += 1.0f;
        }
        CHECK(round_of(3, now) > 0);
        now += 1000;
    }
    CHECK_EQUAL(round_of(3, now), 0); /* nothing that came from others is told again */
    for (uint64_t n = 0; n < 40; n++)
        for (int at = 0; at < 3; at++) {
            const xb_client_view client = view(at, n, 0, now), shape = view(at, n, 2, now);
            CHECK(near(client.count[XB_TALLY_PAGES], pages[n]));
            CHECK(near(shape.count[XB_TALLY_PAGES], 1800));
            CHECK(client.marks & XB_MARK_PAGED && client.fast > 0.0f);
            CHECK_EQUAL(client.distinct[0], view(0, n, 0, now).distinct[0]);
        }
    now += XB_CLIENTS_HALF_LIFE_MS; /* half of it is left everywhere, and that is no news */
    for (int at = 0; at < 3; at++)
        count(at, 1, now, false);
    round_of(3, now);
    for (int at = 0; at < 3; at++) {
        CHECK(near(view(at, 1, 2, now).count[XB_TALLY_PAGES], 900));
        CHECK(near(view(at, 1, 0, now).count[XB_TALLY_PARTS], 3));
        CHECK(view(at, 1, 0, now).marks & XB_MARK_PARTED);
    }
}

static void new_ones(void)
{
    case_name = "who comes to one is known to the other";
    fresh(NOON);
    for (int i = 0; i < 5; i++)
        count(0, 7, NOON + 500, true);
    CHECK_EQUAL(round_of(2, NOON + 1000), 3); /* client, network, shape */
    CHECK(near(view(1, 7, 0, NOON + 1000).count[XB_TALLY_PAGES], 5));
    count(1, 7, NOON + 1500, false); /* a part of that page, by way of the other machine */
    CHECK_EQUAL(round_of(2, NOON + 2000), 3);
    const xb_client_view v = view(0, 7, 0, NOON + 2000);
    CHECK(near(v.count[XB_TALLY_PARTS], 1) && v.marks & XB_MARK_PARTED && v.pages_since_part == 0);
    CHECK(near(view(0, 7, 2, NOON + 2000).count[XB_TALLY_LOADERS], 1)); /* told once, counted once */
    CHECK(near(view(1, 7, 2, NOON + 2000).count[XB_TALLY_VISITORS], 1));

    case_name = "what is older than the exchange stays at home";
    fresh(NOON);
    count(0, 9, NOON - 60000, true);
    CHECK_EQUAL(round_of(2, NOON + 1000), 0);

    case_name = "what is taken back is taken back everywhere";
    fresh(NOON);
    xb_client_keys k = keys_of(5);
    const xb_client_places none = {0};
    const xb_visit page = {.counts = XB_COUNT(REQUESTS) | XB_COUNT(PAGES), .marks = XB_MARK_BROWSER, .what = XB_VISIT_PAGE};
    xb_clients_count(tables[0], &k, &none, NOON, &page);
    round_of(2, NOON + 1000);
    CHECK(near(view(1, 5, 2, NOON + 1000).count[XB_TALLY_PAGES], 1));
    xb_clients_outcome(tables[0], &k, NOON + 1500, &(xb_response){.status = 403});
    count(0, 5, NOON + 1600, false);
    round_of(2, NOON + 2000);
    CHECK(near(view(1, 5, 2, NOON + 2000).count[XB_TALLY_PAGES], 0));
}

static void of_before(void)
{
    case_name = "who was there before the exchange began";
    fresh(NOON);
    count(0, 9, NOON - 60000, true);
    count(0, 9, NOON + 500, true);
    CHECK_EQUAL(round_of(2, NOON + 1000), 0); /* nobody can say which of it is new */
    count(0, 9, NOON + 1500, true);
    CHECK_EQUAL(round_of(2, NOON + 2000), 3);
    CHECK(near(view(1, 9, 0, NOON + 2000).count[XB_TALLY_PAGES], 1));
    count(1, 9, NOON + 2500, true); /* they know of each other's since when it is there */
    CHECK_EQUAL(round_of(2, NOON + 3000), 3);
    CHECK(near(view(0, 9, 0, NOON + 3000).count[XB_TALLY_PAGES], 4));
}

/* Entries with the same tag are told apart by their sets, also where what was told of them is kept side by side. */
static void same_tag(void)
{
    case_name = "the same tag";
    fresh(NOON);
    const uint32_t tag = 77, sets = (uint32_t)tables[0]->n_sets, slots = XB_EXCHANGE_SLOTS / XB_EXCHANGE_WAYS;
    uint32_t one = 0, other = 0;
    for (one = 0; one < sets && !other; one++)
        for (uint32_t i = one + 1; i < sets && !other; i++)
            other = xb_mix((uint64_t)one << 32 | tag) % slots == xb_mix((uint64_t)i << 32 | tag) % slots ? i : 0;
    CHECK(other);
    xb_client_delta both[2] = {{.set = one - 1, .tag = tag, .first = 5}, {.set = other, .tag = tag}};
    both[0].count[XB_TALLY_REQUESTS] = 1.0f;
    both[1].count[XB_TALLY_REQUESTS] = 2.0f;
    for (int i = 0; i < 2; i++)
        CHECK_EQUAL(xb_exchange_merge(exchange[0], tables[0], NOON, both, 2), 2);
    CHECK_EQUAL(xb_exchange_collect(exchange[0], tables[0], NOON + 1000, told[0], MOST), 0); /* it came from elsewhere */
    for (int i = 0; i < 2; i++) {
        const xb_client_entry *e = &tables[0]->set[both[i].set].entry[0];
        CHECK(near(e->count[XB_TALLY_REQUESTS], 2 * both[i].count[XB_TALLY_REQUESTS]));
        CHECK_EQUAL(e->first == 5, i == 0);
    }
    both[0].tag = 0;
    CHECK_EQUAL(xb_exchange_merge(exchange[0], tables[0], NOON, both, 1), 0);
}

static void bounded(void)
{
    size_t sum = 0;
    case_name = "no more than there is room for, and nobody is left out";
    fresh(NOON);
    for (uint64_t n = 0; n < 500; n++)
        count(0, 4 * n, NOON + 500, true); /* each of a network of its own */
    const uint64_t entries = tables[0]->entries;
    for (int i = 0; i < 40; i++) {
        const size_t n = xb_exchange_collect(exchange[0], tables[0], NOON + 1000 + 1000 * (uint64_t)i, told[0], 100);
        CHECK(n <= 100);
        sum += n;
    }
    CHECK(sum <= entries && sum >= entries - 60); /* but for those that share a slot */
    CHECK_EQUAL(xb_exchange_collect(exchange[0], tables[0], NOON + 50000, told[0], XB_CLIENTS_WAYS - 1), 0); /* no room at all */
}

static void nonsense(void)
{
    uint64_t random = 5;
    case_name = "nonsense";
    fresh(NOON);
    count(0, 1, NOON, true);
    for (int step = 0; step < 300; step++) {
        uint32_t *words = (uint32_t *)(void *)told[1];
        for (size_t i = 0; i < 64 * sizeof(xb_client_delta) / 4; i++)
            words[i] = (uint32_t)(random = xb_mix(random + XB_GOLDEN));
        for (size_t i = 0; i < 64; i += 2)
            told[1][i].set %= (uint32_t)tables[0]->n_sets; /* half of them have a place */
        xb_exchange_merge(exchange[0], tables[0], NOON + (uint64_t)step, told[1], 64);
        xb_exchange_collect(exchange[0], tables[0], NOON + (uint64_t)step, told[0], MOST);
    }
    CHECK(tables[0]->entries <= tables[0]->n_sets * XB_CLIENTS_WAYS);
    for (size_t i = 0; i < tables[0]->n_sets; i++)
        for (size_t j = 0; j < XB_CLIENTS_WAYS; j++) {
            xb_client_view v;
            xb_client_read(&tables[0]->set[i].entry[j], NOON, &v);
            for (int c = 0; c < XB_N_TALLIES; c++)
                CHECK(v.count[c] >= 0.0f && v.count[c] <= 16777216.0f);
        }
    const float wild[] = {INFINITY, -INFINITY, NAN, 1e30f, -1e30f, -5.0f};
    fresh(NOON);
    count(0, 3, NOON, true);
    count(1, 3, NOON, true);
    const size_t n = xb_exchange_collect(exchange[1], tables[1], NOON + 1000, told[1], MOST);
    for (size_t w = 0; w < sizeof wild / sizeof *wild; w++) {
        for (size_t i = 0; i < n; i++)
            for (int c = 0; c < XB_N_TALLIES; c++)
                told[1][i].count[c] = wild[w];
        xb_exchange_merge(exchange[0], tables[0], NOON + 1000, told[1], n);
        const float pages = view(0, 3, 0, NOON + 1000).count[XB_TALLY_PAGES];
        CHECK(w < 5 ? near(pages, 1) : pages == 0.0f);
    }
    CHECK(!(view(0, 3, 0, NOON).marks & ~(uint32_t)XB_MARK_ALL));
}

int main(void)
{
    sums();
    new_ones();
    of_before();
    same_tag();
    bounded();
    nonsense();
    for (int i = 0; i < 3; i++) {
        free(tables[i]);
        free(exchange[i]);
    }
    return done("test_exchange");
}
