#include "clients/table.h"

#include "base/span.h"

/* ---- the memory ---- */

static const xb_board_kind kind = {.name = "clients", .version = XB_CLIENTS_VERSION, .header_size = sizeof(xb_clients)};

size_t xb_clients_size(unsigned mebibytes)
{
    const uint64_t bytes = (uint64_t)mebibytes << 20;
    const uint64_t n = bytes > sizeof(xb_clients) ? (bytes - sizeof(xb_clients)) / sizeof(xb_client_set) : 1;
    return sizeof(xb_clients) + sizeof(xb_client_set) * (n > UINT32_MAX ? UINT32_MAX : n);
}

/* Where an entry lies depends on how many sets there are, and the number in the table may be changed by whoever else may write it. So
 * that of each table that is in use is kept here, as its owner's `size` says it: of the last few, more than any process shares. */
enum { KNOWN = 8 };
static struct {
    const xb_clients *table;
    uint64_t n_sets;
} known[KNOWN];

static void know(const xb_clients *t, uint64_t n_sets)
{
    static unsigned next;
    size_t at = KNOWN;
    for (size_t i = 0; i < KNOWN; i++)
        if (__atomic_load_n(&known[i].table, __ATOMIC_RELAXED) == t)
            at = i;
    if (at < KNOWN && __atomic_load_n(&known[at].n_sets, __ATOMIC_RELAXED) == n_sets)
        return;
    at = at < KNOWN ? at : next++ % KNOWN;
    __atomic_store_n(&known[at].table, NULL, __ATOMIC_RELEASE);
    __atomic_store_n(&known[at].n_sets, n_sets, __ATOMIC_RELEASE);
    __atomic_store_n(&known[at].table, t, __ATOMIC_RELEASE);
}

uint64_t xb_clients_sets(const xb_clients *t)
{
    for (size_t i = 0; i < KNOWN; i++)
        if (__atomic_load_n(&known[i].table, __ATOMIC_ACQUIRE) == t)
            return __atomic_load_n(&known[i].n_sets, __ATOMIC_RELAXED);
    return t->n_sets;
}

void xb_clients_init(xb_clients *t, size_t size, const uint64_t secret[2], xb_clients_privacy privacy)
{
    xb_board_init(&t->board, &kind, size, 0, 0);
    t->secret[0] = secret[0];
    t->secret[1] = secret[1];
    t->n_sets = (size - sizeof *t) / sizeof(xb_client_set);
    t->privacy = privacy;
    know(t, t->n_sets);
}

void xb_clients_rekey(xb_clients *t, const uint64_t secret[2], uint64_t now_ms)
{
    __atomic_store_n(&t->secret[0], secret[0], __ATOMIC_RELAXED);
    __atomic_store_n(&t->secret[1], secret[1], __ATOMIC_RELAXED);
    __atomic_store_n(&t->keyed_ms, now_ms, __ATOMIC_RELAXED);
}

const char *xb_clients_check(const void *memory, size_t size)
{
    const xb_clients *t = memory;
    const char *why = xb_board_check(memory, size, &kind, 0);
    if (why)
        return why;
    const uint64_t n_sets = (size - sizeof *t) / sizeof(xb_client_set); /* xb_board_check has asked for the header's size */
    if (n_sets < 1 || n_sets > UINT32_MAX || t->n_sets != n_sets)
        return "the sets do not add up to its size";
    know(t, n_sets);
    return t->privacy > XB_CLIENTS_BY_NETWORK ? "an unknown way of telling clients apart" : NULL;
}

/* ---- finding ---- */

xb_client_set *xb_clients_seek(const xb_clients *t, uint64_t key)
{
    if (!key)
        return NULL;
    xb_client_set *set = (xb_client_set *)&t->set[(key >> 32) * xb_clients_sets(t) >> 32]; /* const is the caller's promise: only who counts writes */
    __builtin_prefetch(set->tag);
    __builtin_prefetch(set->used, 1);
    return set;
}

#if defined(__SSE2__) && !defined(XB_WORD_BY_WORD)
static __m128i same(const uint32_t *tags, __m128i tag) { return _mm_cmpeq_epi32(*(const volatile __m128i *)(const void *)tags, tag); }

size_t xb_clients_place(const xb_client_set *set, uint32_t tag)
{
    const __m128i all = _mm_set1_epi32((int)tag), low = _mm_packs_epi32(same(set->tag, all), same(set->tag + 4, all));
    const __m128i high = same(set->tag + 8, all);
    const int found = _mm_movemask_epi8(_mm_packs_epi16(low, _mm_packs_epi32(high, high)));
    return (size_t)__builtin_ctz((unsigned)found | 1u << XB_CLIENTS_WAYS);
}
#else
size_t xb_clients_place(const xb_client_set *set, uint32_t tag)
{
    size_t i = 0;
    while (i < XB_CLIENTS_WAYS && xb_get32(&set->tag[i]) != tag)
        i++;
    return i;
}
#endif

xb_client_entry *xb_clients_look(xb_client_set *set, uint64_t key)
{
    if (!set)
        return NULL;
    const size_t place = xb_clients_place(set, xb_clients_tag(key));
    if (place == XB_CLIENTS_WAYS)
        return NULL;
    xb_client_entry *e = &set->entry[place];
    for (size_t line = 0; line < sizeof *e; line += 64)
        __builtin_prefetch((const char *)e + line, 1);
    return e;
}

void xb_clients_look_all(const xb_client_keys *k, xb_client_places *p)
{
    p->client = xb_clients_look(p->of_client, xb_client_key(k));
    p->network = xb_clients_look(p->of_network, k->network);
    p->shape = xb_clients_look(p->of_shape, k->shape);
}

xb_client_places xb_clients_find(const xb_clients *t, const xb_client_keys *k)
{
    xb_client_places p = {.of_client = xb_clients_seek(t, xb_client_key(k)), .of_network = xb_clients_seek(t, k->network), .of_shape = xb_clients_seek(t, k->shape)};
    xb_clients_look_all(k, &p);
    return p;
}

/* ---- taking places ---- */

/* When a place was used, as it is kept: the lowest bit is "again". */
static uint32_t used_now(uint64_t now_ms) { return (uint32_t)(now_ms >> 10) << 1; }

/* How long it was idle. What is of the far future is of a clock that was set: older than all. */
static int64_t idle(uint32_t used, uint32_t now)
{
    const int32_t twice = (int32_t)(now - (used & ~1u));
    const int64_t seconds = twice >= 0 ? twice / 2 : twice < -2 * (XB_CLIENTS_SET_BACK_MS >> 10) ? INT32_MAX : 0;
    return used & 1 ? seconds : 8 * seconds;
}

void xb_clients_touch(xb_client_entry *e, xb_client_set *set, xb_moment now)
{
    uint32_t *used = &set->used[e - set->entry];
    const uint32_t again = used_now(now.ms) | 1;
    if (xb_get32(used) != again)
        xb_put32(used, again);
}

xb_client_entry *xb_clients_take(xb_clients *t, xb_client_set *set, uint32_t tag, xb_moment now)
{
    const uint32_t used = used_now(now.ms);
    size_t place = 0;
    int64_t longest = -1;
    for (size_t i = 0; i < XB_CLIENTS_WAYS; i++) {
        if (!xb_get32(&set->tag[i])) {
            place = i;
            break;
        }
        const int64_t seconds = idle(xb_get32(&set->used[i]), used);
        if (seconds > longest) {
            longest = seconds;
            place = i;
        }
    }
    __atomic_fetch_add(xb_get32(&set->tag[place]) ? &t->replaced : &t->entries, 1, __ATOMIC_RELAXED);
    xb_put32(&set->tag[place], tag);
    xb_put32(&set->used[place], used);
    xb_entry_clear(&set->entry[place], now);
    return &set->entry[place];
}

bool xb_clients_used(const xb_client_set *set, size_t place, uint64_t since_ms)
{
    return xb_get32(&set->tag[place]) && (int32_t)((xb_get32(&set->used[place]) & ~1u) - used_now(since_ms)) >= 0;
}
