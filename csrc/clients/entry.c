#include "clients/entry.h"

enum {
    STEPS = XB_CLIENTS_STEPS,
    STEP_MS = XB_CLIENTS_HALF_LIFE_MS / STEPS,
    FAST_STEP_MS = XB_CLIENTS_FAST_MS / STEPS,
    LATEST_STEP_MS = XB_CLIENTS_LATEST_MS / STEPS
};

_Static_assert(STEP_MS *STEPS == XB_CLIENTS_HALF_LIFE_MS && FAST_STEP_MS *STEPS == XB_CLIENTS_FAST_MS && LATEST_STEP_MS *STEPS == XB_CLIENTS_LATEST_MS,
               "whole milliseconds");
_Static_assert(XB_N_TALLIES % 4 == 0, "counts are read by four");

/* ---- time ---- */

/* 2^(-steps / 64). The whole halves are a float's exponent, so they lose nothing. */
static float left_after(uint32_t steps)
{
    static const float of_rest[STEPS] = {
        1.0f,         0.98922801f,  0.978572071f, 0.96803093f,  0.957603276f, 0.947287977f, 0.93708384f,  0.926989615f,
        0.917004049f, 0.907126069f, 0.897354543f, 0.887688279f, 0.878126085f, 0.868666887f, 0.859309673f, 0.850053251f,
        0.840896428f, 0.83183831f,  0.822877765f, 0.814013779f, 0.805245161f, 0.796571076f, 0.787990451f, 0.779502273f,
        0.771105409f, 0.762799084f, 0.754582226f, 0.746453881f, 0.738413095f, 0.730458856f, 0.722590446f, 0.714806736f,
        0.707106769f, 0.699489832f, 0.691954911f, 0.684501231f, 0.677127779f, 0.66983372f,  0.662618339f, 0.655480623f,
        0.648419797f, 0.641434968f, 0.634525478f, 0.627690375f, 0.620928884f, 0.614240229f, 0.607623696f, 0.601078391f,
        0.594603539f, 0.588198483f, 0.58186245f,  0.575594664f, 0.56939429f,  0.563260794f, 0.557193398f, 0.55119133f,
        0.545253873f, 0.539380372f, 0.53357017f,  0.527822614f, 0.522136927f, 0.516512394f, 0.510948598f, 0.505444705f,
    };
    if (steps >= STEPS * 24)
        return 0.0f;
    const uint32_t exponent = (127 - steps / STEPS) << 23;
    float halves;
    memcpy(&halves, &exponent, sizeof halves);
    return halves * of_rest[steps % STEPS];
}

/* How many steps have passed; 0 if time went back. */
static uint32_t passed(uint32_t then, uint32_t now)
{
    const int32_t steps = (int32_t)(now - then);
    return steps > 0 ? (uint32_t)steps : 0;
}

static bool set_back(uint32_t then, uint32_t now, int32_t step_ms)
{
    return (int32_t)(now - then) < -(XB_CLIENTS_SET_BACK_MS / step_ms);
}

/* What is left of a sketch: at the end of each half-life, half of the bits, by its number. */
static uint64_t sketch_left(uint64_t sketch, uint32_t then, uint32_t now)
{
    const uint32_t from = then / STEPS, to = now / STEPS;
    if (!sketch || from == to)
        return sketch;
    if (passed(then, now) >= 8 * STEPS)
        return 0;
    for (uint32_t n = from; sketch && n < to; n++)
        sketch &= xb_mix(n + XB_GOLDEN);
    return sketch;
}

/* ---- reading ---- */

/* xb_sane of each. */
static xb_four sane(xb_four x)
{
    return (xb_four)((xb_four_masks)x & (x > 0.0f) & (x <= 16777216.0f));
}

static uint32_t ones(uint64_t x)
{
    x -= x >> 1 & XB_EVERY(0x55);
    x = (x & XB_EVERY(0x33)) + (x >> 2 & XB_EVERY(0x33));
    return (uint32_t)(((x + (x >> 4)) & XB_EVERY(0x0f)) * XB_EVERY(1) >> 56);
}

static uint32_t distinct(uint64_t sketch)
{
    /* -64 ln(1 - bits / 64); of all bits: as if half a bit were left. */
    static const uint16_t of_bits[65] = {0,  1,  2,  3,  4,  5,  6,  7,  9,  10, 11, 12,  13,  15,  16,  17,  18,  20,  21,  23, 24, 25,
                                         27, 28, 30, 32, 33, 35, 37, 39, 40, 42, 44,  46,  48,  51,  53,  55,  58,  60,  63, 65, 68, 71,
                                         74, 78, 81, 85, 89, 93, 97, 102, 107, 113, 119, 126, 133, 142, 152, 163, 177, 196, 222, 266, 311};
    return sketch ? of_bits[ones(sketch)] : 0;
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

void xb_entry_counts(const xb_client_entry *e, xb_moment now, float count[XB_N_TALLIES])
{
    const float left = left_after(passed(xb_get32(&e->faded), now.step));
    for (int i = 0; i < XB_N_TALLIES; i += 4) {
        const xb_four x = sane(xb_get_four(&e->count[i])) * left;
        memcpy(&count[i], &x, sizeof x);
    }
}

float xb_entry_fast(const xb_client_entry *e, xb_moment now)
{
    return xb_sane(xb_get(&e->fast)) * left_after(passed(xb_get32(&e->fast_faded), now.fast_step));
}

static uint32_t latest_step(xb_moment now) { return (uint32_t)(now.ms / LATEST_STEP_MS); }

float xb_entry_latest(const xb_client_entry *e, xb_moment now)
{
    return xb_sane(xb_get(&e->latest)) * left_after(passed(xb_get32(&e->latest_faded), latest_step(now)));
}

uint32_t xb_entry_distinct(const xb_client_entry *e, xb_moment now, size_t sketch)
{
    return distinct(sketch_left(xb_get64(&e->sketch[sketch]), xb_get32(&e->faded), now.step));
}

void xb_entry_read(const xb_client_entry *e, xb_moment now, xb_client_view *out)
{
    xb_entry_counts(e, now, out->count);
    out->fast = xb_entry_fast(e, now);
    out->gaps = xb_get32(&e->gaps) & 0xff;
    out->gap_mean = out->gaps > 1 ? xb_sane(xb_get(&e->gap_mean)) : 0.0f;
    out->gap_spread = out->gaps > 1 ? root(xb_sane(xb_get(&e->gap_spread))) : 0.0f;
    out->marks = xb_get32(&e->marks) & XB_MARK_ALL;
    out->pages_since_part = xb_get32(&e->pages_since_part) & 0xff;
    const uint64_t first = (uint64_t)xb_get32(&e->first) * 1000, last = xb_get64(&e->last);
    out->age_ms = now.ms > first ? now.ms - first : 0;
    out->idle_ms = now.ms > last ? now.ms - last : 0;
    for (size_t i = 0; i < XB_CLIENTS_SKETCHES; i++)
        out->distinct[i] = xb_entry_distinct(e, now, i);
}

void xb_client_read(const xb_client_entry *e, uint64_t now_ms, xb_client_view *out)
{
    if (e)
        xb_entry_read(e, xb_moment_of(now_ms), out);
    else
        memset(out, 0, sizeof *out);
}

/* ---- writing ---- */

void xb_entry_clear(xb_client_entry *e, xb_moment now)
{
    for (int i = 0; i < XB_N_TALLIES; i += 4)
        xb_put_four(&e->count[i], (xb_four){0});
    xb_put32(&e->faded, now.step);
    xb_put32(&e->fast_faded, now.fast_step);
    xb_put(&e->fast, 0.0f);
    xb_put32(&e->marks, 0);
    xb_put64(&e->last, now.ms);
    xb_put32(&e->first, (uint32_t)(now.ms / 1000));
    xb_put32(&e->pages_since_part, 0);
    xb_put(&e->gap_mean, 0.0f);
    xb_put(&e->gap_spread, 0.0f);
    xb_put32(&e->gaps, 0);
    xb_put32(&e->last_gap, 0);
    xb_put64(&e->last_page, 0);
    for (int i = 0; i < XB_CLIENTS_SKETCHES; i++)
        xb_put64(&e->sketch[i], 0);
    xb_put64(&e->shape, 0);
    xb_put(&e->mean_before, 0.0f);
    xb_put(&e->spread_before, 0.0f);
}

static void scale(xb_client_entry *e, float left)
{
    for (int i = 0; i < XB_N_TALLIES; i += 4)
        xb_put_four(&e->count[i], sane(xb_get_four(&e->count[i])) * left);
}

static void fade_from(xb_client_entry *e, uint32_t then, xb_moment now)
{
    const uint32_t steps = passed(then, now.step);
    if (!steps) {
        if (set_back(then, now.step, STEP_MS))
            xb_put32(&e->faded, now.step);
        return;
    }
    xb_put32(&e->faded, now.step); /* first, so that the moment in which another does the same is short */
    scale(e, left_after(steps));
    for (int i = 0; i < XB_CLIENTS_SKETCHES; i++) {
        const uint64_t before = xb_get64(&e->sketch[i]), left = sketch_left(before, then, now.step);
        if (left != before)
            xb_put64(&e->sketch[i], left);
    }
}

static inline void fade(xb_client_entry *e, xb_moment now)
{
    const uint32_t then = xb_get32(&e->faded);
    if (then != now.step)
        fade_from(e, then, now);
}

void xb_entry_fade(xb_client_entry *e, xb_moment now) { fade(e, now); }

/* Pages more, or less. */
static void count_fast(xb_client_entry *e, xb_moment now, float by)
{
    const uint32_t then = xb_get32(&e->fast_faded), steps = passed(then, now.fast_step);
    float fast = xb_sane(xb_get(&e->fast));
    if (steps || set_back(then, now.fast_step, FAST_STEP_MS)) {
        xb_put32(&e->fast_faded, now.fast_step);
        fast *= left_after(steps);
    }
    xb_put(&e->fast, xb_sane(fast + by));
}

/* Of a group: clients that opened their first page now, or did not after all. */
static void count_latest(xb_client_entry *e, xb_moment now, float by)
{
    const float latest = xb_entry_latest(e, now);
    xb_put32(&e->latest_faded, latest_step(now));
    xb_put(&e->latest, xb_sane(latest + by));
}

/* Beyond, adding one to a float would soon change nothing. All counts are halved together, so their shares stay. */
static const float FULL = 4194304.0f;

static void halve_full(xb_client_entry *e)
{
    if (xb_get(&e->count[XB_TALLY_REQUESTS]) > FULL)
        scale(e, 0.5f);
}

/* One for each bit that is set, by four. */
static const xb_four of_bits[16] = {{0, 0, 0, 0}, {1, 0, 0, 0}, {0, 1, 0, 0}, {1, 1, 0, 0}, {0, 0, 1, 0}, {1, 0, 1, 0}, {0, 1, 1, 0}, {1, 1, 1, 0},
                                    {0, 0, 0, 1}, {1, 0, 0, 1}, {0, 1, 0, 1}, {1, 1, 0, 1}, {0, 0, 1, 1}, {1, 0, 1, 1}, {0, 1, 1, 1}, {1, 1, 1, 1}};

static void count_up(xb_client_entry *e, uint32_t counts)
{
    for (int i = 0; counts; i += 4, counts >>= 4)
        if (counts & 15)
            xb_put_four(&e->count[i], sane(xb_get_four(&e->count[i])) + of_bits[counts & 15]);
    halve_full(e);
}

static void count_down(xb_client_entry *e, uint32_t counts)
{
    for (int i = 0; counts; i += 4, counts >>= 4)
        if (counts & 15)
            xb_put_four(&e->count[i], sane(sane(xb_get_four(&e->count[i])) - of_bits[counts & 15]));
}

void xb_entry_count(xb_client_entry *e, xb_moment now, uint32_t counts)
{
    fade(e, now);
    count_up(e, counts);
    if (counts & XB_COUNT(PAGES))
        count_fast(e, now, 1.0f);
    if (counts & XB_COUNT(VISITORS))
        count_latest(e, now, 1.0f);
    const uint64_t last = xb_get64(&e->last);
    if (now.ms > last || last - now.ms > XB_CLIENTS_SET_BACK_MS)
        xb_put64(&e->last, now.ms);
}

void xb_entry_correct(xb_client_entry *e, xb_moment now, uint32_t up, uint32_t down)
{
    fade(e, now);
    count_up(e, up);
    count_down(e, down);
    if (down & XB_COUNT(PAGES))
        count_fast(e, now, -1.0f);
    if (down & XB_COUNT(VISITORS))
        count_latest(e, now, -1.0f);
}

void xb_entry_add(xb_client_entry *e, xb_moment now, const float count[XB_N_TALLIES])
{
    static const float MOST = 65536.0f; /* nobody counts so many in the time between two messages */
    fade(e, now);
    for (int i = 0; i < XB_N_TALLIES; i++)
        if (count[i] > -MOST && count[i] < MOST && count[i] != 0.0f) /* NAN is not */
            xb_put(&e->count[i], xb_sane(xb_sane(xb_get(&e->count[i])) + count[i]));
    halve_full(e);
    const float pages = count[XB_TALLY_PAGES];
    if (pages > 0.0f && pages < MOST)
        count_fast(e, now, pages);
    const float visitors = count[XB_TALLY_VISITORS];
    if (visitors > 0.0f && visitors < MOST)
        count_latest(e, now, visitors);
}

/* log2, to a hundredth. */
static float log2_of(uint64_t x)
{
    const unsigned whole = 63 - (unsigned)__builtin_clzll(x | 1);
    const float part = (float)(x << (63 - whole) << 1 >> 40) / 16777216.0f;
    return (float)whole + part * (1.3465f - 0.3465f * part);
}

bool xb_entry_gap(xb_client_entry *e, xb_moment now)
{
    const uint64_t then = xb_get64(&e->last_page);
    const bool out_of_order = then && now.ms < then && then - now.ms < XB_CLIENTS_SET_BACK_MS;
    const bool none = !then || now.ms < then || now.ms - then > XB_CLIENTS_HALF_LIFE_MS;
    xb_put(&e->mean_before, xb_get(&e->gap_mean));
    xb_put(&e->spread_before, xb_get(&e->gap_spread));
    xb_put32(&e->last_gap, out_of_order ? 0 : none ? UINT32_MAX : (uint32_t)(now.ms - then));
    if (out_of_order)
        return false;
    xb_put64(&e->last_page, now.ms);
    if (none)
        return false;
    const uint64_t gap = now.ms - then > 500 ? now.ms - then : 500;
    const uint32_t n = xb_get32(&e->gaps) & 0xff;
    const float weight = n < 7 ? 1.0f / (float)(n + 1) : 0.125f;
    const float mean = xb_sane(xb_get(&e->gap_mean)), off = log2_of(gap) - mean;
    xb_put(&e->gap_mean, mean + weight * off);
    xb_put(&e->gap_spread, (1.0f - weight) * (xb_sane(xb_get(&e->gap_spread)) + weight * off * off));
    xb_put32(&e->gaps, n < 255 ? n + 1 : n);
    return true;
}

void xb_entry_take_gap_back(xb_client_entry *e, bool counted)
{
    const uint32_t by = xb_get32(&e->last_gap), n = xb_get32(&e->gaps) & 0xff;
    xb_put64(&e->last_page, by == UINT32_MAX ? 0 : xb_get64(&e->last_page) - by);
    xb_put32(&e->last_gap, 0);
    xb_put(&e->gap_mean, xb_sane(xb_get(&e->mean_before)));
    xb_put(&e->gap_spread, xb_sane(xb_get(&e->spread_before)));
    if (counted && n)
        xb_put32(&e->gaps, n - 1);
}
