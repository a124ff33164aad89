/* What is remembered of connections: of whom, how long, in the place of what; and how a worker answers one that it does not know. */
#include "harness.h"
#include "model_image.h"

static xb_handshakes table_of_all;
static model_image image;
static xb_model model;
static xb_workspace work;
static xb_reply reply;

static xb_handshake facts(uint64_t n) { return (xb_handshake){.ciphers = n, .n_ciphers = 15, .known = XB_KNOWS_CIPHERS}; }

static void clear(void)
{
    memset(&table_of_all, 0, sizeof table_of_all);
    table_of_all.secret[0] = 7;
    table_of_all.secret[1] = 8;
}

static void keep(xb_handshake_key key, uint32_t now, uint64_t n)
{
    const xb_handshake h = n ? facts(n) : (xb_handshake){0};
    xb_handshakes_keep(&table_of_all, &key, now, &h);
}

/* What is found: the number of the facts, 0 for none. */
static uint64_t find(xb_handshake_key key, uint32_t now)
{
    xb_handshake h;
    memset(&h, 0xff, sizeof h);
    const bool found = xb_handshakes_find(&table_of_all, &key, now, &h) == XB_HANDSHAKE_KNOWN;
    const xb_handshake want = found ? facts(h.ciphers) : (xb_handshake){0};
    CHECK(memcmp(&h, &want, sizeof h) == 0);
    return h.ciphers;
}

static void of_whom(void)
{
    const xb_handshake_key key = {.serial = 5, .process = 29, .listener = 1, .ip = {1, 2, 3, 4}};
    xb_handshake_key others[] = {key, key, key}, elsewhere = key;
    others[0].serial++;
    others[1].process++;
    others[2].listener++;
    elsewhere.ip[15]++;
    case_name = "of whom";
    clear();
    CHECK_EQUAL(find(key, 0), 0);
    CHECK_EQUAL(find((xb_handshake_key){0}, 0), 0);
    keep(key, 0, 11);
    for (uint64_t i = 0; i < 3; i++) {
        CHECK_EQUAL(find(others[i], 0), 0);
        keep(others[i], 0, 100 + i);
    }
    for (uint64_t i = 0; i < 3; i++)
        CHECK_EQUAL(find(others[i], 0), 100 + i);
    CHECK_EQUAL(find(key, 0), 11);
    CHECK_EQUAL(find(elsewhere, 0), 0); /* the same connection, and another address */
    xb_handshake h;
    CHECK_EQUAL(xb_handshakes_find(&table_of_all, &elsewhere, 0, &h), XB_HANDSHAKE_OTHERS);
    CHECK_EQUAL(xb_handshakes_find(&table_of_all, &(xb_handshake_key){.serial = 99}, 0, &h), XB_HANDSHAKE_UNKNOWN);
    keep(elsewhere, 0, 10); /* whoever comes last has it */
    CHECK_EQUAL(find(key, 0), 0);
    keep(key, 0, 12); /* written over */
    CHECK_EQUAL(find(key, 0), 12);
    keep(key, 0, 0); /* forgotten */
    CHECK_EQUAL(find(key, 0), 0);
    keep(key, 0, 0);
    CHECK_EQUAL(find(others[2], 0), 102);
}

static void how_long(void)
{
    const xb_handshake_key key = {.serial = 1}, other = {.serial = 2};
    case_name = "how long";
    clear();
    keep(key, 1000, 1);
    keep(other, 1000, 2);
    CHECK_EQUAL(find(key, 900), 1); /* a log that is not in order */
    CHECK_EQUAL(find(other, 1000 + XB_HANDSHAKES_AGE), 2);
    CHECK_EQUAL(find(other, 1000 + 2 * XB_HANDSHAKES_AGE), 2); /* from the last time on */
    CHECK_EQUAL(find(other, 1000 + 3 * XB_HANDSHAKES_AGE + 1), 0);
    CHECK_EQUAL(find(key, 900 + XB_HANDSHAKES_AGE + 1), 0);
}

/* One that is not whole is none: a process ended while it wrote, or two wrote at once. */
static void not_whole(void)
{
    const xb_handshake_key key = {.serial = 1, .process = 2, .listener = 3, .ip = {4}};
    case_name = "not whole";
    for (size_t word = 0; word <= XB_HANDSHAKE_WORDS; word++)
        for (int bit = 0; bit < 64; bit += 9) {
            clear();
            keep(key, 0, 1);
            for (size_t s = 0; s < XB_HANDSHAKES_SETS; s++)
                if (table_of_all.set[s].tag[0]) {
                    uint64_t *words = &table_of_all.set[s].entry[0].sum;
                    words[word] ^= UINT64_C(1) << bit;
                    break;
                }
            CHECK_EQUAL(find(key, 0), 0);
            keep(key, 0, 2); /* nobody has to tidy up */
            CHECK_EQUAL(find(key, 0), 2);
        }
}

/* A tag that leads to another's words is of nobody. */
static void another_words(void)
{
    const xb_handshake_key key = {.serial = 1}, other = {.serial = 2};
    xb_handshake_entry entry;
    memset(&entry, 0, sizeof entry);
    case_name = "another's words";
    for (int turn = 0; turn < 2; turn++) {
        clear();
        keep(turn ? other : key, 0, 1);
        for (size_t s = 0; s < XB_HANDSHAKES_SETS; s++)
            if (table_of_all.set[s].tag[0]) {
                if (turn)
                    table_of_all.set[s].entry[0] = entry;
                else
                    entry = table_of_all.set[s].entry[0];
            }
    }
    CHECK_EQUAL(find(other, 0), 0);
}

/* Four times as many as there is room for. What was kept or asked for last is there, and nothing is anybody else's. */
static void crowded(void)
{
    enum { N = 4 * XB_HANDSHAKES_SETS * XB_HANDSHAKES_WAYS };
    case_name = "crowded";
    clear();
    const xb_handshake_key asked = {.serial = N + 1};
    keep(asked, 0, N + 1);
    for (uint64_t i = 1; i <= N; i++) {
        keep((xb_handshake_key){.serial = i}, (uint32_t)(i / 64), i);
        if (i % 4096 == 0)
            CHECK_EQUAL(find(asked, (uint32_t)(i / 64)), N + 1);
    }
    uint64_t there = 0, recent = 0;
    for (uint64_t i = 1; i <= N; i++) {
        const uint64_t n = find((xb_handshake_key){.serial = i}, N / 64);
        CHECK(n == 0 || n == i);
        there += n != 0;
        recent += n != 0 && i > N - N / 16;
    }
    CHECK(there > XB_HANDSHAKES_SETS * (XB_HANDSHAKES_WAYS - 1));
    CHECK(recent > N / 16 * 98 / 100);
}

/* ---- requests ---- */

#define CIPHERS "X-TLS-Ciphers: 0xdada:TLS_AES_128_GCM_SHA256\r\n"

static void parse(const char *head)
{
    CHECK(xb_request_parse(&work.request, head, strlen(head), 0) > 0);
    xb_dialect_apply(XB_DIALECT_NGINX, &work.request, work.scratch);
}

static bool recall(const char *head, uint32_t listener)
{
    parse(head);
    return xb_handshakes_recall(&table_of_all, listener, 0, &work.request);
}

#define ASK(ip, scheme, connection, more) \
    "GET / HTTP/1.1\r\nX-Real-IP: " ip "\r\nX-Original-Scheme: " scheme "\r\nX-Connection: " connection "\r\n" more "Host: xbot\r\n\r\n"

static bool told(void) { return work.request.present & XB_HAS_TLS && work.request.handshake.n_ciphers == 1; }
static bool absent(void) { return !(work.request.present & XB_HAS_TLS) && !work.request.handshake.known; }

static void recalled(void)
{
    case_name = "recalled";
    clear();
    CHECK(!recall(ASK("192.0.2.31", "https", "9-1-2", ""), 0) && absent()); /* nobody told */
    CHECK(recall(ASK("192.0.2.31", "https", "9-1-1", CIPHERS), 0) && told());
    CHECK(recall(ASK("192.0.2.31", "https", "9-1-2", ""), 0) && told());
    CHECK(recall(ASK("192.0.2.31", "https", "9-1-1000", ""), 0) && told());
    CHECK(recall(ASK("::ffff:192.0.2.31", "https", "9-1-3", ""), 0) && told());
    CHECK(recall(ASK("192.0.2.2", "https", "9-1-2", ""), 0) && absent()); /* another visitor through a CDN's connection */
    CHECK(!recall(ASK("192.0.2.31", "https", "9-2-2", ""), 0) && absent());
    CHECK(!recall(ASK("192.0.2.31", "https", "8-1-2", ""), 0) && absent());
    CHECK(!recall(ASK("192.0.2.31", "https", "9-1-2", ""), 1) && absent());
    CHECK(recall(ASK("192.0.2.31", "http", "9-1-2", ""), 0) && absent()); /* of plain http nothing is to be known */
    CHECK(recall(ASK("192.0.2.31", "https", "9-1-2x", ""), 0) && absent());
    CHECK(recall(ASK("192.0.2.31", "https", "", ""), 0) && absent());
    CHECK(recall(ASK("192.0.2.31", "https", "9-1-2", "X-Original-Order: lost\r\n"), 0) && absent());
    CHECK(recall(ASK("192.0.2.31", "https", "9-1-2", ""), 0) && told());
    CHECK(!recall(ASK("192.0.2.31", "https", "9-1-1", ""), 0) && absent()); /* another connection with the same number */
    CHECK(!recall(ASK("192.0.2.31", "https", "9-1-2", ""), 0) && absent());
    CHECK(recall(ASK("192.0.2.31", "https", "9-1-3", CIPHERS), 0) && told()); /* asked for, and told late */
    CHECK(recall(ASK("192.0.2.31", "https", "9-1-4", ""), 0) && told());
    parse(ASK("192.0.2.31", "https", "9-6-1", CIPHERS));
    work.request.handshake = facts(5); /* a host that made it before */
    CHECK(xb_handshakes_recall(&table_of_all, 0, 0, &work.request) && work.request.handshake.ciphers == 5);
    CHECK(recall(ASK("192.0.2.31", "https", "9-6-2", ""), 0) && work.request.handshake.ciphers == 5);
    CHECK(recall(ASK("unix:", "https", "9-7-1", CIPHERS), 0) && told());
    CHECK(recall(ASK("unix:", "https", "9-7-2", ""), 0) && told());
}

/* Files of before hand on what a visitor sends under these names: it stands behind Host, which nginx writes itself. */
static void forged(void)
{
    case_name = "forged";
    clear();
    CHECK(recall("GET / HTTP/1.1\r\nX-Real-IP: 192.0.2.1\r\nHost: xbot\r\nX-Connection: 9-1-1\r\n" CIPHERS "X-Xbot-Files: 2\r\n\r\n", 0));
    CHECK(absent());
    CHECK(!work.request.connection.requests && !work.request.files);
    parse("GET / HTTP/1.1\r\nHost: xbot\r\nX-Real-IP: 192.0.2.1\r\n" CIPHERS "\r\n"); /* not as nginx's files have it */
    CHECK(work.request.present & XB_HAS_TLS);
    static const char script[] = "GET / HTTP/1.1\r\nX-Original-Order: kept\r\n%sHost: a\r\n\r\n";
    for (int own = 0; own < 2; own++) {
        char head[256];
        snprintf(head, sizeof head, script, own ? CIPHERS : "x-tls-ciphers: 0x1301\r\n");
        CHECK(xb_request_parse(&work.request, head, strlen(head), 0) > 0);
        xb_dialect_apply(XB_DIALECT_HAPROXY, &work.request, work.scratch);
        CHECK_EQUAL(work.request.present & XB_HAS_TLS ? 1 : 0, own);
    }
    parse(ASK("192.0.2.31", "https", "9-1-1", CIPHERS "X-TLS-Ciphers: TLS_AES_256_GCM_SHA384\r\nX-Xbot-Files: 2\r\n"));
    CHECK(!(work.request.present & XB_HAS_TLS)); /* twice */
    CHECK_EQUAL(work.request.files, 2);
    static const char *const numbers[] = {"", "x", "2x", "-2", "9999999", "2 2"};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        char head[256];
        snprintf(head, sizeof head, "GET / HTTP/1.1\r\nX-Xbot-Files: %s\r\nHost: a\r\n\r\n", numbers[i]);
        parse(head);
        CHECK_EQUAL(work.request.files, 0);
    }
    for (xb_dialect d = 0; d < XB_DIALECT_COUNT; d++) {
        static const char head[] = "GET / HTTP/1.1\r\nX-Connection: 9-1-1\r\n" CIPHERS "X-Xbot-Files: 2\r\nHost: a\r\nX-Original-Order: kept\r\n\r\n";
        CHECK(xb_request_parse(&work.request, head, sizeof head - 1, 0) > 0);
        xb_dialect_apply(d, &work.request, work.scratch);
        const bool reads = d == XB_DIALECT_NGINX || d == XB_DIALECT_HAPROXY;
        CHECK_EQUAL(work.request.present & XB_HAS_TLS ? 1 : 0, reads);
        CHECK_EQUAL(work.request.connection.requests, reads);
        CHECK_EQUAL(work.request.files, reads ? 2 : 0);
    }
}

static bool says(const char *start) { return reply.size > strlen(start) && memcmp(reply.bytes, start, strlen(start)) == 0; }

static void answered(void)
{
    case_name = "answered";
    clear();
    image_init(&image);
    const char *why = xb_model_open(&model, &image, sizeof image, &work.request, &work.vector);
    CHECK(!why);
    xb_stats stats = {0};
    xb_service s = {.model = &model, .dialect = XB_DIALECT_NGINX, .policy = &xb_observing, .stats = &stats, .handshakes = &table_of_all};
#define ANSWER(head) (CHECK_EQUAL(xb_answer(&s, &work, head, sizeof head - 1, 0, false, &reply), sizeof head - 1))
    ANSWER(ASK("192.0.2.31", "https", "9-1-2", "X-Xbot-Files: 2\r\n"));
    CHECK(says("HTTP/1.1 428 ") && reply.again && !reply.close);
    CHECK(reply.size > 4 && memcmp(reply.bytes + reply.size - 4, "\r\n\r\n", 4) == 0);
    ANSWER(ASK("192.0.2.31", "https", "9-1-2", "X-Xbot-Files: 2\r\n" CIPHERS));
    CHECK(says("HTTP/1.1 200 ") && !reply.again && told());
    ANSWER(ASK("192.0.2.31", "https", "9-1-3", "X-Xbot-Files: 2\r\n"));
    CHECK(says("HTTP/1.1 200 ") && told());
    ANSWER(ASK("192.0.2.31", "https", "9-2-2", "")); /* files that say nothing would take 428 for an error */
    CHECK(says("HTTP/1.1 200 ") && absent());
    ANSWER(ASK("192.0.2.31", "https", "9-2-2", "X-Xbot-Files: 1\r\n"));
    CHECK(says("HTTP/1.1 200 ") && absent());
    ANSWER(ASK("192.0.2.31", "http", "9-2-2", "X-Xbot-Files: 4\r\n"));
    CHECK(says("HTTP/1.1 200 ") && absent());
    ANSWER(ASK("192.0.2.31", "https", "9-2-2", "X-Xbot-Files: 4\r\nConnection: close\r\n"));
    CHECK(says("HTTP/1.1 428 ") && reply.close);
    uint64_t outcome[XB_N_OUTCOMES], by[XB_N_DECIDERS], refused;
    CHECK_EQUAL(xb_counters_decided(&stats, outcome, by, &refused), 5);
    CHECK_EQUAL(stats.asked_again, 2);
    CHECK_EQUAL(stats.older_files, 4);
    CHECK_EQUAL(stats.newer_files, 2);
    s.stats = NULL; /* who counts nothing asks all the same */
    ANSWER(ASK("192.0.2.31", "https", "9-9-2", "X-Xbot-Files: 2\r\n"));
    CHECK(says("HTTP/1.1 428 "));
    s.handshakes = NULL;
    ANSWER(ASK("192.0.2.31", "https", "9-1-4", "X-Xbot-Files: 2\r\n"));
    CHECK(says("HTTP/1.1 200 ") && absent());
}

int main(void)
{
    xb_init();
    of_whom();
    how_long();
    not_whole();
    another_words();
    crowded();
    recalled();
    forged();
    answered();
    return done("test_handshakes");
}
