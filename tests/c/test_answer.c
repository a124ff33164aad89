/* Replies: from the bytes of a head to the bytes that go back, in each dialect and mode, and what is counted. */
#include "harness.h"
#include "invariants.h"
#include "model_image.h"

#include "base/hash.h"

static model_image image;
static xb_model model;
static xb_workspace work;
static xb_reply reply;

/* The margin is `bias`, and 3 more for an empty agent, and `curl` more for that word of an agent. */
static void use_model(double bias, double curl)
{
    image_init(&image);
    image.header.bias = bias;
    image.weight[XB_F_ua_empty] = 3.0;
    const uint64_t family = (XB_T_ua_word + 1) * XB_GOLDEN;
    image.bucket[xb_mix(xb_hash(XB_SPAN("curl")) ^ family) >> (64 - IMAGE_K)] = curl;
    const char *why = xb_model_open(&model, &image, sizeof image, &work.request, &work.vector);
    if (why) {
        fprintf(stderr, "%s\n", why);
        exit(2);
    }
}

/* Asks with the head at the edge; the reply must be `want` to the byte, and follow from the verdict. */
static long ask(const xb_service *s, const char *head, const char *want, bool close)
{
    size_t size = strlen(head);
    long used = xb_answer(s, &work, at_end(head, size), size, 0, false, &reply);
    CHECK(reply.size <= XB_MAX_REPLY);
    check_text((xb_span){reply.bytes, reply.size}, (xb_span){want, strlen(want)}, __FILE__, __LINE__, head);
    CHECK_EQUAL(reply.close, close);
    char wrong[128];
    if (used > 0 && !judged_well(&model, &work, wrong, sizeof wrong))
        check(false, __FILE__, __LINE__, wrong);
    return used;
}

#define BROWSER "GET /xbot HTTP/1.1\r\nUser-Agent: Firefox\r\n\r\n"
#define NOBODY "GET /xbot HTTP/1.1\r\nHost: a\r\n\r\n"
#define CURL "GET /xbot HTTP/1.1\r\nUser-Agent: curl/8\r\n\r\n"
#define CLOSE "Connection: close\r\n"
#define HUMAN_200 "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Bot: human\r\nX-Bot-Score: 0.2689\r\nX-Bot-Reason: none\r\n"
#define BOT_200 "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Bot: bot\r\nX-Bot-Score: 0.8808\r\nX-Bot-Reason: ua_empty\r\n"
#define BOT_403 "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nX-Bot: bot\r\nX-Bot-Score: 0.8808\r\nX-Bot-Reason: ua_empty\r\n"
#define BAD_400 "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

static void replies(void)
{
    use_model(-1.0, 2.0);
    xb_service observe = {.model = &model, .dialect = XB_DIALECT_NGINX, .policy = &xb_observing};
    xb_service enforce = {.model = &model, .dialect = XB_DIALECT_NGINX, .policy = &xb_enforcing};
    ask(&observe, BROWSER, HUMAN_200 "\r\n", false);
    ask(&observe, NOBODY, BOT_200 "\r\n", false);
    ask(&enforce, BROWSER, HUMAN_200 "\r\n", false);
    ask(&enforce, NOBODY, BOT_403 "\r\n", false);
    ask(&enforce, CURL, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nX-Bot: bot\r\nX-Bot-Score: 0.7311\r\nX-Bot-Reason: ua_word=curl\r\n\r\n", false);
    CHECK_EQUAL(ask(&enforce, "nonsense\r\n\r\n", BAD_400, true), XB_BAD);
    CHECK_EQUAL(ask(&enforce, "POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", BAD_400, true), XB_BAD);
}

static void closing(void)
{
    use_model(-1.0, 2.0);
    xb_service s = {.model = &model, .dialect = XB_DIALECT_NGINX, .policy = &xb_observing};
    ask(&s, "GET / HTTP/1.1\r\nConnection: close\r\nUser-Agent: a\r\n\r\n", HUMAN_200 CLOSE "\r\n", true);
    ask(&s, "GET / HTTP/1.0\r\nUser-Agent: a\r\n\r\n", HUMAN_200 CLOSE "\r\n", true);
    ask(&s, "GET / HTTP/1.0\r\nConnection: keep-alive\r\nUser-Agent: a\r\n\r\n", HUMAN_200 "\r\n", false);
    ask(&s, "POST / HTTP/1.1\r\nContent-Length: 5\r\nUser-Agent: a\r\n\r\nhello", HUMAN_200 CLOSE "\r\n", true);
    ask(&s, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nUser-Agent: a\r\n\r\n0\r\n\r\n", HUMAN_200 CLOSE "\r\n", true);
    ask(&s, "GET / HTTP/1.1\r\nContent-Length: 0\r\nUser-Agent: a\r\n\r\n", HUMAN_200 "\r\n", false);
    s.closing = true;
    ask(&s, BROWSER, HUMAN_200 CLOSE "\r\n", true);
    s.policy = &xb_enforcing;
    ask(&s, NOBODY, BOT_403 CLOSE "\r\n", true);
}

static void challenge(void)
{
    use_model(-1.0, 2.0);
    xb_service s = {.model = &model, .dialect = XB_DIALECT_CHALLENGE, .policy = &xb_observing};
    ask(&s, "GET /?ip=192.0.2.1&user_agent=a&referer=b HTTP/1.1\r\n\r\n", "HTTP/1.1 204 No Content\r\nX-Bot: human\r\nX-Bot-Score: 0.2689\r\nX-Bot-Reason: none\r\n\r\n", false);
    ask(&s, "GET /?ip=192.0.2.1&user_agent=&referer=b HTTP/1.1\r\n\r\n", BOT_403 "\r\n", false);
    ask(&s, "GET / HTTP/1.1\r\nUser-Agent: its own says nothing\r\n\r\n", BOT_403 "\r\n", false);
    ask(&s, "GET /x?referer=%41%4&USER_AGENT=a%20b+c%2Fd&ip=2001%3Adb8%3A%3A1 HTTP/1.1\r\n\r\n", "HTTP/1.1 204 No Content\r\nX-Bot: human\r\nX-Bot-Score: 0.2689\r\nX-Bot-Reason: none\r\n\r\n", false);
    CHECK_TEXT(work.request.agent, "a b c/d");
    CHECK_TEXT(work.request.referrer, "A%4");
    CHECK_TEXT(work.request.ip, "2001:db8::1");
    CHECK_EQUAL(work.request.present, XB_HAS_IP | XB_HAS_UA | XB_HAS_REFERRER);
    CHECK(isnan(xb_row(&work.vector, XB_F_url_length)) && isnan(xb_row(&work.vector, XB_F_hdr_count)));
    ask(&s, "GET /?user_agent=%22%00+%FF HTTP/1.1\r\n\r\n", "HTTP/1.1 204 No Content\r\nX-Bot: human\r\nX-Bot-Score: 0.2689\r\nX-Bot-Reason: none\r\n\r\n", false);
    CHECK_EQUAL(work.request.agent.size, 4);
    CHECK(!(work.request.present & XB_HAS_IP));
}

/* What the proxy asks with is not what the visitor asked; what it does not say is absent. */
static void nginx(void)
{
    use_model(-1.0, 2.0);
    xb_service s = {.model = &model, .dialect = XB_DIALECT_NGINX, .policy = &xb_observing};
    ask(&s, "GET /xbot HTTP/1.0\r\nHost: proxy\r\nUser-Agent: a\r\n\r\n", HUMAN_200 CLOSE "\r\n", true);
    CHECK(isnan(xb_row(&work.vector, XB_F_url_length)) && isnan(xb_row(&work.vector, XB_F_url_method)) && isnan(xb_row(&work.vector, XB_F_url_http_10)) && isnan(xb_row(&work.vector, XB_F_ip_1)));
    CHECK(isnan(xb_row(&work.vector, XB_F_ref_own)) && isnan(xb_row(&work.vector, XB_F_url_https)));
    CHECK(xb_row(&work.vector, XB_F_hdr_count) == 1.0);
    ask(&s,
        "GET /xbot HTTP/1.1\r\nX-Real-IP: 192.0.2.9\r\nX-Original-URI: /a/b?c=d\r\nX-Original-Method: POST\r\nX-Original-Protocol: HTTP/1.0\r\n"
        "X-Original-Scheme: https\r\nX-Original-Host: www.example.com:8443\r\nHost: proxy\r\nX-Forwarded-For: 198.51.100.1\r\n"
        "Referer: https://example.com/\r\nUser-Agent: a\r\nX-Real-IP: 198.51.100.7\r\nX-Original-URI: /forged\r\nX-Bot: human\r\nX-Own: 1\r\n\r\n",
        HUMAN_200 "\r\n", false);
    CHECK(xb_row(&work.vector, XB_F_ip_1) == 192.0 && xb_row(&work.vector, XB_F_ip_4) == 9.0);
    CHECK(xb_row(&work.vector, XB_F_url_length) == 8.0 && xb_row(&work.vector, XB_F_url_post) == 1.0 && xb_row(&work.vector, XB_F_url_http_10) == 1.0 && xb_row(&work.vector, XB_F_url_https) == 1.0);
    CHECK(xb_row(&work.vector, XB_F_ref_own) == 1.0 && xb_row(&work.vector, XB_F_ref_external) == 0.0);
    CHECK(xb_row(&work.vector, XB_F_hdr_count) == 3.0); /* Referer, User-Agent, X-Own */
    ask(&s, "GET /xbot HTTP/1.1\r\nX-Real-IP: unix:\r\nX-Original-URI:\r\nUser-Agent: a\r\n\r\n", HUMAN_200 "\r\n", false);
    CHECK(isnan(xb_row(&work.vector, XB_F_ip_1)) && xb_row(&work.vector, XB_F_url_length) == 0.0);
}

static void score_text(void)
{
    char head[] = BROWSER;
    double before = -1.0;
    for (double bias = -12.0; bias <= 12.0; bias += 0.01) {
        use_model(bias, 0.0);
        xb_service s = {.model = &model, .dialect = XB_DIALECT_NGINX, .policy = &xb_observing};
        xb_answer(&s, &work, head, sizeof head - 1, 0, false, &reply);
        reply.bytes[reply.size] = 0;
        const char *text = strstr(reply.bytes, "X-Bot-Score: ");
        if (!CHECK(text != NULL))
            return;
        text += 13;
        CHECK((text[0] == '0' || text[0] == '1') && text[1] == '.' && strcspn(text, "\r") == 6 && strspn(text, "0123456789.") == 6);
        double shown = strtod(text, NULL), exact = 1.0 / (1.0 + exp(-bias));
        CHECK(fabs(shown - exact) <= 0.00005 + 1e-12);
        CHECK(shown >= before && shown <= 1.0);
        CHECK_EQUAL(strstr(reply.bytes, "X-Bot: bot") != NULL, exact >= 0.5);
        before = shown;
    }
    CHECK(before == 1.0);
    use_model(-1e6, 0.0); /* exp overflows: the score is 0, not NaN */
    xb_service s = {.model = &model, .dialect = XB_DIALECT_NGINX, .policy = &xb_observing};
    ask(&s, BROWSER, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Bot: human\r\nX-Bot-Score: 0.0000\r\nX-Bot-Reason: none\r\n\r\n", false);
    use_model(1e6, 0.0);
    ask(&s, BROWSER, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Bot: bot\r\nX-Bot-Score: 1.0000\r\nX-Bot-Reason: none\r\n\r\n", false);
}

/* A reason is a visitor's own text: cut, lower case, and no byte of it can end the header. */
static void hostile_reason(void)
{
    use_model(-1.0, 0.0);
    for (size_t i = 0; i < 1 << IMAGE_K; i++)
        image.bucket[i] = 5.0;
    xb_service s = {.model = &model, .dialect = XB_DIALECT_NGINX, .policy = &xb_enforcing, .closing = true};
    size_t size;
    char *head = repeated("GET / HTTP/1.1\r\nUser-Agent: ", "\x80W\xfford", 2000, "\r\n\r\n", &size);
    CHECK_EQUAL(xb_answer(&s, &work, at_end(head, size), size, 0, false, &reply), size);
    CHECK(reply.size <= XB_MAX_REPLY);
    reply.bytes[reply.size] = 0;
    const char *reason = strstr(reply.bytes, "X-Bot-Reason: ua_word=_w_ord_w_ord");
    CHECK(reason && strcspn(reason, "\r") == 14 + XB_MAX_REASON - 1);
    CHECK(strcmp(reply.bytes + reply.size - 23, "\r\nConnection: close\r\n\r\n") == 0);
    free(head);
}

/* ---- whom the gate may be wrong about ---- */

#define BY_FIREFOX "X-Real-IP: 203.0.113.9\r\nX-Original-Method: GET\r\nX-Original-Host: a.example\r\nX-Original-Scheme: https\r\n" \
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\nAccept-Language: en\r\n"              \
    "Accept-Encoding: gzip, deflate, br, zstd\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n"
#define ACCEPTS "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
#define FIRST "GET /xbot HTTP/1.1\r\nX-Original-URI: /\r\n" BY_FIREFOX ACCEPTS "Sec-Fetch-Site: none\r\n\r\n"
#define PART "GET /xbot HTTP/1.1\r\nX-Original-URI: /a.css\r\nX-Real-IP: 203.0.113.9\r\nX-Original-Method: GET\r\nX-Original-Host: a.example\r\n" \
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\nAccept: text/css,*/*;q=0.1\r\nAccept-Language: en\r\n"   \
    "Accept-Encoding: gzip, deflate, br, zstd\r\nSec-Fetch-Dest: style\r\nReferer: https://a.example/\r\nCookie: a=b\r\n\r\n"
#define NEXT "GET /xbot HTTP/1.1\r\nX-Original-URI: /next\r\n" BY_FIREFOX ACCEPTS "Sec-Fetch-Site: same-origin\r\nReferer: https://a.example/\r\nCookie: a=b\r\n\r\n"

#define TLS "GET /xbot HTTP/1.1\r\nX-TLS-Protocol: TLSv1.3\r\nX-TLS-Ciphers: TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256\r\n" \
    "X-TLS-Curves: X25519\r\nX-Original-URI: /\r\n" BY_FIREFOX ACCEPTS "Sec-Fetch-Site: none\r\n\r\n"
#define SCRIPTED "GET /xbot HTTP/1.1\r\nX-Original-URI: /api\r\nX-Real-IP: 203.0.113.9\r\nX-Original-Method: GET\r\nX-Original-Host: a.example\r\n" \
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\nAccept: */*\r\nReferer: https://a.example/\r\n\r\n"
#define MISFIT "GET /xbot HTTP/1.1\r\nX-Original-URI: /next\r\n" BY_FIREFOX ACCEPTS "Sec-Fetch-Site: none\r\nReferer: https://a.example/\r\n\r\n"

/* What was said of its client by the decision about this head. */
static xb_doubt doubted(const xb_service *s, const char *head)
{
    CHECK_EQUAL(xb_answer(s, &work, head, strlen(head), 0, false, &reply), strlen(head));
    return (xb_doubt)work.doubt;
}

/* Once for a client that does what only people do and was called a bot, and once more when it was refused. */
static void doubts(void)
{
    static xb_visitors visitors;
    static const uint64_t secret[2] = {1, 2};
    const size_t size = xb_clients_size(1);
    xb_clients *clients = aligned_alloc(64, size);
    if (!clients)
        exit(2);
    memset(clients, 0, size);
    xb_clients_init(clients, size, secret, XB_CLIENTS_BY_ADDRESS);
    xb_visitors_init(&visitors);
    use_model(-1.0, 0.0);
    xb_stats stats = {0};
    xb_ids named = {.key = {1, 2}};
    xb_service s = {.model = &model, .dialect = XB_DIALECT_NGINX, .policy = &xb_observing, .clients = clients, .visitors = &visitors,
                    .stats = &stats, .ids = &named};
    CHECK_EQUAL(doubted(&s, FIRST), XB_NO_DOUBT); /* nobody called it a bot */
    use_model(1.0, 0.0);
    CHECK_EQUAL(doubted(&s, NOBODY), XB_NO_DOUBT); /* no address: no client */
    CHECK_EQUAL(doubted(&s, FIRST), XB_NO_DOUBT);
    CHECK_EQUAL(doubted(&s, PART), XB_NO_DOUBT);
    CHECK_EQUAL(doubted(&s, NEXT), XB_NO_DOUBT); /* now it has a page whose referrer is the site's own */
    CHECK_EQUAL(doubted(&s, NEXT), XB_DOUBTED);
    CHECK_EQUAL(doubted(&s, NEXT), XB_NO_DOUBT); /* that was said */
    s.policy = &xb_enforcing;
    CHECK_EQUAL(doubted(&s, NEXT), XB_REGRETTED);
    CHECK_EQUAL(doubted(&s, NEXT), XB_NO_DOUBT);
    CHECK_EQUAL(stats.doubted, 1);
    CHECK_EQUAL(stats.regretted, 1);
    size_t n = 0;
    for (size_t i = 0; i < XB_VISITORS_SETS; i++)
        for (size_t j = 0; j < XB_VISITORS_WAYS; j++)
            n += visitors.set[i].client[j] != 0;
    CHECK_EQUAL(n, 1); /* a proven visitor */
    const uint64_t shape = work.keys.shape;
    doubted(&s, TLS);
    CHECK(work.keys.shape != shape); /* its handshake is part of how it looks */
    doubted(&s, SCRIPTED);
    CHECK_EQUAL(work.vector.behaviour.what, XB_VISIT_OTHER);
    CHECK_EQUAL(doubted(&s, MISFIT), XB_NO_DOUBT); /* no browser sends both: it is no proven visitor any more */
    CHECK_EQUAL(xb_behaviour_proves(&work.vector.behaviour, &work.vector.facts), XB_PROVEN_FALSE);
    use_model(-1.0, 0.0); /* it is no bot now, and what was said stays said */
    CHECK_EQUAL(doubted(&s, NEXT), XB_NO_DOUBT);
    free(clients);
}

static void counts(void)
{
    use_model(-1.0, 2.0);
    xb_stats stats = {0};
    xb_service s = {.model = &model, .dialect = XB_DIALECT_NGINX, .policy = &xb_enforcing, .stats = &stats};
    for (int i = 0; i < 5; i++)
        ask(&s, BROWSER, HUMAN_200 "\r\n", false);
    for (int i = 0; i < 3; i++)
        ask(&s, NOBODY, BOT_403 "\r\n", false);
    s.policy = &xb_observing;
    ask(&s, NOBODY, BOT_200 "\r\n", false);
    ask(&s, "x\n\n", BAD_400, true);
    CHECK_EQUAL(xb_answer(&s, &work, "GET", 3, 0, false, &reply), XB_PARTIAL);
    size_t size;
    char *head = repeated("GET / HTTP/1.1\r\n", "X-A: b\r\n", 300, "User-Agent: a\r\n\r\n", &size);
    CHECK_EQUAL(xb_answer(&s, &work, head, size, 0, false, &reply), size);
    free(head);
    head = repeated("GET / HTTP/1.1\r\nUser-Agent: a\r\nX-Long: ", "x", XB_MAX_HEAD, "", &size);
    CHECK_EQUAL(xb_answer(&s, &work, head, XB_MAX_HEAD, 0, true, &reply), XB_MAX_HEAD);
    CHECK(reply.close);
    free(head);
    ask(&s, "GET / HTTP/1.1\r\nX-Real-IP: 192.0.2.1\r\nUser-Agent: a\r\n\r\n", HUMAN_200 "\r\n", false); /* `xbot check` */
    CHECK_EQUAL(stats.probes, 1);
    uint64_t outcome[XB_N_OUTCOMES], by[XB_N_DECIDERS], refused;
    const uint64_t requests = xb_counters_decided(&stats, outcome, by, &refused);
    CHECK_EQUAL(requests, 11);
    CHECK_EQUAL(outcome[XB_HUMAN], 7);
    CHECK_EQUAL(outcome[XB_BOT], 4);
    CHECK_EQUAL(by[XB_BY_SCORE], 11);
    CHECK_EQUAL(refused, 3);
    uint64_t scores = 0, margins = 0;
    for (int i = 0; i < XB_SCORES; i++)
        scores += stats.score[i];
    for (int i = 0; i < XB_MARGINS; i++)
        margins += stats.margin[i];
    CHECK_EQUAL(scores, 11);
    CHECK_EQUAL(margins, 11);
    CHECK(stats.sum_score > 0 && stats.sum_score <= 11 * 1000000);
    CHECK_EQUAL(stats.bad_request, 1);
    CHECK_EQUAL(stats.truncated, 2);
    CHECK_EQUAL(stats.connections_total, 0);
    uint64_t answers = 0, least = 0, most = 0;
    for (int i = 0; i < XB_HISTOGRAM - 1; i++) {
        answers += stats.histogram[i];
        least += stats.histogram[i] << i;
        most += stats.histogram[i] << (i + 1);
    }
    CHECK_EQUAL(answers, requests);
    CHECK(least <= stats.sum_ns + requests && stats.sum_ns < most);
}

/* Heads one behind another are answered one by one; each reply is what its head alone gets. */
static void pipelined(void)
{
    use_model(-1.0, 2.0);
    xb_service s = {.model = &model, .dialect = XB_DIALECT_NGINX, .policy = &xb_observing};
    const char all[] = BROWSER NOBODY "\r\n" CURL "GET / HT";
    const char *const want[] = {HUMAN_200 "\r\n", BOT_200 "\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Bot: bot\r\nX-Bot-Score: 0.7311\r\nX-Bot-Reason: ua_word=curl\r\n\r\n"};
    const char *buf = at_end(all, sizeof all - 1);
    size_t at = 0;
    for (int i = 0; i < 3; i++) {
        long used = xb_answer(&s, &work, buf + at, sizeof all - 1 - at, 0, false, &reply);
        if (!CHECK(used > 0))
            return;
        check_text((xb_span){reply.bytes, reply.size}, (xb_span){want[i], strlen(want[i])}, __FILE__, __LINE__, "reply");
        at += (size_t)used;
    }
    CHECK_EQUAL(at, sizeof all - 1 - 8);
    CHECK_EQUAL(xb_answer(&s, &work, buf + at, 8, 0, false, &reply), XB_PARTIAL);
}

/* An id comes last, and is another for each; what an operator says by hand comes before it. */
static void ids_and_the_wheel(void)
{
    use_model(-1.0, 2.0);
    xb_ids ids = {.key = {3, 4}}, same = ids;
    static xb_wheel wheel;
    xb_service s = {.model = &model, .dialect = XB_DIALECT_NGINX, .policy = &xb_enforcing, .ids = &ids, .wheel = &wheel};
    char want[XB_MAX_REPLY], id[XB_ID_SIZE + 1] = "", before[XB_ID_SIZE + 1] = "";
    for (int i = 0; i < 3; i++) {
        xb_id_text(xb_ids_next(&same), id);
        snprintf(want, sizeof want, BOT_403 "X-Bot-Id: %s\r\n\r\n", id);
        ask(&s, NOBODY, want, false);
        CHECK(strcmp(id, before) != 0);
        memcpy(before, id, sizeof id);
    }
    s.ids = NULL;
    xb_wheel_init(&wheel, 1, 1);
    xb_wheel_turn(&wheel, NULL, XB_WHEEL_OBSERVE, 0, XB_WHEEL_EVER);
    ask(&s, NOBODY, BOT_200 "\r\n", false);
    xb_wheel_turn(&wheel, NULL, XB_WHEEL_OFF, 0, XB_WHEEL_EVER);
    ask(&s, NOBODY, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Bot: unknown\r\n\r\n", false);
    xb_wheel_turn(&wheel, NULL, XB_WHEEL_ENFORCE, 0, XB_WHEEL_EVER);
    s.policy = &xb_observing;
    ask(&s, NOBODY, BOT_403 "\r\n", false);
    /* Let by, if the proxy says all that it has to say. */
    xb_address address;
    CHECK(xb_address_parse(XB_SPAN("192.0.2.9"), &address) && xb_wheel_let_by(&wheel, &address, 32, 0, XB_WHEEL_EVER));
#define ASKED "GET /xbot HTTP/1.1\r\nX-Real-IP: 192.0.2.9\r\nX-Original-Method: GET\r\n"
    ask(&s, ASKED "X-Original-URI: /\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Bot: human\r\nX-Bot-Score: 0.8808\r\nX-Bot-Reason: allow=xbot.allow\r\n\r\n", false);
    ask(&s, ASKED "\r\n", BOT_403 "\r\n", false);
    xb_wheel_turn(&wheel, NULL, XB_WHEEL_CONFIGURED, 0, XB_WHEEL_EVER); /* by hand only who is let by: all else goes as configured */
    ask(&s, ASKED "X-Original-URI: /\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Bot: human\r\nX-Bot-Score: 0.8808\r\nX-Bot-Reason: allow=xbot.allow\r\n\r\n", false);
    ask(&s, NOBODY, BOT_200 "\r\n", false);
}

/* A question that is asked again is known by its connection and its number there, also where others lie in the same place; and a check
 * is recorded by nobody. */
static void asked_again(void)
{
    use_model(-1.0, 2.0);
    static xb_lane lane;
    xb_ids ids = {.key = {3, 4}};
    xb_recorder recorder = {.logged = true, .sample = UINT64_MAX};
    const size_t size = xb_clients_size(0);
    const uint64_t secret[2] = {1, 2};
    xb_clients *clients = aligned_alloc(64, size);
    memset(clients, 0, size);
    xb_clients_init(clients, size, secret, XB_CLIENTS_BY_ADDRESS);
    lane.rate.most = UINT32_MAX;
    const xb_service s = {.model = &model, .dialect = XB_DIALECT_NGINX, .policy = &xb_observing, .clients = clients, .ids = &ids, .lane = &lane, .recorder = &recorder};
    static const struct {
        unsigned serial, process, requests;
        float counted;
    } asked[] = {{1, 1, 1, 1}, {1, 1, 1, 1}, {1, 2, 1, 2}, {1, 2, 1 + XB_ASKED, 3}, {1 + XB_ASKED, 2, 1, 4}, {1 + XB_ASKED, 2, 1, 4}};
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        char head[256];
        const int n = snprintf(head, sizeof head, "GET /xbot HTTP/1.1\r\nX-Real-IP: 192.0.2.9\r\nX-Connection: %u-%u-%u\r\nHost: a\r\n\r\n", asked[i].process,
                               asked[i].serial, asked[i].requests);
        CHECK_EQUAL(xb_answer(&s, &work, head, (size_t)n, 0, false, &reply), n);
        const xb_client_places places = xb_clients_find(clients, &work.keys);
        xb_client_view view;
        xb_client_read(places.client, work.now_ms, &view);
        CHECK(fabs((double)view.count[XB_TALLY_REQUESTS] - (double)asked[i].counted) < 0.01);
    }
    size_t recorded;
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        CHECK(xb_lane_first(&lane, &recorded));
        xb_lane_next(&lane, recorded);
    }
    static const char probe[] = "GET /xbot HTTP/1.1\r\nX-Real-IP: 192.0.2.1\r\n\r\n";
    CHECK_EQUAL(xb_answer(&s, &work, probe, sizeof probe - 1, 0, false, &reply), sizeof probe - 1);
    CHECK(!xb_lane_first(&lane, &recorded));
    free(clients);
}

int main(void)
{
    xb_init();
    replies();
    closing();
    challenge();
    nginx();
    score_text();
    hostile_reason();
    doubts();
    counts();
    pipelined();
    ids_and_the_wheel();
    asked_again();
    return done("answer");
}
