/* keys.h - whose request it is: the keys of its client, its network and its shape.
 *
 * Law: a key is a hash with the table's secret (features/behaviour.h makes it), so nobody outside can choose who shares a place with
 * whom, nor write a key. As text it goes to nginx and comes back with what happened to the request.
 */
#ifndef XB_KEYS_H
#define XB_KEYS_H

#include "base/span.h"

/* The keys of one request. 0: absent. The lowest 16 bits of `client` are no part of its key: they say what the request was
 * counted as (XB_SAYS_*), so that its outcome can correct that. */
typedef struct {
    uint64_t client, network, shape;
} xb_client_keys;

typedef enum { XB_VISIT_OTHER, XB_VISIT_PAGE, XB_VISIT_PART } xb_visit_what;

/* The lowest bits of a client's key, as xb_clients_count leaves them. All but XB_SAYS_WHAT and XB_SAYS_LOADED are only said of pages. */
enum {
    XB_SAYS_WHAT = 3,            /* xb_visit_what */
    XB_SAYS_FIRST = 1 << 2,      /* the client's first page: it made XB_MARK_PAGED */
    XB_SAYS_LOADED = 1 << 3,     /* the client had loaded a part: a page counted as LOADED_PAGES, a part as LOADED_PARTS */
    XB_SAYS_GAP = 1 << 4,        /* the gap before it was counted */
    XB_SAYS_NEW = 1 << 5,        /* its path was new to the sketch, in the class of the next six bits */
    XB_SAYS_CLASS = 6,           /* shift */
    XB_SAYS_REFERRER = 12,       /* shift of two bits: 1 UNREFERRED, 2 OWN, 3 EXTERNAL, 0 none of these */
    XB_SAYS_TYPED = 1 << 14,
    XB_SAYS_QUERIES = 1 << 15,
    XB_SAYS = 0xffff             /* all of them */
};

/* The client's key, without what it says of the request. */
static inline uint64_t xb_client_key(const xb_client_keys *k) { return k->client & ~(uint64_t)XB_SAYS; }

enum { XB_CLIENT_KEYS_TEXT = 48 };

/* Writes 48 hexadecimal digits, without a zero behind them; returns the place behind them. */
char *xb_client_keys_text(const xb_client_keys *k, char *to);

/* Reads them. False, and all zero, if it is anything else. */
bool xb_client_keys_parse(xb_span text, xb_client_keys *out);

#endif
