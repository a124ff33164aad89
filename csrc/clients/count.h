/* count.h - a request is counted: for its client, its network, its shape and the site.
 *
 * Law: what a request counts as is the caller's word (behaviour.h); what that makes of a client, and what its groups learn of it, is
 * decided here. What it was counted as goes into the client's key, so that its outcome can correct it (correct.h).
 */
#ifndef XB_COUNT_H
#define XB_COUNT_H

#include "clients/table.h"

/* One request, as it is counted. */
typedef struct {
    uint32_t counts;    /* XB_COUNT(...) of what goes up by one, without those of clients and outcomes; at most one kind of referrer */
    uint32_t marks;     /* XB_MARK_BROWSER, _KEEPS, _ROBOTS of this request; the others follow */
    uint8_t what;       /* xb_visit_what */
    uint8_t family;     /* of its browser, below XB_CLIENTS_FAMILIES */
    uint32_t version;   /* of the browser, below 65536; 0: unknown */
    uint64_t path, agent, address; /* hashes of them, for the sketches */
} xb_visit;

/* Counts a request, in the places where its keys were found just now, or in new ones; and puts what it counted as into the
 * client's key. Returns the client's entry; NULL without a key. */
xb_client_entry *xb_clients_count(xb_clients *t, xb_client_keys *k, const xb_client_places *places, uint64_t now_ms, const xb_visit *visit);

/* Adds marks to a client's entry; nothing if there is none. */
void xb_clients_mark(xb_clients *t, const xb_client_keys *k, uint32_t marks);

/* ---- for correct.c ---- */

/* What the group gets to know of a client that has these marks, and had the others before. */
uint32_t xb_client_events(uint32_t before, uint32_t marks);

/* What a page counted whose key says this. */
uint32_t xb_client_said(uint32_t says);

#endif
