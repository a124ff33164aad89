#include "features/fingerprint.h"

#include "base/hash.h"

/* The headers whose values are part of a print. */
static const uint8_t said[XB_PRINT_VALUES] = {
    XB_H_ACCEPT,         XB_H_ACCEPT_ENCODING, XB_H_SEC_CH_UA,      XB_H_SEC_CH_UA_MOBILE, XB_H_SEC_CH_UA_PLATFORM,
    XB_H_SEC_FETCH_SITE, XB_H_SEC_FETCH_MODE,  XB_H_SEC_FETCH_DEST,
};

enum { ABSENT = UINT16_MAX };

/* Is the list of names one that a print can have? Each is known, and there once. */
static bool listed(const xb_request *r)
{
    uint64_t seen[XB_SEEN_WORDS] = {0};
    for (uint32_t i = 0; i < r->n_visitor; i++) {
        const unsigned id = r->names[i] & ~XB_LISTED_SMALL & 0xff;
        if (r->names[i] == XB_H_OTHER || seen[id / 64] >> (id % 64) & 1)
            return false;
        seen[id / 64] |= UINT64_C(1) << (id % 64);
    }
    return true;
}

static uint64_t tag_of(const xb_print_key *key)
{
    const char *k = (const char *)key;
    uint64_t h = 0;
    for (size_t i = 0; i < sizeof *key; i += 16)
        h = xb_fold(xb_load64(k + i) ^ XB_MIX_1, xb_load64(k + i + 8) ^ XB_MIX_2 ^ h);
    return h | 1; /* 0 is no print's */
}

static bool same_key(const xb_print_key *a, const xb_print_key *b)
{
    uint64_t differ = 0;
    for (size_t i = 0; i < sizeof *a; i += 8)
        differ |= xb_load64((const char *)a + i) ^ xb_load64((const char *)b + i);
    return !differ;
}

/* Their sizes are the same: the key has them. */
static bool same_values(const xb_print *p, const xb_span value[XB_PRINT_VALUES])
{
    const char *kept = p->text;
    for (size_t i = 0; i < XB_PRINT_VALUES; kept += value[i++].size)
        if (!xb_same_bytes(kept, value[i].at, value[i].size))
            return false;
    return true;
}

xb_print *xb_print_of(xb_prints *all, const xb_request *r, const xb_facts *f, uint64_t agent, uint32_t shape, bool *known)
{
    xb_print_key key = {.agent = agent, .shape = shape, .situation = f->situation};
    xb_span value[XB_PRINT_VALUES];
    size_t size = 0;
    *known = false;
    if (!agent || r->n_visitor >= XB_MAX_LISTED || r->n_late)
        return NULL;
    for (size_t i = 0; i < XB_PRINT_VALUES; i++) {
        value[i] = xb_value(r, said[i]);
        key.size[i] = value[i].at ? (uint16_t)value[i].size : ABSENT;
        size += value[i].size;
    }
    if (size > XB_PRINT_TEXT)
        return NULL;
    memcpy(key.names, r->names, sizeof key.names);
    const uint64_t tag = tag_of(&key);
    const size_t set = xb_memo_set(tag >> 32, XB_PRINTS, XB_PRINT_WAYS);
    for (size_t way = 0; way < XB_PRINT_WAYS; way++) {
        xb_print *p = &all->print[set + way];
        if (all->tag[set + way] == tag && same_key(&p->key, &key) && same_values(p, value)) {
            *known = true;
            return p;
        }
    }
    uint64_t *once = &all->once[tag >> 1 & (XB_PRINTS - 1)];
    if (*once != tag || !listed(r)) {
        *once = tag;
        return NULL;
    }
    const size_t place = set + all->made++ % XB_PRINT_WAYS;
    xb_print *p = &all->print[place];
    all->tag[place] = tag;
    p->key = key;
    p->scored_by = 0;
    char *to = p->text;
    for (size_t i = 0; i < XB_PRINT_VALUES; to += value[i++].size)
        if (value[i].size)
            memcpy(to, value[i].at, value[i].size);
    return p;
}
