#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#include "board/lookups.h"

#include <string.h>
#include <time.h>

#include "base/hash.h"

/* Words are read and written whole, in any order: the checksum says whether they belong together. */
static uint64_t load(const uint64_t *at) { return __atomic_load_n(at, __ATOMIC_RELAXED); }
static void store(uint64_t *at, uint64_t word) { __atomic_store_n(at, word, __ATOMIC_RELAXED); }
static void count(uint64_t *at) { store(at, load(at) + 1); }

typedef struct {
    uint64_t word[2];
} key;

static uint64_t sum_of(const uint64_t *words, size_t n, uint64_t secret)
{
    uint64_t h = secret;
    for (size_t i = 0; i < n; i++)
        h = xb_mix(h ^ words[i]);
    return h ? h : 1;
}

/* ::ffff:192.0.2.1 for IPv4, so that it is nobody's IPv6 address. */
static key key_of(const xb_address *a)
{
    uint8_t bytes[16] = {[10] = 0xff, [11] = 0xff};
    if (a->version == 6)
        memcpy(bytes, a->bytes, 16);
    else
        memcpy(bytes + 12, a->bytes, 4);
    key k;
    memcpy(&k, bytes, sizeof k);
    return k;
}

/* The /24 or /48, under a key that is no address: of IPv4 as ::fffe:192.0.2.0, of IPv6 with a lower half that nobody gives out. */
static key network_of(const xb_address *a)
{
    uint8_t bytes[16] = {[10] = 0xff, [11] = 0xfe};
    if (a->version == 6) {
        memset(bytes, 0xff, 16);
        memcpy(bytes, a->bytes, 6);
    } else {
        memcpy(bytes + 12, a->bytes, 3);
    }
    key k;
    memcpy(&k, bytes, sizeof k);
    return k;
}

static xb_address address_of(const uint64_t word[2])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    xb_address a = {.version = 6};
    memcpy(a.bytes, word, 16);
    if (memcmp(a.bytes, mapped, sizeof mapped) == 0) {
        a.version = 4;
        memmove(a.bytes, a.bytes + 12, 4);
        memset(a.bytes + 4, 0, 12);
    }
    return a;
}

uint32_t xb_lookups_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint32_t)t.tv_sec;
}

/* ---- answers ---- */

static size_t set_of(const xb_lookups *t, key k) { return sum_of(k.word, 2, t->secret[0]) % XB_LOOKUPS_SETS; }

/* Reads an entry; false if it is empty, or its words do not belong together. */
static bool read_entry(const xb_lookups *t, const xb_lookup_entry *e, key *of, xb_lookup *out)
{
    uint64_t words[XB_LOOKUP_WORDS];
    const uint64_t sum = load(&e->sum);
    for (size_t i = 0; i < XB_LOOKUP_WORDS; i++)
        words[i] = load(&e->words[i]);
    if (!sum || sum != sum_of(words, XB_LOOKUP_WORDS, t->secret[1]) || words[4] >= XB_N_LOOKUPS)
        return false;
    *of = (key){{words[0], words[1]}};
    *out = (xb_lookup){words[2], (uint32_t)words[4], (uint32_t)words[3], (uint32_t)(words[3] >> 32)};
    return true;
}

/* The place of the key in its set, or XB_LOOKUPS_WAYS. */
static size_t place_of(const xb_lookups *t, key k, xb_lookup *out)
{
    const xb_lookup_entry *set = t->entry[set_of(t, k)];
    for (size_t i = 0; i < XB_LOOKUPS_WAYS; i++) {
        key of;
        if (load(&set[i].words[0]) == k.word[0] && load(&set[i].words[1]) == k.word[1] && read_entry(t, &set[i], &of, out) &&
            of.word[0] == k.word[0] && of.word[1] == k.word[1])
            return i;
    }
    return XB_LOOKUPS_WAYS;
}

/* An answer counts beyond its freshness; that there was none does not. */
static bool counts(const xb_lookup *l, uint32_t now)
{
    const uint32_t grace = l->state == XB_LOOKUP_ANSWERED ? XB_LOOKUPS_STALE : 0;
    return now <= l->until || now - l->until <= grace;
}

static bool find(const xb_lookups *t, key k, uint32_t now, xb_lookup *out)
{
    if (place_of(t, k, out) < XB_LOOKUPS_WAYS && counts(out, now))
        return true;
    *out = (xb_lookup){0};
    return false;
}

bool xb_lookups_find(const xb_lookups *t, const xb_address *address, uint32_t now, xb_lookup *out)
{
    return find(t, key_of(address), now, out);
}

bool xb_lookups_neighbour_denied(const xb_lookups *t, const xb_address *address, uint32_t now)
{
    xb_lookup found;
    return find(t, network_of(address), now, &found) && now <= found.until &&
           found.state == XB_LOOKUP_ANSWERED && !found.domains;
}

/* Which entry of a set goes: an empty one, else one that confirms nothing before one that does, the earliest given. */
static size_t victim(const xb_lookups *t, const xb_lookup_entry *set)
{
    size_t worst = 0;
    xb_lookup of_worst = {.domains = UINT64_MAX, .given = UINT32_MAX};
    for (size_t i = 0; i < XB_LOOKUPS_WAYS; i++) {
        key of;
        xb_lookup l;
        if (!read_entry(t, &set[i], &of, &l))
            return i;
        if (!l.domains != !of_worst.domains ? !l.domains : l.given < of_worst.given) {
            worst = i;
            of_worst = l;
        }
    }
    return worst;
}

static void write_entry(xb_lookups *t, key k, const xb_lookup *what)
{
    xb_lookup old;
    xb_lookup_entry *set = t->entry[set_of(t, k)];
    size_t place = place_of(t, k, &old);
    place = place < XB_LOOKUPS_WAYS ? place : victim(t, set);
    const uint64_t words[XB_LOOKUP_WORDS] = {k.word[0], k.word[1], what->domains, (uint64_t)what->until << 32 | what->given, what->state};
    for (size_t i = 0; i < XB_LOOKUP_WORDS; i++)
        store(&set[place].words[i], words[i]);
    store(&set[place].sum, sum_of(words, XB_LOOKUP_WORDS, t->secret[1]));
}

void xb_lookups_keep(xb_lookups *t, const xb_address *address, const xb_lookup *what)
{
    const key k = key_of(address);
    xb_lookup l = *what, old;
    if (l.state == XB_LOOKUP_UNKNOWN || l.state >= XB_N_LOOKUPS)
        return;
    count(&t->looked[l.state]);
    if (l.state == XB_LOOKUP_ANSWERED && l.domains)
        count(&t->confirmed);
    if (l.state != XB_LOOKUP_ANSWERED) {
        l.domains = 0;
        const uint32_t now = l.given;
        if (place_of(t, k, &old) < XB_LOOKUPS_WAYS && old.state == XB_LOOKUP_ANSWERED && counts(&old, now) && now - old.given < XB_LOOKUPS_STALE) {
            l = old;
            l.until = what->until - old.given < XB_LOOKUPS_STALE ? what->until : old.given + XB_LOOKUPS_STALE;
        }
    }
    write_entry(t, k, &l);
    if (l.state == XB_LOOKUP_ANSWERED && !l.domains)
        write_entry(t, network_of(address), &l);
}

/* ---- questions ---- */

static bool is_question(const xb_lookups *t, const xb_lookup_question *q, uint64_t word[2])
{
    const uint64_t sum = load(&q->sum);
    word[0] = load(&q->address[0]);
    word[1] = load(&q->address[1]);
    return sum && sum == sum_of(word, 2, t->secret[1]);
}

bool xb_lookups_ask(xb_lookups *t, const xb_address *address)
{
    const key k = key_of(address);
    uint64_t taken[2];
    xb_lookup_question *q = &t->question[(sum_of(k.word, 2, t->secret[0]) >> 32) % XB_LOOKUPS_QUESTIONS];
    if (is_question(t, q, taken)) {
        const bool mine = taken[0] == k.word[0] && taken[1] == k.word[1];
        if (!mine)
            count(&t->dropped);
        return mine;
    }
    store(&q->address[0], k.word[0]);
    store(&q->address[1], k.word[1]);
    store(&q->sum, sum_of(k.word, 2, t->secret[1]));
    count(&t->asked);
    return true;
}

size_t xb_lookups_take(xb_lookups *t, uint32_t *at, xb_address *out, size_t most)
{
    size_t n = 0;
    for (uint32_t i = 0; i < XB_LOOKUPS_QUESTIONS && n < most; i++) {
        xb_lookup_question *q = &t->question[*at % XB_LOOKUPS_QUESTIONS];
        uint64_t word[2];
        *at = (*at + 1) % XB_LOOKUPS_QUESTIONS;
        if (is_question(t, q, word))
            out[n++] = address_of(word);
        if (load(&q->sum))
            store(&q->sum, 0);
    }
    return n;
}
