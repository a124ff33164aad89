#include "board/handshakes.h"

#include "base/hash.h"

/* Words are read and written whole, in any order: the checksum says whether they belong together. */
static uint64_t load(const uint64_t *at) { return __atomic_load_n(at, __ATOMIC_RELAXED); }
static void store(uint64_t *at, uint64_t word) { __atomic_store_n(at, word, __ATOMIC_RELAXED); }
static uint32_t used(const uint32_t *at) { return __atomic_load_n(at, __ATOMIC_RELAXED); }

/* Words of the key; behind them, the address. */
enum { KEY_WORDS = offsetof(xb_handshake_key, ip) / 8, FACTS = sizeof(xb_handshake_key) / 8 };

static uint64_t sum_of(const uint64_t *words, size_t n, uint64_t secret)
{
    uint64_t h = secret;
    for (size_t i = 0; i < n; i++)
        h = xb_mix(h ^ words[i]);
    return h ? h : 1;
}

/* The key of a request's connection. */
static xb_handshake_key key_of(const xb_request *r, uint32_t listener)
{
    xb_handshake_key key = {.serial = r->connection.serial, .process = r->connection.process, .listener = listener};
    xb_address address;
    if (r->ip.at && xb_address_parse(r->ip, &address)) {
        if (address.version == 6) {
            memcpy(key.ip, address.bytes, 16);
        } else { /* ::ffff:192.0.2.1, so that it is nobody's IPv6 address */
            memset(key.ip + 10, 0xff, 2);
            memcpy(key.ip + 12, address.bytes, 4);
        }
    }
    return key;
}

/* Seconds since then. A clock of logs may go back: then it is now. */
static uint32_t age(uint32_t then, uint32_t now) { return now > then ? now - then : 0; }

static xb_handshake_set *set_of(xb_handshakes *t, uint64_t tag) { return &t->set[tag % XB_HANDSHAKES_SETS]; }

/* The key's own place in the set, or XB_HANDSHAKES_WAYS. */
static size_t place_of(const xb_handshake_set *set, uint64_t tag)
{
    size_t i = 0;
    while (i < XB_HANDSHAKES_WAYS && load(&set->tag[i]) != tag)
        i++;
    return i;
}

xb_handshake_found xb_handshakes_find(xb_handshakes *t, const xb_handshake_key *key, uint32_t now, xb_handshake *out)
{
    uint64_t wanted[FACTS], words[XB_HANDSHAKE_WORDS];
    memcpy(wanted, key, sizeof wanted);
    memset(out, 0, sizeof *out);
    const uint64_t tag = sum_of(wanted, KEY_WORDS, t->secret[0]);
    xb_handshake_set *set = set_of(t, tag);
    const size_t i = place_of(set, tag);
    if (i == XB_HANDSHAKES_WAYS)
        return XB_HANDSHAKE_UNKNOWN;
    const xb_handshake_entry *entry = &set->entry[i];
    const uint64_t sum = load(&entry->sum);
    for (size_t n = 0; n < XB_HANDSHAKE_WORDS; n++)
        words[n] = load(&entry->words[n]);
    const uint32_t then = used(&set->used[i]);
    if (sum != sum_of(words, XB_HANDSHAKE_WORDS, t->secret[1]) || memcmp(words, wanted, 8 * KEY_WORDS) != 0 || age(then, now) > XB_HANDSHAKES_AGE)
        return XB_HANDSHAKE_UNKNOWN;
    if (then != now)
        __atomic_store_n(&set->used[i], now, __ATOMIC_RELAXED);
    if (memcmp(words, wanted, sizeof wanted) != 0)
        return XB_HANDSHAKE_OTHERS;
    memcpy(out, words + FACTS, sizeof *out);
    return XB_HANDSHAKE_KNOWN;
}

void xb_handshakes_keep(xb_handshakes *t, const xb_handshake_key *key, uint32_t now, const xb_handshake *handshake)
{
    uint64_t words[XB_HANDSHAKE_WORDS];
    memcpy(words, key, sizeof *key);
    memcpy(words + FACTS, handshake, sizeof *handshake);
    const uint64_t tag = sum_of(words, KEY_WORDS, t->secret[0]);
    xb_handshake_set *set = set_of(t, tag);
    size_t place = place_of(set, tag);
    if (!handshake->known) {
        if (place < XB_HANDSHAKES_WAYS)
            store(&set->tag[place], 0);
        return;
    }
    if (place == XB_HANDSHAKES_WAYS) {
        place = 0;
        for (size_t i = 0; i < XB_HANDSHAKES_WAYS; i++) {
            if (!load(&set->tag[i])) {
                place = i;
                break;
            }
            if (age(used(&set->used[i]), now) > age(used(&set->used[place]), now))
                place = i;
        }
    }
    xb_handshake_entry *entry = &set->entry[place];
    store(&set->tag[place], tag);
    __atomic_store_n(&set->used[place], now, __ATOMIC_RELAXED);
    for (size_t n = 0; n < XB_HANDSHAKE_WORDS; n++)
        store(&entry->words[n], words[n]);
    store(&entry->sum, sum_of(words, XB_HANDSHAKE_WORDS, t->secret[1]));
}

bool xb_handshakes_recall(xb_handshakes *t, uint32_t listener, uint32_t now, xb_request *r)
{
    if (!r->connection.requests || xb_span_is(r->scheme, XB_SPAN("http")))
        return true;
    const xb_handshake_key key = key_of(r, listener);
    if (r->present & XB_HAS_TLS) {
        if (!r->handshake.known)
            xb_handshake_of(&r->tls, &r->handshake);
        xb_handshakes_keep(t, &key, now, &r->handshake);
    } else if (r->connection.requests == 1) {
        xb_handshakes_keep(t, &key, now, &r->handshake); /* what was known is of an earlier connection with this number */
    } else {
        const xb_handshake_found found = xb_handshakes_find(t, &key, now, &r->handshake);
        r->present |= found == XB_HANDSHAKE_KNOWN ? XB_HAS_TLS : 0;
        return found != XB_HANDSHAKE_UNKNOWN;
    }
    return r->present & XB_HAS_TLS;
}
