/* The table of clients beside a plain model of what it promises: the same requests and outcomes go into a table of one set, into a
 * table of many with another secret, and into the model, which has no table, no words and no steps but those of time. Where time
 * only goes on, all three agree; where it jumps, the tables agree with each other, and every number is one that could be counted.
 *
 * Bytes: one of settings (bit 0: time jumps), then eight for each operation. */
#include <math.h>

#include "base/hash.h"
#include "fuzz.h"

enum { CLIENTS = 5, NETWORKS = 2, SHAPES = 1, THINGS = CLIENTS + NETWORKS + SHAPES, SITE = THINGS };

_Static_assert((int)THINGS <= (int)XB_CLIENTS_WAYS, "nothing has to go, even in a table of one set");

typedef struct {
    bool there;
    double count[XB_N_TALLIES], fast, gap_mean, gap_spread;
    uint64_t steps, fast_steps, last, last_page;
    double mean_before, spread_before;
    uint64_t last_gap;
    uint32_t marks, since, gaps;
    bool has_shape, knows_shape;
} thing;

static thing things[THINGS + 1];

static void fade_to(thing *t, uint64_t now)
{
    const uint64_t steps = now / (XB_CLIENTS_HALF_LIFE_MS / 64);
    const double left = exp2((double)(int64_t)(t->steps - steps) / 64.0);
    for (int i = 0; i < XB_N_TALLIES; i++)
        t->count[i] *= left;
    t->steps = steps;
}

static void up(thing *t, uint64_t now, uint32_t counts)
{
    fade_to(t, now);
    for (int i = 0; i < XB_N_TALLIES; i++)
        t->count[i] += counts >> i & 1;
}

static void down(thing *t, uint32_t counts)
{
    for (int i = 0; i < XB_N_TALLIES; i++)
        t->count[i] = fmax(0.0, t->count[i] - (counts >> i & 1));
}

static void fast_by(thing *t, uint64_t now, double by)
{
    const uint64_t steps = now / (XB_CLIENTS_FAST_MS / 64);
    t->fast = fmax(0.0, t->fast * exp2((double)(int64_t)(t->fast_steps - steps) / 64.0) + by);
    t->fast_steps = steps;
}

static void pages_up(thing *t, uint64_t now) { fast_by(t, now, 1.0); }

/* Counts down, and a page in the fast count, too. */
static void back(thing *t, uint64_t now, uint32_t counts)
{
    down(t, counts);
    if (counts & XB_COUNT(PAGES))
        fast_by(t, now, -1.0);
}

static bool gap_up(thing *t, uint64_t now)
{
    const uint64_t gap = now - t->last_page;
    const bool counts = t->last_page && gap <= XB_CLIENTS_HALF_LIFE_MS;
    t->mean_before = t->gap_mean, t->spread_before = t->gap_spread;
    t->last_gap = counts ? gap : t->last_page ? t->last_page + gap : now; /* from 0: none */
    if (t->last_page && gap <= XB_CLIENTS_HALF_LIFE_MS) {
        const double x = log2((double)(gap > 500 ? gap : 500)), weight = t->gaps < 7 ? 1.0 / (t->gaps + 1.0) : 0.125, off = x - t->gap_mean;
        t->gap_mean += weight * off;
        t->gap_spread = (1.0 - weight) * (t->gap_spread + weight * off * off);
        t->gaps += t->gaps < 255;
    }
    t->last_page = now;
    return counts;
}

/* The news of a client, for its groups. */
static uint32_t news(uint32_t before, uint32_t after)
{
    const bool browser = after & XB_MARK_BROWSER, paged = after & XB_MARK_PAGED, was_paged = before & XB_MARK_PAGED;
    uint32_t counts = 0;
    if (browser && paged && !was_paged)
        counts |= XB_COUNT(VISITORS);
    if (browser && paged && after & XB_MARK_PARTED && !(was_paged && before & XB_MARK_PARTED))
        counts |= XB_COUNT(LOADERS);
    if (browser && paged && after & XB_MARK_KEEPS && !(was_paged && before & XB_MARK_KEEPS))
        counts |= XB_COUNT(KEEPERS);
    return counts;
}

/* Returns what the key must say, but for the sketch. */
static unsigned model_count(thing *c, thing *n, thing *s, uint64_t now, const xb_visit *v)
{
    unsigned as = v->what;
    const bool page = v->what == XB_VISIT_PAGE, part = v->what == XB_VISIT_PART, arrived = !c->there;
    const uint32_t before = c->marks;
    c->there = n->there = s->there = true;
    c->marks |= v->marks | (page ? XB_MARK_PAGED : 0) | (part ? XB_MARK_PARTED : 0);
    if (v->marks & XB_MARK_KEEPS && !(before & XB_MARK_KEEPS) && !arrived)
        c->marks |= XB_MARK_BROUGHT;
    c->has_shape |= page;
    up(c, now, v->counts);
    if (v->counts & XB_COUNT(PAGES))
        pages_up(c, now), pages_up(n, now), pages_up(s, now);
    if (page) {
        as |= before & XB_MARK_PAGED ? 0 : XB_SAYS_FIRST;
        as |= gap_up(c, now) ? XB_SAYS_GAP : 0;
        as |= v->counts & XB_COUNT(UNREFERRED) ? 1u << XB_SAYS_REFERRER : 0;
        as |= v->counts & XB_COUNT(OWN) ? 2u << XB_SAYS_REFERRER : 0;
        as |= v->counts & XB_COUNT(EXTERNAL) ? 3u << XB_SAYS_REFERRER : 0;
        as |= v->counts & XB_COUNT(TYPED) ? XB_SAYS_TYPED : 0;
        as |= v->counts & XB_COUNT(QUERIES) ? XB_SAYS_QUERIES : 0;
        c->since += c->since < 255;
    } else if (part) {
        c->since = 0;
    }
    uint32_t group = news(before, c->marks) | (arrived ? XB_COUNT(ARRIVED) : 0);
    as |= before & XB_MARK_PARTED && c->marks & XB_MARK_BROWSER ? XB_SAYS_LOADED : 0;
    if (as & XB_SAYS_LOADED)
        group |= page ? XB_COUNT(LOADED_PAGES) : part ? XB_COUNT(LOADED_PARTS) : 0;
    up(n, now, v->counts | group);
    const uint32_t of_pages = XB_COUNT(LOADERS) | XB_COUNT(KEEPERS) | XB_COUNT(LOADED_PAGES) | XB_COUNT(LOADED_PARTS);
    up(s, now, v->counts | (c->has_shape ? group : group & ~of_pages));
    c->last = n->last = s->last = now;
    if (c->marks & XB_MARK_BROWSER) {
        up(&things[SITE], now, v->counts | group);
        things[SITE].last = now;
        if (v->counts & XB_COUNT(PAGES))
            pages_up(&things[SITE], now);
    }
    return as;
}

static void model_outcome(thing *c, thing *n, thing *s, uint64_t now, unsigned as, const xb_response *r)
{
    const unsigned what = as & XB_SAYS_WHAT, referrer = as >> XB_SAYS_REFERRER & 3;
    const bool good = r->status >= 200 && r->status < 300, asset = r->content >= XB_CONTENT_SCRIPT && r->content <= XB_CONTENT_FONT;
    const bool gate = r->status == 403 || r->status == 429 || r->status >= 500, error = r->status >= 400 && r->status < 500 && !gate;
    uint32_t plus = XB_COUNT(OUTCOMES) | (error ? XB_COUNT(ERRORS) : 0) | (r->status == 304 ? XB_COUNT(UNCHANGED) : 0), minus = 0;
    uint32_t group_plus = 0, group_minus = 0;
    if (good && asset && what != XB_VISIT_PART) {
        plus |= XB_COUNT(PARTS);
        group_plus |= as & XB_SAYS_LOADED ? XB_COUNT(LOADED_PARTS) : 0;
    }
    if (what == XB_VISIT_PAGE && (gate || (good && r->content != XB_CONTENT_PAGE && r->content != XB_CONTENT_UNKNOWN))) {
        minus |= XB_COUNT(PAGES) | (as & XB_SAYS_TYPED ? XB_COUNT(TYPED) : 0) | (as & XB_SAYS_QUERIES ? XB_COUNT(QUERIES) : 0);
        minus |= referrer == 1 ? XB_COUNT(UNREFERRED) : referrer == 2 ? XB_COUNT(OWN) : referrer == 3 ? XB_COUNT(EXTERNAL) : 0;
        group_minus |= as & XB_SAYS_LOADED ? XB_COUNT(LOADED_PAGES) : 0;
    }
    if (what == XB_VISIT_PART && (error || (good && r->content == XB_CONTENT_PAGE))) {
        minus |= XB_COUNT(PARTS);
        group_minus |= as & XB_SAYS_LOADED ? XB_COUNT(LOADED_PARTS) : 0;
    }
    if (c->there) {
        const uint32_t before = c->marks;
        const bool had_shape = c->has_shape;
        up(c, now, plus);
        back(c, now, minus);
        if (minus & XB_COUNT(PAGES)) {
            c->since -= c->since > 0;
            c->gaps -= as & XB_SAYS_GAP && c->gaps;
            c->gap_mean = c->mean_before, c->gap_spread = c->spread_before;
            c->last_page -= c->last_gap;
            c->last_gap = 0;
        }
        if (plus & XB_COUNT(PARTS)) {
            c->marks |= XB_MARK_PARTED;
            c->since = 0;
        }
        if (minus & XB_COUNT(PARTS) && c->count[XB_TALLY_PARTS] < 0.5)
            c->marks &= ~(uint32_t)XB_MARK_PARTED;
        if (minus & XB_COUNT(PAGES) && gate && as & XB_SAYS_FIRST && before & XB_MARK_PAGED && c->count[XB_TALLY_PAGES] < 0.5) {
            c->marks = (c->marks | XB_MARK_REFUSED) - XB_MARK_PAGED;
            c->has_shape = false;
            group_minus |= news(c->marks, before);
        }
        group_plus |= news(before, c->marks);
        if (had_shape && s->there)
            up(s, now, group_plus), down(s, group_minus);
    } else {
        group_plus = group_minus = 0;
    }
    if (n->there)
        up(n, now, plus | group_plus), back(n, now, minus | group_minus);
    if (s->there)
        up(s, now, plus), back(s, now, minus);
    if (c->there && c->marks & XB_MARK_BROWSER)
        up(&things[SITE], now, plus | group_plus), back(&things[SITE], now, minus | group_minus);
}

static void require_near(double got, double want, const char *what) { REQUIRE(fabs(got - want) <= 1e-3 * fmax(1.0, fabs(want)), what); }

static void require_view(const thing *t, const xb_client_view *v, uint64_t now)
{
    const double left = exp2((double)(int64_t)(t->steps - now / (XB_CLIENTS_HALF_LIFE_MS / 64)) / 64.0);
    const double fast_left = exp2((double)(int64_t)(t->fast_steps - now / (XB_CLIENTS_FAST_MS / 64)) / 64.0);
    for (int i = 0; i < XB_N_TALLIES; i++)
        if (i != XB_TALLY_NETWORKS) /* by a sketch */
            require_near(v->count[i], t->there ? t->count[i] * left : 0.0, "a count");
    require_near(v->fast, t->there ? t->fast * fast_left : 0.0, "the fast count");
    REQUIRE(v->marks == t->marks && v->pages_since_part == t->since && v->gaps == t->gaps, "marks, pages since a part, or gaps");
    if (t->gaps > 1) {
        REQUIRE(fabs((double)v->gap_mean - t->gap_mean) < 0.03, "the mean gap");
        REQUIRE(fabs((double)v->gap_spread - sqrt(t->gap_spread)) < 0.08, "the spread of gaps");
    }
    if (t->there)
        REQUIRE(v->idle_ms == now - t->last, "when it was here last");
}

static void require_possible(const xb_client_view *v)
{
    for (int i = 0; i < XB_N_TALLIES; i++)
        REQUIRE(v->count[i] >= 0.0f && v->count[i] <= 4096.0f, "a count that nobody counted");
    REQUIRE(v->fast >= 0.0f && v->fast <= 4096.0f && v->gap_mean >= 0.0f && v->gap_mean < 25.0f && v->gap_spread >= 0.0f &&
                v->gap_spread < 25.0f && v->gaps < 256 && v->pages_since_part < 256,
            "a number that nobody counted");
}

/* The memory of both tables: of one set, and of as many as divide these few keys. A larger one would take most of the time to empty. */
enum { ONE_SET = sizeof(xb_clients) + sizeof(xb_client_set), MANY_SETS = sizeof(xb_clients) + 16 * sizeof(xb_client_set) };
static _Alignas(64) char of_one_set[ONE_SET], of_many_sets[MANY_SETS];

static xb_clients *emptied(char *memory, size_t size, uint64_t one)
{
    const uint64_t secret[2] = {one, one + 1};
    xb_clients *t = (xb_clients *)(void *)memory;
    memset(memory, 0, size);
    xb_clients_init(t, size, secret, XB_CLIENTS_BY_ADDRESS);
    REQUIRE(!xb_clients_check(t, size), "a new table is refused");
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    xb_clients *const tables[2] = {emptied(of_one_set, ONE_SET, 3), emptied(of_many_sets, MANY_SETS, 99)};
    const bool jumps = size && data[0] & 1;
    enum { SKETCH = XB_SAYS_NEW | 63 << XB_SAYS_CLASS };
    unsigned said[CLIENTS] = {0};
    uint64_t now = UINT64_C(1795737600000);
    memset(things, 0, sizeof things);
    things[SITE].there = true;
    for (size_t at = 1; at + 8 <= size; at += 8) {
        const uint8_t *d = data + at;
        const unsigned c = d[1] % CLIENTS, n = c % NETWORKS;
        const uint64_t pause = (uint64_t)d[6] << (d[7] % 24);
        now = jumps && d[7] & 0x80 ? now - pause : now + pause;
        if (jumps && d[7] == 0x7f)
            now = d[6] & 1 ? UINT64_MAX - d[6] : d[6];
        xb_visit v = {.counts = XB_COUNT(REQUESTS), .marks = d[2] & XB_MARK_BROWSER, .what = d[0] % 3, .family = 3, .version = d[5], .path = d[5], .agent = c, .address = c};
        v.marks |= d[2] & 1 ? XB_MARK_KEEPS : 0;
        v.marks |= d[2] & 2 ? XB_MARK_ROBOTS : 0;
        v.counts |= v.what == XB_VISIT_PAGE ? XB_COUNT(PAGES) : v.what == XB_VISIT_PART ? XB_COUNT(PARTS) : 0;
        v.counts |= d[3] & 3 ? XB_COUNT(UNREFERRED) << ((d[3] & 3) - 1) : 0; /* one kind of referrer */
        v.counts |= (uint32_t)(d[3] >> 2) << XB_TALLY_TYPED & (XB_COUNT(OUTCOMES) - 1);
        static const int statuses[] = {0, 200, 206, 301, 304, 403, 404, 410, 429, 500};
        const xb_response r = {.status = statuses[d[4] % 10], .bytes = -1, .content = (d[4] >> 4) % 8};
        const unsigned as = d[0] & 0x40 ? said[c] : v.what | (d[5] << 8 & XB_SAYS) | (d[3] & 0xfc); /* of the last request, or of anything */
        xb_client_view views[2][4];
        memset(views, 0, sizeof views); /* padding, too: they are compared as bytes */
        thing *const three[] = {&things[c], &things[CLIENTS + n], &things[CLIENTS + NETWORKS], &things[SITE]};
        for (int i = 0; i < 2; i++) {
            const uint64_t salt = i ? 1000 : 77; /* other keys, as another secret gives */
            xb_client_keys k = {xb_mix(salt + c) & ~(uint64_t)XB_SAYS, xb_mix(salt + 10 + n), xb_mix(salt + 20)};
            if (d[0] & 0x80) {
                k.client |= as;
                xb_clients_outcome(tables[i], &k, now, &r);
            } else {
                const xb_client_places places = xb_clients_find(tables[i], &k);
                REQUIRE((places.client != NULL) == three[0]->there && (places.network != NULL) == three[1]->there, "who is there");
                xb_clients_count(tables[i], &k, &places, now, &v);
                REQUIRE(!i || (k.client & XB_SAYS) == said[c], "the tables say other things");
                said[c] = k.client & XB_SAYS;
            }
            const xb_client_places places = xb_clients_find(tables[i], &k);
            xb_client_read(places.client, now, &views[i][0]);
            xb_client_read(places.network, now, &views[i][1]);
            xb_client_read(places.shape, now, &views[i][2]);
            xb_client_read(&tables[i]->site, now, &views[i][3]);
        }
        if (d[0] & 0x80) {
            model_outcome(three[0], three[1], three[2], now, as, &r);
        } else {
            const unsigned want = model_count(three[0], three[1], three[2], now, &v);
            REQUIRE(jumps || ((said[c] & ~SKETCH) == want && (v.what == XB_VISIT_PAGE || !(said[c] & SKETCH))), "what it was counted as");
        }
        for (int j = 0; j < 4; j++) {
            views[0][j].distinct[2] = views[1][j].distinct[2]; /* of shapes, by their keys; what is new by it follows */
            views[0][j].count[XB_TALLY_NETWORKS] = views[1][j].count[XB_TALLY_NETWORKS];
            REQUIRE(memcmp(&views[0][j], &views[1][j], sizeof views[0][j]) == 0, "the tables differ");
            require_possible(&views[0][j]);
            if (!jumps)
                require_view(three[j], &views[0][j], now);
        }
        REQUIRE(xb_clients_version(tables[0], 3) == xb_clients_version(tables[1], 3), "the version");
        REQUIRE(tables[0]->replaced == 0 && tables[1]->replaced == 0 && tables[0]->entries == tables[1]->entries, "nothing had to go");
    }
    return 0;
}
