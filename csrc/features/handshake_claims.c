#include "features/claims.h"

bool xb_handshake_fits(const xb_agent_facts *ua, const xb_handshake *h)
{
    switch (xb_engine_of(ua)) {
    case XB_ENGINE_CHROMIUM:
        return h->stack == XB_STACK_CHROMIUM;
    case XB_ENGINE_GECKO:
        return h->stack == XB_STACK_NSS;
    case XB_ENGINE_WEBKIT: /* WebKitGTK says Safari, and stands on GnuTLS */
        return h->stack == (xb_is_of_apple(ua) ? XB_STACK_APPLE : XB_STACK_GNUTLS);
    default:
        return false;
    }
}

/* Is GREASE where Chromium and Apple put it, in each list that is told? */
static bool greased(const xb_handshake *h)
{
    return h->marks & XB_TLS_GREASE_CIPHER_FIRST && (h->marks & XB_TLS_GREASE_CURVE_FIRST || !(h->known & XB_KNOWS_CURVES));
}

/* Programs that are certainly no browser's engine. Windows is not among them: old Safaris look like it. */
static bool library(const xb_handshake *h)
{
    return h->stack == XB_STACK_OPENSSL || h->stack == XB_STACK_GNUTLS || h->stack == XB_STACK_GO || h->stack == XB_STACK_JAVA ||
           h->stack == XB_STACK_RUSTLS;
}

/* Chromium sends GREASE since 55, and offered no TLS 1.3 before. A view inside a program may have its requests made by the program's own
 * library, which is no Chromium: there only another's marks count. */
static bool not_chromium(const xb_claimed *c, const xb_handshake *h)
{
    if (c->version < 60)
        return c->version && c->version < 55 && h->marks & XB_TLS_13 && c->ua->category != XB_CATEGORY_APPLIANCE && (!xb_is_embedded(c->ua) || library(h));
    if (xb_is_embedded(c->ua))
        return library(h) || h->stack == XB_STACK_NSS;
    return !greased(h) || h->stack == XB_STACK_APPLE;
}

/* NSS knows none of these, or Firefox never offered them; the SCSV it did before 60. Which suites it has changed often, and a
 * list without ffdhe may be an older one's. */
static bool not_firefox(const xb_claimed *c, const xb_handshake *h)
{
    const uint32_t foreign = XB_TLS_X448 | XB_TLS_FFDHE_BIG | XB_TLS_CCM | XB_TLS_13_CCM | XB_TLS_ARIA | XB_TLS_13_LAST;
    return h->marks & foreign || (c->version >= 60 && h->marks & XB_TLS_SCSV) || library(h) || h->stack == XB_STACK_CHROMIUM ||
           h->stack == XB_STACK_APPLE;
}

/* Is it certainly neither GnuTLS's nor OpenSSL's? */
static bool other_than_gtk(const xb_handshake *h)
{
    return h->stack != XB_STACK_NONE && h->stack != XB_STACK_GNUTLS && h->stack != XB_STACK_OPENSSL && h->stack != XB_STACK_SCHANNEL;
}

/* Apple's library sends GREASE wherever Safari 15 runs. Other systems have WebKitGTK and WPE, which stand on GnuTLS or OpenSSL. */
static bool not_webkit(const xb_claimed *c, const xb_handshake *h)
{
    if (!xb_is_of_apple(c->ua))
        return c->ua->browser == XB_BROWSER_SAFARI && other_than_gtk(h);
    if (c->ua->browser == XB_BROWSER_SAFARI && c->version >= 15)
        return !greased(h) || h->stack == XB_STACK_CHROMIUM;
    return library(h);
}

/* Programs that name their system's library, or the phone they run on, have its handshake: Apple's, or Android's, which is Chromium's
 * without GREASE, and was OpenSSL's before there was TLS 1.3. Some applications bring a library in Rust. */
static uint64_t of_system(const xb_agent_facts *ua, const xb_handshake *h)
{
    const bool app = xb_is_application(ua), apple = ua->marks & XB_MARK_CFNETWORK, android = ua->marks & XB_MARK_DALVIK;
    const bool foreign = h->marks & XB_TLS_13 && (library(h) || h->stack == XB_STACK_NSS) && !(app && h->stack == XB_STACK_RUSTLS);
    if (!foreign || !(app || apple || android))
        return 0;
    return apple || (app && ua->os == XB_OS_IOS) ? XB_ODD(TLS_SAFARI) : XB_ODD(TLS_CHROME);
}

/* WebKitGTK on libsoup 2, as long-lived distributions have it: no HTTP/2, GnuTLS, and no br; parts of files come as they are. */
static bool libsoup_2(const xb_claimed *c, const xb_facts *f)
{
    const uint32_t reads = f->encodings.marks;
    return !xb_is_of_apple(c->ua) && f->handshake.stack == XB_STACK_GNUTLS && reads & (XB_ENCODING_GZIP | XB_ENCODING_IDENTITY) && !(reads & XB_ENCODING_BR);
}

/* Does it agree on a protocol wherever it connects? Chromium's WebSockets did not until shortly before 102. */
static bool agrees(const xb_claimed *c, const xb_facts *f)
{
    switch (c->engine) {
    case XB_ENGINE_CHROMIUM:
        return c->version >= (f->handshake.stack == XB_STACK_CHROMIUM ? 102 : 60);
    case XB_ENGINE_GECKO:
        return c->version >= 60;
    default:
        return c->ua->browser == XB_BROWSER_SAFARI && c->version >= 15 && !libsoup_2(c, f);
    }
}

uint64_t xb_claims_of_handshake(const xb_facts *f)
{
    const xb_claimed claimed = xb_claimed_of(f->agent), *c = &claimed;
    const xb_handshake *h = &f->handshake;
    const uint32_t spoken = f->protocol;
    uint64_t odd = 0;
    if (h->known & XB_KNOWS_CIPHERS) {
        if (c->engine == XB_ENGINE_CHROMIUM && not_chromium(c, h))
            odd |= XB_ODD(TLS_CHROME);
        if (c->engine == XB_ENGINE_GECKO && not_firefox(c, h))
            odd |= XB_ODD(TLS_FIREFOX);
        if (c->engine == XB_ENGINE_WEBKIT && not_webkit(c, h))
            odd |= XB_ODD(TLS_SAFARI);
        if (xb_is_of_windows(c->ua) && h->stack != XB_STACK_NONE && h->stack != XB_STACK_SCHANNEL)
            odd |= XB_ODD(TLS_IE);
        odd |= of_system(c->ua, h);
    }
    if (h->known & XB_KNOWS_ALPN && ((h->alpn == XB_ALPN_NONE && agrees(c, f) && !xb_is_embedded(c->ua)) ||
                                     (h->alpn == XB_ALPN_H2 && spoken && spoken < 20) || (h->alpn == XB_ALPN_H1 && spoken >= 20)))
        odd |= XB_ODD(TLS_ALPN);
    /* Since 131; until then companies could switch it off, and views of programs lag behind. */
    if (h->known & XB_KNOWS_CURVES && c->engine == XB_ENGINE_CHROMIUM && c->version >= 145 && !xb_is_embedded(c->ua) && c->ua->category == XB_CATEGORY_PC && !(h->marks & XB_TLS_HYBRID))
        odd |= XB_ODD(TLS_GROUP);
    return odd;
}
