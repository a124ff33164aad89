/* Threads that keep and find handshakes in one table, all in the same few places: whatever is found is whole and of the key that
 * was asked for. Built with ThreadSanitizer by tests/core/test_shared_tables.py; `race_handshakes SECONDS`. */
#define _GNU_SOURCE
#include "harness.h"

#include <pthread.h>
#include <time.h>

#include "base/hash.h"
#include "board/handshakes.h"

enum { THREADS = 4, KEYS = 24 }; /* three times as many as a set has places */

static xb_handshakes table_of_all;
static xb_handshake_key keys[KEYS];
static unsigned long found, wrong;
static double seconds;

static xb_handshake facts(const xb_handshake_key *key, uint64_t generation)
{
    xb_handshake h = {.ciphers = xb_mix(key->serial ^ generation), .curves = generation, .sigalgs = xb_mix(generation), .known = 1};
    h.n_ciphers = (uint16_t)(h.ciphers & 0xff);
    return h;
}

static void *run(void *number)
{
    uint64_t random = xb_mix((uint64_t)(uintptr_t)number + 1);
    unsigned long hits = 0, bad = 0;
    struct timespec from, now;
    clock_gettime(CLOCK_MONOTONIC, &from);
    do {
        for (int i = 0; i < 1000; i++) {
            random = xb_mix(random + XB_GOLDEN);
            const xb_handshake_key *key = &keys[random % KEYS];
            const uint32_t second = (uint32_t)(random >> 8 & 0xff);
            if (random >> 60 < 8) {
                xb_handshake h = facts(key, random >> 32);
                if (random >> 60 == 0)
                    memset(&h, 0, sizeof h);
                xb_handshakes_keep(&table_of_all, key, second, &h);
            } else {
                xb_handshake h, want;
                if (xb_handshakes_find(&table_of_all, key, second, &h) == XB_HANDSHAKE_KNOWN) {
                    want = facts(key, h.curves);
                    hits++;
                    bad += memcmp(&h, &want, sizeof h) != 0;
                }
            }
        }
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((double)(now.tv_sec - from.tv_sec) + (double)(now.tv_nsec - from.tv_nsec) / 1e9 < seconds);
    __atomic_fetch_add(&found, hits, __ATOMIC_RELAXED);
    __atomic_fetch_add(&wrong, bad, __ATOMIC_RELAXED);
    return NULL;
}

/* Does a key go where the first one, which is in the table, went? */
static bool same_set(const xb_handshake_key *key, const xb_handshake_set *set)
{
    const xb_handshake there = facts(key, 1), none = {0};
    xb_handshakes_keep(&table_of_all, key, 0, &there);
    const bool same = set->tag[1] != 0;
    xb_handshakes_keep(&table_of_all, key, 0, &none);
    return same;
}

int main(int argc, char **argv)
{
    seconds = argc > 1 ? atof(argv[1]) : 1;
    table_of_all.secret[0] = 1;
    table_of_all.secret[1] = 2;
    keys[0] = (xb_handshake_key){.serial = 1};
    xb_handshake_key key = keys[0];
    const xb_handshake first = facts(&key, 1);
    xb_handshakes_keep(&table_of_all, &key, 0, &first);
    const xb_handshake_set *set = table_of_all.set;
    while (!set->tag[0])
        set++;
    for (int n = 1; n < KEYS; n++) {
        do
            key.serial++;
        while (!same_set(&key, set));
        keys[n] = key;
    }
    memset(table_of_all.set, 0, sizeof table_of_all.set);
    pthread_t thread[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&thread[i], NULL, run, (void *)i))
            return 2;
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    CHECK(found > 1000);
    CHECK_EQUAL(wrong, 0);
    return done("race_handshakes");
}
