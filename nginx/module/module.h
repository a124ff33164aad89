/* module.h - the judge inside nginx: what the parts of the module share.
 *
 * Law: the module is a host of csrc/judge.h and decides nothing itself. It gives the judge what the files of nginx/ give the sidecar, field
 * by field, so both reach the same margin, bit for bit. All state of a worker is static: a worker is one thread, and judges one
 * request at a time. What a request keeps is copied into its pool, so that no pointer into an image outlives the image.
 *
 *   module.c     directives, the gate of a location, the access handler
 *   visitor.c    nginx's request -> csrc's; the handshake of a connection
 *   headers.c    X-Bot and its kin: no visitor may send them, and the site gets the verdict in them
 *   board.c      the board's file `served` -> checked model and policies in memory of this worker
 *   share.c      what the sidecar lends: the table of clients, the operator's word, and memory for what is told to it
 *   verdict.c    the decision of a request, taken once, and the variables that tell it
 *   question.c   a signed request, which the sidecar is asked about
 *   counters.c   what was decided, counted in a shared zone; the page of xbot_status
 */
#ifndef XBOT_MODULE_H
#define XBOT_MODULE_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "board/counters.h"
#include "board/share.h"
#include "judge.h"
#include "record.h"

/* What a location does with a decision. Those behind ENFORCE refuse what the policy refuses. */
typedef enum {
    XBOT_OFF,     /* nobody is judged */
    XBOT_OBSERVE, /* nobody is refused */
    XBOT_ENFORCE, /* who the policy refuses gets 403; while nothing is served everybody is let by */
    XBOT_CLOSED   /* the same, but while nothing is served everybody gets 503 */
} xbot_gate;

typedef struct {
    ngx_str_t board;        /* the directory, with a closing zero; `data` NULL: the module is not in use */
    ngx_shm_zone_t *zone;   /* of counters.c */
    ngx_int_t policy, order, ip; /* indices of $xbot_policy, $xbot_order and $xbot_ip */
} xbot_main;

typedef struct {
    ngx_uint_t gate;     /* xbot_gate */
    ngx_flag_t pass;     /* the site gets the verdict in headers (headers.c) */
    ngx_str_t policy;    /* decides about requests that name none and whose path has none */
    const u_char *asked; /* which auth_request line this location has: its own or inherited (module.c) */
    size_t asked_size;
    ngx_str_t question; /* the target of that line, if it asks the sidecar and is the gate here; else empty */
} xbot_location;

/* What is known of a request, in its pool. */
typedef struct {
    ngx_str_t asked, fallback; /* policies: by $xbot_policy, by xbot_policy */
    ngx_str_t ip;              /* the visitor's address as text, by $xbot_ip */
    unsigned judged : 1;
    unsigned known : 1;   /* judged, and there was something to judge by */
    unsigned refuse : 1;  /* the policy says so */
    unsigned refused : 1; /* the gate did so; what follows is the site's error page */
    unsigned was_asked : 1; /* the sidecar, about the signature */
    unsigned owed : 1;    /* judged before the sidecar could be asked: not counted, unless it will not be asked */
    unsigned counted : 1; /* in the table of clients */
    unsigned lost : 1;    /* the order of headers was, by $xbot_order */
    unsigned passed : 1;  /* the verdict stands among the request's headers */
    double margin;
    uint16_t said;       /* what it was counted as (XB_SAYS) */
    const xbot_location *settled; /* past the access phase of this location: the verdict changes no more, until a redirect */
    void *question;      /* that waits for its answer (question.c), or NULL */
    xb_client_keys keys; /* for the outcome; all 0: there is nothing to tell */
    ngx_str_t verdict, score, reason, policy, agent, purpose, id; /* empty: none */
} xbot_context;

extern ngx_module_t ngx_http_xbot_module;

/* ---- visitor.c ---- */

/* Fills `out` with the visitor's request as it was noted in `ctx`: who asks, and for which policy. Spans point into r. NGX_ERROR: no memory. */
ngx_int_t xbot_read_visitor(ngx_http_request_t *r, const xbot_context *ctx, xb_request *out);

/* ---- headers.c ---- */

/* To be called once, before the others. */
void xbot_headers_init(void);

/* Is this the name X-Bot, or X-Bot-Score and the like? WSGI, CGI and PHP make one variable of X-Bot, X_Bot and X.Bot: so any byte but a
 * letter or a digit may stand for a hyphen. */
bool xbot_is_own_header(const ngx_str_t *name);

/* Removes all of them from the headers that the site gets. NGX_ERROR: no memory. */
ngx_int_t xbot_remove_headers(ngx_http_request_t *r);

/* Adds the verdict to the headers of a main request that has none of them; `ctx` is what is known of it, or NULL. NGX_ERROR: no memory. */
ngx_int_t xbot_pass_headers(ngx_http_request_t *r, xbot_context *ctx);

/* The same for a subrequest, which comes through no access phase; a handler of the phase before the content. */
ngx_int_t xbot_pass_to_subrequest(ngx_http_request_t *r);

/* ---- board.c ---- */

typedef struct {
    char *image; /* of `served` (csrc/served.h) */
    uint64_t made; /* nanoseconds since 1970 UTC */
    xb_model model;
    xb_policies policies;
} xbot_served;

/* The bytes of the board's file of this name, in memory that the caller frees; at most `most`. NULL, and why not: also where others
 * could have written it. */
char *xbot_board_read(const ngx_str_t *board, const char *name, size_t most, size_t *size, const char **why);

/* What is served now, or NULL. Looks for a newer file at most once a second; `work` is used to check it. */
xbot_served *xbot_board_look(const ngx_str_t *board, xb_workspace *work, ngx_log_t *log);

/* What this worker judges by, without a look; NULL: nothing. */
const xbot_served *xbot_served_now(void);

/* ---- share.c ---- */

/* What the sidecar has lent, each of it or NULL. */
typedef struct {
    xb_clients *clients;
    const xb_wheel *wheel;
    const xb_lookups *lookups;
    xb_lookups *questions;
    xb_visitors *visitors;
    xb_lane *lane;
    const uint64_t *clock_ms;
    bool signs;     /* the sidecar checks signatures */
    bool connected; /* it is there */
} xbot_lent;

const xbot_lent *xbot_lent_now(void);

/* Which decisions are recorded, in its lane; of this worker. */
xb_recorder *xbot_recorder(void);

/* A worker begins, or ends. */
void xbot_share_begin(const xbot_main *conf, ngx_cycle_t *cycle);
void xbot_share_end(void);

/* Tells the sidecar what this worker has counted since it was told last. */
void xbot_share_tell(void);

/* ---- verdict.c ---- */

/* Adds the variables to this configuration. */
ngx_int_t xbot_add_variables(ngx_conf_t *cf, xbot_main *conf);

/* The decision about r->main, taken now unless it was before by the same policy. A subrequest takes none. NULL: no memory, or a
 * subrequest of a request that was not judged. */
xbot_context *xbot_verdict(ngx_http_request_t *r);

/* A context for a request that has none. NULL: no memory. */
xbot_context *xbot_make_context(ngx_http_request_t *r);

/* Notes by which policy and as whose the request is to be judged now. NGX_DONE: as that it was judged already; NGX_ERROR: no memory. */
ngx_int_t xbot_note(ngx_http_request_t *r, xbot_context *ctx);

/* What is known of r->main, or NULL. */
xbot_context *xbot_known(ngx_http_request_t *r);

/* Counts a request that has not been yet, and tells the table of clients what became of it; for the log phase. */
ngx_int_t xbot_tell_outcome(ngx_http_request_t *r);

/* A worker begins: reads what is served before its first request. */
void xbot_verdict_begin(ngx_cycle_t *cycle);

/* ---- question.c ---- */

/* Is the sidecar to be asked about this request, once it comes to the gate of its location? */
bool xbot_will_ask(ngx_http_request_t *r, const xbot_context *ctx);

/* In the access phase, before the verdict. NGX_AGAIN: the sidecar is being asked, and the phase runs again; NGX_OK: it was, or need not
 * be; NGX_ERROR: no memory. */
ngx_int_t xbot_ask_of_signature(ngx_http_request_t *r, const xbot_location *location);

/* ---- counters.c ---- */

ngx_int_t xbot_counters_zone(ngx_conf_t *cf, xbot_main *conf);
void xbot_counters_begin(xbot_main *conf, ngx_log_t *log);
void xbot_counters_end(void);

/* This worker's counters, or NULL. */
xb_stats *xbot_counters(void);

/* The same, and what of them the sidecar was told. */
const xb_stats *xbot_counters_told(xb_stats **told);

ngx_int_t xbot_status_page(ngx_http_request_t *r);

#endif
