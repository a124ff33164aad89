#include "clients/count.h"

#include "clients/versions.h"

uint32_t xb_client_events(uint32_t before, uint32_t marks)
{
    enum { LOADS = XB_MARK_PAGED | XB_MARK_PARTED, KEEPS = XB_MARK_PAGED | XB_MARK_KEEPS };
    uint32_t counts = 0;
    if (before == marks || !(marks & XB_MARK_BROWSER))
        return 0;
    counts |= (marks & ~before) & XB_MARK_PAGED ? XB_COUNT(VISITORS) : 0;
    counts |= (marks & LOADS) == LOADS && (before & LOADS) != LOADS ? XB_COUNT(LOADERS) : 0;
    counts |= (marks & KEEPS) == KEEPS && (before & KEEPS) != KEEPS ? XB_COUNT(KEEPERS) : 0;
    return counts;
}

/* A referrer's kind is said by its number, from 1; the counts stand in the same order. */
enum { FIRST_REFERRER = XB_TALLY_UNREFERRED };
_Static_assert((int)XB_TALLY_OWN == (int)FIRST_REFERRER + 1 && (int)XB_TALLY_EXTERNAL == (int)FIRST_REFERRER + 2, "as clients' keys say them");
_Static_assert((int)XB_TALLY_QUERIES == (int)XB_TALLY_TYPED + 1 && (int)XB_SAYS_QUERIES == 2 * (int)XB_SAYS_TYPED, "likewise");

/* What these counts of a page are called in the client's key. */
static uint32_t says(uint32_t counts)
{
    const uint32_t kinds = counts >> FIRST_REFERRER & 7; /* one bit at most */
    const uint32_t referrer = kinds & 4 ? 3 : kinds;
    return referrer << XB_SAYS_REFERRER | (counts >> XB_TALLY_TYPED & 3) * XB_SAYS_TYPED;
}

uint32_t xb_client_said(uint32_t says)
{
    const uint32_t referrer = says >> XB_SAYS_REFERRER & 3;
    return XB_COUNT(PAGES) | (1u << referrer >> 1) << FIRST_REFERRER | (says / XB_SAYS_TYPED & 3) << XB_TALLY_TYPED;
}

/* What only the shape of a client's page gets to know, not that of its parts. */
static const uint32_t OF_CLIENTS = XB_COUNT(LOADERS) | XB_COUNT(KEEPERS) | XB_COUNT(LOADED_PAGES) | XB_COUNT(LOADED_PARTS);

/* The entry where it was found, or a new one; NULL without a key. */
static xb_client_entry *place(xb_clients *t, uint64_t key, xb_client_entry *found, xb_client_set *set, xb_moment now)
{
    if (found) {
        xb_clients_touch(found, set, now);
        return found;
    }
    return key ? xb_clients_take(t, set ? set : xb_clients_seek(t, key), xb_clients_tag(key), now) : NULL;
}

xb_client_entry *xb_clients_count(xb_clients *t, xb_client_keys *k, const xb_client_places *places, uint64_t now_ms, const xb_visit *visit)
{
    const uint64_t key = xb_client_key(k);
    const bool page = visit->what == XB_VISIT_PAGE, part = visit->what == XB_VISIT_PART;
    if (!key)
        return NULL;
    const xb_moment now = xb_moment_of(now_ms);
    const bool arrived = !places->client;
    uint32_t as = visit->what;
    xb_client_entry *client = place(t, key, places->client, places->of_client, now);
    xb_client_entry *network = place(t, k->network, places->network, places->of_network, now);
    xb_client_entry *shape = place(t, k->shape, places->shape, places->of_shape, now);

    const uint32_t before = xb_get32(&client->marks);
    uint32_t marks = before | visit->marks | (page ? XB_MARK_PAGED : 0) | (part ? XB_MARK_PARTED : 0);
    marks |= !arrived && visit->marks & XB_MARK_KEEPS && !(before & XB_MARK_KEEPS) ? XB_MARK_BROUGHT : 0;
    if (marks != before)
        xb_put32(&client->marks, marks);
    uint64_t of_page = xb_get64(&client->shape);
    if (page && !of_page)
        xb_put64(&client->shape, of_page = k->shape);
    xb_entry_count(client, now, visit->counts);
    if (page) {
        as |= says(visit->counts) | (before & XB_MARK_PAGED ? 0 : XB_SAYS_FIRST);
        as |= xb_entry_gap(client, now) ? XB_SAYS_GAP : 0;
        const uint32_t since = xb_get32(&client->pages_since_part) & 0xff;
        xb_put32(&client->pages_since_part, since < 255 ? since + 1 : since);
        const unsigned path = xb_entry_class(visit->path);
        as |= xb_entry_saw(&client->sketch[0], path) ? XB_SAYS_NEW | path << XB_SAYS_CLASS : 0;
    } else if (part && xb_get32(&client->pages_since_part)) {
        xb_put32(&client->pages_since_part, 0);
    }

    uint32_t group = xb_client_events(before, marks) | (arrived ? XB_COUNT(ARRIVED) : 0);
    if (before & XB_MARK_PARTED && marks & XB_MARK_BROWSER) {
        group |= page ? XB_COUNT(LOADED_PAGES) : part ? XB_COUNT(LOADED_PARTS) : 0;
        as |= XB_SAYS_LOADED;
    }
    k->client = key | as;
    uint32_t of_shape = visit->counts | (of_page == k->shape ? group : group & ~OF_CLIENTS);
    if (network) {
        xb_entry_fade(network, now);
        xb_entry_saw(&network->sketch[0], xb_entry_class(visit->agent));
        xb_entry_saw(&network->sketch[1], xb_entry_class(visit->address));
        if (shape && xb_entry_saw(&network->sketch[2], xb_entry_class(k->shape)))
            of_shape |= XB_COUNT(NETWORKS);
        xb_entry_count(network, now, visit->counts | group);
    }
    if (shape)
        xb_entry_count(shape, now, of_shape);
    if (of_page && of_page != k->shape && group & OF_CLIENTS) { /* a part looks otherwise than its page */
        xb_client_entry *pages = xb_clients_look(xb_clients_seek(t, of_page), of_page);
        if (pages)
            xb_entry_correct(pages, now, group & OF_CLIENTS, 0);
    }
    if (marks & XB_MARK_BROWSER)
        xb_entry_count(&t->site, now, visit->counts | group);
    /* No network says much about which versions people have. */
    if (group & XB_COUNT(LOADERS) && visit->version && network && xb_get(&network->count[XB_TALLY_LOADERS]) < 2.5f)
        xb_versions_count(t, visit->family, visit->version);
    return client;
}

void xb_clients_mark(xb_clients *t, const xb_client_keys *k, uint32_t marks)
{
    const uint64_t key = xb_client_key(k);
    xb_client_entry *e = xb_clients_look(xb_clients_seek(t, key), key);
    if (e)
        xb_put32(&e->marks, xb_get32(&e->marks) | marks);
}
