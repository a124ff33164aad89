#include "connection.h"

enum { LEAST_ROOM = 512 }; /* bytes: most heads that come in pieces are no longer than a few of these */

const char *const xb_closed_names[XB_N_CLOSED] = {
    [XB_CLOSED_SLOW] = "slow",
    [XB_CLOSED_UNREAD] = "unread",
    [XB_CLOSED_CONNECTIONS] = "connections",
    [XB_CLOSED_BYTES] = "bytes",
};

void xb_listener_init(xb_listener *l, const xb_service *service, xb_workspace *work, const xb_host *host)
{
    *l = (xb_listener){.service = service, .work = work, .host = *host};
    for (int state = 0; state < XB_N_STATES; state++) {
        xb_connection *ends = &l->queue[state];
        ends->ahead = ends->behind = ends;
        ends->deadline = ends->turn = UINT64_MAX; /* later than any: an empty queue has nobody who waits */
    }
}

/* ---- queues ---- */

static void leave(xb_connection *c)
{
    c->ahead->behind = c->behind;
    c->behind->ahead = c->ahead;
}

/* To the end of a queue: all in it have the same patience, so they stand in the order of their deadlines, too. */
static void enter(xb_listener *l, xb_connection *c, xb_state state)
{
    xb_connection *ends = &l->queue[state];
    uint64_t patience = l->host.patience[state];
    c->state = state;
    c->turn = ++l->turns;
    c->deadline = patience == XB_NEVER ? XB_NEVER : l->host.clock() + patience;
    c->ahead = ends->ahead;
    c->behind = ends;
    ends->ahead->behind = c;
    ends->ahead = c;
}

static void move(xb_listener *l, xb_connection *c, xb_state state)
{
    leave(c);
    enter(l, c, state);
}

/* Begins to wait in this state, or in XB_UNREAD for as long as replies are unread. */
static void wait_in(xb_listener *l, xb_connection *c, xb_state state)
{
    if (!c->unread)
        move(l, c, state);
}

static void end_input(xb_listener *l, xb_connection *c)
{
    c->last = true;
    wait_in(l, c, XB_LAST);
}

/* ---- memory ---- */

static bool keep(xb_listener *l, xb_connection *c, const char *from, size_t n)
{
    size_t room = c->room ? c->room : LEAST_ROOM;
    while (room < c->size + n)
        room *= 2;
    if (room != c->room) {
        char *piece = l->host.resize(c->piece, room);
        if (!piece)
            return false;
        l->bytes += room - c->room;
        c->piece = piece;
        c->room = room;
    }
    memcpy(c->piece + c->size, from, n);
    c->size += n;
    return true;
}

static void drop(xb_listener *l, xb_connection *c)
{
    if (!c->piece)
        return;
    l->host.resize(c->piece, 0);
    l->bytes -= c->room;
    c->piece = NULL;
    c->size = c->room = 0;
}

/* ---- a connection ---- */

void xb_connection_begin(xb_listener *l, xb_connection *c, void *host)
{
    *c = (xb_connection){.host = host};
    enter(l, c, XB_IDLE);
    l->connections++;
    if (l->service->stats)
        l->service->stats->connections_total++;
}

void xb_connection_end(xb_listener *l, xb_connection *c)
{
    if (c->state == XB_GONE)
        return;
    leave(c);
    drop(l, c);
    l->bytes -= c->unread;
    l->connections--;
    c->unread = 0;
    c->state = XB_GONE;
}

void xb_connection_last(xb_listener *l, xb_connection *c)
{
    if (c->state != XB_GONE && !c->last)
        end_input(l, c);
}

void xb_connection_unread(xb_listener *l, xb_connection *c, size_t bytes)
{
    if (c->state == XB_GONE)
        return;
    l->bytes += bytes - c->unread;
    c->unread = bytes;
    if (bytes && c->state != XB_UNREAD)
        move(l, c, XB_UNREAD);
    else if (!bytes && c->state == XB_UNREAD)
        move(l, c, c->last ? XB_LAST : c->size ? XB_HALF : XB_IDLE);
}

/* A reply was made; it is the last where it says so. */
static xb_step reply_made(xb_listener *l, xb_connection *c, long used, xb_span *in, const xb_reply *reply)
{
    if (reply->close) {
        end_input(l, c);
        in->size = 0;
    }
    return used == XB_BAD ? XB_REFUSED : XB_ANSWERED;
}

static void take(xb_span *in, size_t n)
{
    in->at += n;
    in->size -= n;
}

/* More of a head whose beginning is held. */
static xb_step next_piece(xb_listener *l, xb_connection *c, xb_span *in, xb_reply *reply)
{
    const size_t seen = c->size, more = in->size < XB_MAX_HEAD - seen ? in->size : XB_MAX_HEAD - seen;
    if (!more)
        return XB_WAIT;
    if (!keep(l, c, in->at, more)) {
        in->size = 0;
        end_input(l, c);
        return XB_WAIT;
    }
    long used = xb_answer(l->service, l->work, c->piece, c->size, seen, false, reply);
    if (used == XB_PARTIAL && c->size < XB_MAX_HEAD) {
        take(in, more);
        return XB_WAIT;
    }
    if (used == XB_PARTIAL)
        used = xb_answer(l->service, l->work, c->piece, c->size, 0, true, reply);
    if (used > 0)
        take(in, (size_t)used - seen);
    c->size = 0;
    return reply_made(l, c, used, in, reply);
}

xb_step xb_connection_next(xb_listener *l, xb_connection *c, xb_span *in, xb_reply *reply)
{
    if (c->last || c->state == XB_GONE) {
        in->size = 0;
        drop(l, c);
        return XB_WAIT;
    }
    if (c->size)
        return next_piece(l, c, in, reply);
    drop(l, c); /* the request of the call before lay there */
    if (!in->size) {
        wait_in(l, c, XB_IDLE);
        return XB_WAIT;
    }
    const size_t size = in->size < XB_MAX_HEAD ? in->size : XB_MAX_HEAD;
    long used = xb_answer(l->service, l->work, in->at, size, 0, false, reply);
    if (used == XB_PARTIAL && size < XB_MAX_HEAD) {
        if (keep(l, c, in->at, size))
            wait_in(l, c, XB_HALF);
        else
            end_input(l, c);
        in->size = 0;
        return XB_WAIT;
    }
    if (used == XB_PARTIAL) /* a head that is too long is judged on what fits */
        used = xb_answer(l->service, l->work, in->at, size, 0, true, reply);
    if (used > 0)
        take(in, (size_t)used);
    return reply_made(l, c, used, in, reply);
}

/* ---- a listener ---- */

/* Whoever has waited longest, in the queues from `from` on. */
static xb_connection *longest(xb_listener *l, xb_state from)
{
    xb_connection *found = &l->queue[from];
    for (int state = (int)from; state < XB_N_STATES; state++)
        if (l->queue[state].behind->turn < found->turn)
            found = l->queue[state].behind;
    return found->turn == UINT64_MAX ? NULL : found; /* the ends of an empty queue */
}

static xb_connection *overdue(xb_listener *l)
{
    if (xb_listener_wake(l) == XB_NEVER)
        return NULL;
    const uint64_t now = l->host.clock();
    for (int state = 0; state < XB_N_STATES; state++)
        if (l->queue[state].behind->deadline <= now)
            return l->queue[state].behind;
    return NULL;
}

xb_connection *xb_listener_out(xb_listener *l, xb_closed *why)
{
    xb_connection *c;
    if (l->connections > l->host.max_connections) {
        *why = XB_CLOSED_CONNECTIONS;
        c = longest(l, XB_IDLE);
    } else if (l->bytes > l->host.max_bytes) {
        *why = XB_CLOSED_BYTES;
        c = longest(l, XB_HALF);
    } else {
        c = overdue(l);
        *why = !c ? XB_N_CLOSED : c->state == XB_HALF ? XB_CLOSED_SLOW : c->state == XB_UNREAD ? XB_CLOSED_UNREAD : XB_N_CLOSED;
    }
    if (!c)
        return NULL;
    if (l->service->stats && *why < XB_N_CLOSED)
        l->service->stats->closed[*why]++;
    xb_connection_end(l, c);
    return c;
}

uint64_t xb_listener_wake(const xb_listener *l)
{
    uint64_t soonest = XB_NEVER;
    for (int state = 0; state < XB_N_STATES; state++)
        if (l->queue[state].behind->deadline < soonest)
            soonest = l->queue[state].behind->deadline;
    return soonest;
}

void xb_listener_drain(xb_listener *l, uint64_t idle, uint64_t rest)
{
    const uint64_t now = l->host.clock();
    for (int state = 0; state < XB_N_STATES; state++) {
        uint64_t *patience = &l->host.patience[state], most = state == XB_IDLE ? idle : rest;
        *patience = *patience < most ? *patience : most;
        for (xb_connection *ends = &l->queue[state], *c = ends->behind; c != ends; c = c->behind)
            c->deadline = c->deadline < now + *patience ? c->deadline : now + *patience;
    }
}
