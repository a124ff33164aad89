/* People of many kinds set off no row of behaviour: who is refused by mistake, at bad moments, and who does nearly what programs do. */
#include "visits.h"

static void people(void)
{
    case_name = "a young site";
    fresh();
    for (uint32_t i = 0; i < 5; i++)
        person(0x100000 + 256 * i, &chrome, 5);

    case_name = "people";
    site();
    for (uint32_t i = 0; i < 40; i++)
        person(0x200000 + 256 * i, i % 2 ? &chrome : &firefox, 12);

    case_name = "ten behind one address";
    site();
    static program ten[10];
    static char agents[10][256];
    for (uint32_t i = 0; i < 10; i++) {
        snprintf(agents[i], sizeof agents[i], "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%u.0.0.0 Safari/537.36", 133 + i);
        ten[i] = (program){.agent = agents[i], .language = "en"};
    }
    for (uint32_t round = 0; round < 8; round++)
        for (uint32_t i = 0; i < 10; i++)
            person(0x300000, &ten[i], 1 + round % 2);

    case_name = "comes back with a warm cache";
    site();
    person(0x400000, &chrome, 4);
    for (uint32_t day = 1; day < 4; day++) {
        now += UINT64_C(20) * 3600 * 1000;
        for (uint32_t i = 0; i < 30; i++)
            person(0x410000 + 256 * (40 * day + i), &chrome, 3); /* others */
        for (uint32_t i = 0; i < 20; i++) {
            visit(0x400000, &chrome, i % 2 ? "/" : "/articles/1", false, 0);
            pause_of_people();
        }
    }

    case_name = "one page a day";
    site();
    for (uint32_t day = 0; day < 10; day++) {
        for (uint32_t i = 0; i < 30; i++)
            person(0x500000 + 256 * (40 * day + i), &chrome, 3);
        visit(0x5f0000, &firefox, "/", false, day == 0 ? 5 : 0);
        now += UINT64_C(24) * 3600 * 1000;
    }

    case_name = "tabs: a session comes back";
    site();
    for (uint32_t i = 0; i < 15; i++) {
        visit(0x600000, &chrome, i % 2 ? "/articles/3" : "/articles/4", false, 2);
        now += 100;
    }

    case_name = "neither cookies nor referrers";
    site();
    const program privacy = {.agent = FIREFOX, .language = "en", .no_cookies = true, .no_referrers = true};
    for (uint32_t i = 0; i < 3; i++) {
        visit(0x700000, &privacy, i ? "/articles/7" : "/", true, 6 - 2 * i);
        pause_of_people();
    }

    case_name = "a program's page: data and a WebSocket";
    site();
    visit(0x800000, &chrome, "/app", true, 5);
    for (uint32_t i = 0; i < 300; i++) {
        ask(0x800000, &chrome, i % 5 ? "GET" : "POST", "/api/messages", "*/*",
            "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\nReferer: https://example.org/app\r\nCookie: s=1\r\n");
        SILENT();
        now += 1000;
    }

    case_name = "a reader of feeds, that is no browser";
    site();
    const program reader = {.agent = "FeedReader/1.0 (+https://reader.example/)", .language = "en"};
    for (uint32_t i = 0; i < 300; i++) {
        ask(0x900000, &reader, "GET", "/feed", "*/*", "If-None-Match: \"a\"\r\n");
        SILENT();
        now += 900 * 1000;
    }

    case_name = "no part comes from here";
    fresh();
    for (uint32_t i = 0; i < 200; i++)
        for (uint32_t j = 0; j < 8; j++) {
            char path[32];
            snprintf(path, sizeof path, "/a/%u", (unsigned)draw(30));
            visit(0xa00000 + 256 * i, &chrome, path, j == 0, 0);
            pause_of_people();
        }
    CHECK(isnan(xb_row(&work.vector, XB_F_cl_no_part_5)) && isnan(xb_row(&work.vector, XB_F_fleet_no_part_20)));

    case_name = "only icons come from here";
    fresh();
    for (uint32_t i = 0; i < 100; i++)
        for (uint32_t j = 0; j < 8; j++) {
            visit(0xa00000 + 256 * i, &chrome, j % 2 ? "/a" : "/", j == 0, j == 0);
            pause_of_people();
        }
    CHECK(isnan(xb_row(&work.vector, XB_F_cl_no_part_5)));

    case_name = "this week's Chrome, by five hundred at once";
    site();
    for (uint32_t i = 0; i < 500; i++) {
        visit(0xb00000 + 256 * i, &chrome, "/articles/today", true, 6);
        now += 50;
    }
}

/* Nobody is told by the parts that he had no time to load, by the pages that the site could not give, or by what was before the table. */
static void moments_of_people(void)
{
    char path[64];
    case_name = "a message on many telephones";
    site();
    static const program phone = {.agent = CHROME, .language = "nl"};
    for (uint32_t i = 0; i < 400; i++) { /* all have the page before the first part is there */
        open_page(0x500000 + 256 * i, &phone, "/articles/today", "");
        SILENT();
        now += 10;
    }
    now += 6000;
    for (uint32_t i = 0; i < 400; i++)
        ask(0x500000 + 256 * i, &phone, "GET", "/static/1.png", NULL, "Referer: https://example.org/articles/today\r\n");
    now += 20000;
    open_page(0x5f0000, &phone, "/articles/today", "");
    SILENT();

    case_name = "a class, on a slow line";
    site();
    for (uint32_t i = 0; i < 30; i++) {
        const program pupil = {.agent = CHROME, .language = i % 2 ? "da" : "sv"};
        open_page(0x510000 + i, &pupil, "/articles/7", "");
        SILENT();
        now += 200;
    }

    case_name = "the site breaks down";
    site();
    for (unsigned again = 0; again < 6; again++)
        for (uint32_t i = 0; i < 100; i++) {
            open_page(0x520000 + 256 * i, &phone, "/articles/today", "");
            SILENT();
            xb_clients_outcome(work.clients, &work.keys, now, &(xb_response){.status = again % 2 ? 502 : 503, .bytes = 150, .content = XB_CONTENT_PAGE});
            now += 300;
        }

    case_name = "a folder of bookmarks, in tabs";
    site();
    visit(0x530000, &chrome, "/", true, 6);
    for (unsigned i = 0; i < 20; i++) {
        snprintf(path, sizeof path, "/articles/%u", i);
        visit(0x530000, &chrome, path, false, 1);
        now += 100;
    }

    case_name = "a page that was open before the table was";
    site();
    for (unsigned i = 0; i < 40; i++) {
        ask(0x540000, &chrome, "POST", "/api/state", "*/*",
            "Origin: https://example.org\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\nCookie: s=1\r\n");
        SILENT();
        now += 10000;
    }
}

/* Who is refused by mistake, and tries again: nothing of that is held against him. */
static void refused_people(void)
{
    static const char *const ways[] = {"", "Referer: https://search.example/\r\n", "Referer: https://example.org/\r\n"};
    char path[64];
    case_name = "refused ten times, then let by";
    site();
    for (uint32_t i = 0; i < 60; i++) { /* each of another network and, by its language, in turn of four shapes that nobody else has */
        static const char *const languages[] = {"de-AT", "fr", "it", "pl"};
        const program p = {.agent = i % 2 ? CHROME : FIREFOX, .language = languages[i % 4]};
        const uint32_t ip = i % 3 ? 0x110000 + 256 * i : 0x120000 + i; /* and some of one network */
        for (unsigned n = 0; n < 10; n++) {
            snprintf(path, sizeof path, "/articles/%u?again=%u", i % 2 ? n : 0, n);
            open_page(ip, &p, path, ways[i % 3]);
            SILENT();
            refuse();
            now += 300 + draw(1000);
        }
        ask(ip, &p, "GET", "/site.webmanifest", "*/*", "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: manifest\r\n");
        SILENT();
        refuse();
        for (unsigned n = 0; n < 3; n++) {
            snprintf(path, sizeof path, "/articles/%u", n);
            visit(ip, &p, path, n == 0, n == 0 ? 8 : 2); /* silent, all of it */
            pause_of_people();
        }
    }

    case_name = "refused in the middle of a visit";
    site();
    person(0x130000, &chrome, 6);
    for (unsigned n = 0; n < 60; n++) {
        snprintf(path, sizeof path, "/articles/%u", n);
        open_page(0x130000, &chrome, path, "Referer: https://example.org/\r\nCookie: s=1\r\n");
        SILENT();
        refuse();
        now += 1000;
    }
    person(0x130000, &chrome, 6);

    case_name = "an old browser, refused";
    site();
    const program old = {.agent = OLD_CHROME, .language = "de"};
    for (uint32_t i = 0; i < 20; i++)
        for (unsigned n = 0; n < 3; n++) {
            open_page(0x140000 + 256 * i, &old, "/", "");
            SILENT();
            refuse();
        }
}

/* Visitors who do nearly what a row calls a program's, but for one thing. */
static void nearly(void)
{
    case_name = "many pages, with parts";
    site();
    person(0x800000, &chrome, 45);

    case_name = "pages that are in the cache";
    for (unsigned i = 0; i < 5; i++) {
        char path[32];
        snprintf(path, sizeof path, "/articles/%u", i);
        open_page(0x810000, &chrome, path, "If-None-Match: \"a\"\r\n");
        CHECK(!fires(XB_F_cl_no_part_no_cookie) && !fires(XB_F_cl_parts_never_cached));
        pause_of_people();
    }

    case_name = "some heads among pages";
    person(0x820000, &chrome, 6);
    for (int i = 0; i < 4; i++)
        ask(0x820000, &chrome, "HEAD", "/articles/1", HTML, "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\nCookie: s=1\r\n");
    CHECK(!fires(XB_F_cl_heads));

    case_name = "searches, with parts";
    for (unsigned i = 0; i < 24; i++) {
        char path[32];
        snprintf(path, sizeof path, "/search?q=%u", i);
        visit(0x830000, &chrome, path, i == 0, 1);
        pause_of_people();
    }
    CHECK(!fires(XB_F_cl_queries));

    case_name = "a large household: many agents, as many addresses, and parts";
    for (uint32_t i = 0; i < 24; i++) {
        char agent[160];
        snprintf(agent, sizeof agent, "Mozilla/5.0 (X11; Linux x86_64; rv:%u.0) Gecko/20100101 Firefox/%u.0", 120 + i, 120 + i);
        const program p = {.agent = agent, .language = "de"};
        person(0x840000 + i, &p, 4);
    }
    open_page(0x840000 + 99, &chrome, "/articles/1", "");
    CHECK(!fires(XB_F_net_agents) && !fires(XB_F_net_once) && !fires(XB_F_net_many_no_part));

    case_name = "a page that renews itself";
    site();
    visit(0x835000, &chrome, "/departures", true, 8);
    for (unsigned i = 0; i < 30; i++) {
        now += 60000 + draw(8000);
        visit(0x835000, &chrome, "/departures", false, 0); /* silent, all of it */
    }
}

/* What is alike in one network says nothing of a stranger who has the same browser. */
static void alike_in_one_network(void)
{
    case_name = "a network of two hundred that load nothing, and somebody elsewhere";
    site();
    const program old = {.agent = OLD_CHROME, .language = "nl"};
    for (uint32_t i = 0; i < 200; i++) { /* some hours of people */
        person(0xe00000 + 256 * i, &chrome, 2);
        now += 60000;
    }
    const xb_behaviour *b = &work.vector.behaviour;
    bool grew = false;
    for (uint32_t i = 0; i < 200; i++) {
        open_page(0x550000 + i, &old, "/articles/1", "");
        for (int row = XB_F_fleet_no_part_20; row < XB_N_DENSE; row++)
            CHECK(!fires(row));
        grew |= b->growth > 4 && b->shape.count[XB_TALLY_VISITORS] - 2 * b->shape.latest > 19.5;
        now += 1000;
    }
    FIRES(net_no_part);
    CHECK(grew && b->lag > 8 && b->shape.count[XB_TALLY_VISITORS] - 2 * b->shape.latest > 99.5); /* or nothing was tried */
    open_page(0x560000, &old, "/articles/1", "");
    SILENT();
}

int main(void)
{
    begin();
    people();
    moments_of_people();
    refused_people();
    nearly();
    alike_in_one_network();
    free(work.clients);
    return done("test_behaviour_people");
}
