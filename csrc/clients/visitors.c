#include "clients/visitors.h"

#include "base/hash.h"

static const xb_board_kind kind = {.name = "visitors", .version = XB_VISITORS_VERSION, .header_size = sizeof(xb_board_header)};

void xb_visitors_init(xb_visitors *t) { xb_board_init(&t->board, &kind, sizeof *t, 0, 0); }

const char *xb_visitors_check(const void *memory, size_t size)
{
    const char *why = xb_board_check(memory, size, &kind, 0);
    return why ? why : size == sizeof(xb_visitors) ? NULL : "wrong size";
}

/* ---- the highest margin, in the marks of a client ---- */

enum {
    OF_MODEL = 12,   /* shift of six bits of the model's mark */
    HIGHEST = 18,    /* shift of the margin; 0: none yet */
    PER_ONE = 256,   /* steps in a margin of 1 */
    ZERO = 32 * PER_ONE,
    MOST_STEPS = (1 << (32 - HIGHEST)) - 1
};

_Static_assert((XB_MARK_HIGHEST & XB_MARK_ALL) == 0 && XB_MARK_ALL == (1 << OF_MODEL) - 1, "marks and margin do not overlap");

/* In steps, rounded up; of margins beyond those that steps can say, the nearest. */
static uint32_t steps_of(double margin)
{
    const double steps = margin * PER_ONE + ZERO;
    if (!(steps > 1.0))
        return 1;
    return steps < MOST_STEPS ? (uint32_t)steps + 1 : MOST_STEPS;
}

static float margin_of(uint32_t steps) { return (float)((int32_t)steps - ZERO) / PER_ONE; }

/* The marks with this margin in them, if it is higher than what this model gave the client before. */
static uint32_t with_margin(uint32_t marks, uint32_t model, double margin)
{
    const uint32_t of_model = model & 0x3f, before = (marks >> OF_MODEL & 0x3f) == of_model ? marks >> HIGHEST : 0, now = steps_of(margin);
    return (marks & XB_MARK_ALL) | of_model << OF_MODEL | (now > before ? now : before) << HIGHEST;
}

/* ---- the table ---- */

static size_t place_of(const xb_visitor_set *set, uint64_t client)
{
    size_t i = 0;
    while (i < XB_VISITORS_WAYS && xb_get64(&set->client[i]) != client)
        i++;
    return i;
}

/* An empty place, or that of who was idle for longest. */
static size_t room_in(const xb_visitor_set *set)
{
    size_t oldest = 0;
    for (size_t i = 0; i < XB_VISITORS_WAYS; i++) {
        if (!xb_get64(&set->client[i]))
            return i;
        if (xb_get64(&set->visitor[i].last) < xb_get64(&set->visitor[oldest].last))
            oldest = i;
    }
    return oldest;
}

void xb_visitors_note(xb_visitors *t, xb_client_entry *client, const xb_client_keys *k, uint64_t now_ms, uint32_t model, double margin,
                      bool proven, bool contradicts)
{
    if (!client)
        return;
    const uint32_t before = xb_get32(&client->marks);
    if (!(before & XB_MARK_BROWSER))
        return;
    const uint32_t marks = with_margin(before, model, margin) | (contradicts ? XB_MARK_FALSE : 0);
    if (marks != before)
        xb_put32(&client->marks, marks);
    if (!proven && (!contradicts || before & XB_MARK_FALSE)) /* who contradicted himself before is no entry any more */
        return;
    const uint64_t key = xb_client_key(k);
    xb_visitor_set *set = &t->set[xb_mix(k->network) % XB_VISITORS_SETS];
    size_t i = place_of(set, key);
    if (marks & XB_MARK_FALSE) {
        if (i < XB_VISITORS_WAYS)
            xb_put64(&set->client[i], 0);
        return;
    }
    if (i == XB_VISITORS_WAYS) {
        const uint64_t shape = xb_get64(&client->shape);
        i = room_in(set);
        xb_put64(&set->visitor[i].network, k->network);
        xb_put64(&set->visitor[i].shape, shape ? shape : k->shape);
        xb_put64(&set->client[i], key);
    }
    xb_visitor *v = &set->visitor[i];
    xb_put(&v->margin, margin_of(marks >> HIGHEST));
    xb_put32(&v->model, model);
    xb_put64(&v->last, now_ms);
}
