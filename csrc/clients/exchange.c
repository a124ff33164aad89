#include "clients/exchange.h"

#include "base/hash.h"

/* A difference below that is of rounding. */
static const float TRIFLE = 0.05f;
enum { JUST_MS = 3000 }; /* times of use are in seconds; so an entry is new that came since shortly before the last time */

size_t xb_exchange_size(const xb_clients *t) { return sizeof(xb_exchange) + xb_clients_sets(t) * XB_CLIENTS_WAYS * sizeof(uint32_t); }

void xb_exchange_init(xb_exchange *x, uint64_t now_ms) { x->since_ms = x->began_ms = now_ms; }

static bool is_of(const xb_exchange_slot *s, uint32_t set, uint32_t tag) { return s->tag == tag && s->set == set; }

/* The entry's slot; if it has none, that of its neighbours which was used longest ago. */
static xb_exchange_slot *slot_of(xb_exchange *x, uint32_t set, uint32_t tag, uint64_t now_ms)
{
    xb_exchange_slot *of_set = &x->slot[xb_mix((uint64_t)set << 32 | tag) % (XB_EXCHANGE_SLOTS / XB_EXCHANGE_WAYS) * XB_EXCHANGE_WAYS];
    xb_exchange_slot *s = of_set;
    for (size_t i = 0; i < XB_EXCHANGE_WAYS; i++) {
        if (is_of(&of_set[i], set, tag)) {
            s = &of_set[i];
            break;
        }
        if (of_set[i].used < s->used)
            s = &of_set[i];
    }
    s->used = now_ms;
    return s;
}

/* A copy, read word by word: workers write it meanwhile. */
static xb_client_entry copy_of(const xb_client_entry *e)
{
    _Static_assert(sizeof *e % 4 == 0, "whole words");
    union {
        xb_client_entry entry;
        uint32_t word[sizeof(xb_client_entry) / 4];
    } copy;
    const uint32_t *from = (const uint32_t *)(const void *)e;
    for (size_t i = 0; i < sizeof copy.word / 4; i++)
        copy.word[i] = xb_get32(&from[i]);
    return copy.entry;
}

/* What `now` has more than `told`, both of the same time. False if that is nothing. */
static bool difference(const xb_client_entry *now, const xb_client_entry *told, xb_client_delta *d)
{
    bool any = false;
    for (int i = 0; i < XB_N_TALLIES; i++) {
        const float more = now->count[i] - told->count[i];
        if (more > TRIFLE || more < -TRIFLE) { /* NAN is not */
            d->count[i] = more;
            any = true;
        }
    }
    d->marks = now->marks & XB_MARK_ALL;
    any |= (d->marks & ~told->marks) != 0;
    for (int i = 0; i < XB_CLIENTS_SKETCHES; i++) {
        d->sketch[i] = now->sketch[i];
        any |= (d->sketch[i] & ~told->sketch[i]) != 0;
    }
    d->shape = now->shape;
    d->first = now->first;
    return any;
}

/* One entry that was used. Is there something to tell? */
static bool look(xb_exchange *x, const xb_clients *t, uint32_t set, size_t place, uint64_t now_ms, xb_client_delta *d)
{
    const uint32_t tag = xb_get32(&t->set[set].tag[place]);
    xb_client_entry now = copy_of(&t->set[set].entry[place]);
    xb_exchange_slot *s = slot_of(x, set, tag, now_ms);
    uint32_t *seen = &x->seen[(size_t)set * XB_CLIENTS_WAYS + place];
    const bool known = is_of(s, set, tag);
    const bool is_new = *seen != tag && (uint64_t)now.first * 1000 + JUST_MS >= x->since_ms;
    *seen = tag;
    xb_entry_fade(&now, xb_moment_of(now_ms));
    *d = (xb_client_delta){.set = set, .tag = tag};
    bool any = false;
    if (known) {
        xb_entry_fade(&s->told, xb_moment_of(now_ms));
        any = difference(&now, &s->told, d);
    } else if (is_new) {
        const xb_client_entry nothing = {0};
        any = difference(&now, &nothing, d);
    }
    if (any || !known)
        *s = (xb_exchange_slot){.set = set, .tag = tag, .used = now_ms, .told = now};
    return any;
}

size_t xb_exchange_collect(xb_exchange *x, const xb_clients *t, uint64_t now_ms, xb_client_delta *out, size_t most)
{
    size_t n = 0;
    if (!x->at)
        x->began_ms = now_ms;
    for (const uint64_t sets = xb_clients_sets(t); x->at < sets; x->at++) {
        if (n + XB_CLIENTS_WAYS > most)
            return n; /* the next time goes on here */
        for (size_t place = 0; place < XB_CLIENTS_WAYS; place++)
            if (xb_clients_used(&t->set[x->at], place, x->since_ms))
                n += look(x, t, (uint32_t)x->at, place, now_ms, &out[n]);
    }
    x->at = 0;
    x->since_ms = x->began_ms;
    return n;
}

/* Adds it to the entry, or to a new one. In whatever order several come, the entry becomes the same, but for what fades in between. What
 * cannot be is left out. Returns the entry, and whether it is new; NULL if there is no such place. */
static xb_client_entry *merge(xb_clients *t, const xb_client_delta *d, xb_moment now, bool *is_new)
{
    if (!d->tag || d->set >= xb_clients_sets(t))
        return NULL;
    xb_client_set *set = &t->set[d->set];
    const size_t place = xb_clients_place(set, d->tag);
    *is_new = place == XB_CLIENTS_WAYS;
    xb_client_entry *e = *is_new ? xb_clients_take(t, set, d->tag, now) : &set->entry[place];
    xb_clients_touch(e, set, now);
    xb_entry_add(e, now, d->count);
    if (d->count[XB_TALLY_PARTS] > 0.0f)
        xb_put32(&e->pages_since_part, 0);
    const uint32_t marks = xb_get32(&e->marks);
    if (d->marks & XB_MARK_ALL & ~marks)
        xb_put32(&e->marks, marks | (d->marks & XB_MARK_ALL));
    if (d->first && d->first < xb_get32(&e->first))
        xb_put32(&e->first, d->first);
    if (!xb_get64(&e->shape))
        xb_put64(&e->shape, d->shape);
    for (int i = 0; i < XB_CLIENTS_SKETCHES; i++)
        xb_put64(&e->sketch[i], xb_get64(&e->sketch[i]) | d->sketch[i]);
    if (now.ms > xb_get64(&e->last))
        xb_put64(&e->last, now.ms);
    return e;
}

size_t xb_exchange_merge(xb_exchange *x, xb_clients *t, uint64_t now_ms, const xb_client_delta *in, size_t n)
{
    const xb_moment now = xb_moment_of(now_ms);
    size_t taken = 0;
    for (size_t i = 0; i < n; i++) {
        const xb_client_delta *d = &in[i];
        bool is_new;
        const xb_client_entry *e = merge(t, d, now, &is_new);
        if (!e)
            continue;
        taken++;
        x->seen[(size_t)d->set * XB_CLIENTS_WAYS + (size_t)(e - t->set[d->set].entry)] = d->tag;
        xb_exchange_slot *s = slot_of(x, d->set, d->tag, now_ms);
        if (is_new || !is_of(s, d->set, d->tag)) {
            *s = (xb_exchange_slot){.set = d->set, .tag = d->tag, .used = now_ms, .told = copy_of(e)};
            continue;
        }
        /* What it has of its own is still to be told: only what came is added to what was told. */
        xb_entry_fade(&s->told, now);
        for (int j = 0; j < XB_N_TALLIES; j++)
            if (d->count[j] > -65536.0f && d->count[j] < 65536.0f)
                s->told.count[j] = s->told.count[j] + d->count[j] > 0.0f ? s->told.count[j] + d->count[j] : 0.0f;
        s->told.marks |= d->marks;
        s->told.first = xb_get32(&e->first);
        for (int j = 0; j < XB_CLIENTS_SKETCHES; j++)
            s->told.sketch[j] |= d->sketch[j];
    }
    return taken;
}
