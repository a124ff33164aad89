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

enum { PLAIN = offsetof(xb_stats, policy) / 8 /* counters before the policies; each is a word */ };

xb_policy_counts *xb_counters_policy(xb_stats *slot, const char name[XB_COUNTED_NAME])
{
    if (!*name)
        return slot->policy;
    for (size_t i = 1; i <= XB_COUNTED_POLICIES; i++) {
        xb_policy_counts *p = slot->policy + i;
        if (!p->named) {
            memcpy(p->name, name, XB_COUNTED_NAME);
            __atomic_store_n(&p->named, 1, __ATOMIC_RELEASE);
            return p;
        }
        if (memcmp(p->name, name, XB_COUNTED_NAME) == 0)
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
            if (k && !p.named)
                continue;
            p.name[XB_COUNTED_NAME - 1] = 0;
            xb_policy_counts *to = k ? xb_counters_policy(total, p.name) : total->policy;
            add_words(&to->decided[0][0], &p.decided[0][0], XB_COUNTED_DECIDERS * XB_COUNTED_OUTCOMES);
            add_words(to->refused, p.refused, XB_COUNTED_DECIDERS);
        }
    }
}

static void put_since(uint64_t *to, const uint64_t *now, const uint64_t *before, size_t n)
{
    for (size_t i = 0; i < n; i++)
        __atomic_store_n(&to[i], now[i] - before[i], __ATOMIC_RELAXED);
}

void xb_counters_since(xb_stats *slot, const xb_stats *now, const xb_stats *before)
{
    put_since((uint64_t *)(void *)slot, (const uint64_t *)(const void *)now, (const uint64_t *)(const void *)before, PLAIN);
    for (size_t k = 0; k <= XB_COUNTED_POLICIES; k++) {
        const xb_policy_counts *p = now->policy + k, *old = before->policy + k;
        xb_policy_counts *to = slot->policy + k;
        put_since(&to->decided[0][0], &p->decided[0][0], &old->decided[0][0], XB_COUNTED_DECIDERS * XB_COUNTED_OUTCOMES);
        put_since(to->refused, p->refused, old->refused, XB_COUNTED_DECIDERS);
        if (p->named && !to->named) {
            memcpy(to->name, p->name, XB_COUNTED_NAME);
            __atomic_store_n(&to->named, 1, __ATOMIC_RELEASE);
        }
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
