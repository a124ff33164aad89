/* What happened to requests: which messages are read, what becomes of them in the table, and whom a reply tells his keys. */
#include "harness.h"
#include "model_image.h"

#include "answer.h"
#include "clients/outcomes.h"

#define KEYS "0123456789abcdef00000000000000020000000000000003"
#define SYSLOG "<190>Nov 27 13:24:01 xbot: "

static xb_clients *clients;
static model_image image;
static xb_model model;
static xb_workspace work;
static xb_reply reply;

static void new_table(void)
{
    static const uint64_t secret[2] = {1, 2};
    const size_t size = xb_clients_size(1);
    free(clients);
    clients = aligned_alloc(64, size);
    memset(clients, 0, size);
    xb_clients_init(clients, size, secret, XB_CLIENTS_BY_ADDRESS);
}

static bool parse(const char *text, xb_client_keys *keys, xb_response *response)
{
    return xb_outcome_parse((xb_span){at_end(text, strlen(text)), strlen(text)}, keys, response);
}

static void contents(void)
{
    static const struct {
        const char *type;
        xb_content content;
    } types[] = {
        {"application/xhtml+xml", XB_CONTENT_PAGE}, {"text/javascript", XB_CONTENT_SCRIPT}, {"application/wasm", XB_CONTENT_SCRIPT},
        {"font/woff2", XB_CONTENT_FONT}, {"application/font-woff", XB_CONTENT_FONT}, {"application/x-font-ttf", XB_CONTENT_FONT},
        {"application/vnd.ms-fontobject", XB_CONTENT_FONT}, {"application/json", XB_CONTENT_DATA}, {"text/xml ; a=b", XB_CONTENT_DATA},
        {"application/x-ndjson", XB_CONTENT_DATA}, {"IMAGE/PNG,text/html", XB_CONTENT_IMAGE}, {" ", XB_CONTENT_UNKNOWN},
        {"text/plain", XB_CONTENT_OTHER}, {"a", XB_CONTENT_OTHER},
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        case_name = types[i].type;
        CHECK_EQUAL(xb_content_of((xb_span){types[i].type, strlen(types[i].type)}), types[i].content);
    }
}

static void read_or_not(void)
{
    static const struct {
        const char *text;
        int status;
        int64_t bytes;
        uint8_t content;
    } good[] = {
        {SYSLOG KEYS " 200 5120 text/html; charset=utf-8", 200, 5120, XB_CONTENT_PAGE},
        {KEYS " 200 5120 text/css", 200, 5120, XB_CONTENT_STYLE},
        {SYSLOG KEYS " 304 0 -", 304, 0, XB_CONTENT_UNKNOWN},
        {SYSLOG KEYS " 304 0 ", 304, 0, XB_CONTENT_UNKNOWN},
        {SYSLOG KEYS " 304 0", 304, 0, XB_CONTENT_UNKNOWN},
        {SYSLOG KEYS " 000 0 -", 0, 0, XB_CONTENT_UNKNOWN},
        {SYSLOG KEYS " 200 999999999999999 a b c: d", 200, 999999999999999, XB_CONTENT_OTHER},
        {"<1>: " KEYS " 200 1 image/png", 200, 1, XB_CONTENT_IMAGE},
    };
    static const char *const bad[] = {
        "", "<", "<190>", SYSLOG, SYSLOG "-", SYSLOG "- 200 5 text/html", KEYS, KEYS " ", KEYS " 200", KEYS " 200 ", KEYS "  200 5 -",
        KEYS " 99x 5 -", KEYS " 600 5 -", KEYS " 2000 5 -", KEYS " -1 5 -", KEYS " 200 -5 -", KEYS " 200 1e3 -",
        KEYS " 200 1000000000000000 -", KEYS "0 200 5 -", "g123456789abcdef00000000000000020000000000000003 200 5 -",
        "<190>Nov 27 13:24:01 " KEYS " 200 5 -", /* no tag, so no colon and blank */
        "<190>a very very very very very very very very very very very very very very very very long tag of a program: " KEYS " 200 5 -",
    };
    case_name = "read or not";
    xb_client_keys keys;
    xb_response response;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        CHECK(parse(good[i].text, &keys, &response));
        CHECK(keys.client == UINT64_C(0x0123456789abcdef) && keys.network == 2 && keys.shape == 3);
        CHECK_EQUAL(response.status, good[i].status);
        CHECK_EQUAL(response.bytes, good[i].bytes);
        CHECK_EQUAL(response.content, good[i].content);
    }
    new_table();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const bool read = parse(bad[i], &keys, &response);
        if (read)
            check(false, __FILE__, __LINE__, bad[i]);
        CHECK(!keys.client && !keys.network && !keys.shape && !response.status && response.bytes == -1);
        xb_outcome_take(clients, (xb_span){bad[i], strlen(bad[i])}, 1);
    }
    CHECK_EQUAL(clients->bad_outcomes, sizeof bad / sizeof *bad);
    CHECK_EQUAL(clients->outcomes, 0);
}

#define ASK(ip, more) "GET / HTTP/1.1\r\nX-Real-IP: " ip "\r\nX-Original-URI: /a\r\nX-Original-Method: GET\r\n" more "Host: a\r\nUser-Agent: curl/8\r\n\r\n"

static void answer(const xb_service *s, const char *head)
{
    CHECK_EQUAL(xb_answer(s, &work, head, strlen(head), 0, false, &reply), strlen(head));
}

static const char *client_of_reply(void)
{
    static char keys[XB_CLIENT_KEYS_TEXT + 1];
    static const char name[] = "\r\nX-Bot-Client: ";
    reply.bytes[reply.size < XB_MAX_REPLY ? reply.size : XB_MAX_REPLY - 1] = 0;
    const char *found = strstr(reply.bytes, name);
    if (!found || strlen(found) < sizeof name - 1 + XB_CLIENT_KEYS_TEXT)
        return NULL;
    memcpy(keys, found + sizeof name - 1, XB_CLIENT_KEYS_TEXT);
    return keys;
}

static float requests(void)
{
    xb_client_view view;
    const xb_client_places places = xb_clients_find(clients, &work.keys);
    xb_client_read(places.client, 1000000, &view);
    return view.count[XB_TALLY_REQUESTS];
}

/* Only nginx's files of the version that keeps them to itself, and only for what is not refused. */
static void told_to_whom(void)
{
    case_name = "told to whom";
    image_init(&image);
    CHECK(!xb_model_open(&model, &image, sizeof image, &work.request, &work.vector));
    new_table();
    const uint64_t clock = 1000000;
    xb_service s = {.model = &model, .dialect = XB_DIALECT_NGINX, .policy = &xb_observing, .clients = clients, .clock_ms = &clock};
    answer(&s, ASK("203.0.113.7", "X-Xbot-Files: 3\r\n"));
    const char *keys = client_of_reply();
    CHECK(keys != NULL);
    char message[128];
    snprintf(message, sizeof message, SYSLOG "%s 404 5 text/html", keys ? keys : "");
    xb_outcome_take(clients, (xb_span){message, strlen(message)}, 1000000);
    CHECK_EQUAL(clients->outcomes, 1);
    xb_client_view view;
    xb_client_read(xb_clients_find(clients, &work.keys).client, 1000000, &view);
    CHECK(view.count[XB_TALLY_OUTCOMES] == 1.0f && view.count[XB_TALLY_ERRORS] == 1.0f);

    answer(&s, ASK("203.0.113.7", "X-Xbot-Files: 2\r\n"));
    CHECK(!client_of_reply());
    answer(&s, ASK("203.0.113.7", ""));
    CHECK(!client_of_reply());
    answer(&s, ASK("203.0.113.7", "X-Xbot-Files: 3\r\nX-Original-Order: lost\r\n")); /* behind a CDN it is nginx's word as well */
    CHECK(client_of_reply() != NULL);
    CHECK(requests() == 4.0f);
    s.dialect = XB_DIALECT_HAPROXY;
    answer(&s, ASK("203.0.113.7", "X-Xbot-Files: 3\r\nX-Original-Order: kept\r\n"));
    CHECK(!client_of_reply());
    s.dialect = XB_DIALECT_NGINX;
    s.policy = &xb_enforcing;
    image.header.bias = 9;
    CHECK(!xb_model_open(&model, &image, sizeof image, &work.request, &work.vector));
    answer(&s, ASK("203.0.113.7", "X-Xbot-Files: 3\r\n"));
    CHECK(work.decision.refuse && !client_of_reply());
    xb_client_read(xb_clients_find(clients, &work.keys).client, 1000000, &view);
    CHECK(view.count[XB_TALLY_OUTCOMES] == 2.0f && view.count[XB_TALLY_ERRORS] == 1.0f); /* that it was refused is no error of its */
    s.clients = NULL;
    s.policy = &xb_observing;
    answer(&s, ASK("203.0.113.7", "X-Xbot-Files: 3\r\n"));
    CHECK(!client_of_reply());
}

/* A question that is asked twice for one request, and one of `xbot check`, are not counted. */
static void counted_once(void)
{
    case_name = "counted once";
    image_init(&image);
    CHECK(!xb_model_open(&model, &image, sizeof image, &work.request, &work.vector));
    new_table();
    const uint64_t clock = 1000000;
    const xb_service s = {.model = &model, .dialect = XB_DIALECT_NGINX, .policy = &xb_observing, .clients = clients, .clock_ms = &clock};
    answer(&s, ASK("203.0.113.7", "X-Connection: 9-1-1\r\nX-Xbot-Files: 3\r\n"));
    char first[XB_CLIENT_KEYS_TEXT + 1], *keys = strcpy(first, client_of_reply());
    answer(&s, ASK("203.0.113.7", "X-Connection: 9-1-1\r\nX-Xbot-Files: 3\r\n"));
    CHECK(requests() == 1.0f);
    CHECK(client_of_reply() && strcmp(client_of_reply(), keys) == 0); /* what it counts as is said, too */
    answer(&s, ASK("203.0.113.7", "X-Connection: 9-1-2\r\nX-Xbot-Files: 3\r\n"));
    CHECK(requests() == 2.0f);
    answer(&s, ASK("203.0.113.7", "X-Connection: 8-1-2\r\nX-Xbot-Files: 3\r\n")); /* another nginx */
    CHECK(requests() == 3.0f);
    for (int i = 0; i < 2; i++)
        answer(&s, ASK("203.0.113.7", ""));
    CHECK(requests() == 5.0f);
    const uint64_t before = clients->entries;
    answer(&s, ASK("192.0.2.1", ""));
    CHECK_EQUAL(clients->entries, before);
    CHECK(work.vector.facts.present & XB_HAS_CLIENT); /* it is read all the same */
}

/* With another secret nobody is found again, and everybody is counted from the beginning. */
static void rekeyed(void)
{
    case_name = "rekeyed";
    new_table();
    const uint64_t clock = 1000000, secret[2] = {3, 4};
    const xb_service s = {.model = &model, .dialect = XB_DIALECT_NGINX, .policy = &xb_observing, .clients = clients, .clock_ms = &clock};
    for (int i = 0; i < 3; i++)
        answer(&s, ASK("203.0.113.7", ""));
    CHECK(requests() == 3.0f);
    const xb_client_keys before = work.keys;
    xb_clients_rekey(clients, secret, 77);
    CHECK_EQUAL(clients->keyed_ms, 77);
    answer(&s, ASK("203.0.113.7", ""));
    CHECK(requests() == 1.0f);
    CHECK(work.keys.client != before.client && work.keys.network != before.network && work.keys.shape != before.shape);
}

int main(void)
{
    xb_init();
    contents();
    read_or_not();
    told_to_whom();
    counted_once();
    rekeyed();
    free(clients);
    return done("test_outcomes");
}
