#include "features/claims.h"

typedef struct {
    const xb_request *r;
    const xb_facts *f;
    const xb_agent_facts *ua;
    xb_engine engine;
    uint32_t version;  /* of the engine, 0 unknown */
    xb_situation_method method;
    xb_situation_scheme scheme;
    bool browsing;     /* the agent claims a browser, whatever else it says: a tool's word must not lift a contradiction */
    bool socket, preflight, worker, player, font, well_known, prefetch, saved; /* what the request is, by what only that has */
    bool html, any;    /* XB_ACCEPT_PAGE, XB_ACCEPT_ANY */
    bool stripped;     /* a page is opened with neither Accept-Language nor Sec-Fetch-*: other headers may be missing or moved, too */
    bool scripted;     /* a page's script may have asked */
    bool view;         /* QtWebEngine in a small browser, which says itself which languages it wants, or none */
} claim;

#define HAS(name) xb_has(c->r, XB_H_##name)
#define VALUE(name) xb_value(c->r, XB_H_##name)
#define IS(name, lower) xb_span_is(VALUE(name), XB_SPAN(lower))
#define READS(name) ((c->f->encodings.marks & XB_ENCODING_##name) != 0)
#define ACCEPTS(name) ((c->f->accept.marks & XB_ACCEPT_##name) != 0)
#define BRANDS(name) ((c->f->brands.marks & XB_BRAND_##name) != 0)
#define ODD XB_ODD

static bool chromium_since(const claim *c, uint32_t version) { return c->engine == XB_ENGINE_CHROMIUM && c->version >= version; }
static bool gecko_since(const claim *c, uint32_t version) { return c->engine == XB_ENGINE_GECKO && c->version >= version; }

/* Are both there, and `later` before `earlier`? */
static bool swapped(const claim *c, xb_header_id earlier, xb_header_id later)
{
    return xb_has(c->r, earlier) && xb_has(c->r, later) && xb_place(c->r, later) < xb_place(c->r, earlier);
}

#define SWAPPED(earlier, later) swapped(c, XB_H_##earlier, XB_H_##later)

/* ---- what is there, what is not ---- */

static bool of_page(const claim *c) { return c->f->path.kind == XB_KIND_PAGE || c->f->path.kind == XB_KIND_SCRIPT; }

/* Does it take anything, where it asks for a page by itself? */
static bool page_any(const claim *c) { return of_page(c) && !c->scripted && c->any; }

/* Does a text browser send what it always does? Dillo names no language, but what kind of thing it asks for; Links and NetSurf
 * take anything, but name their character sets; ELinks takes anything. */
static bool text_browser(const claim *c)
{
    /* Debian builds ELinks without what unpacks; "-)" says that no terminal shows the page. */
    const bool elinks = xb_contains(c->ua->text, XB_SPAN("elinks"));
    if (elinks && HAS(ACCEPT) && HAS(ACCEPT_LANGUAGE) && !xb_span_ends(c->ua->text, XB_SPAN("-)")))
        return true;
    if (!HAS(ACCEPT) || !HAS(ACCEPT_ENCODING))
        return false;
    if (xb_contains(c->ua->text, XB_SPAN("dillo")))
        return !c->any;
    if (xb_contains(c->ua->text, XB_SPAN("netsurf")))
        return HAS(ACCEPT_LANGUAGE) || HAS(ACCEPT_CHARSET);
    return HAS(ACCEPT_LANGUAGE) && (!c->any || HAS(ACCEPT_CHARSET) || elinks);
}

/* Does an application on somebody's device send what the library of its system always does? Apple's names languages and
 * encodings; Android's reads gzip and nothing else; all others of a phone unpack, or ask for a part; players ask for a part; the old Opera never takes anything, nor do old phones
 * where they open a page; Facebook's own says its name; Outlook unpacks. */
static bool program(const claim *c)
{
    const uint32_t marks = c->ua->marks;
    if (marks & XB_MARK_CFNETWORK)
        return HAS(ACCEPT_LANGUAGE) && HAS(ACCEPT_ENCODING) && HAS(ACCEPT);
    if (marks & XB_MARK_DALVIK)
        return READS(GZIP) && !READS(DEFLATE);
    if (marks & XB_MARK_PLAYER)
        return HAS(RANGE) || HAS(ICY_METADATA);
    if (xb_is_old_opera(c->ua))
        return HAS(ACCEPT_LANGUAGE) && HAS(ACCEPT_ENCODING) && HAS(ACCEPT) && !c->any;
    if (xb_is_old_phone(c->ua))
        return VALUE(ACCEPT).size && !page_any(c);
    if (xb_is_office(c->ua))
        return HAS(ACCEPT) && HAS(ACCEPT_ENCODING);
    if (xb_is_application(c->ua))
        return HAS(ACCEPT_ENCODING) || HAS(RANGE);
    return !xb_span_starts(c->ua->text, XB_SPAN("[fban")) || (HAS(X_FB_HTTP_ENGINE) && HAS(ACCEPT_ENCODING));
}

/* What such a program lacks, each thing by the row that says it of a browser, too: whoever takes only its agent lacks several. Android's
 * library may ask for a part without naming gzip. Television sets are not all alike. */
static uint64_t lacks(const claim *c)
{
    const uint32_t marks = c->ua->marks;
    const bool android = marks & XB_MARK_DALVIK, phone = xb_is_old_phone(c->ua);
    uint64_t odd = 0;
    if (marks & XB_MARK_PLAYER)
        return ODD(PROGRAM) | (page_any(c) ? ODD(PAGE_ANY) : 0);
    if (c->ua->category == XB_CATEGORY_APPLIANCE)
        return ODD(PROGRAM);
    if (!HAS(ACCEPT_LANGUAGE) && (marks & XB_MARK_CFNETWORK || xb_is_old_opera(c->ua)))
        odd |= ODD(NO_LANGUAGE);
    if (!HAS(ACCEPT_ENCODING) && !phone && !xb_is_old_opera(c->ua) && !(android && HAS(RANGE)))
        odd |= ODD(NO_ENCODING);
    if (android && READS(DEFLATE) && !READS(BR))
        odd |= ODD(ENCODING);
    if (!VALUE(ACCEPT).size && !android && !xb_is_application(c->ua))
        odd |= ODD(NO_ACCEPT);
    if (page_any(c) && (phone || xb_is_old_opera(c->ua) || xb_is_application(c->ua)))
        odd |= ODD(PAGE_ANY);
    return odd & (odd - 1) ? odd : odd | ODD(PROGRAM);
}

static uint64_t accepts(const claim *c)
{
    uint64_t odd = 0;
    if (!program(c))
        odd |= lacks(c);
    if (c->browsing && c->f->situation & XB_SITUATION_NO_REFERRER && !HAS(ORIGIN))
        odd |= ODD(POST);
    if (c->ua->browser == XB_BROWSER_TEXT && !text_browser(c))
        odd |= ODD(TEXT_BROWSER);
    if (HAS(COOKIE) && !HAS(ACCEPT_LANGUAGE) && (c->ua->mozilla || c->ua->category >= XB_CATEGORY_TOOL))
        odd |= ODD(COOKIE);
    if (!c->browsing || c->well_known)
        return odd;
    if (!HAS(ACCEPT_LANGUAGE) && !(c->view && HAS(SEC_FETCH_SITE) && HAS(SEC_FETCH_MODE) && HAS(SEC_FETCH_DEST)))
        odd |= c->stripped ? ODD(STRIPPED) : ODD(NO_LANGUAGE);
    if (!HAS(ACCEPT_ENCODING) && !c->player)
        odd |= ODD(NO_ENCODING);
    if (HAS(ACCEPT_ENCODING) && !c->player && !c->font && !(READS(GZIP) && READS(DEFLATE)) &&
        (chromium_since(c, 30) || gecko_since(c, 20) || (c->engine == XB_ENGINE_WEBKIT && c->version >= 10)))
        odd |= ODD(ENCODING);
    if (HAS(CONTENT_TYPE) && (c->method == XB_METHOD_GET || c->method == XB_METHOD_HEAD) && !c->scripted)
        odd |= ODD(CONTENT_TYPE);
    /* Chromium before 87 saves a file with neither Accept nor Referer. */
    const bool older_saves = c->engine == XB_ENGINE_CHROMIUM && c->version < 87 && c->method == XB_METHOD_GET && HAS(ACCEPT_LANGUAGE) &&
                             (c->f->path.kind == XB_KIND_OTHER || c->f->path.kind == XB_KIND_MEDIA);
    if (!VALUE(ACCEPT).size && !c->socket && !c->saved && !older_saves && !HAS(REFERER))
        odd |= ODD(NO_ACCEPT);
    if (of_page(c) && !c->scripted && !c->worker && !c->prefetch && HAS(ACCEPT) && !ACCEPTS(OPENS))
        odd |= ODD(PAGE_ANY);
    /* APNG is named by Chromium alone: since 59 wherever it opens a page, or shows a picture. */
    if (c->engine == XB_ENGINE_CHROMIUM ? c->version >= 60 && c->html && !ACCEPTS(APNG) : ACCEPTS(APNG) && c->ua->category != XB_CATEGORY_APPLIANCE)
        odd |= ODD(ACCEPT);
    if (c->html && !HAS(UPGRADE_INSECURE_REQUESTS) && !c->prefetch && (chromium_since(c, 44) || gecko_since(c, 60)))
        odd |= ODD(NO_UPGRADE);
    if (HAS(UPGRADE_INSECURE_REQUESTS) && !c->html && (c->engine == XB_ENGINE_CHROMIUM || c->engine == XB_ENGINE_GECKO))
        odd |= ODD(UPGRADE);
    if ((c->method == XB_METHOD_POST || c->method == XB_METHOD_UNSAFE) && !HAS(ORIGIN) && (chromium_since(c, 30) || gecko_since(c, 90) || c->engine == XB_ENGINE_WEBKIT))
        odd |= ODD(NO_ORIGIN);
    return odd;
}

/* ---- Sec-Fetch-* ---- */

/* Can a link or a form ask so? Everything else is a script's, which does not navigate. Data that is opened as a page is no contradiction:
 * people follow links to JSON, and sign in by way of /api/. */
static bool navigable(const claim *c)
{
    if (c->method == XB_METHOD_GET || c->method == XB_METHOD_HEAD)
        return !HAS(CONTENT_TYPE);
    return (c->f->situation & XB_SITUATION_FORM) != 0;
}

static uint64_t fetch(const claim *c)
{
    const bool mode = HAS(SEC_FETCH_MODE), dest = HAS(SEC_FETCH_DEST), site = HAS(SEC_FETCH_SITE);
    uint64_t odd = 0;
    if (!c->browsing || !(mode || dest || site))
        return 0;
    /* Chromium said Site and Mode since 76, of frames and objects other ones, and Dest since 80. */
    const bool first = c->engine == XB_ENGINE_CHROMIUM && c->version < 80;
    if (!(mode && (dest || first) && site) && !c->preflight)
        odd |= ODD(FETCH_PART);
    const bool navigate = IS(SEC_FETCH_MODE, "navigate") || (first && IS(SEC_FETCH_MODE, "nested-navigate")), document = IS(SEC_FETCH_DEST, "document");
    /* A service worker passes a page on: Firefox's always asks so, others' if they make the request anew. WebKit's then says what it is for. */
    const bool shown = document || IS(SEC_FETCH_DEST, "iframe") || IS(SEC_FETCH_DEST, "frame");
    const bool passed = IS(SEC_FETCH_MODE, "same-origin") && (IS(SEC_FETCH_DEST, "empty") || (c->engine == XB_ENGINE_WEBKIT && shown));
    /* Where Chromium itself asks, ahead or once more for a part of a file, it is nobody's site, and yet from a page. */
    const bool itself = c->prefetch || (c->saved && HAS(RANGE));
    const bool opens = c->html || (c->prefetch && c->engine == XB_ENGINE_WEBKIT); /* which fetches pages ahead with the Accept of a script */
    if ((document && !((navigate || passed) && opens)) || (c->html && mode && !navigate && !c->prefetch && !passed && !first) ||
        (HAS(SEC_FETCH_USER) && !navigate) || (IS(SEC_FETCH_SITE, "none") && HAS(REFERER) && !itself))
        odd |= ODD(FETCH_MISFIT);
    if (HAS(SEC_FETCH_USER) && c->engine == XB_ENGINE_WEBKIT)
        odd |= ODD(FETCH_USER);
    if (navigate && c->f->path.kind == XB_KIND_ASSET)
        odd |= ODD(NAVIGATE_ASSET);
    if (navigate && c->method != XB_METHOD_NONE && !navigable(c))
        odd |= ODD(NAVIGATE_BODY);
    return odd;
}

/* ---- client hints ---- */

/* Is the platform that the hints name one that this system's agents come with? */
static bool platform_fits(xb_span platform, uint8_t os)
{
    static const struct {
        xb_span name;
        uint8_t os, also;
    } platforms[] = {
        {{"\"windows\"", 9}, XB_OS_WINDOWS, XB_OS_WINDOWS},     {{"\"macos\"", 7}, XB_OS_MACOS, XB_OS_MACOS},
        {{"\"mac os x\"", 10}, XB_OS_MACOS, XB_OS_MACOS},       {{"\"linux\"", 7}, XB_OS_LINUX, XB_OS_ANDROID},
        {{"\"android\"", 9}, XB_OS_ANDROID, XB_OS_LINUX},       {{"\"chrome os\"", 11}, XB_OS_CHROMEOS, XB_OS_LINUX},
        {{"\"chromium os\"", 13}, XB_OS_CHROMEOS, XB_OS_LINUX}, {{"\"chromeos\"", 10}, XB_OS_CHROMEOS, XB_OS_LINUX},
    }; /* `also`: a phone that asks for a site's desktop form says Linux */
    for (size_t i = 0; i < sizeof platforms / sizeof *platforms; i++)
        if (xb_span_is(platform, platforms[i].name))
            return os == platforms[i].os || os == platforms[i].also || os == XB_OS_NONE;
    return true; /* a system that we do not know */
}

static uint64_t hints(const claim *c)
{
    const xb_agent_facts *ua = c->ua;
    uint64_t odd = 0;
    if (HAS(SEC_CH_UA) && c->engine != XB_ENGINE_CHROMIUM && ua->os != XB_OS_TIZEN)
        odd |= ODD(HINTS);
    if (BRANDS(HEADLESS))
        odd |= ODD(HEADLESS_HINTS);
    if (c->engine != XB_ENGINE_CHROMIUM || c->stripped)
        return odd;
    if (HAS(SEC_CH_UA_PLATFORM) && !platform_fits(VALUE(SEC_CH_UA_PLATFORM), ua->os))
        odd |= ODD(HINT_PLATFORM);
    if (HAS(SEC_CH_UA_MOBILE) && ((IS(SEC_CH_UA_MOBILE, "?1") && ua->category == XB_CATEGORY_PC) ||
                                  (IS(SEC_CH_UA_MOBILE, "?0") && ua->category == XB_CATEGORY_SMARTPHONE)))
        odd |= ODD(HINT_MOBILE);
    if (!VALUE(SEC_CH_UA).size) /* QtWebEngine 6.2 names nobody */
        return odd;
    if (c->f->brands.chromium != c->version && c->version)
        odd |= ODD(HINT_VERSION);
    if (BRANDS(EDGE) != (ua->browser == XB_BROWSER_EDGE) || BRANDS(OPERA) != (ua->browser == XB_BROWSER_OPERA) ||
        (BRANDS(GOOGLE) && ua->browser != XB_BROWSER_CHROME))
        odd |= ODD(HINT_BRAND);
    if (c->version >= 95 && !(HAS(SEC_CH_UA_MOBILE) && HAS(SEC_CH_UA_PLATFORM)))
        odd |= ODD(HINT_PART);
    return odd;
}

/* ---- what goes with TLS ---- */

static uint64_t over_https(const claim *c)
{
    const bool chromium = c->engine == XB_ENGINE_CHROMIUM, own = !xb_is_embedded(c->ua);
    const bool webkit = c->engine == XB_ENGINE_WEBKIT && c->ua->browser == XB_BROWSER_SAFARI && c->ua->major >= 17;
    /* WebKit saves a file as if it opened a page, and does not say Sec-Fetch-*. Of a path that may be a page's, WebKitGTK shows by its order
     * that it saves. */
    const bool file = c->f->path.kind == XB_KIND_OTHER || c->f->path.kind == XB_KIND_MEDIA;
    const bool saves = c->engine == XB_ENGINE_WEBKIT && c->html && c->method == XB_METHOD_GET && !HAS(SEC_FETCH_DEST) &&
                       (file || (!xb_is_of_apple(c->ua) && c->f->situation & XB_HAS_ORDER && SWAPPED(ACCEPT, USER_AGENT)));
    uint64_t odd = 0;
    if (c->well_known)
        return 0;
    if (!c->player && !c->font && !c->stripped && HAS(ACCEPT_ENCODING)) {
        if (!READS(BR) && (chromium_since(c, 80) || gecko_since(c, 90) || (webkit && xb_is_of_apple(c->ua)))) /* libsoup 2 reads none */
            odd |= ODD(NO_BR);
        if (!READS(ZSTD) && own && (chromium_since(c, 124) || gecko_since(c, 128)))
            odd |= ODD(NO_ZSTD);
    }
    /* Chromium's WebSockets and WebKit's workers have none. */
    if (!HAS(SEC_FETCH_MODE) && !c->stripped && !c->socket && !c->worker && !saves &&
        (chromium_since(c, 80) || gecko_since(c, 90) || webkit))
        odd |= ODD(NO_FETCH);
    /* Fetches by workers have none, so only what a page itself asks for counts. */
    const bool scripted = IS(SEC_FETCH_DEST, "empty") || xb_span_ends(VALUE(SEC_FETCH_DEST), XB_SPAN("worker")) ||
                          (c->any && !HAS(SEC_FETCH_DEST));
    const bool hinting = chromium && own && c->version >= 95;
    if (hinting && !VALUE(SEC_CH_UA).size && !c->socket && !c->worker && !c->preflight && !scripted)
        odd |= ODD(NO_HINTS);
    return odd;
}

static uint64_t over_plain_http(const claim *c)
{
    uint64_t odd = 0;
    if (HAS(SEC_FETCH_MODE) && !c->preflight)
        odd |= ODD(PLAIN_FETCH);
    if (HAS(SEC_CH_UA))
        odd |= ODD(PLAIN_HINTS);
    if (READS(BR) || READS(ZSTD))
        odd |= ODD(PLAIN_ENCODING);
    return odd;
}

/* ---- order and case ---- */

static uint64_t order(const claim *c)
{
    const bool chromium = c->engine == XB_ENGINE_CHROMIUM, gecko = c->engine == XB_ENGINE_GECKO;
    uint64_t odd = 0;
    if (c->stripped || c->player) /* a player's headers come in another order */
        return 0;
    if (xb_is_explorer(c->ua)) /* all of its versions begin with Accept */
        return SWAPPED(ACCEPT, ACCEPT_ENCODING) ? ODD(ORDER_ENCODING) : 0;
    if (c->engine == XB_ENGINE_NONE)
        return 0;
    if (SWAPPED(ACCEPT, ACCEPT_ENCODING) && (c->engine != XB_ENGINE_WEBKIT || c->version >= 13))
        odd |= ODD(ORDER_ENCODING);
    if (c->engine == XB_ENGINE_WEBKIT)
        return odd;
    if (chromium ? SWAPPED(ACCEPT_ENCODING, ACCEPT_LANGUAGE) && !c->view : SWAPPED(ACCEPT_LANGUAGE, ACCEPT_ENCODING))
        odd |= ODD(ORDER_LANGUAGE);
    /* Older ones put the Accept that a script chose first, and one that was set before the request was made: of forms that a service worker
     * passes on, and of pages fetched ahead. The script of a worker comes as Accept, Referer, agent. */
    const bool accept_first = c->worker || c->preflight || (c->any && SWAPPED(USER_AGENT, REFERER)) || IS(SEC_FETCH_DEST, "webidentity") ||
                              (c->html && (IS(SEC_FETCH_DEST, "empty") || (c->prefetch && IS(SEC_FETCH_SITE, "none"))));
    if (SWAPPED(USER_AGENT, ACCEPT) && (gecko || (!accept_first && c->version >= (c->html ? 80 : 127))))
        odd |= ODD(ORDER_AGENT);
    if (chromium ? SWAPPED(REFERER, ACCEPT_ENCODING) : SWAPPED(ACCEPT_ENCODING, REFERER))
        odd |= ODD(ORDER_REFERER);
    if (SWAPPED(ACCEPT_LANGUAGE, COOKIE) || SWAPPED(ACCEPT_ENCODING, COOKIE))
        odd |= ODD(ORDER_COOKIE);
    if (chromium ? c->version >= 83 && (SWAPPED(ACCEPT, SEC_FETCH_MODE) || SWAPPED(SEC_FETCH_MODE, SEC_FETCH_DEST) ||
                                        SWAPPED(SEC_FETCH_DEST, ACCEPT_ENCODING))
                 : SWAPPED(ACCEPT_ENCODING, SEC_FETCH_DEST) || SWAPPED(SEC_FETCH_DEST, SEC_FETCH_MODE) || SWAPPED(SEC_FETCH_MODE, SEC_FETCH_SITE))
        odd |= ODD(ORDER_FETCH);
    return odd;
}

/* Is a header of this name there, and does it begin with a small letter? */
static bool lower_first(const claim *c, xb_header_id id)
{
    return xb_has(c->r, id) && (unsigned char)(c->r->headers[c->r->first[id]].name.at[0] - 'a') < 26;
}

static bool capital_first(const claim *c, xb_header_id id) { return xb_has(c->r, id) && !lower_first(c, id); }

static uint64_t name_case(const claim *c)
{
    /* A script names these two as it likes; workers that copy a request's headers write them small. */
    const bool named = c->scripted && !IS(SEC_FETCH_MODE, "navigate");
    uint64_t odd = 0;
    if (lower_first(c, XB_H_USER_AGENT) || lower_first(c, XB_H_ACCEPT_ENCODING) || lower_first(c, XB_H_COOKIE) || lower_first(c, XB_H_REFERER) ||
        (!named && (lower_first(c, XB_H_ACCEPT) || lower_first(c, XB_H_ACCEPT_LANGUAGE))))
        odd |= ODD(CASE_LOWER);
    if (capital_first(c, XB_H_SEC_CH_UA) || capital_first(c, XB_H_SEC_CH_UA_MOBILE) || capital_first(c, XB_H_SEC_CH_UA_PLATFORM))
        odd |= ODD(CASE_HINTS);
    return odd;
}

uint64_t xb_claims(const xb_request *r, const xb_facts *f)
{
    const xb_agent_facts *ua = f->agent;
    const xb_claimed as = xb_claimed_of(ua);
    claim claimed = {.r = r, .f = f, .ua = ua, .engine = as.engine, .version = as.version}, *c = &claimed;
    c->method = (xb_situation_method)(f->situation >> XB_SITUATION_METHOD & 7);
    c->scheme = (xb_situation_scheme)(f->situation >> XB_SITUATION_SCHEME & 3);
    c->browsing = ua->mozilla && ua->browser != XB_BROWSER_TEXT && !xb_is_office(ua);
    c->view = c->engine == XB_ENGINE_CHROMIUM && xb_contains(ua->text, XB_SPAN("qtwebengine/"));
    c->socket = HAS(SEC_WEBSOCKET_KEY);
    c->preflight = HAS(ACCESS_CONTROL_REQUEST_METHOD) && c->method == XB_METHOD_OPTIONS;
    c->worker = HAS(SERVICE_WORKER);
    c->prefetch = HAS(SEC_PURPOSE) || HAS(PURPOSE);
    /* Chromium saves a file without Accept, and says that it navigates to nothing; before 76 it said only from which page. */
    c->saved = c->engine == XB_ENGINE_CHROMIUM && IS(SEC_FETCH_MODE, "navigate") && IS(SEC_FETCH_DEST, "empty");
    c->well_known = (f->situation & XB_SITUATION_WELL_KNOWN) != 0;
    c->html = ACCEPTS(PAGE);
    c->any = ACCEPTS(ANY);
    c->stripped = c->html && !HAS(ACCEPT_LANGUAGE) && !HAS(SEC_FETCH_MODE) && !HAS(COOKIE);
    c->scripted = HAS(SEC_FETCH_MODE) || HAS(REFERER) || HAS(ORIGIN) || HAS(X_REQUESTED_WITH);
    /* Films and sounds are not packed: Chromium and Firefox say so, WebKit says nothing. */
    c->player = (HAS(RANGE) || HAS(ICY_METADATA)) && !c->html && (READS(IDENTITY) || (c->engine == XB_ENGINE_WEBKIT && !HAS(ACCEPT_ENCODING)));
    /* Firefox takes fonts as they are: those that a style sheet says to be WOFF are packed already. */
    c->font = c->engine == XB_ENGINE_GECKO && f->path.kind == XB_KIND_ASSET;
    uint64_t odd = accepts(c) | fetch(c) | hints(c);
    if (c->browsing) {
        if (c->scheme == XB_SCHEME_HTTPS)
            odd |= over_https(c);
        else if (c->scheme == XB_SCHEME_PLAIN)
            odd |= over_plain_http(c);
        if (f->situation & XB_HAS_ORDER)
            odd |= order(c);
        if (f->situation & XB_HAS_CASE && (f->situation >> XB_SITUATION_PROTOCOL & 3) == XB_PROTOCOL_1)
            odd |= name_case(c);
    }
    return odd;
}
