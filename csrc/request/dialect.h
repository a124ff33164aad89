/* dialect.h - how each kind of proxy asks: from its request to the visitor's.
 *
 * Law: a listener has one dialect and it is configured, never guessed: a visitor can send X-Forwarded-Uri, too. So the proxy
 * overwrites every header that its dialect reads (docs/proxies.md lists the files that do this), and the policy comes from a
 * place where no visitor can write.
 *
 * X-Original-Order says that all headers are there and in the order in which they were sent. If a dialect relies on it
 * (XB_ORDER_IF_SAID) and it is missing, the order is absent: with a proxy that keeps headers in a hash table, everybody would
 * look like a bot. `X-Original-Order: lost` says that another proxy or a CDN stands in front of the one that asks. Then order,
 * case of names, protocol, scheme, connection and handshake are not the visitor's, and all of them are absent. Only proxies whose
 * files write this header are heard (XB_ORDER_UNLESS_LOST, XB_ORDER_IF_SAID): with the others it is the visitor's, who would take
 * all this evidence away by one line.
 *
 * Connection and handshake are only read where no visitor can write them, even if the proxy's files are older than these
 * headers and pass on any that a visitor sends. nginx writes its own headers, then Host, then the visitor's. HAProxy has the
 * visitor's names in lower case, and its script writes capitals.
 *
 * Each dialect has headers that its proxy sends with every question. Where one is missing, empty, or there twice with
 * different values, the question does not follow the dialect: xb_request.missing says so, and policy.h says what follows for
 * lists. An address "unix:" is not missing: nginx sends it for a visitor on a Unix socket, who has no address. In logs nothing
 * is required: what a log does not hold is absent.
 */
#ifndef XB_DIALECT_H
#define XB_DIALECT_H

#include "request/request.h"

typedef enum {
    XB_DIALECT_NGINX,         /* auth_request: X-Real-IP, X-Original-{URI,Method,Protocol,Scheme,Host}, X-Bot-Policy;
                                 X-TLS-{Protocol,Ciphers,Curves,ALPN,Reused,Sigalgs}, X-Connection: PID-CONNECTION-REQUESTS */
    XB_DIALECT_INGRESS_NGINX, /* auth-url: X-Real-IP, X-Original-{URL,Method}; ?policy= in the target */
    XB_DIALECT_FORWARD_AUTH,  /* Caddy, Traefik: X-Forwarded-{Method,Uri,Proto,Host}, the last address of -For; ?policy=; no order */
    XB_DIALECT_EXT_AUTHZ,     /* Envoy, HTTP: the visitor's method, target, Host; X-Real-IP, X-Forwarded-Proto, X-Original-{Protocol,Order},
                                 X-Bot-Policy */
    XB_DIALECT_HAPROXY,       /* Lua: X-Real-IP, X-Original-{URI,Method,Protocol,Scheme,Host,Order}; X-TLS-*, X-Connection; ?policy= in the target */
    XB_DIALECT_CHALLENGE,     /* GET /?ip=&user_agent=&referer=, URL-encoded; 204 or 403 */
    XB_DIALECT_COUNT
} xb_dialect;

/* The version of nginx/. Raised when the sidecar has to know about a change in them; the version that they report is in
 * xb_request.files. From version 2 on they send connection and handshake, and ask again after 428 (answer.h); from
 * version 3 on they keep X-Bot-Client to themselves, and can tell what happened to a request (clients/outcomes.h). */
enum { XB_FILES = 3, XB_FILES_TELL = 2, XB_FILES_OUTCOME = 3 };

typedef enum { XB_POLICY_BY_NONE, XB_POLICY_BY_HEADER, XB_POLICY_BY_TARGET } xb_policy_source; /* X-Bot-Policy; ?policy= */
typedef enum {
    XB_ORDER_KEPT,        /* as the proxy hands it on; X-Original-Order is a visitor's, and nothing */
    XB_ORDER_UNLESS_LOST, /* but where X-Original-Order says that it is lost */
    XB_ORDER_IF_SAID,     /* only if X-Original-Order is there, and does not say so */
    XB_ORDER_LOST         /* by the proxy; X-Original-Order is nothing */
} xb_order_source;
typedef enum {
    XB_WRITES_OVER,  /* the visitor's headers of required names are removed: two that differ did not come from the proxy */
    XB_WRITES_BEFORE /* the visitor's headers come after the proxy's, and do not count */
} xb_writes;

typedef enum {
    XB_TELLS_NOTHING,
    XB_TELLS_BEFORE_HOST, /* headers after Host are the visitor's, if X-Real-IP comes before it */
    XB_TELLS_IN_CAPITALS  /* names all in lower case are the visitor's */
} xb_telling;

enum { XB_MAX_REQUIRED = 3 };

typedef struct {
    const char *name;
    void (*apply)(xb_request *r, char *scratch); /* all but policy and order */
    xb_policy_source policy;
    xb_order_source order;
    xb_writes writes;
    struct {
        xb_header_id id;
        uint32_t part; /* XB_HAS_*: what is missing without it; 0 after the last */
    } required[XB_MAX_REQUIRED];
    xb_telling telling; /* connection and handshake: X-TLS-*, X-Connection, X-Xbot-Files */
} xb_dialect_row;

extern const xb_dialect_row xb_dialects[XB_DIALECT_COUNT];

/* Replaces the proxy's request in `r` by the visitor's. `scratch` takes decoded values; it holds at least
 * XB_MAX_HEAD bytes and must live as long as `r`. What the proxy did not send is absent. */
void xb_dialect_apply(xb_dialect dialect, xb_request *r, char *scratch);

/* The head by which nginx's files would ask about this request, whose fields are known already (fields.h), so that a record of it is
 * like any other: written to `to`, which has room for XB_MAX_HEAD bytes. Returns its bytes. What the asking proxy says in words of
 * its own, a visitor cannot say: such headers are left out, as are those that frame a message. Headers that find no room are missing,
 * and so is the handshake. */
size_t xb_question_of(const xb_request *r, char *to);

/* Decodes URL-encoding (%41, and + for a space) from `s` to `out`, which has room for s.size bytes.
 * Returns the decoded span; with `bad` not NULL, *bad is the place of the first bad escape, or NULL if there is none.
 * A bad escape is copied unchanged. */
xb_span xb_url_decode(xb_span s, char *out, const char **bad);

#endif
