/* situation.h - what changes from one request of a program to the next, as far as contradictions depend on it.
 *
 * Law: contradictions (claims.h) depend on the agent, on the names that the request lists, on the first values of some headers (fingerprint.c has
 * them) and on the situation: on nothing else. So they can be kept with a print. The situation holds no more of a request than they ask for.
 */
#ifndef XB_SITUATION_H
#define XB_SITUATION_H

#include "features/facts.h"

/* The lowest bits are those XB_HAS_* that are in XB_SITUATION_HOLDS. */
enum {
    XB_SITUATION_HOLDS = XB_HAS_UA | XB_HAS_REFERRER | XB_HAS_HEADERS | XB_HAS_ORDER | XB_HAS_CASE,
    XB_SITUATION_MALFORMED = 1 << 10,     /* a line has no name */
    XB_SITUATION_WELL_KNOWN = 1 << 11,    /* the path is one of /.well-known/ */
    XB_SITUATION_NO_REFERRER = 1 << 12,   /* a POST without one */
    XB_SITUATION_FORM = 1 << 13,          /* a POST that a form can send */
    XB_SITUATION_METHOD = 14,             /* xb_situation_method, from this bit on */
    XB_SITUATION_SCHEME = 18,             /* xb_situation_scheme */
    XB_SITUATION_PROTOCOL = 20,           /* xb_situation_protocol */
    XB_SITUATION_KIND = 22                /* XB_KIND_* of the path */
};
_Static_assert(XB_SITUATION_HOLDS < XB_SITUATION_MALFORMED, "bits of their own");

typedef enum { XB_METHOD_NONE, XB_METHOD_GET, XB_METHOD_HEAD, XB_METHOD_POST, XB_METHOD_UNSAFE, XB_METHOD_OPTIONS, XB_METHOD_OTHER } xb_situation_method;
typedef enum { XB_SCHEME_NONE, XB_SCHEME_HTTPS, XB_SCHEME_PLAIN, XB_SCHEME_LOOPBACK /* plain, to a host that browsers trust */ } xb_situation_scheme;
typedef enum { XB_PROTOCOL_NONE, XB_PROTOCOL_1, XB_PROTOCOL_2 /* or newer */ } xb_situation_protocol;

/* Of a request whose path and referrer are in `f`. */
uint32_t xb_situation_of(const xb_request *r, const xb_facts *f);

#endif
