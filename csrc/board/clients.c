#include "board/clients.h"

#include "base/hash.h"

/* Words are read and written whole, in any order. */
static uint32_t load32(const uint32_t *at) { return __atomic_load_n(at, __ATOMIC_RELAXED); }
static uint64_t load64(const uint64_t *at) { return __atomic_load_n(at, __ATOMIC_RELAXED); }
static void store32(uint32_t *at, uint32_t word) { __atomic_store_n(at, word, __ATOMIC_RELAXED); }
static void store64(uint64_t *at, uint64_t word) { __atomic_store_n(at, word, __ATOMIC_RELAXED); }

static float load(const float *at)
{
    float x;
    __atomic_load(at, &x, __ATOMIC_RELAXED);
    return x;
}

static void store(float *at, float x) { __atomic_store(at, &x, __ATOMIC_RELAXED); }

typedef uint64_t two_floats __attribute__((may_alias));
typedef uint64_t words __attribute__((vector_size(16)));
typedef float four_floats __attribute__((vector_size(16)));
typedef int32_t four_masks __attribute__((vector_size(16)));
_Static_assert(XB_N_TALLIES % 4 == 0 && offsetof(xb_client_entry, count) % 8 == 0, "two floats are a word");

/* ---- the memory ---- */

static const xb_board_kind kind = {.name = "clients", .version = XB_CLIENTS_VERSION, .header_size = sizeof(xb_clients)};

size_t xb_clients_size(unsigned mebibytes)
{
    const uint64_t bytes = (uint64_t)mebibytes << 20;
    uint64_t n = bytes > sizeof(xb_clients) ? (bytes - sizeof(xb_clients)) / sizeof(xb_client_set) : 1;
    n = n ? n : 1;
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
    const uint64_t n_sets = size < sizeof *t ? 0 : (size - sizeof *t) / sizeof(xb_client_set);
    if (n_sets < 1 || n_sets > UINT32_MAX || t->n_sets != n_sets)
        return "the sets do not add up to its size";
    know(t, n_sets);
    return t->privacy > XB_CLIENTS_BY_NETWORK ? "an unknown way of telling clients apart" : NULL;
}

/* ---- time ---- */

enum {
    STEPS = 64, /* of a half-life */
    STEP_MS = XB_CLIENTS_HALF_LIFE_MS / STEPS,
    FAST_STEP_MS = XB_CLIENTS_FAST_MS / STEPS,
    SET_BACK_MS = 3600 * 1000 /* going back by more takes the clock for set */
};

_Static_assert(STEP_MS *STEPS == XB_CLIENTS_HALF_LIFE_MS && FAST_STEP_MS *STEPS == XB_CLIENTS_FAST_MS, "whole milliseconds");

/* 2^(-steps / 64). */
static float left_after(uint32_t steps)
{
    static const float of_bit[6] = {0.98922801f, 0.97857206f, 0.95760328f, 0.91700404f, 0.84089642f, 0.70710678f};
    if (steps >= STEPS * 24)
        return 0.0f;
    float left = 1.0f / (float)(1u << steps / STEPS);
    for (uint32_t bits = steps % STEPS; bits; bits &= bits - 1)
        left *= of_bit[__builtin_ctz(bits)];
    return left;
}

/* How many steps have passed; 0 if time went back. */
static uint32_t passed(uint32_t then, uint32_t now)
{
    const int32_t steps = (int32_t)(now - then);
    return steps > 0 ? (uint32_t)steps : 0;
}

static bool set_back(uint32_t then, uint32_t now, int32_t step_ms)
{
    return (int32_t)(now - then) < -(SET_BACK_MS / step_ms);
}

static uint32_t steps_of(uint64_t ms) { return (uint32_t)(ms / STEP_MS); }
static uint32_t fast_steps_of(uint64_t ms) { return (uint32_t)(ms / FAST_STEP_MS); }

/* What is left of a sketch: at the end of each half-life, half of the bits, by its number. */
static uint64_t sketch_left(uint64_t sketch, uint32_t then, uint32_t now)
{
    const uint32_t from = then / STEPS, to = now / STEPS;
    if (passed(then, now) >= 8 * STEPS)
        return 0;
    for (uint32_t n = from; sketch && n < to; n++)
        sketch &= xb_mix(n + XB_GOLDEN);
    return sketch;
}

/* ---- reading ---- */

/* What no writer of ours left there counts as nothing. */
static inline float sane(float x)
{
    const float most = x <= 16777216.0f ? x : 0.0f; /* NAN is not */
    return most > 0.0f ? most : 0.0f;
}

static uint32_t distinct(uint64_t sketch)
{
    /* -64 ln(1 - bits / 64); of all bits: as if half a bit were left. */
    static const uint16_t of_bits[65] = {0,  1,  2,  3,  4,  5,  6,  7,  9,  10, 11, 12,  13,  15,  16,  17,  18,  20,  21,  23, 24, 25,
                                         27, 28, 30, 32, 33, 35, 37, 39, 40, 42, 44,  46,  48,  51,  53,  55,  58,  60,  63, 65, 68, 71,
                                         74, 78, 81, 85, 89, 93, 97, 102, 107, 113, 119, 126, 133, 142, 152, 163, 177, 196, 222, 266, 311};
    return sketch ? of_bits[__builtin_popcountll(sketch)] : 0;
}

/* The square root, to a few bits: steps of Newton's from the halved exponent. No call of the C library, so it is the same everywhere. */
static float root(float x)
{
    if (!(x > 1e-12f))
        return 0.0f;
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits >> 1) + 0x1fbd1df5;
    float y;
    memcpy(&y, &bits, sizeof y);
    y = 0.5f * (y + x / y);
    return 0.5f * (y + x / y);
}

void xb_client_read(const xb_client_entry *e, uint64_t now_ms, xb_client_view *out)
{
    if (!e) {
        memset(out, 0, sizeof *out);
        return;
    }
    const uint32_t now = steps_of(now_ms), then = load32(&e->faded);
    const float left = left_after(passed(then, now));
    for (int i = 0; i < XB_N_TALLIES; i += 4) { /* two to a word, four at a time */
        const words two = {load64((const two_floats *)&e->count[i]), load64((const two_floats *)&e->count[i + 2])};
        four_floats x = (four_floats)two;
        x = (four_floats)((four_masks)x & (x > 0.0f) & (x <= 16777216.0f)) * left; /* sane() of each */
        memcpy(&out->count[i], &x, sizeof x);
    }
    out->fast = sane(load(&e->fast)) * left_after(passed(load32(&e->fast_faded), fast_steps_of(now_ms)));
    out->gaps = load32(&e->gaps) & 0xff;
    out->gap_mean = out->gaps > 1 ? sane(load(&e->gap_mean)) : 0.0f;
    out->gap_spread = out->gaps > 1 ? root(sane(load(&e->gap_spread))) : 0.0f;
    out->marks = load32(&e->marks) & XB_MARK_ALL;
    out->pages_since_part = load32(&e->pages_since_part) & 0xff;
    const uint64_t first = (uint64_t)load32(&e->first) * 1000, last = load64(&e->last);
    out->age_ms = now_ms > first ? now_ms - first : 0;
    out->idle_ms = now_ms > last ? now_ms - last : 0;
    for (int i = 0; i < XB_CLIENTS_SKETCHES; i++)
        out->distinct[i] = distinct(sketch_left(load64(&e->sketch[i]), then, now));
}

/* ---- places ---- */

static uint64_t client_key(const xb_client_keys *k) { return k->client & ~(uint64_t)XB_SAYS; }

static xb_client_set *set_of(const xb_clients *t, uint64_t key)
{
    return (xb_client_set *)&t->set[(key >> 32) * xb_clients_sets(t) >> 32]; /* const is the caller's promise: only xb_clients_count writes */
}

static uint32_t tag_of(uint64_t key)
{
    const uint32_t tag = (uint32_t)(key >> 16); /* all that is not in the lowest bits */
    return tag ? tag : 1;
}

static xb_client_entry *find(const xb_clients *t, uint64_t key)
{
    if (!key)
        return NULL;
    xb_client_set *set = set_of(t, key);
    const uint32_t tag = tag_of(key);
    for (size_t i = 0; i < XB_CLIENTS_WAYS; i++)
        if (load32(&set->tag[i]) == tag)
            return &set->entry[i];
    return NULL;
}

static void ask_for(const xb_client_entry *e)
{
    if (!e)
        return;
    const char *at = (const char *)e;
    for (size_t line = 0; line < sizeof *e; line += 64)
        __builtin_prefetch(at + line, 1);
}

void xb_clients_prefetch(const xb_clients *t, const xb_client_keys *k)
{
    const uint64_t keys[] = {client_key(k), k->network, k->shape};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (keys[i])
            __builtin_prefetch(set_of(t, keys[i]), 1);
}

xb_client_places xb_clients_find(const xb_clients *t, const xb_client_keys *k)
{
    const xb_client_places places = {find(t, client_key(k)), find(t, k->network), find(t, k->shape)};
    ask_for(places.client);
    ask_for(places.network);
    ask_for(places.shape);
    return places;
}

/* When a place was used, as it is kept: the lowest bit is "again". */
static uint32_t used_now(uint64_t now_ms) { return (uint32_t)(now_ms >> 10) << 1; }

/* How long it was idle. What is of the far future is of a clock that was set: older than all. */
static int64_t idle(uint32_t used, uint32_t now)
{
    const int32_t twice = (int32_t)(now - (used & ~1u));
    const int64_t seconds = twice >= 0 ? twice / 2 : twice < -2 * (SET_BACK_MS >> 10) ? INT32_MAX : 0;
    return used & 1 ? seconds : 8 * seconds;
}

static void touch(xb_client_entry *e, xb_client_set *set, uint64_t now_ms)
{
    uint32_t *used = &set->used[e - set->entry];
    const uint32_t now = used_now(now_ms) | 1;
    if (load32(used) != now)
        store32(used, now);
}

/* A new entry for a key of this set and tag, in the place of none or of the one that was idle for longest. */
static xb_client_entry *take(xb_clients *t, xb_client_set *set, uint32_t tag, uint64_t now_ms)
{
    const uint32_t now = used_now(now_ms);
    size_t place = 0;
    int64_t longest = -1;
    for (size_t i = 0; i < XB_CLIENTS_WAYS; i++) {
        if (!load32(&set->tag[i])) {
            place = i;
            break;
        }
        const int64_t seconds = idle(load32(&set->used[i]), now);
        if (seconds > longest) {
            longest = seconds;
            place = i;
        }
    }
    __atomic_fetch_add(load32(&set->tag[place]) ? &t->replaced : &t->entries, 1, __ATOMIC_RELAXED);
    xb_client_entry *e = &set->entry[place];
    store32(&set->tag[place], tag);
    store32(&set->used[place], now);
    for (int i = 0; i < XB_N_TALLIES; i++)
        store(&e->count[i], 0.0f);
    store(&e->fast, 0.0f);
    store(&e->gap_mean, 0.0f);
    store(&e->gap_spread, 0.0f);
    store32(&e->faded, steps_of(now_ms));
    store32(&e->fast_faded, fast_steps_of(now_ms));
    store32(&e->marks, 0);
    store32(&e->pages_since_part, 0);
    store32(&e->gaps, 0);
    store32(&e->first, (uint32_t)(now_ms / 1000));
    store64(&e->last, now_ms);
    store64(&e->last_page, 0);
    store32(&e->last_gap, 0);
    store(&e->mean_before, 0.0f);
    store(&e->spread_before, 0.0f);
    store64(&e->shape, 0);
    for (int i = 0; i < XB_CLIENTS_SKETCHES; i++)
        store64(&e->sketch[i], 0);
    return e;
}

/* ---- counting ---- */

static void scale(xb_client_entry *e, float left)
{
    for (int i = 0; i < XB_N_TALLIES; i++) {
        const float x = load(&e->count[i]);
        if (x != 0.0f)
            store(&e->count[i], sane(x) * left);
    }
}

/* Of several that come at once, one does it. */
static bool claimed(uint32_t *at, uint32_t then, uint32_t now)
{
    return __atomic_compare_exchange_n(at, &then, now, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

static void fade(xb_client_entry *e, uint64_t now_ms)
{
    const uint32_t now = steps_of(now_ms), then = load32(&e->faded);
    const uint32_t steps = passed(then, now);
    if ((steps || set_back(then, now, STEP_MS)) && claimed(&e->faded, then, now) && steps) {
        scale(e, left_after(steps));
        for (int i = 0; i < XB_CLIENTS_SKETCHES; i++) {
            const uint64_t sketch = load64(&e->sketch[i]);
            if (sketch)
                store64(&e->sketch[i], sketch_left(sketch, then, now));
        }
    }
}

/* One page more, or one less. */
static void count_fast(xb_client_entry *e, uint64_t now_ms, float by)
{
    const uint32_t now = fast_steps_of(now_ms), then = load32(&e->fast_faded);
    const uint32_t steps = passed(then, now);
    float fast = sane(load(&e->fast));
    if ((steps || set_back(then, now, FAST_STEP_MS)) && claimed(&e->fast_faded, then, now))
        fast *= left_after(steps);
    store(&e->fast, sane(fast + by));
}

/* Beyond, adding one to a float would soon change nothing. All counts are halved together, so their shares stay. */
static const float FULL = 4194304.0f;

static void count_up(xb_client_entry *e, uint32_t counts)
{
    for (; counts; counts &= counts - 1) {
        float *at = &e->count[__builtin_ctz(counts)];
        store(at, sane(load(at)) + 1.0f);
    }
    if (load(&e->count[XB_TALLY_REQUESTS]) > FULL)
        scale(e, 0.5f);
}

static void count_down(xb_client_entry *e, uint32_t counts)
{
    for (; counts; counts &= counts - 1) {
        float *at = &e->count[__builtin_ctz(counts)];
        const float x = sane(load(at));
        store(at, x > 1.0f ? x - 1.0f : 0.0f);
    }
}

/* Which of the 64 classes. */
static unsigned class_of(uint64_t hash) { return (unsigned)(xb_mix(hash) >> 58); }

/* Marks a class of the sketch. Was it new? */
static bool sketch_add(uint64_t *sketch, uint64_t hash)
{
    const uint64_t bit = UINT64_C(1) << class_of(hash), before = load64(sketch);
    if (before & bit)
        return false;
    store64(sketch, before | bit);
    return true;
}

/* log2, to a hundredth. */
static float log2_of(uint64_t x)
{
    const unsigned whole = 63 - (unsigned)__builtin_clzll(x | 1);
    const float part = (float)(x << (63 - whole) << 1 >> 40) / 16777216.0f;
    return (float)whole + part * (1.3465f - 0.3465f * part);
}

/* Gaps below half a second count as that: logs have whole seconds. Those beyond a half-life are between visits. Was there one? */
static bool count_gap(xb_client_entry *e, uint64_t now_ms)
{
    const uint64_t then = load64(&e->last_page);
    const bool out_of_order = then && now_ms < then && then - now_ms < SET_BACK_MS;
    const bool none = !then || now_ms < then || now_ms - then > XB_CLIENTS_HALF_LIFE_MS;
    store(&e->mean_before, load(&e->gap_mean));
    store(&e->spread_before, load(&e->gap_spread));
    store32(&e->last_gap, out_of_order ? 0 : none ? UINT32_MAX : (uint32_t)(now_ms - then));
    if (out_of_order)
        return false;
    store64(&e->last_page, now_ms);
    if (none)
        return false;
    const uint64_t gap = now_ms - then > 500 ? now_ms - then : 500;
    const uint32_t n = load32(&e->gaps) & 0xff;
    const float weight = n < 7 ? 1.0f / (float)(n + 1) : 0.125f;
    const float mean = sane(load(&e->gap_mean)), off = log2_of(gap) - mean;
    store(&e->gap_mean, mean + weight * off);
    store(&e->gap_spread, (1.0f - weight) * (sane(load(&e->gap_spread)) + weight * off * off));
    store32(&e->gaps, n < 255 ? n + 1 : n);
    return true;
}

/* As if the last page had not been. Of several that are taken back, the last one's gap goes wholly; of the others only the number. */
static void take_gap_back(xb_client_entry *e, bool counted)
{
    const uint32_t by = load32(&e->last_gap), n = load32(&e->gaps) & 0xff;
    store64(&e->last_page, by == UINT32_MAX ? 0 : load64(&e->last_page) - by);
    store32(&e->last_gap, 0);
    store(&e->gap_mean, sane(load(&e->mean_before)));
    store(&e->gap_spread, sane(load(&e->spread_before)));
    if (counted && n)
        store32(&e->gaps, n - 1);
}

static void count_version(xb_clients *t, uint32_t family, uint32_t version)
{
    uint64_t *slots = t->versions[family % XB_CLIENTS_FAMILIES];
    size_t place = 0;
    float least = 0.0f, total = 0.0f;
    for (size_t i = 0; i < XB_CLIENTS_VERSIONS; i++) {
        const uint64_t slot = load64(&slots[i]);
        const uint32_t bits = (uint32_t)slot;
        float n;
        memcpy(&n, &bits, sizeof n);
        n = sane(n);
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
        const uint64_t slot = load64(&slots[i]);
        uint32_t bits = (uint32_t)slot;
        float n;
        memcpy(&n, &bits, sizeof n);
        n = i != place ? sane(n) : least < 0.0f ? sane(n) + 1.0f : 1.0f;
        if (total > 256.0f) /* so that the last few hundred count */
            n *= 0.5f;
        else if (i != place)
            continue;
        memcpy(&bits, &n, sizeof bits);
        store64(&slots[i], (uint64_t)(i == place ? version : slot >> 32) << 32 | bits);
    }
}

uint32_t xb_clients_version(const xb_clients *t, unsigned family)
{
    const uint64_t *slots = t->versions[family % XB_CLIENTS_FAMILIES];
    uint32_t version[XB_CLIENTS_VERSIONS];
    float n[XB_CLIENTS_VERSIONS], total = 0.0f, newer = 0.0f;
    for (size_t i = 0; i < XB_CLIENTS_VERSIONS; i++) {
        const uint64_t slot = load64(&slots[i]);
        const uint32_t bits = (uint32_t)slot;
        memcpy(&n[i], &bits, sizeof n[i]);
        n[i] = sane(n[i]);
        version[i] = (uint32_t)(slot >> 32);
        total += n[i];
        for (size_t j = i; j && version[j] > version[j - 1]; j--) { /* newest first */
            const uint32_t v = version[j];
            const float m = n[j];
            version[j] = version[j - 1], n[j] = n[j - 1];
            version[j - 1] = v, n[j - 1] = m;
        }
    }
    if (total < 8.0f)
        return 0;
    for (size_t i = 0; i < XB_CLIENTS_VERSIONS; i++) {
        newer += n[i];
        if (newer >= 0.3f * total)
            return version[i];
    }
    return 0;
}

/* The entry where it was found, or a new one; NULL without a key. */
static xb_client_entry *place(xb_clients *t, uint64_t key, xb_client_entry *found, uint64_t now_ms)
{
    if (!found && key)
        return take(t, set_of(t, key), tag_of(key), now_ms);
    if (found)
        fade(found, now_ms);
    return found;
}

static void count_all(xb_client_entry *e, uint32_t counts, uint64_t now_ms)
{
    count_up(e, counts);
    if (counts & XB_COUNT(PAGES))
        count_fast(e, now_ms, 1.0f);
    const uint64_t last = load64(&e->last);
    if (now_ms > last || last - now_ms > SET_BACK_MS)
        store64(&e->last, now_ms);
}

/* Counts up and down what is known later. */
static void correct(xb_client_entry *e, uint32_t up, uint32_t down, uint64_t now_ms)
{
    fade(e, now_ms);
    count_up(e, up);
    count_down(e, down);
    if (down & XB_COUNT(PAGES))
        count_fast(e, now_ms, -1.0f);
}

/* What the group gets to know of a client that has these marks, and had the others before. */
static uint32_t events(uint32_t before, uint32_t marks)
{
    enum { LOADS = XB_MARK_PAGED | XB_MARK_PARTED, KEEPS = XB_MARK_PAGED | XB_MARK_KEEPS };
    uint32_t counts = 0;
    if (!(marks & XB_MARK_BROWSER))
        return 0;
    counts |= (marks & ~before) & XB_MARK_PAGED ? XB_COUNT(VISITORS) : 0;
    counts |= (marks & LOADS) == LOADS && (before & LOADS) != LOADS ? XB_COUNT(LOADERS) : 0;
    counts |= (marks & KEEPS) == KEEPS && (before & KEEPS) != KEEPS ? XB_COUNT(KEEPERS) : 0;
    return counts;
}

/* The kinds of referrers, as they are said. */
static const uint32_t REFERRERS[4] = {0, XB_COUNT(UNREFERRED), XB_COUNT(OWN), XB_COUNT(EXTERNAL)};

/* What these counts of a page are called in the client's key. */
static uint32_t says(uint32_t counts)
{
    uint32_t referrer = 0;
    for (uint32_t i = 1; i < 4; i++)
        referrer = counts & REFERRERS[i] ? i : referrer;
    return referrer << XB_SAYS_REFERRER | (counts & XB_COUNT(TYPED) ? XB_SAYS_TYPED : 0) | (counts & XB_COUNT(QUERIES) ? XB_SAYS_QUERIES : 0);
}

/* And back: what a page of this key counted. */
static uint32_t said(uint32_t says)
{
    return XB_COUNT(PAGES) | REFERRERS[says >> XB_SAYS_REFERRER & 3] | (says & XB_SAYS_TYPED ? XB_COUNT(TYPED) : 0) |
           (says & XB_SAYS_QUERIES ? XB_COUNT(QUERIES) : 0);
}

static const uint32_t OF_CLIENTS = XB_COUNT(LOADERS) | XB_COUNT(KEEPERS) | XB_COUNT(LOADED_PAGES) | XB_COUNT(LOADED_PARTS);

xb_client_entry *xb_clients_count(xb_clients *t, xb_client_keys *k, const xb_client_places *places, uint64_t now_ms, const xb_visit *visit)
{
    const uint64_t key = client_key(k);
    const bool page = visit->what == XB_VISIT_PAGE, part = visit->what == XB_VISIT_PART;
    if (!key)
        return NULL;
    uint32_t as = visit->what;
    if (places->client)
        touch(places->client, set_of(t, key), now_ms);
    if (places->network)
        touch(places->network, set_of(t, k->network), now_ms);
    if (places->shape)
        touch(places->shape, set_of(t, k->shape), now_ms);
    xb_client_entry *client = place(t, key, places->client, now_ms);
    xb_client_entry *network = place(t, k->network, places->network, now_ms);
    xb_client_entry *shape = place(t, k->shape, places->shape, now_ms);

    const bool arrived = !places->client;
    const uint32_t before = load32(&client->marks);
    uint32_t marks = before | visit->marks | (page ? XB_MARK_PAGED : 0) | (part ? XB_MARK_PARTED : 0);
    marks |= !arrived && visit->marks & XB_MARK_KEEPS && !(before & XB_MARK_KEEPS) ? XB_MARK_BROUGHT : 0;
    if (marks != before)
        store32(&client->marks, marks);
    uint64_t of_page = load64(&client->shape);
    if (page && !of_page)
        store64(&client->shape, of_page = k->shape);
    count_all(client, visit->counts, now_ms);
    if (page) {
        as |= says(visit->counts) | (before & XB_MARK_PAGED ? 0 : XB_SAYS_FIRST);
        as |= count_gap(client, now_ms) ? XB_SAYS_GAP : 0;
        const uint32_t since = load32(&client->pages_since_part) & 0xff;
        store32(&client->pages_since_part, since < 255 ? since + 1 : since);
        as |= sketch_add(&client->sketch[0], visit->path) ? XB_SAYS_NEW | class_of(visit->path) << XB_SAYS_CLASS : 0;
    } else if (part && load32(&client->pages_since_part)) {
        store32(&client->pages_since_part, 0);
    }

    uint32_t group = events(before, marks) | (arrived ? XB_COUNT(ARRIVED) : 0);
    if (before & XB_MARK_PARTED && marks & XB_MARK_BROWSER) {
        group |= page ? XB_COUNT(LOADED_PAGES) : part ? XB_COUNT(LOADED_PARTS) : 0;
        as |= XB_SAYS_LOADED;
    }
    k->client = key | as;
    if (network) {
        sketch_add(&network->sketch[0], visit->agent);
        sketch_add(&network->sketch[1], visit->address);
        if (shape && sketch_add(&network->sketch[2], k->shape))
            count_up(shape, XB_COUNT(NETWORKS));
        count_all(network, visit->counts | group, now_ms);
    }
    if (shape)
        count_all(shape, visit->counts | (of_page == k->shape ? group : group & ~OF_CLIENTS), now_ms);
    if (of_page && of_page != k->shape && group & OF_CLIENTS) { /* a part looks otherwise than its page */
        xb_client_entry *pages = find(t, of_page);
        if (pages)
            correct(pages, group & OF_CLIENTS, 0, now_ms);
    }
    if (marks & XB_MARK_BROWSER) {
        fade(&t->site, now_ms);
        count_all(&t->site, visit->counts | group, now_ms);
    }
    /* No network says much about which versions people have. */
    if (group & XB_COUNT(LOADERS) && visit->version && network && load(&network->count[XB_TALLY_LOADERS]) < 2.5f)
        count_version(t, visit->family, visit->version);
    return client;
}

/* ---- what happened ---- */

xb_content xb_content_of(xb_span s)
{
    if (!s.size)
        return XB_CONTENT_UNKNOWN;
    const char *end = xb_find(s.at, s.at + s.size, ';', ',');
    s = xb_span_of(s.at, end);
    while (s.size && s.at[s.size - 1] == ' ')
        s.size--;
    if (!s.size || (s.size == 1 && *s.at == '-'))
        return XB_CONTENT_UNKNOWN;
    if (xb_span_is(s, XB_SPAN("text/html")) || xb_span_is(s, XB_SPAN("application/xhtml+xml")))
        return XB_CONTENT_PAGE;
    if (xb_span_is(s, XB_SPAN("text/css")))
        return XB_CONTENT_STYLE;
    if (xb_span_ends(s, XB_SPAN("javascript")) || xb_span_is(s, XB_SPAN("application/wasm")))
        return XB_CONTENT_SCRIPT;
    if (xb_span_starts(s, XB_SPAN("image/")))
        return XB_CONTENT_IMAGE;
    if (xb_span_starts(s, XB_SPAN("font/")) || xb_span_starts(s, XB_SPAN("application/font")) ||
        xb_span_starts(s, XB_SPAN("application/x-font")) || xb_span_is(s, XB_SPAN("application/vnd.ms-fontobject")))
        return XB_CONTENT_FONT;
    if (xb_span_ends(s, XB_SPAN("json")) || xb_span_ends(s, XB_SPAN("xml")) || xb_span_is(s, XB_SPAN("application/x-ndjson")))
        return XB_CONTENT_DATA;
    return XB_CONTENT_OTHER;
}

void xb_clients_mark(xb_clients *t, const xb_client_keys *k, uint32_t marks)
{
    xb_client_entry *e = find(t, client_key(k));
    if (e)
        store32(&e->marks, load32(&e->marks) | marks);
}

static bool is_part(uint8_t content)
{
    return content == XB_CONTENT_SCRIPT || content == XB_CONTENT_STYLE || content == XB_CONTENT_IMAGE || content == XB_CONTENT_FONT;
}

/* By these a gate refuses, which says nothing about who asked. */
static bool is_refusal(int status) { return status == 401 || status == 403 || status == 407 || status == 429; }

static bool is_error(int status) { return status >= 400 && status < 500 && !is_refusal(status) && status != 499; }

/* A page of the client that was none. */
static void take_page_back(xb_client_entry *e, uint32_t as)
{
    const uint32_t since = load32(&e->pages_since_part) & 0xff;
    if (since)
        store32(&e->pages_since_part, since - 1);
    take_gap_back(e, as & XB_SAYS_GAP);
    if (as & XB_SAYS_NEW)
        store64(&e->sketch[0], load64(&e->sketch[0]) & ~(UINT64_C(1) << (as >> XB_SAYS_CLASS & 63)));
}

void xb_clients_outcome(xb_clients *t, const xb_client_keys *k, uint64_t now_ms, const xb_response *r)
{
    const xb_client_places places = xb_clients_find(t, k);
    const uint32_t as = k->client & XB_SAYS, what = as & XB_SAYS_WHAT;
    const bool good = r->status >= 200 && r->status < 300, refused = what == XB_VISIT_PAGE && is_refusal(r->status);
    const bool part_after_all = good && what != XB_VISIT_PART && is_part(r->content); /* the path did not tell */
    const bool no_page = refused || (good && what == XB_VISIT_PAGE && r->content != XB_CONTENT_UNKNOWN && r->content != XB_CONTENT_PAGE);
    const bool no_part = what == XB_VISIT_PART && (is_error(r->status) || (good && r->content == XB_CONTENT_PAGE));
    uint32_t up = XB_COUNT(OUTCOMES), down = no_page ? said(as) : no_part ? XB_COUNT(PARTS) : 0, group_up = 0, group_down = 0;
    up |= is_error(r->status) ? XB_COUNT(ERRORS) : r->status == 304 ? XB_COUNT(UNCHANGED) : 0;
    up |= part_after_all ? XB_COUNT(PARTS) : 0;
    if (as & XB_SAYS_LOADED) {
        group_up = part_after_all ? XB_COUNT(LOADED_PARTS) : 0;
        group_down = no_page ? XB_COUNT(LOADED_PAGES) : no_part ? XB_COUNT(LOADED_PARTS) : 0;
    }
    bool browser = false;
    if (places.client) {
        xb_client_entry *e = places.client;
        const uint32_t before = load32(&e->marks);
        const uint64_t of_page = load64(&e->shape);
        uint32_t marks = before;
        correct(e, up, down, now_ms);
        if (no_page)
            take_page_back(e, as);
        if (part_after_all) {
            marks |= XB_MARK_PARTED;
            store32(&e->pages_since_part, 0);
        }
        if (no_part && load(&e->count[XB_TALLY_PARTS]) < 0.5f)
            marks &= ~(uint32_t)XB_MARK_PARTED; /* what it asked for was none */
        if (refused && as & XB_SAYS_FIRST && marks & XB_MARK_PAGED && load(&e->count[XB_TALLY_PAGES]) < 0.5f) {
            marks = (marks & ~(uint32_t)XB_MARK_PAGED) | XB_MARK_REFUSED;
            group_down |= events(marks, before);
            store64(&e->shape, 0); /* the next page is the first, then */
        }
        if (marks != before)
            store32(&e->marks, marks);
        group_up |= events(before, marks);
        browser = marks & XB_MARK_BROWSER;
        xb_client_entry *pages = group_up | group_down ? find(t, of_page) : NULL;
        if (pages)
            correct(pages, group_up, group_down, now_ms);
    } else {
        group_up = group_down = 0; /* nobody knows any more where they were counted */
    }
    if (places.network)
        correct(places.network, up | group_up, down | group_down, now_ms);
    if (places.shape)
        correct(places.shape, up, down, now_ms);
    if (browser)
        correct(&t->site, up | group_up, down | group_down, now_ms);
}

/* ---- what other machines counted ---- */

void xb_client_fade(xb_client_entry *e, uint64_t now_ms) { fade(e, now_ms); }

bool xb_clients_used(const xb_client_set *set, size_t place, uint64_t since_ms)
{
    return load32(&set->tag[place]) && (int32_t)((load32(&set->used[place]) & ~1u) - used_now(since_ms)) >= 0;
}

xb_client_entry *xb_clients_merge(xb_clients *t, const xb_client_delta *d, uint64_t now_ms, bool *is_new)
{
    static const float MOST = 65536.0f; /* nobody counts so many in the time between two messages */
    if (!d->tag || d->set >= xb_clients_sets(t))
        return NULL;
    xb_client_set *set = &t->set[d->set];
    xb_client_entry *e = NULL;
    for (size_t i = 0; i < XB_CLIENTS_WAYS && !e; i++)
        if (load32(&set->tag[i]) == d->tag)
            e = &set->entry[i];
    *is_new = !e;
    e = e ? e : take(t, set, d->tag, now_ms);
    touch(e, set, now_ms);
    fade(e, now_ms);
    for (int i = 0; i < XB_N_TALLIES; i++)
        if (d->count[i] > -MOST && d->count[i] < MOST && d->count[i] != 0.0f) /* NAN is not */
            store(&e->count[i], sane(sane(load(&e->count[i])) + d->count[i]));
    if (load(&e->count[XB_TALLY_REQUESTS]) > FULL)
        scale(e, 0.5f);
    const float pages = d->count[XB_TALLY_PAGES];
    if (pages > 0.0f && pages < MOST)
        count_fast(e, now_ms, pages);
    if (d->count[XB_TALLY_PARTS] > 0.0f)
        store32(&e->pages_since_part, 0);
    const uint32_t marks = load32(&e->marks);
    if (d->marks & XB_MARK_ALL & ~marks)
        store32(&e->marks, marks | (d->marks & XB_MARK_ALL));
    if (d->first && d->first < load32(&e->first))
        store32(&e->first, d->first);
    if (!load64(&e->shape))
        store64(&e->shape, d->shape);
    for (int i = 0; i < XB_CLIENTS_SKETCHES; i++)
        store64(&e->sketch[i], load64(&e->sketch[i]) | d->sketch[i]);
    if (now_ms > load64(&e->last))
        store64(&e->last, now_ms);
    return e;
}

/* ---- keys as text ---- */

char *xb_client_keys_text(const xb_client_keys *k, char *to)
{
    const uint64_t keys[] = {k->client, k->network, k->shape};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        for (int shift = 60; shift >= 0; shift -= 4)
            *to++ = "0123456789abcdef"[keys[i] >> shift & 15];
    return to;
}

bool xb_client_keys_parse(xb_span text, xb_client_keys *out)
{
    uint64_t keys[3] = {0};
    *out = (xb_client_keys){0};
    if (text.size != XB_CLIENT_KEYS_TEXT)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        const int digit = xb_hex(text.at[i]);
        if (digit < 0)
            return false;
        keys[i / 16] = keys[i / 16] << 4 | (unsigned)digit;
    }
    *out = (xb_client_keys){keys[0], keys[1], keys[2]};
    return true;
}
