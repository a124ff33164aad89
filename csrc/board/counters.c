#include "board/counters.h"

#include <stddef.h>
#include <string.h>

const xb_board_kind xb_counters_kind = {"counters", XB_COUNTERS_VERSION, XB_COUNTERS_HEADER, false, false};

size_t xb_counters_size(uint32_t n_slots) { return XB_COUNTERS_HEADER + n_slots * XB_COUNTERS_SLOT; }

void xb_counters_init(void *file, uint32_t n_slots, uint64_t made, uint64_t booted)
{
    const size_t size = xb_counters_size(n_slots);
    memset(file, 0, size);
    xb_counters_header h = {.n_slots = n_slots, .slot_size = XB_COUNTERS_SLOT};
    xb_board_init(&h.board, &xb_counters_kind, size, made, booted);
    memcpy(file, &h, sizeof h);
}

const char *xb_counters_check(const void *file, size_t size, uint32_t *n_slots)
{
    *n_slots = 0;
    const char *why = xb_board_check(file, size, &xb_counters_kind, 0);
    if (why)
        return why;
    xb_counters_header h;
    memcpy(&h, file, sizeof h);
    if (h.slot_size != XB_COUNTERS_SLOT)
        return "another version of its layout";
    if (h.n_slots < 2 || h.n_slots > XB_COUNTERS_MOST || xb_counters_size(h.n_slots) != size)
        return "wrong size: the slots do not fill the file";
    *n_slots = h.n_slots;
    return NULL;
}

xb_stats *xb_counters_slot(void *file, uint32_t i)
{
    return (xb_stats *)(void *)((char *)file + XB_COUNTERS_HEADER + i * XB_COUNTERS_SLOT);
}

enum { NAMED = 1, NAMING = 2 /* somebody else puts the name there just now, or died over that: it is passed by */ };
enum { PLAIN = offsetof(xb_stats, policy) / 8 /* counters before the policies; each is a word */ };

xb_policy_counts *xb_counters_policy(xb_stats *slot, const char name[XB_COUNTED_NAME])
{
    if (!*name)
        return slot->policy;
    for (size_t i = 1; i <= XB_COUNTED_POLICIES; i++) {
        xb_policy_counts *p = slot->policy + i;
        uint64_t named = __atomic_load_n(&p->named, __ATOMIC_ACQUIRE);
        if (!named && __atomic_compare_exchange_n(&p->named, &named, NAMING, false, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)) {
            memcpy(p->name, name, XB_COUNTED_NAME);
            __atomic_store_n(&p->named, NAMED, __ATOMIC_RELEASE);
            return p;
        }
        if (named != NAMING && memcmp(p->name, name, XB_COUNTED_NAME) == 0)
            return p;
    }
    return slot->policy;
}

static void add_words(uint64_t *to, const uint64_t *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] += from[i];
}

void xb_counters_add(xb_stats *total, const void *file)
{
    xb_counters_header h;
    memcpy(&h, file, sizeof h);
    for (uint32_t i = 0; i < h.n_slots; i++) {
        const char *slot = (const char *)file + XB_COUNTERS_HEADER + i * XB_COUNTERS_SLOT;
        uint64_t sums[PLAIN], plain[PLAIN];
        memcpy(sums, total, sizeof sums);
        memcpy(plain, slot, sizeof plain);
        add_words(sums, plain, PLAIN);
        memcpy(total, sums, sizeof sums);
        for (size_t k = 0; k <= XB_COUNTED_POLICIES; k++) {
            xb_policy_counts p;
            memcpy(&p, slot + offsetof(xb_stats, policy) + k * sizeof p, sizeof p);
            if (k && p.named != NAMED)
                continue;
            p.name[XB_COUNTED_NAME - 1] = 0;
            xb_policy_counts *to = k ? xb_counters_policy(total, p.name) : total->policy;
            add_words(&to->decided[0][0], &p.decided[0][0], XB_COUNTED_DECIDERS * XB_COUNTED_OUTCOMES);
            add_words(to->refused, p.refused, XB_COUNTED_DECIDERS);
        }
    }
}

static void tell_words(uint64_t *to, const uint64_t *now, uint64_t *told, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (now[i] != told[i]) {
            __atomic_fetch_add(&to[i], now[i] - told[i], __ATOMIC_RELAXED);
            told[i] = now[i];
        }
}

void xb_counters_tell(xb_stats *shared, const xb_stats *now, xb_stats *told)
{
    tell_words((uint64_t *)(void *)shared, (const uint64_t *)(const void *)now, (uint64_t *)(void *)told, PLAIN);
    for (size_t k = 0; k <= XB_COUNTED_POLICIES; k++) {
        const xb_policy_counts *p = now->policy + k;
        if (k && p->named != NAMED)
            continue;
        xb_policy_counts *to = k ? xb_counters_policy(shared, p->name) : shared->policy;
        tell_words(&to->decided[0][0], &p->decided[0][0], &told->policy[k].decided[0][0], XB_COUNTED_DECIDERS * XB_COUNTED_OUTCOMES);
        tell_words(to->refused, p->refused, told->policy[k].refused, XB_COUNTED_DECIDERS);
    }
}

/* The whole part of x, within [0, n). */
static unsigned bucket(double x, unsigned n)
{
    return !(x >= 0.0) ? 0 : x >= (double)n ? n - 1 : (unsigned)x;
}

unsigned xb_score_bucket(double score) { return bucket(score * XB_SCORES, XB_SCORES); }

unsigned xb_margin_bucket(double margin) { return bucket(2.0 * margin + XB_MARGINS / 2, XB_MARGINS); }

uint64_t xb_counters_decided(const xb_stats *stats, uint64_t outcome[XB_COUNTED_OUTCOMES], uint64_t decided_by[XB_COUNTED_DECIDERS],
                             uint64_t *refused)
{
    uint64_t all = 0;
    memset(outcome, 0, XB_COUNTED_OUTCOMES * sizeof *outcome);
    memset(decided_by, 0, XB_COUNTED_DECIDERS * sizeof *decided_by);
    *refused = 0;
    for (size_t k = 0; k <= XB_COUNTED_POLICIES; k++)
        for (size_t by = 0; by < XB_COUNTED_DECIDERS; by++) {
            *refused += stats->policy[k].refused[by];
            for (size_t o = 0; o < XB_COUNTED_OUTCOMES; o++) {
                const uint64_t n = stats->policy[k].decided[by][o];
                outcome[o] += n;
                decided_by[by] += n;
                all += n;
            }
        }
    return all;
}
