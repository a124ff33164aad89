/* Threads that count and read in one small table, all in the same few entries: no access is a data race, every number that is
 * read is one that could have been counted, and few counts are lost. Built with ThreadSanitizer by tests/core/test_shared_tables.py;
 * `race_clients SECONDS`. */
#define _GNU_SOURCE
#include "harness.h"

#include <pthread.h>
#include <time.h>

#include "base/hash.h"
#include "clients/clients.h"
#include "clients/exchange.h"

enum { THREADS = 4, KEYS = 3 * XB_CLIENTS_WAYS / 2 }; /* half as many again as a set has places */

static xb_clients *table_of_all;
static xb_exchange *exchange; /* the first thread's */
static xb_client_delta told[64];
static unsigned long counted, wrong;
static double seconds;
static const uint64_t NOON = UINT64_C(1795737600000);

static bool could_be(const xb_client_view *v)
{
    for (int i = 0; i < XB_N_TALLIES; i++)
        if (!(v->count[i] >= 0.0f && v->count[i] <= 16777216.0f))
            return false;
    return v->gap_mean < 30.0f && v->gap_spread < 30.0f && v->gaps < 256 && v->pages_since_part < 256 && v->distinct[0] <= 311;
}

static void *run(void *number)
{
    uint64_t random = xb_mix((uint64_t)(uintptr_t)number + 1);
    unsigned long done_here = 0, bad = 0;
    struct timespec from, now;
    clock_gettime(CLOCK_MONOTONIC, &from);
    do {
        for (int i = 0; i < 500; i++) {
            random = xb_mix(random + XB_GOLDEN);
            const uint64_t n = random % KEYS, ms = NOON + (random >> 20 & 0xfffffff);
            xb_client_keys k = {.client = xb_mix(n + 1) & ~(uint64_t)XB_SAYS, .network = xb_mix(n / 3 + 100), .shape = xb_mix(200)};
            const xb_client_places places = xb_clients_find(table_of_all, &k);
            xb_client_view view;
            xb_client_read(places.client, ms, &view);
            bad += !could_be(&view);
            xb_client_read(places.shape, ms, &view);
            bad += !could_be(&view);
            const xb_visit v = {.counts = XB_COUNT(REQUESTS) | (n % 2 ? XB_COUNT(PAGES) : XB_COUNT(PARTS)), .marks = XB_MARK_BROWSER,
                                .what = n % 2 ? XB_VISIT_PAGE : XB_VISIT_PART, .family = 3, .version = (uint32_t)n, .path = random, .agent = n};
            xb_clients_count(table_of_all, &k, &places, ms, &v);
            if (random >> 60 == 0)
                xb_clients_outcome(table_of_all, &k, ms, &(xb_response){.status = 200, .content = XB_CONTENT_IMAGE});
            bad += xb_clients_version(table_of_all, 3) >= KEYS;
            done_here++;
        }
        if (!number) { /* and what another machine tells */
            const size_t n = xb_exchange_collect(exchange, table_of_all, NOON, told, 64);
            xb_exchange_merge(exchange, table_of_all, NOON, told, n);
        }
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((double)(now.tv_sec - from.tv_sec) + (double)(now.tv_nsec - from.tv_nsec) / 1e9 < seconds);
    __atomic_fetch_add(&counted, done_here, __ATOMIC_RELAXED);
    __atomic_fetch_add(&wrong, bad, __ATOMIC_RELAXED);
    return NULL;
}

int main(int argc, char **argv)
{
    static const uint64_t secret[2] = {1, 2};
    const size_t size = xb_clients_size(0);
    seconds = argc > 1 ? atof(argv[1]) : 1;
    table_of_all = aligned_alloc(64, size);
    if (!table_of_all)
        return 2;
    memset(table_of_all, 0, size);
    xb_clients_init(table_of_all, size, secret, XB_CLIENTS_BY_ADDRESS);
    exchange = calloc(1, xb_exchange_size(table_of_all));
    if (!exchange)
        return 2;
    pthread_t thread[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&thread[i], NULL, run, (void *)i))
            return 2;
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    CHECK(counted > 1000);
    CHECK_EQUAL(wrong, 0);
    CHECK(table_of_all->entries <= XB_CLIENTS_WAYS + THREADS); /* two may find the same place empty */
    CHECK(table_of_all->replaced > 0);
    free(table_of_all);
    free(exchange);
    return done("race_clients");
}
