/* claimed.h - what an agent claims to be: an engine and its version, a view inside a program, an application, a phone of before.
 *
 * Law: read from the agent's facts alone; whether the request keeps the claim is said in claims.h. No allocation.
 */
#ifndef XB_CLAIMED_H
#define XB_CLAIMED_H

#include <stdbool.h>
#include <stdint.h>

#include "features/agent.h"

typedef enum { XB_ENGINE_NONE, XB_ENGINE_CHROMIUM, XB_ENGINE_GECKO, XB_ENGINE_WEBKIT } xb_engine;

/* Which engine the agent claims; XB_ENGINE_NONE where it claims none. */
static inline xb_engine xb_engine_of(const xb_agent_facts *ua)
{
    if (!ua->mozilla)
        return XB_ENGINE_NONE;
    if (ua->marks & XB_MARK_EDGEHTML)
        return XB_ENGINE_NONE; /* it only says Chrome */
    if (ua->marks & XB_MARK_CHROMIUM)
        return XB_ENGINE_CHROMIUM;
    if (ua->os == XB_OS_TIZEN)
        return XB_ENGINE_NONE; /* a television set's Chromium, which says Safari and its own version without a name */
    if (ua->browser == XB_BROWSER_FIREFOX && ua->marks & XB_MARK_GECKO && !(ua->marks & XB_MARK_WEBKIT)) /* on iOS it has that */
        return XB_ENGINE_GECKO;
    if (ua->browser == XB_BROWSER_NONE && ua->marks & XB_MARK_GECKO && xb_contains(ua->text, XB_SPAN("thunderbird/")))
        return XB_ENGINE_GECKO;
    return ua->marks & XB_MARK_WEBKIT ? XB_ENGINE_WEBKIT : XB_ENGINE_NONE;
}

/* The engine, and its version: 0 unknown. */
typedef struct {
    const xb_agent_facts *ua;
    xb_engine engine;
    uint32_t version;
} xb_claimed;

static inline xb_claimed xb_claimed_of(const xb_agent_facts *ua)
{
    xb_claimed c = {.ua = ua, .engine = xb_engine_of(ua)};
    if (c.engine == XB_ENGINE_CHROMIUM)
        c.version = ua->chromium;
    else if (c.engine != XB_ENGINE_WEBKIT || ua->browser == XB_BROWSER_SAFARI)
        c.version = ua->major; /* of WebKit it is Safari's; other browsers on iOS do not say it */
    return c;
}

/* A program that shows pages in a view of its own decides by itself what the view sends; so do television sets. */
static inline bool xb_is_embedded(const xb_agent_facts *ua)
{
    return ua->marks & (XB_MARK_WEBVIEW | XB_MARK_EMBEDDED) || ua->browser == XB_BROWSER_APP || ua->category == XB_CATEGORY_APPLIANCE;
}

/* Internet Explorer, and the Edge before it was a Chromium. */
static inline bool xb_is_explorer(const xb_agent_facts *ua) { return ua->browser == XB_BROWSER_IE || ua->marks & XB_MARK_EDGEHTML; }

static inline bool xb_names_office(const xb_agent_facts *ua) { return ua->os == XB_OS_WINDOWS && xb_span_starts(ua->text, XB_SPAN("microsoft office/")); }

/* Outlook and its kin on Windows: they show pages by Internet Explorer's parts. */
static inline bool xb_is_office(const xb_agent_facts *ua)
{
    return ua->marks & XB_MARK_EMBEDDED && (ua->mozilla ? xb_engine_of(ua) == XB_ENGINE_NONE : xb_names_office(ua));
}

/* Has it the handshake of Windows? Internet Explorer, the first Edge, and Office, by whichever name. */
static inline bool xb_is_of_windows(const xb_agent_facts *ua)
{
    return xb_is_explorer(ua) || xb_is_office(ua) || xb_names_office(ua);
}

/* An application that names itself and the phone or tablet it runs on, and no library. */
static inline bool xb_is_application(const xb_agent_facts *ua)
{
    return !ua->mozilla && (ua->os == XB_OS_ANDROID || ua->os == XB_OS_IOS) && ua->browser == XB_BROWSER_NONE && ua->category < XB_CATEGORY_TOOL &&
           !(ua->marks & (XB_MARK_CFNETWORK | XB_MARK_DALVIK | XB_MARK_PLAYER));
}

/* Browsers that do not begin with Mozilla/: the old Opera, and those of phones from before apps. Programs for the Java of these say what
 * they like; i-mode's browsers said next to nothing, but their network ended in March 2026. Nokia made phones before apps and since. */
static inline bool xb_is_old_opera(const xb_agent_facts *ua) { return xb_span_starts(ua->text, XB_SPAN("opera/")); }

static inline bool xb_is_old_phone(const xb_agent_facts *ua)
{
    return !ua->mozilla && !(ua->marks & (XB_MARK_CFNETWORK | XB_MARK_DALVIK | XB_MARK_PLAYER)) && !xb_is_old_opera(ua) && !xb_is_application(ua) &&
           (ua->category == XB_CATEGORY_MOBILE || xb_span_starts(ua->text, XB_SPAN("ucweb/"))) && !xb_contains(ua->text, XB_SPAN("untrusted"));
}

static inline bool xb_is_of_apple(const xb_agent_facts *ua) { return ua->os == XB_OS_MACOS || ua->os == XB_OS_IOS; }

#endif
