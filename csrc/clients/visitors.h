/* visitors.h - the proven visitors of a site, and the highest margin that each of them got: what the site's threshold is made from.
 *
 * Law: a table of a fixed size in memory that workers write and their master reads. Any of them may at any time; none waits, as in
 * clients.h. An entry that is replaced while it is read may be two halves of visitors, and so count in a wrong network or shape;
 * nothing else can be wrong. What the threshold is, is not decided here (sidecar/proven.py).
 *
 * Who is proven the caller says, and who contradicts himself: he is never an entry. What a client got before it was proven is kept
 * with its entry in the table of clients (XB_MARK_HIGHEST), so a person's first request counts too, as it does in a log.
 *
 * The network chooses the set. So no network can have more than XB_VISITORS_WAYS entries, nor push out more than those of its set,
 * and whoever wants the whole table needs thousands of networks. Of a full set the entry goes that was idle for longest.
 *
 * A margin says something only beside the others of the same model: each has the mark of its model, and a new model begins anew.
 */
#ifndef XB_VISITORS_H
#define XB_VISITORS_H

#include "clients/table.h"

enum { XB_VISITORS_VERSION = 1, XB_VISITORS_WAYS = 8, XB_VISITORS_SETS = 1024 };

typedef struct {
    uint64_t network, shape; /* keys, as in the table of clients */
    uint64_t last;           /* milliseconds since 1970 UTC */
    uint32_t model;          /* the mark of the model that gave the margin */
    float margin;            /* the highest */
} xb_visitor;

typedef struct {
    uint64_t client[XB_VISITORS_WAYS]; /* keys; 0: empty */
    xb_visitor visitor[XB_VISITORS_WAYS];
} xb_visitor_set;

typedef struct {
    xb_board_header board;
    xb_visitor_set set[XB_VISITORS_SETS];
} xb_visitors;

_Static_assert(sizeof(xb_visitor) == 32 && sizeof(xb_visitor_set) % 64 == 0, "whole lines of the cache");

/* Makes an empty one of zeroed memory. */
void xb_visitors_init(xb_visitors *t);

/* Is what lies in `size` bytes of memory, aligned to 64, such a table? NULL, or why it is refused. Its entries need no check. */
const char *xb_visitors_check(const void *memory, size_t size);

/* A request of this client got this margin by the model of this mark. `client` is its entry; NULL is nobody. `proven`: it has shown
 * that somebody's browser visits the site; `contradicts`: this request contradicts that, for good. */
void xb_visitors_note(xb_visitors *t, xb_client_entry *client, const xb_client_keys *k, uint64_t now_ms, uint32_t model, double margin,
                      bool proven, bool contradicts);

#endif
