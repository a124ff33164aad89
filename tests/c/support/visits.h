/* visits.h - visits of a site by people and programs for tests, request by request, and which rows they set off.
 *
 * Law: each request is judged twice, with a table of clients and without one; without it nothing but the rows of behaviour differs, and
 * those are absent. Time is what the test says.
 */
#ifndef VISITS_H
#define VISITS_H

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

static inline void fresh(void)
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
static inline void ask(uint32_t ip, const program *p, const char *method, const char *path, const char *accept, const char *more)
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
static inline bool fires(int row)
{
    const bool does = xb_row(&work.vector, row) == 1.0;
    ever[row] |= does;
    return does;
}

static inline void silent(const char *file, int line)
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
static inline uint64_t draw(uint64_t below)
{
    random_state = xb_mix(random_state + XB_GOLDEN);
    return random_state % below;
}

/* A pause as people have it: the log of its length varies. */
static inline void pause_of_people(void) { now += (uint64_t)exp2(11.0 + (double)draw(600) / 100.0); }

/* A page as a person opens it. `parts`: how many of its parts are not in the cache. */
static inline void visit(uint32_t ip, const program *p, const char *path, bool first, unsigned parts)
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
static inline void person(uint32_t ip, const program *p, unsigned pages)
{
    char path[64];
    for (unsigned i = 0; i < pages; i++) {
        snprintf(path, sizeof path, "/articles/%u", (unsigned)draw(40));
        visit(ip, p, path, i == 0, i == 0 ? 8 : (unsigned)draw(4));
        pause_of_people();
    }
}

/* A site that is open for a while: its visitors load parts and bring cookies. */
static inline void site(void)
{
    fresh();
    for (uint32_t i = 0; i < 60; i++)
        person(0x010000 + 256 * i, i % 3 ? &chrome : &firefox, 1 + (unsigned)draw(6));
}

/* A page as a program opens it, which claims to be Chrome in all it sends. */
static inline void open_page(uint32_t ip, const program *p, const char *path, const char *more)
{
    char text[512];
    snprintf(text, sizeof text, "Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n%s", more);
    ask(ip, p, "GET", path, HTML, text);
}

/* As answer.c tells what it refused. */
static inline void refuse(void) { xb_clients_outcome(work.clients, &work.keys, now, &(xb_response){.status = 403, .bytes = -1}); }

/* To be called first. */
static inline void begin(void)
{
    xb_init();
    image_init(&image);
    image_fill(&image);
    CHECK(!xb_model_open(&model, &image, sizeof image, &work.request, &work.vector));
}

#endif
