#include "clients/versions.h"

/* How many have the version of a slot. */
static float people(uint64_t slot)
{
    const uint32_t bits = (uint32_t)slot;
    float n;
    memcpy(&n, &bits, sizeof n);
    return xb_sane(n);
}

uint32_t xb_clients_version(const xb_clients *t, unsigned family)
{
    const uint64_t *slots = t->versions[family % XB_CLIENTS_FAMILIES];
    uint64_t slot[XB_CLIENTS_VERSIONS];
    float total = 0.0f, newer = 0.0f;
    for (size_t i = 0; i < XB_CLIENTS_VERSIONS; i++) {
        slot[i] = xb_get64(&slots[i]);
        total += people(slot[i]);
    }
    if (total < 8.0f)
        return 0;
    for (size_t n = XB_CLIENTS_VERSIONS; n; n--) { /* newest first: mostly it is one of the first two */
        size_t newest = 0;
        for (size_t i = 1; i < n; i++)
            newest = slot[i] >> 32 > slot[newest] >> 32 ? i : newest;
        newer += people(slot[newest]);
        if (newer >= 0.3f * total)
            return (uint32_t)(slot[newest] >> 32);
        for (size_t i = newest + 1; i < n; i++)
            slot[i - 1] = slot[i];
    }
    return 0;
}

void xb_versions_count(xb_clients *t, uint32_t family, uint32_t version)
{
    uint64_t *slots = t->versions[family % XB_CLIENTS_FAMILIES];
    size_t place = 0;
    float least = 0.0f, total = 0.0f;
    for (size_t i = 0; i < XB_CLIENTS_VERSIONS; i++) {
        const uint64_t slot = xb_get64(&slots[i]);
        const float n = people(slot);
        total += n;
        if (slot >> 32 == version) {
            place = i;
            least = -1.0f;
        } else if (i == 0 || (least >= 0.0f && n < least)) {
            place = i;
            least = n;
        }
    }
    for (size_t i = 0; i < XB_CLIENTS_VERSIONS; i++) {
        const uint64_t slot = xb_get64(&slots[i]);
        float n = i != place ? people(slot) : least < 0.0f ? people(slot) + 1.0f : 1.0f;
        if (total > 256.0f) /* so that the last few hundred count */
            n *= 0.5f;
        else if (i != place)
            continue;
        uint32_t bits;
        memcpy(&bits, &n, sizeof bits);
        xb_put64(&slots[i], (uint64_t)(i == place ? version : slot >> 32) << 32 | bits);
    }
}
