/* What rows make of behaviour: people of many kinds set off none of them, programs do; and without a table nothing changes. */
#include "harness.h"

#include <math.h>

#include "base/hash.h"
#include "invariants.h"
#include "model_image.h"

static model_image image;
static xb_model model;
static xb_workspace work, stateless;
static const uint64_t secret[2] = {5, 6};
static const uint64_t NOON = UINT64_C(1795737600000);
static uint64_t now;

#define CHROME "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
#define OLD_CHROME "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/109.0.0.0 Safari/537.36"
#define FIREFOX "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0"
#define HTML "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

typedef struct {
    const char *agent, *language;
    bool no_cookies, no_referrers;
} program;

static const program chrome = {.agent = CHROME, .language = "de"}, firefox = {.agent = FIREFOX, .language = "en"};

static void fresh(void)
{
    const size_t size = xb_clients_size(4);
    if (!work.clients)
        work.clients = aligned_alloc(64, size);
    if (!work.clients)
        exit(2);
    memset(work.clients, 0, size);
    xb_clients_init(work.clients, size, secret, XB_CLIENTS_BY_ADDRESS);
    now = NOON;
}

static char connection[64]; /* what the proxy says of it; it speaks first */

/* Sends one request: `ip` as a number of 10.0.0.0/8; `accept` NULL: a part's. */
static void ask(uint32_t ip, const program *p, const char *method, const char *path, const char *accept, const char *more)
{
    char head[4096];
    const int n = snprintf(head, sizeof head,
                           "GET / HTTP/1.1\r\nX-Real-IP: 10.%u.%u.%u\r\n%sX-Original-URI: %s\r\nX-Original-Method: %s\r\nX-Original-Host: "
                           "example.org\r\nX-Original-Scheme: https\r\nX-Original-Order: kept\r\nHost: example.org\r\nUser-Agent: %s\r\nAccept: %s\r\n%s"
                           "Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: %s\r\n\r\n",
                           ip >> 16 & 255, ip >> 8 & 255, ip & 255, connection, path, method, p->agent, accept ? accept : "image/avif,image/webp,*/*;q=0.8", more,
                           p->language);
    CHECK(n > 0 && n < (int)sizeof head);
    CHECK(xb_request_parse(&work.request, head, (size_t)n, 0) == n);
    xb_dialect_apply(XB_DIALECT_NGINX, &work.request, work.scratch);
    work.now_ms = now;
    xb_judge(&model, &work);
    char wrong[128] = "";
    if (!CHECK(judged_well(&model, &work, wrong, sizeof wrong)))
        fprintf(stderr, "    %s\n", wrong);
    CHECK(xb_request_parse(&stateless.request, head, (size_t)n, 0) == n);
    xb_dialect_apply(XB_DIALECT_NGINX, &stateless.request, stateless.scratch);
    xb_judge(&model, &stateless);
    for (int i = 0; i < XB_F_cl_no_part_2; i++) {
        const double with = xb_row(&work.vector, i), without = xb_row(&stateless.vector, i);
        CHECK(memcmp(&with, &without, sizeof with) == 0);
    }
    for (int i = XB_F_cl_no_part_2; i < XB_N_DENSE; i++)
        CHECK(isnan(xb_row(&stateless.vector, i)));
    CHECK(!stateless.keys.client && !(stateless.vector.facts.present & XB_HAS_CLIENT));
    CHECK(work.keys.client && work.vector.facts.present & XB_HAS_CLIENT);
}

/* Which rows fired for what was asked last; at least `row`, or none at all for -1. */
static bool ever[XB_N_DENSE]; /* which were seen to fire */
static bool fires(int row)
{
    const bool does = xb_row(&work.vector, row) == 1.0;
    ever[row] |= does;
    return does;
}

static void silent(const char *file, int line)
{
    for (int i = XB_F_cl_no_part_2; i < XB_N_DENSE; i++) {
        const double x = xb_row(&work.vector, i);
        char text[128];
        snprintf(text, sizeof text, "row %s: %g", xb_feature_rows[i].name, x);
        check(x == 0.0 || isnan(x), file, line, text);
    }
}
#define SILENT() silent(__FILE__, __LINE__)
#define FIRES(name) CHECK(fires(XB_F_##name))
#define NOT(name) CHECK(!fires(XB_F_##name))

static uint64_t random_state = 1;
static uint64_t draw(uint64_t below)
{
    random_state = xb_mix(random_state + XB_GOLDEN);
    return random_state % below;
}

/* A pause as people have it: the log of its length varies. */
static void pause_of_people(void) { now += (uint64_t)exp2(11.0 + (double)draw(600) / 100.0); }

/* A page as a person opens it. `parts`: how many of its parts are not in the cache. */
static void visit(uint32_t ip, const program *p, const char *path, bool first, unsigned parts)
{
    char more[512], part[64];
    snprintf(more, sizeof more, "Sec-Fetch-Site: %s\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n%s%s", first ? "cross-site" : "same-origin",
             p->no_referrers ? "" : first ? "Referer: https://search.example/\r\n" : "Referer: https://example.org/\r\n",
             first || p->no_cookies ? "" : "Cookie: s=1\r\n");
    ask(ip, p, "GET", path, HTML, more);
    SILENT();
    snprintf(more, sizeof more, "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image\r\n%s%s",
             p->no_referrers ? "" : "Referer: https://example.org/\r\n", p->no_cookies ? "" : "Cookie: s=1\r\n");
    for (unsigned i = 0; i < parts; i++) {
        now += 20 + draw(100);
        snprintf(part, sizeof part, "/static/%u.png", i);
        ask(ip, p, "GET", part, NULL, more);
        SILENT();
    }
}

/* A person's visit: a first page with all of its parts, then more with some. */
static void person(uint32_t ip, const program *p, unsigned pages)
{
    char path[64];
    for (unsigned i = 0; i < pages; i++) {
        snprintf(path, sizeof path, "/articles/%u", (unsigned)draw(40));
        visit(ip, p, path, i == 0, i == 0 ? 8 : (unsigned)draw(4));
        pause_of_people();
    }
}

/* A site that is open for a while: its visitors load parts and bring cookies. */
static void site(void)
{
    fresh();
    for (uint32_t i = 0; i < 60; i++)
        person(0x010000 + 256 * i, i % 3 ? &chrome : &firefox, 1 + (unsigned)draw(6));
}

/* A page as a program opens it, which claims to be Chrome in all it sends. */
static void open_page(uint32_t ip, const program *p, const char *path, const char *more)
{
    char text[512];
    snprintf(text, sizeof text, "Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n%s", more);
    ask(ip, p, "GET", path, HTML, text);
}

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

/* What accepts a page is a form. */
static void forms(void)
{
    case_name = "forms and nothing else";
    site();
    for (unsigned i = 0; i < 3; i++)
        ask(0xc40000, &chrome, "POST", "/comment", HTML, "Cookie: s=1\r\n");
    FIRES(cl_posts_only);
}

/* As answer.c tells what it refused. */
static void refuse(void) { xb_clients_outcome(work.clients, &work.keys, now, &(xb_response){.status = 403, .bytes = -1}); }

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

/* The same heads with another secret and another size give the same rows: nothing but its behaviour says who a client is. */
static void alike(void)
{
    static double first[64][XB_N_DENSE];
    case_name = "alike";
    for (int round = 0; round < 2; round++) {
        const uint64_t other[2] = {77, 78};
        fresh();
        if (round) {
            memset(work.clients, 0, xb_clients_size(2));
            xb_clients_init(work.clients, xb_clients_size(2), other, XB_CLIENTS_BY_ADDRESS);
        }
        random_state = 1;
        for (uint32_t i = 0; i < 60; i++)
            person(0x010000 + 256 * i, &chrome, 2);
        for (unsigned i = 0; i < 64; i++) {
            char path[64];
            snprintf(path, sizeof path, "/articles/%u", i);
            open_page(0xc00000, &chrome, path, "");
            if (!round)
                for (int row = 0; row < XB_N_DENSE; row++)
                    first[i][row] = xb_row(&work.vector, row);
            for (int row = 0; row < XB_N_DENSE; row++)
                CHECK(xb_row(&work.vector, row) == first[i][row] || (isnan(xb_row(&work.vector, row)) && isnan(first[i][row])));
            now += 1000;
        }
    }
}

/* Who shares an entry with whom. */
static void keys(void)
{
    xb_client_keys a, b;
    case_name = "keys";
    fresh();
#define KEYS_OF(head, out)                                                                \
    do {                                                                                  \
        CHECK(xb_request_parse(&work.request, head, sizeof head - 1, 0) == sizeof head - 1); \
        xb_dialect_apply(XB_DIALECT_NGINX, &work.request, work.scratch);                  \
        xb_judge(&model, &work);                                                          \
        out = work.keys;                                                                  \
        out.client &= ~(uint64_t)XB_SAYS;                                                 \
    } while (0)
#define HEAD(ip, agent, more) "GET / HTTP/1.1\r\nX-Real-IP: " ip "\r\nX-Original-Order: kept\r\nX-Original-URI: /\r\nX-Original-Host: a\r\nHost: a\r\nUser-Agent: " agent "\r\n" more "\r\n"
    KEYS_OF(HEAD("192.0.2.1", "x", "Accept: a\r\nCookie: b\r\n"), a);
    KEYS_OF(HEAD("192.0.2.1", "x", "Accept: a\r\nReferer: b\r\nX-Own: 1\r\n"), b);
    CHECK(a.client == b.client && a.network == b.network && a.shape == b.shape);
    KEYS_OF(HEAD("192.0.2.2", "x", "Accept: b\r\n"), b);
    CHECK(a.client != b.client && a.network == b.network && a.shape != b.shape);
    KEYS_OF(HEAD("192.0.3.1", "y", "Accept: a\r\n"), b);
    CHECK(a.client != b.client && a.network != b.network && a.shape != b.shape);
    KEYS_OF(HEAD("::ffff:192.0.2.1", "x", "Accept: a\r\n"), b);
    CHECK(a.client == b.client && a.network == b.network && a.shape == b.shape);
    KEYS_OF(HEAD("192.0.2.1", "x", "Accept: a\r\nDNT: 1\r\n"), a);
    KEYS_OF(HEAD("192.0.2.1", "x", "DNT: 1\r\nAccept: a\r\n"), b);
    CHECK(a.client == b.client && a.shape != b.shape); /* their order */
    KEYS_OF(HEAD("2001:db8:1:2::1", "x", ""), a);
    KEYS_OF(HEAD("2001:db8:1:2:ffff::9", "x", ""), b);
    CHECK(a.client == b.client && a.network == b.network);
    KEYS_OF(HEAD("2001:db8:1:3::1", "x", ""), b);
    CHECK(a.client != b.client && a.network == b.network);
    KEYS_OF(HEAD("2001:db8:2:2::1", "x", ""), b);
    CHECK(a.network != b.network);
    KEYS_OF(HEAD("192.0.2.1", "", ""), a);
    KEYS_OF(HEAD("192.0.2.1", "-", ""), b);
    CHECK(a.client == b.client && a.shape == b.shape);
    KEYS_OF(HEAD("unix:", "x", ""), a);
    CHECK(!a.client && !a.network && !a.shape && !(work.vector.facts.present & XB_HAS_CLIENT));
    work.clients->privacy = XB_CLIENTS_BY_NETWORK;
    KEYS_OF(HEAD("192.0.2.1", "x", ""), a);
    KEYS_OF(HEAD("192.0.2.2", "x", ""), b);
    CHECK(a.client == b.client);
}

/* Requests of logs that hold no more than an address, an agent and maybe a target: what is not there is not counted. */
static void log_lines(void)
{
    const uint32_t parts[] = {XB_HAS_IP | XB_HAS_UA, XB_HAS_IP | XB_HAS_UA | XB_HAS_URL, XB_HAS_IP | XB_HAS_UA | XB_HAS_URL | XB_HAS_REFERRER};
    case_name = "log lines";
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        fresh();
        xb_request *r = &work.request;
        xb_request_clear(r);
        r->present = parts[i];
        r->ip = XB_SPAN("192.0.2.1");
        r->agent = XB_SPAN(CHROME);
        r->method = XB_SPAN("GET");
        r->uri = XB_SPAN("/a?b");
        r->referrer = XB_SPAN("https://example.org/"); /* without a host of ours nobody knows whose it is */
        work.now_ms = now;
        xb_judge(&model, &work);
        const xb_client_places places = xb_clients_find(work.clients, &work.keys);
        xb_client_view v;
        xb_client_read(places.client, now, &v);
        CHECK_EQUAL(v.count[XB_TALLY_REQUESTS], 1);
        CHECK_EQUAL(v.count[XB_TALLY_PAGES], i > 0);
        CHECK_EQUAL(v.count[XB_TALLY_UNREFERRED] + v.count[XB_TALLY_OWN] + v.count[XB_TALLY_EXTERNAL], 0);
        CHECK_EQUAL(xb_behaviour_proves(&work.vector.behaviour, &work.vector.facts), XB_PROVEN_NOTHING);
    }
}

/* What rows go by is known of a site only once enough of its visitors show it. */
static void sites(void)
{
    const char *const cookie = "Cookie: s=1\r\n";
    case_name = "a site of which pages have one part";
    fresh();
    for (uint32_t i = 0; i < 12; i++) {
        open_page(0x300000 + 256 * i, &chrome, "/a", "");
        ask(0x300000 + 256 * i, &chrome, "GET", "/a.png", NULL, "");
    }
    open_page(0x310000, &chrome, "/a", "");
    CHECK(!work.vector.behaviour.parts_told);

    case_name = "a site of which few visitors load parts";
    site();
    open_page(0x320000, &chrome, "/a", "");
    CHECK(work.vector.behaviour.parts_told && work.vector.behaviour.cookies_told);
    for (uint32_t i = 0; i < 1300; i++)
        open_page(0x400000 + 256 * i, &chrome, "/a", "");
    CHECK(!work.vector.behaviour.parts_told && !work.vector.behaviour.cookies_told);

    case_name = "a site of which few visitors bring cookies";
    fresh();
    for (uint32_t i = 0; i < 60; i++)
        for (int page = 0; page < 2; page++)
            open_page(0x500000 + 256 * i, &chrome, "/a", page && i < 12 ? cookie : "");
    CHECK(!work.vector.behaviour.cookies_told && work.vector.behaviour.site.count[XB_TALLY_KEEPERS] >= 10.0f);

    case_name = "a site of which nobody claims a browser";
    fresh();
    const program curl = {.agent = "curl/8", .language = "de"};
    for (int i = 0; i < 20; i++)
        open_page(0x600000, &curl, "/a", "");
    CHECK(work.vector.behaviour.shape.fast >= 10.0f && work.vector.behaviour.growth == 0.0f);

    case_name = "agents that claim no browser, whatever else they say";
    static const char *const agents[] = {"Mozilla/5.0 (X11; Linux x86_64; +http://a.example) Chrome/142.0.0.0 Safari/537.36", "Mozilla/5.0 (X11; Linux x86_64) HeadlessChrome/142.0.0.0 Chrome/142.0.0.0 Safari/537.36"};
    for (size_t i = 0; i < 2; i++) {
        const program p = {.agent = agents[i], .language = "de"};
        open_page(0x700000 + 256 * (uint32_t)i, &p, "/a", "");
        CHECK(!work.vector.behaviour.browser);
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
}

int main(void)
{
    xb_init();
    image_init(&image);
    image_fill(&image);
    const char *why = xb_model_open(&model, &image, sizeof image, &work.request, &work.vector);
    CHECK(!why);
    people();
    programs();
    fleet();
    moments_of_people();
    forms();
    refused_people();
    refused_programs();
    alike();
    keys();
    log_lines();
    sites();
    nearly();
    many();
    all_fired();
    free(work.clients);
    return done("test_behaviour");
}
