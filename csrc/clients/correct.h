/* correct.h - what happened to a request, and what that corrects.
 *
 * Law: a request is counted as what it looks like (count.h); its status and content type say afterwards what it was. Entries that are gone
 * stay so.
 *
 * What a gate refuses says nothing against who asked: a page that is answered with 401, 403, 407 or 429 takes back all that it counted as
 * a page. Nobody who was refused by mistake gathers evidence by trying again. It stays a request. So does a page that the site could not
 * give (5xx): who gets none can load no parts of it, and loads it again and again.
 */
#ifndef XB_CORRECT_H
#define XB_CORRECT_H

#include "base/span.h"
#include "clients/table.h"

typedef enum {
    XB_CONTENT_UNKNOWN,
    XB_CONTENT_PAGE,
    XB_CONTENT_SCRIPT,
    XB_CONTENT_STYLE,
    XB_CONTENT_IMAGE,
    XB_CONTENT_FONT,
    XB_CONTENT_DATA, /* JSON, XML, feeds */
    XB_CONTENT_OTHER
} xb_content;

typedef struct {
    int status;    /* 0: unknown */
    int64_t bytes; /* of the body; -1: unknown */
    uint8_t content; /* xb_content */
} xb_response;

/* Which kind a content type is of ("text/html; charset=utf-8"); unknown for an absent or empty one, and for a lone dash. */
xb_content xb_content_of(xb_span content_type);

/* Counts what happened to the request of these keys, as xb_clients_count left them.
 *
 * A page that was refused, one that failed, and one that was of another content, was none: what it counted as a page is taken back, in the entries of
 * client, network, shape and site. Of a client's first page that was refused, also that it opened one (XB_MARK_PAGED; VISITORS, and what
 * follows from it), unless it has another by now. Paths, agents and shapes that networks have seen stay. */
void xb_clients_outcome(xb_clients *t, const xb_client_keys *k, uint64_t now_ms, const xb_response *r);

#endif
