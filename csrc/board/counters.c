#include "board/counters.h"

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

void xb_counters_add(xb_stats *total, const void *file)
{
    xb_counters_header h;
    memcpy(&h, file, sizeof h);
    uint64_t sums[sizeof(xb_stats) / 8], slot[sizeof(xb_stats) / 8]; /* a counter is a word */
    memcpy(sums, total, sizeof sums);
    for (uint32_t i = 0; i < h.n_slots; i++) {
        memcpy(slot, (const char *)file + XB_COUNTERS_HEADER + i * XB_COUNTERS_SLOT, sizeof slot);
        for (size_t k = 0; k < sizeof slot / sizeof *slot; k++)
            sums[k] += slot[k];
    }
    memcpy(total, sums, sizeof sums);
}

void xb_counters_since(xb_stats *slot, const xb_stats *now, const xb_stats *before)
{
    uint64_t *to = (uint64_t *)(void *)slot;
    const uint64_t *counted = (const uint64_t *)(const void *)now, *then = (const uint64_t *)(const void *)before;
    for (size_t k = 0; k < sizeof(xb_stats) / sizeof *to; k++)
        __atomic_store_n(&to[k], counted[k] - then[k], __ATOMIC_RELAXED);
}
