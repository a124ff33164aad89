/* claims.h - contradictions between a request and the browser that its agent claims.
 *
 * Law: what a browser's engine always or never sends is stated here and nowhere else. Each contradiction is
 * one bit; features.def has a row for it, and training gives it a weight. A contradiction must never fire for what an engine
 * does by design: WebSockets, preflights, media, downloads, workers and .well-known have their exceptions here.
 *
 * Handshakes: an unknown program contradicts nothing. A handshake contradicts the agent if it has a mark that only another
 * program has, or, for versions of Chromium and Safari that send GREASE, if it has no GREASE. If an antivirus or a company's
 * proxy intercepts a person's connection, the handshake is that program's, and the person's requests contradict it: the price
 * of this evidence (docs/features.md says what to do).
 *
 * Source of the facts: requests of Chromium 64 to 156, Firefox 115 to 159, QtWebEngine 5.12 to 6.11, WebKitGTK 2.44 to 2.54 and WPE 2.38 as they
 * reach nginx (bench/moments.py), the Fetch and Client Hints specifications, and the engines' release notes for what came with which version.
 */
#ifndef XB_CLAIMS_H
#define XB_CLAIMS_H

#include "features/claimed.h"
#include "features/situation.h"

/* Bits of xb_facts.odd. */
enum {
    XB_ODD_NO_LANGUAGE,     /* a browser's agent, or one of Apple's library, without Accept-Language */
    XB_ODD_NO_ENCODING,     /* without Accept-Encoding; also of programs whose library always sends it */
    XB_ODD_ENCODING,        /* Accept-Encoding without gzip or without deflate; of Android's library, with deflate */
    XB_ODD_STRIPPED,        /* opens a page with neither Accept-Language nor Sec-Fetch-*: headers were removed, or only few were copied */
    XB_ODD_NO_ACCEPT,       /* without Accept */
    XB_ODD_CONTENT_TYPE,    /* GET or HEAD with Content-Type, not from a page's script */
    XB_ODD_PAGE_ANY,        /* asks for a page with an Accept that opens none, not from a page's script */
    XB_ODD_TEXT_BROWSER,    /* a text browser without one of its Accept headers */
    XB_ODD_PROGRAM,         /* an application's agent without what its system's library always sends */
    XB_ODD_POST,            /* a browser sends POST with neither Referer nor Origin */
    XB_ODD_NO_UPGRADE,      /* opens a page without Upgrade-Insecure-Requests */
    XB_ODD_UPGRADE,         /* Upgrade-Insecure-Requests, and no page is opened */
    XB_ODD_NO_BR,           /* over https, cannot read br */
    XB_ODD_NO_ZSTD,         /* over https, cannot read zstd */
    XB_ODD_NO_FETCH,        /* over https, no Sec-Fetch-* */
    XB_ODD_NO_HINTS,        /* over https, no client hints on what always has them */
    XB_ODD_PLAIN_FETCH,     /* over plain http: Sec-Fetch-* */
    XB_ODD_PLAIN_HINTS,     /* over plain http: client hints */
    XB_ODD_PLAIN_ENCODING,  /* over plain http: br or zstd */
    XB_ODD_HINTS,           /* client hints of an agent that is no Chromium */
    XB_ODD_HINT_VERSION,    /* client hints of another version than the agent's, or not of Chromium */
    XB_ODD_HINT_PLATFORM,   /* of another system */
    XB_ODD_HINT_MOBILE,     /* of another kind of device */
    XB_ODD_HINT_BRAND,      /* of another browser */
    XB_ODD_HINT_PART,       /* some of the three that come together are missing */
    XB_ODD_HEADLESS_HINTS,  /* they say headless */
    XB_ODD_ACCEPT,          /* Accept of another engine */
    XB_ODD_FETCH_PART,      /* some of Sec-Fetch-Site, -Mode and -Dest are missing */
    XB_ODD_FETCH_MISFIT,    /* they contradict each other, or Accept */
    XB_ODD_FETCH_USER,      /* Sec-Fetch-User where the engine sends none */
    XB_ODD_NAVIGATE_ASSET,  /* opens a style, script or font as a page */
    XB_ODD_NAVIGATE_BODY,   /* opens a page with a method or a Content-Type that no form and no link sends */
    XB_ODD_NO_ORIGIN,       /* POST, PUT, PATCH or DELETE without Origin */
    XB_ODD_COOKIE,          /* a cookie without Accept-Language, whatever the agent */
    XB_ODD_ORDER_AGENT,     /* where the order is known: User-Agent after Accept */
    XB_ODD_ORDER_ENCODING,  /* Accept-Encoding before Accept */
    XB_ODD_ORDER_LANGUAGE,  /* Accept-Language and Accept-Encoding the wrong way round */
    XB_ODD_ORDER_REFERER,   /* Referer on the wrong side of Accept-Encoding */
    XB_ODD_ORDER_COOKIE,    /* Cookie before Accept-Language */
    XB_ODD_ORDER_FETCH,     /* Sec-Fetch-* out of their order */
    XB_ODD_CASE_LOWER,      /* where case is known, over HTTP/1: names in lower case */
    XB_ODD_CASE_HINTS,      /* names of client hints with capitals */
    XB_ODD_TLS_CHROME,      /* the handshake: of another program than the Chromium, or Android's library, that the agent claims */
    XB_ODD_TLS_FIREFOX,     /* of another than the Firefox */
    XB_ODD_TLS_SAFARI,      /* of another than the Safari, or other WebKit, or Apple's library */
    XB_ODD_TLS_IE,          /* of another than the Internet Explorer, the Edge before it was a Chromium, or Outlook on Windows */
    XB_ODD_TLS_ALPN,        /* a recent browser that agreed on no protocol, or another one than is spoken */
    XB_ODD_TLS_GROUP,       /* a recent Chromium without a post-quantum group */
    XB_ODD_COUNT
};

_Static_assert(XB_ODD_COUNT <= 64, "contradictions are a 64-bit set");

#define XB_ODD(name) (UINT64_C(1) << XB_ODD_##name)

/* Is the handshake the one that the agent's engine makes? True only of programs that are known; an impersonator's is, too. */
bool xb_handshake_fits(const xb_agent_facts *ua, const xb_handshake *h);

/* The contradictions of a request, as bits, but for those of the handshake. The situation, the agent and the facts of values are in `f`.
 * Those that need the scheme, the order or the case of names are only set where the request holds them. */
uint64_t xb_claims(const xb_request *r, const xb_facts *f);

/* Those of the handshake, which must be known (handshake_claims.c). */
uint64_t xb_claims_of_handshake(const xb_facts *f);

#endif
