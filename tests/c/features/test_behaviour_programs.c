/* Programs set off the rows of behaviour, each from its border on; and no row but does so for one of them. */
#include "visits.h"

static void programs(void)
{
    char path[64];
    case_name = "an impersonator that crawls";
    site();
    for (unsigned i = 0; i < 40; i++) {
        snprintf(path, sizeof path, "/articles/%u", i);
        open_page(0xc00000, &chrome, path, "");
        CHECK_EQUAL(fires(XB_F_cl_no_part_2), i >= 2);
        CHECK_EQUAL(fires(XB_F_cl_no_part_5), i >= 5);
        CHECK_EQUAL(fires(XB_F_cl_no_part_15), i >= 15);
        CHECK_EQUAL(fires(XB_F_cl_no_part_no_cookie), i >= 3);
        CHECK_EQUAL(fires(XB_F_cl_no_part_no_referrer), i >= 3);
        CHECK_EQUAL(fires(XB_F_cl_no_cookie_4), i >= 4);
        CHECK_EQUAL(fires(XB_F_cl_no_cookie_12), i >= 12);
        CHECK_EQUAL(fires(XB_F_cl_regular), i >= 9);
        CHECK_EQUAL(fires(XB_F_cl_steady), i >= 16);
        CHECK_EQUAL(fires(XB_F_cl_fast), i >= 8);
        CHECK_EQUAL(fires(XB_F_cl_fast_no_part), i >= 5);
        now += 1000;
    }
    FIRES(cl_unreferred);
    FIRES(cl_typed);
    FIRES(cl_never_again);
    NOT(cl_robots);
    work.reads_only = true; /* looked at, and not counted */
    const float before = work.vector.behaviour.client.count[XB_TALLY_PAGES];
    for (int i = 0; i < 3; i++)
        open_page(0xc00000, &chrome, path, "");
    CHECK(work.vector.behaviour.client.count[XB_TALLY_PAGES] == before + 1);
    work.reads_only = false;

    case_name = "one that says it is a crawler has no claim to contradict";
    site();
    const program crawler = {.agent = "Mozilla/5.0 (compatible; examplebot/1.0; +https://bot.example/)", .language = "en"};
    for (unsigned i = 0; i < 40; i++) {
        snprintf(path, sizeof path, "/articles/%u", i);
        open_page(0xc00100, &crawler, path, "");
        for (int row = XB_F_cl_no_part_2; row < XB_N_DENSE; row++)
            CHECK(!fires(row));
        now += 1000;
    }

    case_name = "headers that hide pages";
    site();
    for (unsigned i = 0; i < 8; i++) {
        snprintf(path, sizeof path, "/articles/%u", i);
        ask(0xc00200, &chrome, "GET", path, HTML, "Sec-Fetch-Dest: image\r\nX-Requested-With: XMLHttpRequest\r\nSec-Purpose: prefetch\r\n");
    }
    FIRES(cl_no_part_5);
    for (unsigned i = 0; i < 12; i++)
        ask(0xc00300, &chrome, "GET", "/articles/1", "*/*", "Sec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n");
    FIRES(cl_no_page);

    case_name = "robots.txt, then pages";
    site();
    ask(0xc00400, &chrome, "GET", "/robots.txt", "*/*", "");
    NOT(cl_robots);
    open_page(0xc00400, &chrome, "/", "");
    FIRES(cl_robots);

    case_name = "from elsewhere each time";
    site();
    for (unsigned i = 0; i < 6; i++) {
        snprintf(path, sizeof path, "/articles/%u?page=%u", i, i);
        ask(0xc00500, &chrome, "GET", path, HTML, "Referer: https://www.google.com/\r\n");
        now += 5000 + draw(60000);
    }
    FIRES(cl_external);

    case_name = "a driven browser with a new profile for each page";
    site();
    const program driven = {.agent = CHROME, .language = "en", .no_cookies = true};
    for (unsigned i = 0; i < 7; i++) {
        snprintf(path, sizeof path, "/articles/%u", i);
        open_page(0xc00600, &driven, path, "");
        if (i == 6)
            FIRES(cl_parts_never_cached);
        for (unsigned j = 0; j < 40; j++)
            ask(0xc00600, &driven, "GET", "/static/1.png", NULL, "Referer: https://example.org/\r\n");
        now += 4000 + draw(100000);
    }

    case_name = "parts once, then pages";
    site();
    visit(0xc00700, &chrome, "/", true, 3);
    for (unsigned i = 0; i < 30; i++) {
        snprintf(path, sizeof path, "/articles/%u", i);
        open_page(0xc00700, &chrome, path, "Cookie: a=b\r\n");
        now += 20000 + draw(1000000);
    }
    FIRES(cl_part_long_ago);
    NOT(cl_no_part_5);

    case_name = "forms without a page, and heads";
    site();
    for (unsigned i = 0; i < 4; i++)
        ask(0xc00800, &chrome, "POST", "/comment", HTML, "Referer: https://example.org/\r\n");
    FIRES(cl_posts_only);
    for (unsigned i = 0; i < 4; i++)
        ask(0xc00900, &chrome, "HEAD", "/articles/1", HTML, "");
    FIRES(cl_heads);

    case_name = "errors";
    site();
    for (unsigned i = 0; i < 40; i++) {
        snprintf(path, sizeof path, "/old%u.php", i);
        open_page(0xc00a00 + i % 2, &chrome, path, "");
        xb_clients_outcome(work.clients, &work.keys, now, &(xb_response){.status = 404, .content = XB_CONTENT_PAGE});
    }
    FIRES(cl_errors);
    FIRES(net_errors);

    case_name = "agents at random";
    site();
    static char agents[60][256];
    for (unsigned i = 0; i < 60; i++) {
        snprintf(agents[i], sizeof agents[i], "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%u.0.0.0 Safari/537.36", 60 + i);
        const program p = {.agent = agents[i], .language = "en"};
        open_page(0xc00b00, &p, "/articles/1", "");
        now += 3000;
    }
    FIRES(net_agents);
    FIRES(net_agent_each);
    FIRES(net_no_part);
    FIRES(net_no_cookie);
    FIRES(net_once);
}

/* The fleet: a thousand addresses in as many networks, one page each, all alike; and people with the same browser, before, in between and after. */
static void fleet(void)
{
    unsigned caught = 0, early = 0;
    char path[64];
    case_name = "a fleet that looks like nobody else";
    const program own = {.agent = CHROME, .language = "en-US,en;q=0.9"};
    site();
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(path, sizeof path, "/articles/%u", i % 500);
        open_page(0xd00000 + 256 * i, &own, path, "");
        const bool any = fires(XB_F_fleet_no_part_20) || fires(XB_F_fleet_no_part_100) || fires(XB_F_fleet_once) || fires(XB_F_fleet_networks);
        early += any && i < 20;
        caught += any && i >= 200;
        if (i % 10 == 0)
            person(0xe00000 + 256 * (i / 10), &chrome, 3);
        now += 3000;
    }
    CHECK_EQUAL(caught, 800);
    CHECK_EQUAL(early, 0);
    open_page(0xdf0000, &own, "/articles/1", "");
    FIRES(fleet_no_part_100);
    FIRES(fleet_entry);
    FIRES(fleet_once);
    FIRES(fleet_networks);
    FIRES(fleet_no_cookie);
    NOT(fleet_growth); /* it came slowly */

    case_name = "a fleet that comes at once";
    site();
    for (uint32_t i = 0; i < 200; i++) { /* some hours of people */
        person(0xe00000 + 256 * i, &chrome, 2);
        now += 60000;
    }
    for (unsigned i = 0; i < 90; i++) {
        open_page(0xd00000 + 256 * i, &own, "/articles/1", "");
        now += 1000;
    }
    FIRES(fleet_growth);
    for (uint32_t i = 0; i < 40; i++) /* and people who come at once, by a link that many read */
        visit(0xef0000 + 256 * i, &firefox, "/articles/today", true, 6);

    case_name = "a fleet in the shape of this site's people";
    site();
    caught = 0;
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(path, sizeof path, "/articles/%u", i % 500);
        open_page(0xd00000 + 256 * i, &chrome, path, "");
        caught += i >= 200 && fires(XB_F_fleet_entry);
        if (i % 2 == 0)
            visit(0xe00000 + 256 * (i / 2), &chrome, "/articles/7", true, 6); /* silent, all of it: SILENT() */
        now += 500;
    }
    CHECK(caught > 700);

    case_name = "an old version that loads nothing";
    site();
    const program old = {.agent = OLD_CHROME, .language = "de"};
    open_page(0xf00000, &old, "/articles/1", "");
    NOT(fleet_lag);
    open_page(0xf00000, &old, "/articles/2", "");
    FIRES(fleet_lag);
    for (uint32_t i = 0; i < 20; i++) /* a person with an old machine */
        person(0xf10000 + 256 * i, &old, 3);
}

/* What accepts a page is a form. */
static void forms(void)
{
    case_name = "forms and nothing else";
    site();
    for (unsigned i = 0; i < 3; i++)
        ask(0xc40000, &chrome, "POST", "/comment", HTML, "Cookie: s=1\r\n");
    FIRES(cl_posts_only);
}

/* A program that is refused shows less than one that is let by, and never more. */
static void refused_programs(void)
{
    char path[64];
    case_name = "a program, refused and let by";
    for (int kind = 0; kind < 3; kind++) {
        static bool let_by[60][XB_N_DENSE];
        for (int round = 0; round < 2; round++) {
            random_state = 7;
            site();
            for (unsigned i = 0; i < 60; i++) {
                snprintf(path, sizeof path, i % 5 == 4 ? "/api/%u.json" : "/articles/%u", i);
                const bool form = kind == 1 && i % 3 == 2;
                ask(0xc10000 + (kind == 2 ? 256 * i : 0), &chrome, form ? "POST" : "GET", path, i % 5 == 4 ? "*/*" : HTML, "");
                for (int row = XB_F_cl_no_part_2; row < XB_N_DENSE; row++) {
                    if (round && fires(row) && !let_by[i][row])
                        fprintf(stderr, "    kind %d, request %u: %s\n", kind, i, xb_feature_rows[row].name);
                    CHECK(!round || !fires(row) || let_by[i][row]);
                    let_by[i][row] = fires(row);
                }
                if (round)
                    refuse();
                now += 1000;
            }
        }
    }
    case_name = "a program that is let by for its pages, and refused elsewhere";
    site();
    for (unsigned i = 0; i < 16; i++) {
        snprintf(path, sizeof path, "/articles/%u", i);
        open_page(0xc20000, &chrome, path, "");
        CHECK_EQUAL(fires(XB_F_cl_no_part_5), i >= 5);
        CHECK_EQUAL(fires(XB_F_cl_fast_no_part), i >= 5);
        open_page(0xc20000, &chrome, "/private/", "");
        refuse();
        now += 1000;
    }
    FIRES(cl_no_part_15);
    FIRES(cl_regular);
}

#define OF_PEOPLE "Referer: https://example.org/\r\nCookie: s=1\r\n"

/* Rows that take many requests: each at its border, where it first fires. */
static void many(void)
{
    char path[64];
    case_name = "pages without end";
    site();
    visit(0xc30000, &chrome, "/", true, 1);
    for (unsigned before = 1; before < 140; before++) {
        snprintf(path, sizeof path, "/articles/%u%s", before % 30, before % 10 ? "?page=2" : "");
        open_page(0xc30000, &chrome, path, OF_PEOPLE);
        CHECK_EQUAL(fires(XB_F_cl_burst), before > 40);
        CHECK_EQUAL(fires(XB_F_cl_many), before > 120);
        CHECK_EQUAL(fires(XB_F_cl_many_no_part), before > 40);
        CHECK_EQUAL(fires(XB_F_cl_queries), before > 19);
    }
    now += UINT64_C(48) * 3600 * 1000; /* two days later nothing is left of it */
    open_page(0xc30000, &chrome, "/", OF_PEOPLE);
    NOT(cl_burst);
    NOT(cl_many);
    NOT(cl_queries);

    case_name = "twenty errors, every fifth request or not";
    site();
    for (unsigned each = 4; each < 8; each += 3) {
        for (unsigned i = 0; i < 30 * each; i++) {
            open_page(0xc30100 + each, &chrome, "/", OF_PEOPLE);
            const unsigned errors = (i + each - 1) / each;
            CHECK_EQUAL(fires(XB_F_cl_errors_many), each == 4 && errors >= 20);
            xb_clients_outcome(work.clients, &work.keys, now, &(xb_response){.status = i % each ? 200 : 404, .content = XB_CONTENT_PAGE});
        }
    }

    case_name = "a connection for each request";
    site();
    for (unsigned i = 0; i < 40; i++) { /* where others do so, too, it says nothing */
        snprintf(connection, sizeof connection, "X-Connection: 7-%u-1\r\n", 100 + i);
        ask(0xc30200, &firefox, "GET", "/articles/1", HTML, OF_PEOPLE);
        NOT(cl_connections);
    }
    for (unsigned i = 0; i < 400; i++) {
        snprintf(connection, sizeof connection, "X-Connection: 7-9-%u\r\n", i % 10 + 1);
        ask(0x010000, &chrome, "GET", "/articles/1", HTML, OF_PEOPLE);
        NOT(cl_connections);
    }
    for (unsigned i = 0; i < 12; i++) {
        snprintf(connection, sizeof connection, "X-Connection: 7-%u-1\r\n", 200 + i);
        ask(0xc30300, &firefox, "GET", "/articles/1", HTML, OF_PEOPLE);
        CHECK_EQUAL(fires(XB_F_cl_connections), i >= 8);
    }
    connection[0] = 0;

    case_name = "a network that reads all and loads nothing";
    site();
    for (unsigned i = 0; i < 70; i++) {
        snprintf(path, sizeof path, "/articles/%u", i);
        open_page(0xc30300 + i % 7, &chrome, path, "");
        CHECK_EQUAL(fires(XB_F_net_many_no_part), i > 60);
        now += 1000;
    }

    case_name = "a fleet of an old version";
    site();
    const program old = {.agent = OLD_CHROME, .language = "nl"};
    for (unsigned i = 0; i < 30; i++) {
        open_page(0xd10000 + 256 * i, &old, "/articles/1", "");
        const bool of_ten = fires(XB_F_fleet_lag_shape), of_twenty = fires(XB_F_fleet_no_part_20);
        CHECK(i >= 10 ? of_ten || i < 13 : !of_ten); /* the latest two do not count yet */
        CHECK(i >= 20 ? of_twenty || i < 23 : !of_twenty);
        now += 20000;
    }
}

/* No row but was seen to fire somewhere above. */
static void all_fired(void)
{
    for (int i = XB_F_cl_no_part_2; i < XB_N_DENSE; i++) {
        char text[128];
        snprintf(text, sizeof text, "row %s never fires here", xb_feature_rows[i].name);
        check(ever[i], __FILE__, __LINE__, text);
    }
}

int main(void)
{
    begin();
    programs();
    fleet();
    forms();
    refused_programs();
    many();
    all_fired();
    free(work.clients);
    return done("test_behaviour_programs");
}
