/* dialect.h - how each kind of proxy asks: from its request to the visitor's.
 *
 * Law: a listener has one dialect and it is configured, never guessed: a visitor's own X-Forwarded-Uri reaches us too.
 */
#ifndef XB_DIALECT_H
#define XB_DIALECT_H

#include "request.h"

typedef enum {
    XB_DIALECT_NGINX,     /* auth_request: X-Real-IP, X-Original-{URI,Method,Protocol,Scheme,Host} */
    XB_DIALECT_CHALLENGE, /* GET /?ip=&user_agent=&referer=, URL-encoded; 204 or 403 */
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
