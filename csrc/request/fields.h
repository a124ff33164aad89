/* fields.h - a request from fields that are parsed already: a record of a log, a model's self-test, a server's own structs.
 *
 * Law: presence is decided here, the same for all sources. A field is absent if its span is absent (`at` NULL); an
 * empty span is a field that is present and empty. Spans live as long as the request that holds them.
 */
#ifndef XB_FIELDS_H
#define XB_FIELDS_H

#include "request/request.h"

/* What the source knows of the headers. */
typedef enum {
    XB_HEADERS_UNKNOWN,   /* nothing: the agent and the referrer are fields, or absent */
    XB_HEADERS_UNORDERED, /* all of them, in no order and in any case */
    XB_HEADERS_ORDERED,   /* all of them, in the order and the case in which they were sent */
    XB_HEADERS_KINDS
} xb_headers;

typedef struct {
    xb_span ip, method, uri, protocol, scheme;
    xb_span host, agent, referrer; /* absent: those among the headers, where these are known */
    xb_tls tls;
    xb_connection_id connection;
    xb_span policy;                /* the policy that is asked for, by name */
    xb_headers headers;
} xb_fields;

/* Completes a request with these fields. The request must be empty (xb_request_clear) except for its headers, which the host has
 * added one by one by xb_request_add, so that it need not copy its pairs into a second list. With XB_HEADERS_UNKNOWN there are none.
 * False, and the request is empty, if the uri is longer than XB_MAX_HEAD: a workspace has no room for more (judge.h). */
bool xb_request_complete(xb_request *r, const xb_fields *f);

#endif
