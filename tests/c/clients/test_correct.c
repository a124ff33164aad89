/* What happened to a request corrects what it was counted as: no page, no part, or refused. */
#include "client_table.h"

static void happenings(void)
{
    case_name = "happenings";
    fresh(1);
    xb_client_keys k = count(keys_of(1, 1, 1), NOON, page());
    happened(k, NOON, 200, XB_CONTENT_PAGE);
    CHECK_NEAR(TALLY(client_of(k, NOON), PAGES), 1);
    CHECK_NEAR(TALLY(client_of(k, NOON), OUTCOMES), 1);
    CHECK_EQUAL(TALLY(client_of(k, NOON), ERRORS), 0);
    k = count(keys_of(1, 1, 2), NOON, page()); /* "/thumb/17": a picture */
    happened(k, NOON, 200, XB_CONTENT_IMAGE);
    CHECK_NEAR(TALLY(client_of(k, NOON), PAGES), 1);
    CHECK_NEAR(TALLY(client_of(k, NOON), PARTS), 1);
    CHECK(client_of(k, NOON).marks & XB_MARK_PARTED);
    CHECK_EQUAL(client_of(k, NOON).pages_since_part, 0);
    CHECK_NEAR(TALLY(shape_of(keys_of(0, 0, 1), NOON), LOADERS), 1); /* of the shape of its page */
    CHECK_NEAR(TALLY(network_of(k, NOON), LOADERS), 1);
    CHECK_NEAR(TALLY(site(NOON), LOADERS), 1);
    k = count(keys_of(2, 1, 1), NOON, page()); /* "/api/items" is data, and no part */
    happened(k, NOON, 200, XB_CONTENT_DATA);
    CHECK_EQUAL(TALLY(client_of(k, NOON), PAGES), 0);
    CHECK_EQUAL(TALLY(client_of(k, NOON), PARTS), 0);
    CHECK_EQUAL(client_of(k, NOON).pages_since_part, 0);
    k = count(keys_of(3, 1, 1), NOON, part()); /* "/a.css" that is not there proves nothing */
    CHECK(client_of(k, NOON).marks & XB_MARK_PARTED);
    happened(k, NOON, 404, XB_CONTENT_PAGE);
    CHECK(!(client_of(k, NOON).marks & XB_MARK_PARTED));
    CHECK_EQUAL(TALLY(client_of(k, NOON), PARTS), 0);
    CHECK_NEAR(TALLY(client_of(k, NOON), ERRORS), 1);
    k = count(keys_of(4, 1, 1), NOON, part());
    happened(k, NOON, 200, XB_CONTENT_PAGE); /* nor one that is a page */
    CHECK(!(client_of(k, NOON).marks & XB_MARK_PARTED));
    k = count(keys_of(5, 1, 1), NOON, part());
    happened(k, NOON, 304, XB_CONTENT_UNKNOWN);
    CHECK(client_of(k, NOON).marks & XB_MARK_PARTED);
    CHECK_NEAR(TALLY(client_of(k, NOON), UNCHANGED), 1);
    k = count(keys_of(7, 1, 1), NOON, page()); /* no status that says anything */
    happened(k, NOON, 600, XB_CONTENT_UNKNOWN);
    CHECK_NEAR(TALLY(client_of(k, NOON), PAGES), 1);
    k = keys_of(6, 9, 9); /* gone, or never there */
    happened(k, NOON, 404, XB_CONTENT_PAGE);
    CHECK(!there(k));
    static const struct {
        int status;
        bool error;
    } statuses[] = {{200, false}, {301, false}, {400, true},  {401, false}, {403, false}, {404, true},
                    {410, true},  {429, false}, {499, false}, {500, false}, {503, false}, {600, false}, {-1, false}};
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        k = count(keys_of(100 + i, 0, 0), NOON, other());
        happened(k, NOON, statuses[i].status, XB_CONTENT_UNKNOWN);
        CHECK_NEAR(TALLY(client_of(k, NOON), ERRORS), statuses[i].error);
        CHECK_NEAR(TALLY(client_of(k, NOON), OUTCOMES), 1);
    }
    static const struct {
        const char *type;
        xb_content content;
    } types[] = {{"", XB_CONTENT_UNKNOWN},
                 {"-", XB_CONTENT_UNKNOWN},
                 {" ; charset=utf-8", XB_CONTENT_UNKNOWN},
                 {"text/html; charset=utf-8", XB_CONTENT_PAGE},
                 {"Text/HTML ;charset=utf-8", XB_CONTENT_PAGE},
                 {"application/xhtml+xml", XB_CONTENT_PAGE},
                 {"text/css", XB_CONTENT_STYLE},
                 {"text/javascript", XB_CONTENT_SCRIPT},
                 {"application/x-javascript", XB_CONTENT_SCRIPT},
                 {"image/svg+xml", XB_CONTENT_IMAGE},
                 {"image/avif", XB_CONTENT_IMAGE},
                 {"font/woff2", XB_CONTENT_FONT},
                 {"application/font-woff", XB_CONTENT_FONT},
                 {"application/json", XB_CONTENT_DATA},
                 {"application/ld+json", XB_CONTENT_DATA},
                 {"application/rss+xml; charset=utf-8", XB_CONTENT_DATA},
                 {"application/pdf", XB_CONTENT_OTHER},
                 {"text/html2", XB_CONTENT_OTHER}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const size_t size = strlen(types[i].type);
        CHECK_EQUAL(xb_content_of((xb_span){at_end(types[i].type, size), size}), types[i].content);
    }
    CHECK_EQUAL(xb_content_of((xb_span){NULL, 0}), XB_CONTENT_UNKNOWN);
}

/* An entry that had to go meanwhile gets nothing, and nobody else gets it. */
static void gone(void)
{
    case_name = "gone";
    fresh(1);
    const xb_client_keys k = keys_of(1, 0, 1), otherwise = keys_of(1, 0, 2);
    xb_clients_mark(table_of_all, &k, XB_MARK_CALLED); /* nobody was counted */
    CHECK_EQUAL(table_of_all->entries, 0);
    count(k, NOON, page());
    xb_client_set *set = xb_clients_seek(table_of_all, k.shape);
    set->tag[xb_clients_place(set, xb_clients_tag(k.shape))] = 0;
    xb_visit with_version = part();
    with_version.version = 100;
    count(otherwise, NOON, with_version); /* the page's shape would have a loader more */
    CHECK_EQUAL(TALLY(site(NOON), LOADERS), 1);
    CHECK_EQUAL(TALLY(shape_of(k, NOON), LOADERS), 0);
    for (size_t i = 0; i < XB_CLIENTS_VERSIONS; i++)
        CHECK_EQUAL(table_of_all->versions[0][i], 0); /* without a network nobody says which versions people have */
}

/* All of a view but the time, which goes on, and what a refused request is besides a page. */
static bool same_pages(const xb_client_view *a, const xb_client_view *b)
{
    static const uint32_t besides = XB_COUNT(REQUESTS) | XB_COUNT(OUTCOMES) | XB_COUNT(ARRIVED);
    bool same = a->pages_since_part == b->pages_since_part && a->gaps == b->gaps && a->distinct[0] == b->distinct[0] && near(a->fast, b->fast) &&
                near(a->gap_mean, b->gap_mean) && near(a->gap_spread, b->gap_spread) && (a->marks & ~XB_MARK_REFUSED) == (b->marks & ~XB_MARK_REFUSED);
    for (int i = 0; i < XB_N_TALLIES; i++)
        if (!(besides >> i & 1) && !near(a->count[i], b->count[i])) {
            same = false;
            fprintf(stderr, "    count %d: %.4f, want %.4f\n", i, (double)a->count[i], (double)b->count[i]);
        }
    return same;
}

/* A page that was refused leaves the table as it was but for the request: at whatever point of a visit it comes, and whatever it was. */
static void refused(void)
{
    static const int gates[] = {401, 403, 407, 429};
    static const uint32_t kinds[] = {XB_COUNT(UNREFERRED) | XB_COUNT(TYPED), XB_COUNT(OWN) | XB_COUNT(QUERIES), XB_COUNT(EXTERNAL), 0};
    const xb_client_keys k = keys_of(1, 1, 1), people = keys_of(2, 1, 1);
    case_name = "refused";
    fresh(1);
    count(people, NOON, page()), count(people, NOON, part()); /* others, whose counts stay */
    for (unsigned step = 0; step < 12; step++) {
        const uint64_t now = NOON + 40000 * step;
        xb_visit let_by = step % 4 == 2 ? part() : page();
        let_by.path = 100 + step;
        let_by.marks |= step > 5 ? XB_MARK_KEEPS : 0;
        if (step == 0) { /* known from what is no page */
            let_by = other();
            let_by.marks |= XB_MARK_KEEPS;
        }
        count(k, now, let_by);
        const uint64_t then = now + 1000;
        const xb_client_view client = client_of(k, then), network = network_of(k, then), shape = shape_of(k, then), all = site(then);
        for (unsigned i = 0; i < 10; i++) {
            xb_visit v = page();
            v.counts |= kinds[i % 4];
            v.path = i % 3 ? 1000 + i : 100;
            const xb_client_keys done = count(k, then + 10 * i, v);
            CHECK_NEAR(TALLY(client_of(k, then), PAGES), TALLY(client, PAGES) + 1);
            happened(done, then + 10 * i, gates[i % 4], i % 2 ? XB_CONTENT_PAGE : XB_CONTENT_UNKNOWN);
        }
        const xb_client_view after[] = {client_of(k, then), network_of(k, then), shape_of(k, then), site(then)};
        CHECK(same_pages(&after[0], &client));
        CHECK(same_pages(&after[1], &network));
        CHECK(same_pages(&after[2], &shape));
        CHECK(same_pages(&after[3], &all));
        CHECK_NEAR(TALLY(after[0], REQUESTS), TALLY(client, REQUESTS) + 10);
        CHECK_EQUAL(TALLY(after[0], ERRORS), 0);
    }
    const xb_client_keys other_shape = keys_of(3, 1, 3), late = keys_of(3, 1, 4); /* the shape is that of the first page that was let by */
    happened(count(other_shape, NOON, page()), NOON, 403, XB_CONTENT_PAGE);
    CHECK_EQUAL(client_of(other_shape, NOON).marks, XB_MARK_BROWSER | XB_MARK_REFUSED);
    count(late, NOON, page()), count(keys_of(3, 1, 9), NOON, part());
    CHECK_EQUAL(TALLY(shape_of(other_shape, NOON), VISITORS), 0);
    CHECK_NEAR(TALLY(shape_of(late, NOON), VISITORS), 1);
    CHECK_NEAR(TALLY(shape_of(late, NOON), LOADERS), 1);

    case_name = "refused, several at once";
    xb_client_keys tabs[15];
    const xb_client_keys one = keys_of(4, 4, 4);
    for (unsigned i = 0; i < 15; i++) {
        xb_visit v = page();
        v.path = 2000 + i;
        tabs[i] = count(one, NOON + i, v);
    }
    for (unsigned i = 0; i < 15; i++)
        happened(tabs[i], NOON + 20, 429, XB_CONTENT_PAGE);
    CHECK_EQUAL(TALLY(client_of(one, NOON), PAGES), 0);
    CHECK_EQUAL(client_of(one, NOON).gaps, 0);
    CHECK_EQUAL(client_of(one, NOON).distinct[0], 0);
    CHECK_EQUAL(client_of(one, NOON).fast, 0);
    const xb_client_keys two = keys_of(5, 5, 5), first = count(two, NOON, page()); /* a first page that is refused after another was let by */
    count(two, NOON, page());
    happened(first, NOON, 403, XB_CONTENT_PAGE);
    CHECK_EQUAL(client_of(two, NOON).marks, XB_MARK_BROWSER | XB_MARK_PAGED);
    CHECK_NEAR(TALLY(network_of(two, NOON), VISITORS), 1);

    case_name = "refused, and no page";
    const xb_client_keys three = keys_of(6, 6, 6);
    happened(count(three, NOON, part()), NOON, 403, XB_CONTENT_PAGE); /* it wanted a part, as browsers do */
    CHECK(client_of(three, NOON).marks & XB_MARK_PARTED);
    CHECK_NEAR(TALLY(client_of(three, NOON), PARTS), 1);
    happened(count(three, NOON, page()), NOON, 499, XB_CONTENT_UNKNOWN); /* the visitor left */
    CHECK_NEAR(TALLY(client_of(three, NOON), PAGES), 1);
}

/* What the content type corrects is corrected for loaders, too. */
static void loaded(void)
{
    const xb_client_keys k = keys_of(1, 1, 1);
    case_name = "loaded";
    fresh(1);
    count(k, NOON, page()), count(k, NOON, part());
#define LOADED(pages, parts)                                                                                            \
    do {                                                                                                                \
        const xb_client_view of[] = {network_of(k, NOON), shape_of(k, NOON), site(NOON)};                               \
        for (int i = 0; i < 3; i++)                                                                                     \
            CHECK_NEAR(TALLY(of[i], LOADED_PAGES), pages), CHECK_NEAR(TALLY(of[i], LOADED_PARTS), parts);               \
    } while (0)
    LOADED(0, 0);
    xb_client_keys done = count(k, NOON, page());
    LOADED(1, 0);
    happened(done, NOON, 200, XB_CONTENT_IMAGE); /* "/thumb/17" */
    LOADED(0, 1);
    happened(count(k, NOON, page()), NOON, 200, XB_CONTENT_DATA);
    LOADED(0, 1);
    happened(count(k, NOON, other()), NOON, 200, XB_CONTENT_SCRIPT);
    LOADED(0, 2);
    happened(count(k, NOON, part()), NOON, 200, XB_CONTENT_STYLE);
    LOADED(0, 3);
    happened(count(k, NOON, part()), NOON, 200, XB_CONTENT_PAGE);
    LOADED(0, 3);
    happened(count(k, NOON, page()), NOON, 200, XB_CONTENT_PAGE);
    LOADED(1, 3);
    CHECK_NEAR(client_of(k, NOON).fast, 2); /* nor do pages that were none count in any other way */
    CHECK_EQUAL(client_of(k, NOON).gaps, 1);
}

int main(void)
{
    happenings();
    gone();
    refused();
    loaded();
    free(table_of_all);
    return done("test_correct");
}
