#include "features/behaviour.h"

#include "base/hash.h"
#include "features/claims.h"

#define HAS(name) xb_has(f->request, XB_H_##name)
#define VALUE(name) text(xb_value(f->request, XB_H_##name))

static xb_span text(xb_span s) { return s.at ? s : XB_SPAN(""); }

/* Four bytes of an IPv4 address, the first eight of an IPv6 address: its /64. */
static uint64_t address_of(const xb_facts *f)
{
    return f->ip.version == 6 ? xb_load64((const char *)f->ip.bytes) : xb_load_few((const char *)f->ip.bytes, 4);
}

/* ---- keys ---- */

/* Headers that one program sends with some of its pages and not with others; and those that mean nothing here. */
static const bool no_part_of_a_shape[256] = {
    [XB_H_REFERER] = true,       [XB_H_COOKIE] = true,         [XB_H_CACHE_CONTROL] = true,   [XB_H_PRAGMA] = true,
    [XB_H_RANGE] = true,         [XB_H_IF_MODIFIED_SINCE] = true, [XB_H_IF_NONE_MATCH] = true, [XB_H_ORIGIN] = true,
    [XB_H_AUTHORIZATION] = true, [XB_H_CONTENT_TYPE] = true,   [XB_H_SEC_FETCH_USER] = true,  [XB_H_PRIORITY] = true,
    [XB_H_PURPOSE] = true,       [XB_H_SEC_PURPOSE] = true,    [XB_H_X_REQUESTED_WITH] = true, [XB_H_OTHER] = true,
};

static uint64_t names_of(const xb_facts *f, uint64_t h)
{
    const xb_request *r = f->request;
    const bool ordered = f->present & XB_HAS_ORDER;
    uint64_t sum = 0;
    for (const xb_header *header = r->headers, *end = header + r->n_headers; header < end; header++) {
        if (!header->visitor || no_part_of_a_shape[header->id])
            continue;
        if (ordered)
            h = xb_fold(h ^ xb_name_hash(header), XB_MIX_1);
        else
            sum += xb_mix(h ^ xb_name_hash(header));
    }
    return h ^ sum;
}

static uint64_t shape_of(const xb_clients *t, const xb_facts *f, uint64_t agent)
{
    uint64_t h = agent;
    if (f->present & XB_HAS_HEADERS) {
        h = names_of(f, h);
        h = xb_hash_keyed(h, VALUE(ACCEPT), t->secret[1]);
        h = xb_hash_keyed(h, VALUE(ACCEPT_ENCODING), t->secret[1]);
        h = xb_hash_keyed(h, VALUE(ACCEPT_LANGUAGE), t->secret[1]);
    }
    if (f->handshake.known) {
        h = xb_mix(h ^ f->handshake.ciphers);
        h = xb_mix(h ^ f->handshake.curves);
        h = xb_mix(h ^ f->handshake.sigalgs);
    }
    return xb_mix(h ^ t->secret[0]);
}

/* Is never 0, and the lowest bits are free. */
static uint64_t key_of(uint64_t h) { return (h & ~(uint64_t)XB_SAYS) ? h & ~(uint64_t)XB_SAYS : XB_SAYS + 1; }

void xb_client_keys_of(const xb_clients *t, const xb_facts *f, xb_client_keys *out, xb_client_places *places)
{
    *out = (xb_client_keys){0};
    *places = (xb_client_places){0};
    if (!(f->present & XB_HAS_IP))
        return;
    const uint64_t address = address_of(f);
    const uint64_t network = address & (f->ip.version == 6 ? UINT64_C(0xffffffffffff) : UINT64_C(0xffffff)); /* the first bytes come lowest */
    const uint64_t whose = t->privacy == XB_CLIENTS_BY_NETWORK ? network : address;
    out->network = key_of(xb_mix(xb_mix(network ^ t->secret[0]) + t->secret[1] + f->ip.version));
    const uint64_t agent = xb_hash_keyed(t->secret[0], xb_agent_text(f->request), t->secret[1]);
    out->client = key_of(xb_mix(xb_mix(agent ^ whose) + t->secret[1] + f->ip.version));
    places->of_client = xb_clients_seek(t, out->client);
    places->of_network = xb_clients_seek(t, out->network);
    out->shape = key_of(shape_of(t, f, agent));
    places->of_shape = xb_clients_seek(t, out->shape);
}

/* ---- the request, as it is counted ---- */

/* What Sec-Fetch-Dest calls a part of a page: its path need not have an ending. */
static bool is_part(xb_span dest)
{
    return xb_span_is(dest, XB_SPAN("image")) || xb_span_is(dest, XB_SPAN("style")) || xb_span_is(dest, XB_SPAN("script")) ||
           xb_span_is(dest, XB_SPAN("font"));
}

static uint8_t what_of(const xb_facts *f)
{
    const xb_request *r = f->request;
    const uint8_t kind_of_path = f->path.kind;
    const bool accepts_page = (f->accept.marks & XB_ACCEPT_PAGE) != 0;
    if (!(f->present & XB_HAS_URL) || (r->method.size && !xb_span_is(r->method, XB_SPAN("get")) && !xb_span_is(r->method, XB_SPAN("head"))))
        return XB_VISIT_OTHER;
    const bool part = kind_of_path == XB_KIND_ASSET || kind_of_path == XB_KIND_MEDIA, page = kind_of_path == XB_KIND_PAGE || kind_of_path == XB_KIND_SCRIPT;
    if (page && accepts_page)
        return XB_VISIT_PAGE;
    const xb_span dest = VALUE(SEC_FETCH_DEST);
    const bool document = xb_span_is(dest, XB_SPAN("document"));
    if (part || (!accepts_page && is_part(dest)))
        return document ? XB_VISIT_OTHER : XB_VISIT_PART;
    if (!page)
        return XB_VISIT_OTHER;
    if ((dest.size && !document) || HAS(X_REQUESTED_WITH) || HAS(SEC_WEBSOCKET_KEY))
        return XB_VISIT_OTHER;
    if (f->accept.marks & XB_ACCEPT_ANY && (f->referrer.length || HAS(SEC_FETCH_MODE) || HAS(ORIGIN)))
        return XB_VISIT_OTHER;
    return XB_VISIT_PAGE;
}

/* What a browser posts for a page's script does not accept a page; a form does. */
static bool is_form(const xb_facts *f) { return !HAS(ACCEPT) || f->accept.marks & XB_ACCEPT_PAGE; }

static bool claims_browser(const xb_agent_facts *ua)
{
    return ua->mozilla && ua->browser != XB_BROWSER_NONE && ua->browser != XB_BROWSER_TEXT && ua->category != XB_CATEGORY_TOOL &&
           ua->category != XB_CATEGORY_CRAWLER && !(ua->marks & (XB_MARK_URL | XB_MARK_HEADLESS));
}

void xb_visit_of(const xb_facts *f, xb_visit *out)
{
    const xb_request *r = f->request;
    const xb_agent_facts *ua = f->agent;
    uint32_t counts = XB_COUNT(REQUESTS);
    *out = (xb_visit){.what = what_of(f), .path = 0};
    if (out->what == XB_VISIT_PAGE) {
        counts |= XB_COUNT(PAGES);
        counts |= f->present & XB_HAS_REFERRER && !f->referrer.length ? XB_COUNT(UNREFERRED) : 0;
        if (f->referrer.host.size && r->host.size)
            counts |= f->referrer_own ? XB_COUNT(OWN) : XB_COUNT(EXTERNAL);
        counts |= xb_span_is(VALUE(SEC_FETCH_SITE), XB_SPAN("none")) ? XB_COUNT(TYPED) : 0;
        counts |= f->path.url.query.size ? XB_COUNT(QUERIES) : 0;
        out->path = xb_hash(f->path.url.path);
    } else if (out->what == XB_VISIT_PART) {
        counts |= XB_COUNT(PARTS);
    }
    counts |= xb_span_is(r->method, XB_SPAN("post")) && is_form(f) ? XB_COUNT(POSTS) : 0;
    counts |= xb_span_is(r->method, XB_SPAN("head")) ? XB_COUNT(HEADS) : 0;
    counts |= HAS(IF_MODIFIED_SINCE) || HAS(IF_NONE_MATCH) ? XB_COUNT(CONDITIONAL) : 0;
    if (HAS(COOKIE)) {
        counts |= XB_COUNT(COOKIES);
        out->marks |= XB_MARK_KEEPS;
    }
    if (r->connection.requests)
        counts |= XB_COUNT(CONNECTED) | (r->connection.requests == 1 ? XB_COUNT(CONNECTIONS) : 0);
    out->marks |= claims_browser(ua) ? XB_MARK_BROWSER : 0;
    out->marks |= xb_span_is(f->path.url.path, XB_SPAN("/robots.txt")) ? XB_MARK_ROBOTS : 0;
    out->counts = counts;
    out->family = ua->browser % XB_CLIENTS_FAMILIES;
    out->version = (ua->chromium ? ua->chromium : ua->major) & 0xffff;
    out->agent = ua->hash ? ua->hash : xb_hash(ua->text);
    out->address = address_of(f);
}

/* ---- what was before it ---- */

/* The counts; what else is read of it is not the same for all kinds. */
static void group_of(const xb_client_entry *e, xb_moment now, xb_group_view *out)
{
    if (e)
        xb_entry_counts(e, now, out->count);
    else
        *out = (xb_group_view){0};
}

void xb_behaviour_of(const xb_clients *t, const xb_client_places *places, uint64_t now_ms, const xb_facts *f, const xb_visit *visit,
                     xb_behaviour *out)
{
    const xb_moment now = xb_moment_of(now_ms);
    if (places->client)
        xb_entry_read(places->client, now, &out->client);
    else
        out->client = (xb_client_view){0};
    out->client.marks |= out->client.marks & XB_MARK_REFUSED ? XB_MARK_PAGED : 0; /* it would have opened one */
    group_of(places->network, now, &out->network);
    group_of(places->shape, now, &out->shape);
    group_of(&t->site, now, &out->site);
    out->network.distinct[0] = places->network ? xb_entry_distinct(places->network, now, 0) : 0;
    out->network.distinct[1] = places->network ? xb_entry_distinct(places->network, now, 1) : 0;
    out->shape.fast = places->shape ? xb_entry_fast(places->shape, now) : 0.0f;
    out->shape.latest = places->shape ? xb_entry_latest(places->shape, now) : 0.0f;
    out->network.latest = places->network ? xb_entry_latest(places->network, now) : 0.0f;
    out->site.fast = xb_entry_fast(&t->site, now);
    const float *site = out->site.count, *shape = out->shape.count;
    out->browser = visit->marks & XB_MARK_BROWSER;
    out->what = visit->what;
    out->cookie = visit->marks & XB_MARK_KEEPS;
    out->referred = f->referrer.length > 0;
    out->entry = visit->what == XB_VISIT_PAGE && !out->cookie && !out->referred && f->path.url.path.size > 1;
    out->parts_told = site[XB_TALLY_LOADERS] >= 10.0f && site[XB_TALLY_LOADERS] >= 0.05f * site[XB_TALLY_VISITORS] &&
                      site[XB_TALLY_LOADED_PARTS] >= site[XB_TALLY_LOADED_PAGES] && site[XB_TALLY_LOADED_PARTS] >= site[XB_TALLY_LOADERS];
    out->cookies_told = f->present & XB_HAS_HEADERS && site[XB_TALLY_KEEPERS] >= 10.0f &&
                        site[XB_TALLY_KEEPERS] >= 0.3f * (out->parts_told ? site[XB_TALLY_LOADERS] : site[XB_TALLY_VISITORS]);
    out->outcomes_told = site[XB_TALLY_OUTCOMES] >= 0.5f * site[XB_TALLY_REQUESTS];
    /* Of those who load parts nobody asks. */
    const bool asked = visit->version && out->browser && !(out->client.marks & XB_MARK_PARTED);
    const uint32_t current = asked ? xb_clients_version(t, visit->family) : 0;
    out->lag = current > visit->version ? current - visit->version : 0;
    const float pace = out->site.fast * shape[XB_TALLY_PAGES];
    out->growth = out->shape.fast >= 10.0f && pace > 0.0f ? out->shape.fast * site[XB_TALLY_PAGES] / pace : 0.0f;
}

/* Contradictions that hold whatever a log left out of the headers: neither their order nor the scheme decides them. */
#define CONTRADICTION(name) (UINT64_C(1) << XB_ODD_##name)
static const uint64_t contradictions =
    CONTRADICTION(NO_ACCEPT) | CONTRADICTION(PAGE_ANY) | CONTRADICTION(ACCEPT) | CONTRADICTION(FETCH_MISFIT) | CONTRADICTION(HINTS) |
    CONTRADICTION(HINT_VERSION) | CONTRADICTION(HINT_PLATFORM) | CONTRADICTION(HINT_MOBILE) | CONTRADICTION(HINT_BRAND) |
    CONTRADICTION(HEADLESS_HINTS) | CONTRADICTION(TLS_CHROME) | CONTRADICTION(TLS_FIREFOX) | CONTRADICTION(TLS_SAFARI);

xb_proven xb_behaviour_proves(const xb_behaviour *b, const xb_facts *f)
{
    const uint32_t all = XB_MARK_PAGED | XB_MARK_PARTED | XB_MARK_BROUGHT;
    if (b->what == XB_VISIT_PAGE && f->present & XB_HAS_HEADERS && f->odd & contradictions)
        return XB_PROVEN_FALSE;
    return b->browser && (b->client.marks & all) == all && b->client.count[XB_TALLY_OWN] > 0.0f ? XB_PROVEN_VISITOR : XB_PROVEN_NOTHING;
}
