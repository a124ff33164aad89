/* connection.h - what a connection does with the bytes that its peer sends: a machine without sockets, loop and timers.
 *
 * Law: bytes, memory and time come from the host; replies, and who has to go, are given back to it. A host moves bytes and
 * keeps one timer a listener, so a test, a fuzzer and a worker drive the same machine. A whole head is answered where it
 * lies; only the beginning of a head that comes in pieces is copied. Nothing is kept of a connection that is idle.
 *
 * A peer may be idle for as long as it likes: proxies keep their connections open. It may not take long over the rest of a head,
 * nor leave its replies unread, and a listener has a bound on connections and on bytes. Past a bound the connection that has
 * waited longest goes, so that a flood of new ones pushes out itself, and not those in use.
 */
#ifndef XB_CONNECTION_H
#define XB_CONNECTION_H

#include "answer.h"

/* What a connection waits for. It stands in its listener's queue of that state, whoever has waited longest first. */
typedef enum {
    XB_IDLE,   /* a head, of which nothing has come */
    XB_HALF,   /* the rest of a head, whose beginning is held */
    XB_UNREAD, /* its peer, to take the replies that are there; the host reads nothing from it meanwhile */
    XB_LAST,   /* its peer's end: the last reply was given, and what still comes is discarded */
    XB_N_STATES,
    XB_GONE = XB_N_STATES /* it has left the listener */
} xb_state;

extern const char *const xb_closed_names[]; /* by xb_closed (board/counters.h): why connections are closed without a word */

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

/* What the host lends a listener, and the bounds. */
typedef struct {
    void *(*resize)(void *memory, size_t size); /* as realloc, NULL where there is none; size 0 gives it back */
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

/* A connection is over, however that came. Gives back what it held. Ending it again does nothing. */
void xb_connection_end(xb_listener *l, xb_connection *c);

/* Takes bytes that were read, from the front of `in`, which moves behind them.
 * To be called again until it returns XB_WAIT; then `in` is empty. Of the others each comes with a reply to be sent, and with
 * a request in l->work that may be looked at until the next call, but for XB_REFUSED: that is the 400.
 * Where `last` is set then, the host sends what it has, says that no more comes, and lets the peer end. */
typedef enum { XB_WAIT, XB_ANSWERED, XB_REFUSED } xb_step;
xb_step xb_connection_next(xb_listener *l, xb_connection *c, xb_span *in, xb_reply *reply);

/* The peer leaves `bytes` of replies unread (0: it has taken all), so that its time runs (ends). */
void xb_connection_unread(xb_listener *l, xb_connection *c, size_t bytes);

/* No more is wanted from the peer, or will come of it. */
void xb_connection_last(xb_listener *l, xb_connection *c);

/* The connection that has to go next, as it was too slow (XB_CLOSED_SLOW, XB_CLOSED_UNREAD), as the listener is past a bound
 * (XB_CLOSED_CONNECTIONS, XB_CLOSED_BYTES), or as its last wait is over (XB_N_CLOSED: nobody's fault, and not counted).
 * It has ended here; the host closes it at once, without a word: a proxy takes that for a service that is away, and asks again or lets the
 * visitor by, where it would take a status for a verdict. NULL: none. To be asked where xb_listener_over(), and when the
 * time has come that xb_listener_wake() says. */
xb_connection *xb_listener_out(xb_listener *l, xb_closed *why);

static inline bool xb_listener_over(const xb_listener *l)
{
    return l->connections > l->host.max_connections || l->bytes > l->host.max_bytes;
}

/* When somebody's time will be over, in ns of the clock, or XB_NEVER. */
uint64_t xb_listener_wake(const xb_listener *l);

/* From now on nobody waits longer than this, in ns: for a first byte, and for all else. */
void xb_listener_drain(xb_listener *l, uint64_t idle, uint64_t rest);

#endif
