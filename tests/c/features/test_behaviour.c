/* What a request counts as, and for whom: its keys, what logs do not hold, and what has to be known of a site. */
#include "visits.h"

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

int main(void)
{
    begin();
    keys();
    log_lines();
    sites();
    alike();
    free(work.clients);
    return done("test_behaviour");
}
