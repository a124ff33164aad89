/* connection.h - what a connection does with the bytes that its peer sends: a state machine without sockets, loop and timers.
 *
 * Law: bytes, memory and time come from the host; it gets back replies, and the connections that it must close. A host moves
 * bytes and keeps one timer for each listener, so a test, a fuzzer and a worker use the same machine. A whole head is read in
 * place; only the beginning of a head that comes in pieces is copied. An idle connection holds no buffer.
 *
 * A peer may be idle for as long as it likes: proxies keep their connections open. It must send the rest of a head and read its
 * replies in time. A listener has a bound on connections and on bytes. Past a bound the connection that has waited longest is
 * closed, so a flood of new connections closes its own and not those in use.
 */
#ifndef XB_CONNECTION_H
#define XB_CONNECTION_H

#include "answer.h"

/* What a connection waits for. It is in its listener's queue of that state; the one that has waited longest comes first. */
typedef enum {
    XB_IDLE,   /* for the first byte of a head */
    XB_HALF,   /* for the rest of a head; its beginning is stored */
    XB_UNREAD, /* for the peer to read its replies; the host reads nothing from it meanwhile */
    XB_LAST,   /* for the peer to close: the last reply was given, and further bytes are discarded */
    XB_N_STATES,
    XB_GONE = XB_N_STATES /* it has left the listener */
} xb_state;

extern const char *const xb_closed_names[]; /* by xb_closed (board/counters.h): why connections are closed without a reply */

typedef struct xb_connection xb_connection;
struct xb_connection {
    xb_connection *ahead, *behind; /* in the queue */
    void *host;        /* the host's own; not looked at here */
    char *piece;       /* memory of the host, or NULL: the beginning of a head */
    size_t size, room; /* bytes in it; bytes of it */
    size_t unread;     /* bytes of replies, as the host said */
    uint64_t deadline; /* ns of the listener's clock, or XB_NEVER */
    uint64_t turn;     /* when it began to wait, in turns of the listener */
    xb_state state;
    bool last;         /* the last reply was given */
};

#define XB_NEVER UINT64_MAX

/* What the host provides to a listener, and the bounds. */
typedef struct {
    void *(*resize)(void *memory, size_t size); /* as realloc, NULL if there is no memory; size 0 frees it */
    uint64_t (*clock)(void);                    /* ns, never going back; asked only where a wait is bounded */
    size_t max_connections;                     /* at least 1 */
    size_t max_bytes;                           /* of memory for pieces, and of unread replies, together */
    uint64_t patience[XB_N_STATES];             /* ns that a connection may wait in a state, or XB_NEVER */
} xb_host;

typedef struct {
    const xb_service *service;
    xb_workspace *work;
    xb_host host;
    size_t connections; /* that are open */
    size_t bytes;       /* that they hold */
    uint64_t turns;
    xb_connection queue[XB_N_STATES]; /* the ends of each circle */
} xb_listener;

/* A listener without connections. It must not be moved while it has any. `service` and `work` stay the caller's; listeners that
 * are served in turn may share a workspace. */
void xb_listener_init(xb_listener *l, const xb_service *service, xb_workspace *work, const xb_host *host);

/* A connection begins, in the state XB_IDLE. Its memory is the host's, and must stay in place until it has ended. */
void xb_connection_begin(xb_listener *l, xb_connection *c, void *host);

/* A connection is over, for any reason. Frees what it held. Ending it again does nothing. */
void xb_connection_end(xb_listener *l, xb_connection *c);

/* Takes bytes that were read, from the front of `in`, and moves `in` past them.
 * Call it again until it returns XB_WAIT; then `in` is empty. XB_ANSWERED comes with a reply to send, and with a request in
 * l->work that is valid until the next call. XB_REFUSED comes with a reply to send (400) and no request. If `last` is set after
 * that, the host sends what it has, shuts down its side, and waits for the peer to close. */
typedef enum { XB_WAIT, XB_ANSWERED, XB_REFUSED } xb_step;
xb_step xb_connection_next(xb_listener *l, xb_connection *c, xb_span *in, xb_reply *reply);

/* The peer has `bytes` of replies unread: its time begins to run. With 0 it has read all, and the time stops. */
void xb_connection_unread(xb_listener *l, xb_connection *c, size_t bytes);

/* Nothing more is expected from the peer. */
void xb_connection_last(xb_listener *l, xb_connection *c);

/* The connection that must be closed next, because it was too slow (XB_CLOSED_SLOW, XB_CLOSED_UNREAD), because the listener is
 * past a bound (XB_CLOSED_CONNECTIONS, XB_CLOSED_BYTES), or because its last wait is over (XB_N_CLOSED: normal, and not
 * counted). It has ended here. The host closes it at once, without a reply: a proxy treats that as a service that is away, and
 * asks again or lets the visitor through; it would treat a status as a verdict. NULL: none. Call it if xb_listener_over(), and
 * at the time that xb_listener_wake() returns. */
xb_connection *xb_listener_out(xb_listener *l, xb_closed *why);

static inline bool xb_listener_over(const xb_listener *l)
{
    return l->connections > l->host.max_connections || l->bytes > l->host.max_bytes;
}

/* When the time of the next connection is over, in ns of the clock, or XB_NEVER. */
uint64_t xb_listener_wake(const xb_listener *l);

/* From now on no connection waits longer than this, in ns: `idle` for a first byte, `rest` for everything else. */
void xb_listener_drain(xb_listener *l, uint64_t idle, uint64_t rest);

#endif
