/* dialect.h - how each kind of proxy asks: from its request to the visitor's.
 *
 * Law: a listener has one dialect and it is configured, never guessed: a visitor's own X-Forwarded-Uri reaches us too. So
 * what a dialect reads, its proxy writes over whatever the visitor sent under that name (docs/proxies.md holds the files
 * that see to it), and the policy comes from where no visitor can write.
 *
 * X-Original-Order says that all headers are there and in the order in which they were sent. Where it is said to be looked
 * at and is missing, the order is absent: a proxy that keeps headers in a hash table would make a bot of everybody.
 */
#ifndef XB_DIALECT_H
#define XB_DIALECT_H

#include "request.h"

typedef enum {
    XB_DIALECT_NGINX,         /* auth_request: X-Real-IP, X-Original-{URI,Method,Protocol,Scheme,Host}, X-Bot-Policy */
    XB_DIALECT_INGRESS_NGINX, /* auth-url: X-Real-IP, X-Original-{URL,Method}; ?policy= in the target */
    XB_DIALECT_FORWARD_AUTH,  /* Caddy, Traefik: X-Forwarded-{Method,Uri,Proto,Host}, the last address of -For; ?policy=; no order */
    XB_DIALECT_EXT_AUTHZ,     /* Envoy, HTTP: the visitor's method, target, Host; X-Real-IP, X-Forwarded-Proto, X-Original-{Protocol,Order},
                                 X-Bot-Policy */
    XB_DIALECT_HAPROXY,       /* Lua: X-Real-IP, X-Original-{URI,Method,Protocol,Scheme,Host,Order}; ?policy= in the target */
    XB_DIALECT_CHALLENGE,     /* GET /?ip=&user_agent=&referer=, URL-encoded; 204 or 403 */
    XB_DIALECT_COUNT
} xb_dialect;

extern const char *const xb_dialect_names[XB_DIALECT_COUNT];

/* Replaces the proxy's request in `r` by the visitor's. `scratch` takes decoded values; it holds at least
 * XB_MAX_HEAD bytes and must live as long as `r`. What the proxy did not send is absent. */
void xb_dialect_apply(xb_dialect dialect, xb_request *r, char *scratch);

/* Decodes URL-encoding (%41, and + for a space) from `s` to `out`, which has room for s.size bytes.
 * Returns the decoded span; with `bad` not NULL, *bad is the place of the first bad escape, or NULL if there is none.
 * A bad escape is copied as it stands. */
xb_span xb_url_decode(xb_span s, char *out, const char **bad);

#endif
