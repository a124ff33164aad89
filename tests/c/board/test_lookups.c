/* What the DNS said of addresses: how long it counts, what a storm can push out, and what a process leaves that dies while it writes. */
#include "board/lookups.h"

#include <string.h>

#include "base/hash.h"

#include "harness.h"

static xb_lookups names;

static void clear(void)
{
    memset(&names, 0, sizeof names);
    names.secret[0] = 7;
    names.secret[1] = 8;
}

static xb_address v4(uint32_t n)
{
    xb_address a = {.version = 4};
    memcpy(a.bytes, &n, 4);
    return a;
}

static xb_address v6(uint64_t network, uint64_t host)
{
    xb_address a = {.version = 6};
    memcpy(a.bytes, &network, 8);
    memcpy(a.bytes + 8, &host, 8);
    return a;
}

static void keep(xb_address a, xb_lookup_state state, uint32_t given, uint32_t until, uint64_t domains)
{
    const xb_lookup l = {domains, state, given, until};
    xb_lookups_keep(&names, &a, &l);
}

static xb_lookup find(xb_address a, uint32_t now)
{
    xb_lookup l;
    memset(&l, 0xff, sizeof l);
    const bool known = xb_lookups_find(&names, &a, now, &l);
    CHECK_EQUAL(known, l.state != XB_LOOKUP_UNKNOWN);
    return l;
}

static void how_long(void)
{
    case_name = "how long";
    clear();
    CHECK_EQUAL(find(v4(1), 0).state, XB_LOOKUP_UNKNOWN);
    keep(v4(1), XB_LOOKUP_ANSWERED, 100, 400, 2);
    keep(v4(2), XB_LOOKUP_SILENT, 100, 400, 0);
    keep(v4(3), XB_LOOKUP_AWAY, 100, 400, 4);
    CHECK_EQUAL(find(v4(1), 400).domains, 2);
    CHECK_EQUAL(find(v4(1), 400 + XB_LOOKUPS_STALE).domains, 2);
    CHECK_EQUAL(find(v4(1), 401 + XB_LOOKUPS_STALE).state, XB_LOOKUP_UNKNOWN);
    CHECK_EQUAL(find(v4(2), 400).state, XB_LOOKUP_SILENT);
    CHECK_EQUAL(find(v4(2), 401).state, XB_LOOKUP_UNKNOWN);
    CHECK_EQUAL(find(v4(3), 400).state, XB_LOOKUP_AWAY);
    CHECK_EQUAL(find(v4(3), 400).domains, 0); /* who did not answer confirms nothing */
    case_name = "an outage";
    keep(v4(1), XB_LOOKUP_SILENT, 500, 800, 0);
    CHECK_EQUAL(find(v4(1), 800).domains, 2);
    CHECK_EQUAL(find(v4(1), 800).until, 800);
    CHECK_EQUAL(find(v4(1), 800).given, 100);
    keep(v4(1), XB_LOOKUP_SILENT, 100 + XB_LOOKUPS_STALE, 400 + XB_LOOKUPS_STALE, 0); /* too old by now */
    CHECK_EQUAL(find(v4(1), 400 + XB_LOOKUPS_STALE).state, XB_LOOKUP_SILENT);
    keep(v4(2), XB_LOOKUP_AWAY, 500, 800, 0); /* nobody answered before either */
    CHECK_EQUAL(find(v4(2), 800).state, XB_LOOKUP_AWAY);
    keep(v4(4), XB_LOOKUP_ANSWERED, 100, 400, 2);
    keep(v4(4), XB_LOOKUP_SILENT, 401 + XB_LOOKUPS_STALE, 701 + XB_LOOKUPS_STALE, 0); /* it no longer counts at all */
    CHECK_EQUAL(find(v4(4), 701 + XB_LOOKUPS_STALE).state, XB_LOOKUP_SILENT);
    keep(v4(5), XB_LOOKUP_ANSWERED, 100, 400, 2);
    keep(v4(5), XB_LOOKUP_SILENT, 99 + XB_LOOKUPS_STALE, 399 + XB_LOOKUPS_STALE, 0); /* fresh no longer than it is old enough to go */
    CHECK_EQUAL(find(v4(5), 99 + XB_LOOKUPS_STALE).until, 100 + XB_LOOKUPS_STALE);
    keep(v4(1), XB_LOOKUP_ANSWERED, 200000, 200300, 0);
    CHECK_EQUAL(find(v4(1), 200000).domains, 0);
    CHECK_EQUAL(find(v4(1), 200000).state, XB_LOOKUP_ANSWERED);
    keep(v4(9), XB_LOOKUP_UNKNOWN, 0, 100, 1);
    keep(v4(9), XB_N_LOOKUPS, 0, 100, 1);
    CHECK_EQUAL(find(v4(9), 0).state, XB_LOOKUP_UNKNOWN);
    CHECK_EQUAL(names.confirmed, 3);
    CHECK_EQUAL(names.looked[XB_LOOKUP_ANSWERED], 4);
    CHECK_EQUAL(names.looked[XB_LOOKUP_SILENT], 5);
}

static void whose(void)
{
    case_name = "whose";
    clear();
    const xb_address one = v6(1, 2), near = v6(1, 3), far = v6(2, 3);
    keep(one, XB_LOOKUP_ANSWERED, 0, 300, 1);
    CHECK(!xb_lookups_neighbour_denied(&names, &near, 0)); /* it was confirmed */
    keep(v6(1, UINT64_MAX), XB_LOOKUP_ANSWERED, 0, 300, 1);
    CHECK(!xb_lookups_neighbour_denied(&names, &near, 0));
    keep(near, XB_LOOKUP_SILENT, 0, 300, 0);
    CHECK(!xb_lookups_neighbour_denied(&names, &one, 0));
    keep(near, XB_LOOKUP_ANSWERED, 0, 300, 0);
    CHECK(xb_lookups_neighbour_denied(&names, &near, 0) && xb_lookups_neighbour_denied(&names, &one, 300));
    CHECK(!xb_lookups_neighbour_denied(&names, &one, 301) && !xb_lookups_neighbour_denied(&names, &far, 0));
    CHECK_EQUAL(find(one, 0).domains, 1); /* it is its own */
    CHECK_EQUAL(find(v6(1, 9), 0).state, XB_LOOKUP_UNKNOWN);
    const xb_address last = v6(3 | UINT64_C(0xffff) << 48, UINT64_MAX), beside_last = v6(3, 1); /* an address with the network's own key */
    keep(last, XB_LOOKUP_SILENT, 0, 300, 0);
    CHECK(!xb_lookups_neighbour_denied(&names, &beside_last, 0));
    keep(last, XB_LOOKUP_ANSWERED, 0, 300, 1);
    CHECK(!xb_lookups_neighbour_denied(&names, &beside_last, 0));
    const xb_address subnet = v6(1 | UINT64_C(1) << 48, 3); /* another /64 of the same /48 */
    CHECK(xb_lookups_neighbour_denied(&names, &subnet, 0));
    const xb_address four = v4(5 | 7u << 24), beside = v4(5 | 9u << 24), other = v4(6 | 7u << 24); /* 5.0.0.7, 5.0.0.9, 6.0.0.7 */
    CHECK(!xb_lookups_neighbour_denied(&names, &beside, 0));
    keep(four, XB_LOOKUP_ANSWERED, 0, 300, 0);
    CHECK(xb_lookups_neighbour_denied(&names, &beside, 0) && !xb_lookups_neighbour_denied(&names, &other, 0));
    CHECK_EQUAL(find(v4(5), 0).state, XB_LOOKUP_UNKNOWN); /* what is known of the network is of no address in it */
}

static void a_storm(void)
{
    case_name = "a storm pushes out nobody who is proven";
    clear();
    for (uint32_t i = 0; i < 500; i++)
        keep(v4(i), XB_LOOKUP_ANSWERED, 10, 100000, 1);
    for (uint32_t i = 1000; i < 200000; i++)
        keep(v4(i), XB_LOOKUP_ANSWERED, 20, 100000, 0);
    for (uint32_t i = 0; i < 500; i++)
        CHECK_EQUAL(find(v4(i), 30).domains, 1);
    case_name = "more that are proven than there is room for";
    uint32_t found = 0;
    for (uint32_t i = 0; i < 40000; i++)
        keep(v4(i), XB_LOOKUP_ANSWERED, 20 + i, 100000, 1);
    for (uint32_t i = 0; i < 40000; i++)
        found += find(v4(i), 30).domains == 1;
    CHECK(found > XB_LOOKUPS_SETS * XB_LOOKUPS_WAYS * 99 / 100 && found <= XB_LOOKUPS_SETS * XB_LOOKUPS_WAYS);
}

static void questions(void)
{
    case_name = "questions";
    clear();
    xb_address out[64];
    uint32_t at = 1000, n = 0;
    const xb_address six = v6(5, 6), four = v4(7);
    CHECK_EQUAL(xb_lookups_take(&names, &at, out, 64), 0);
    CHECK(xb_lookups_ask(&names, &six) && xb_lookups_ask(&names, &six) && xb_lookups_ask(&names, &four));
    CHECK_EQUAL(names.asked, 2);
    CHECK_EQUAL(xb_lookups_take(&names, &at, out, 0), 0);
    CHECK_EQUAL(xb_lookups_take(&names, &at, out, 64), 2);
    for (int i = 0; i < 2; i++)
        CHECK(memcmp(&out[i], out[i].version == 6 ? &six : &four, sizeof four) == 0);
    CHECK_EQUAL(xb_lookups_take(&names, &at, out, 64), 0);
    uint32_t waiting = 0;
    for (uint32_t i = 0; i < 100000; i++) {
        const xb_address a = i % 2 ? v4(i) : v6(7, i);
        waiting += xb_lookups_ask(&names, &a);
    }
    CHECK(waiting <= XB_LOOKUPS_QUESTIONS);
    for (size_t more; (more = xb_lookups_take(&names, &at, out, 64)); n += (uint32_t)more)
        CHECK(more <= 64);
    CHECK(n > XB_LOOKUPS_QUESTIONS * 9 / 10 && n <= XB_LOOKUPS_QUESTIONS);
    CHECK_EQUAL(waiting, n);
    CHECK_EQUAL(names.dropped, 100000 - n);
}

/* A process died in the middle: every word of an entry and of a question in turn is another's. */
static void half_written(void)
{
    case_name = "half written";
    xb_address out[4];
    const xb_address a = v4(1);
    for (size_t word = 0; word < sizeof(xb_lookup_entry) / 8 - 2; word++) {
        clear();
        keep(a, XB_LOOKUP_ANSWERED, 0, 300, 1);
        for (size_t s = 0; s < XB_LOOKUPS_SETS; s++)
            for (size_t i = 0; i < XB_LOOKUPS_WAYS; i++)
                if (names.entry[s][i].sum)
                    ((uint64_t *)&names.entry[s][i])[word] ^= 2;
        CHECK_EQUAL(find(a, 0).state, XB_LOOKUP_UNKNOWN);
        keep(a, XB_LOOKUP_ANSWERED, 0, 300, 1);
        CHECK_EQUAL(find(a, 0).domains, 1);
    }
    case_name = "a state that is none"; /* of another version, whose checksum is right */
    clear();
    keep(a, XB_LOOKUP_ANSWERED, 0, 300, 1);
    for (size_t s = 0; s < XB_LOOKUPS_SETS; s++)
        for (size_t i = 0; i < XB_LOOKUPS_WAYS; i++) {
            xb_lookup_entry *e = &names.entry[s][i];
            uint64_t h = names.secret[1];
            e->words[4] = XB_N_LOOKUPS;
            for (size_t n = 0; n < XB_LOOKUP_WORDS; n++)
                h = xb_mix(h ^ e->words[n]);
            e->sum = e->sum ? h : 0;
        }
    CHECK_EQUAL(find(a, 0).state, XB_LOOKUP_UNKNOWN);
    case_name = "half a question";
    for (size_t word = 0; word < 3; word++) {
        clear();
        uint32_t at = 0;
        xb_lookups_ask(&names, &a);
        for (size_t i = 0; i < XB_LOOKUPS_QUESTIONS; i++)
            if (names.question[i].sum)
                ((uint64_t *)&names.question[i])[word] ^= 2;
        CHECK_EQUAL(xb_lookups_take(&names, &at, out, 4), 0);
        xb_lookups_ask(&names, &a);
        CHECK_EQUAL(xb_lookups_take(&names, &at, out, 4), 1);
    }
}

int main(void)
{
    how_long();
    whose();
    a_storm();
    questions();
    half_written();
    CHECK(xb_lookups_now() > 0);
    return done("test_lookups");
}
