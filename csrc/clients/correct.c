#include "clients/correct.h"

#include "clients/count.h"

xb_content xb_content_of(xb_span s)
{
    if (!s.size)
        return XB_CONTENT_UNKNOWN;
    const char *end = xb_find(s.at, s.at + s.size, ';', ',');
    s = xb_span_of(s.at, end);
    while (s.size && s.at[s.size - 1] == ' ')
        s.size--;
    if (!s.size || (s.size == 1 && *s.at == '-'))
        return XB_CONTENT_UNKNOWN;
    if (xb_span_is(s, XB_SPAN("text/html")) || xb_span_is(s, XB_SPAN("application/xhtml+xml")))
        return XB_CONTENT_PAGE;
    if (xb_span_is(s, XB_SPAN("text/css")))
        return XB_CONTENT_STYLE;
    if (xb_span_ends(s, XB_SPAN("javascript")) || xb_span_is(s, XB_SPAN("application/wasm")))
        return XB_CONTENT_SCRIPT;
    if (xb_span_starts(s, XB_SPAN("image/")))
        return XB_CONTENT_IMAGE;
    if (xb_span_starts(s, XB_SPAN("font/")) || xb_span_starts(s, XB_SPAN("application/font")) ||
        xb_span_starts(s, XB_SPAN("application/x-font")) || xb_span_is(s, XB_SPAN("application/vnd.ms-fontobject")))
        return XB_CONTENT_FONT;
    if (xb_span_ends(s, XB_SPAN("json")) || xb_span_ends(s, XB_SPAN("xml")))
        return XB_CONTENT_DATA;
    return XB_CONTENT_OTHER;
}

static bool is_part(uint8_t content)
{
    return content == XB_CONTENT_SCRIPT || content == XB_CONTENT_STYLE || content == XB_CONTENT_IMAGE || content == XB_CONTENT_FONT;
}

/* By these a gate refuses, which says nothing about who asked. */
static bool is_refusal(int status) { return status == 401 || status == 403 || status == 407 || status == 429; }

/* Nor does that the site could not answer. */
static bool is_failure(int status) { return status >= 500 && status < 600; }

static bool is_error(int status) { return status >= 400 && status < 500 && !is_refusal(status) && status != 499; }

/* A page of the client that was none. */
static void take_page_back(xb_client_entry *e, uint32_t as)
{
    const uint32_t since = xb_get32(&e->pages_since_part) & 0xff;
    if (since)
        xb_put32(&e->pages_since_part, since - 1);
    xb_entry_take_gap_back(e, as & XB_SAYS_GAP);
    if (as & XB_SAYS_NEW)
        xb_put64(&e->sketch[0], xb_get64(&e->sketch[0]) & ~(UINT64_C(1) << (as >> XB_SAYS_CLASS & 63)));
}

void xb_clients_outcome(xb_clients *t, const xb_client_keys *k, uint64_t now_ms, const xb_response *r)
{
    const xb_client_places places = xb_clients_find(t, k);
    const xb_moment now = xb_moment_of(now_ms);
    const uint32_t as = k->client & XB_SAYS, what = as & XB_SAYS_WHAT;
    const bool good = r->status >= 200 && r->status < 300, refused = what == XB_VISIT_PAGE && (is_refusal(r->status) || is_failure(r->status));
    const bool part_after_all = good && what != XB_VISIT_PART && is_part(r->content); /* the path did not tell */
    const bool no_page = refused || (good && what == XB_VISIT_PAGE && r->content != XB_CONTENT_UNKNOWN && r->content != XB_CONTENT_PAGE);
    const bool no_part = what == XB_VISIT_PART && (is_error(r->status) || (good && r->content == XB_CONTENT_PAGE));
    uint32_t up = XB_COUNT(OUTCOMES), down = no_page ? xb_client_said(as) : no_part ? XB_COUNT(PARTS) : 0, group_up = 0, group_down = 0;
    up |= is_error(r->status) ? XB_COUNT(ERRORS) : r->status == 304 ? XB_COUNT(UNCHANGED) : 0;
    up |= part_after_all ? XB_COUNT(PARTS) : 0;
    if (as & XB_SAYS_LOADED) {
        group_up = part_after_all ? XB_COUNT(LOADED_PARTS) : 0;
        group_down = no_page ? XB_COUNT(LOADED_PAGES) : no_part ? XB_COUNT(LOADED_PARTS) : 0;
    }
    bool browser = false;
    if (places.client) {
        xb_client_entry *e = places.client;
        const uint32_t before = xb_get32(&e->marks);
        const uint64_t of_page = xb_get64(&e->shape);
        uint32_t marks = before;
        xb_entry_correct(e, now, up, down);
        if (no_page)
            take_page_back(e, as);
        if (part_after_all) {
            marks |= XB_MARK_PARTED;
            xb_put32(&e->pages_since_part, 0);
        }
        if (no_part && xb_get(&e->count[XB_TALLY_PARTS]) < 0.5f)
            marks &= ~(uint32_t)XB_MARK_PARTED; /* what it asked for was none */
        if (refused && as & XB_SAYS_FIRST && marks & XB_MARK_PAGED && xb_get(&e->count[XB_TALLY_PAGES]) < 0.5f) {
            marks = (marks & ~(uint32_t)XB_MARK_PAGED) | XB_MARK_REFUSED;
            group_down |= xb_client_events(marks, before);
            xb_put64(&e->shape, 0); /* the next page is the first, then */
        }
        if (marks != before)
            xb_put32(&e->marks, marks);
        group_up |= xb_client_events(before, marks);
        browser = marks & XB_MARK_BROWSER;
        xb_client_entry *pages = group_up | group_down ? xb_clients_look(xb_clients_seek(t, of_page), of_page) : NULL;
        if (pages)
            xb_entry_correct(pages, now, group_up, group_down);
    } else {
        group_up = group_down = 0; /* nobody knows any more where they were counted */
    }
    if (places.network)
        xb_entry_correct(places.network, now, up | group_up, down | group_down);
    if (places.shape)
        xb_entry_correct(places.shape, now, up, down);
    if (browser)
        xb_entry_correct(&t->site, now, up | group_up, down | group_down);
}
