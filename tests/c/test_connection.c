/* The connections of a listener: replies and states for every split of a stream; time, memory and bounds, on a clock and a heap
 * of this program. */
#include "harness.h"
#include "invariants.h"
#include "model_image.h"

#include "connection.h"

static model_image image;
static xb_model model;
static xb_workspace work;
static xb_stats stats;
static xb_service service;

/* ---- the host ---- */

static size_t blocks, heap, most_heap; /* that the machine has; the bytes stand before each */
static bool no_memory;
static uint64_t now;
static unsigned long asked_the_time;

static void *resize(void *memory, size_t size)
{
    size_t *block = memory ? (size_t *)memory - 2 : NULL;
    heap -= block ? *block : 0;
    blocks -= block != NULL;
    if (!size) {
        free(block);
        return NULL;
    }
    if (no_memory) {
        heap += block ? *block : 0;
        blocks += block != NULL;
        return NULL;
    }
    block = realloc(block, size + 2 * sizeof(size_t));
    *block = size;
    heap += size;
    most_heap = heap > most_heap ? heap : most_heap;
    blocks++;
    return block + 2;
}

static uint64_t clock_of_test(void)
{
    asked_the_time++;
    return now;
}

enum { HEAD = 100, UNREAD = 50, LAST = 10, MOST = 4, BYTES = 4096 };

static xb_listener listener;
static xb_connection peers[MOST + 3];

static void listen_anew(void)
{
    const xb_host host = {resize, clock_of_test, MOST, BYTES, {XB_NEVER, HEAD, UNREAD, LAST}};
    stats = (xb_stats){0};
    service = (xb_service){.model = &model, .dialect = XB_DIALECT_NGINX, .policy = &xb_observing, .stats = &stats};
    xb_listener_init(&listener, &service, &work, &host);
    asked_the_time = 0;
}

static xb_connection *begin(int i)
{
    xb_connection_begin(&listener, &peers[i], NULL);
    return &peers[i];
}

static char said[1 << 16];
static size_t said_size;

/* One read, from the edge of readable memory. Returns the number of replies; they are added to `said`. */
static int feed(xb_connection *c, const char *bytes, size_t size)
{
    xb_span in = {at_end(bytes, size), size};
    xb_reply reply;
    int replies = 0;
    for (xb_step did; (did = xb_connection_next(&listener, c, &in, &reply)) != XB_WAIT; replies++) {
        memcpy(said + said_size, reply.bytes, reply.size);
        said_size += reply.size;
    }
    CHECK_EQUAL(in.size, 0);
    return replies;
}

static int feed_text(xb_connection *c, const char *text) { return feed(c, text, strlen(text)); }

static xb_connection *out(xb_closed *why) { return xb_listener_out(&listener, why); }

#define GOOD "GET /xbot HTTP/1.1\r\nUser-Agent: a\r\n\r\n"

/* ---- cases ---- */

/* All that a connection tells of a stream, in two reads split at `cut` and in reads of `step` bytes. */
static void table_in_pieces(const char *path)
{
    static table t;
    static char stream[MAX_ROW + 64], whole[1 << 16];
    table_open(&t, path);
    while (table_next(&t)) {
        size_t size = unescape_cell(t.column[5]), whole_size = 0;
        bool last = false;
        memcpy(stream, t.column[5], size);
        memcpy(stream + size, GOOD, sizeof GOOD - 1);
        const size_t sizes[] = {size ? size - 1 : 0, size, size + sizeof GOOD - 1}; /* unfinished, alone, with another behind it */
        for (int i = 0; i < 3; i++) {
            size = sizes[i];
            /* -1 is the whole of it, -2 and so on are reads of 1, 3, 5 ... bytes. */
            for (long cut = -1; cut < (long)size; cut = cut < 0 && cut > -6 ? cut - 1 : cut == -6 ? 1 : cut + 1) {
                listen_anew();
                xb_connection *c = begin(0);
                said_size = 0;
                size_t step = cut == -1 ? size : (size_t)(-2 * cut - 3);
                for (size_t at = 0, n; at < size; at += n) {
                    n = cut > 0 ? (at ? size - at : (size_t)cut) : step < size - at ? step : size - at;
                    feed(c, stream + at, n);
                }
                if (cut == -1) {
                    memcpy(whole, said, said_size);
                    whole_size = said_size;
                    last = c->last;
                }
                CHECK(said_size == whole_size && memcmp(said, whole, said_size) == 0);
                CHECK_EQUAL(c->last, last);
                xb_connection_end(&listener, c);
                CHECK(!blocks && !heap && !listener.bytes && !listener.connections);
            }
        }
    }
}

/* A connection that waits for a head is asked nothing, costs no clock and holds no memory; nor does one whose heads come whole. */
static void idle_is_free(void)
{
    listen_anew();
    xb_connection *c = begin(0);
    xb_closed why;
    for (int i = 0; i < 3; i++) {
        CHECK_EQUAL(feed_text(c, GOOD GOOD), 2);
        now += 1000 * HEAD;
        CHECK(c->state == XB_IDLE && !c->piece);
        CHECK(!out(&why));
    }
    CHECK_EQUAL(asked_the_time, 0);
    CHECK_EQUAL(xb_listener_wake(&listener), XB_NEVER);
    CHECK_EQUAL(stats.connections_total, 1);
    xb_connection_end(&listener, c);
}

/* Half a head has its time from its first byte on, and none of the later ones buys more; the next head has its own. */
static void half_a_head_has_its_time(void)
{
    listen_anew();
    now = 1000;
    xb_connection *c = begin(0);
    xb_closed why;
    feed_text(c, "G");
    CHECK_EQUAL(xb_listener_wake(&listener), 1000 + HEAD);
    for (int i = 1; i < HEAD; i++) {
        now++;
        feed_text(c, i == 1 ? "ET / HTTP/1.1\r\nX: " : "x");
        CHECK(!out(&why));
    }
    CHECK(c->state == XB_HALF && heap == 512 && listener.bytes == 512);
    CHECK_EQUAL(feed_text(c, "\r\n\r\n" GOOD "GET"), 2); /* in time, and the beginning of another */
    CHECK_EQUAL(xb_listener_wake(&listener), now + HEAD);
    now += HEAD;
    CHECK(out(&why) == c && why == XB_CLOSED_SLOW && c->state == XB_GONE && !c->piece);
    CHECK(!out(&why) && !blocks && !listener.bytes && !listener.connections);
    CHECK_EQUAL(stats.closed[XB_CLOSED_SLOW], 1);
    xb_connection_end(&listener, c); /* the host does so when its socket is closed */
    CHECK_EQUAL(listener.connections, 0);
    CHECK_EQUAL(feed_text(c, GOOD), 0);
}

static void unread_replies_have_their_time(void)
{
    listen_anew();
    now = 0;
    xb_connection *c = begin(0);
    xb_closed why;
    CHECK_EQUAL(feed_text(c, GOOD "GET"), 1);
    xb_connection_unread(&listener, c, 200);
    CHECK(c->state == XB_UNREAD && listener.bytes == 512 + 200);
    now = UNREAD - 1;
    xb_connection_unread(&listener, c, 100); /* that it takes some gives it no more time */
    CHECK(!out(&why) && listener.bytes == 512 + 100);
    xb_connection_unread(&listener, c, 0);
    CHECK(c->state == XB_HALF && listener.bytes == 512);
    CHECK_EQUAL(xb_listener_wake(&listener), now + HEAD);
    CHECK_EQUAL(feed_text(c, " / HTTP/1.0\r\n\r\n"), 1);
    xb_connection_unread(&listener, c, 300); /* the last reply has the time of the others, not of the end */
    CHECK(c->last && c->state == XB_UNREAD && xb_listener_wake(&listener) == now + UNREAD);
    xb_connection_unread(&listener, c, 0);
    CHECK(c->state == XB_LAST && xb_listener_wake(&listener) == now + LAST);
    xb_connection_unread(&listener, c, 1);
    now += UNREAD;
    CHECK(out(&why) == c && why == XB_CLOSED_UNREAD && !listener.bytes && !blocks);
}

static void the_last_reply_is_the_last(void)
{
    listen_anew();
    now = 0;
    xb_connection *c = begin(0);
    xb_closed why;
    feed_text(c, "nonsen");
    CHECK_EQUAL(feed_text(c, "se\n" GOOD), 1);
    CHECK(c->last && c->state == XB_LAST && !c->piece);
    CHECK_EQUAL(feed_text(c, GOOD), 0);
    xb_connection_last(&listener, c);
    CHECK_EQUAL(xb_listener_wake(&listener), LAST); /* neither of them gave it more time */
    now = LAST;
    CHECK(out(&why) == c && why == XB_N_CLOSED);
    for (int i = 0; i < XB_N_CLOSED; i++)
        CHECK_EQUAL(stats.closed[i], 0);
}

/* One too many: whoever has waited longest goes, and never the one that came. */
static void too_many_connections(void)
{
    xb_closed why;
    listen_anew();
    for (int i = 0; i < MOST; i++)
        begin(i);
    feed_text(&peers[0], GOOD);  /* 1 has waited longest now, then 2, 3, 0 */
    feed_text(&peers[1], "GET"); /* 2 */
    feed_text(&peers[2], GOOD);  /* 3, 0, 1, 2 */
    CHECK(!xb_listener_over(&listener) && !out(&why));
    const int order[] = {3, 0, 1};
    for (int i = 0; i < 3; i++) {
        begin(MOST + i);
        CHECK(xb_listener_over(&listener));
        CHECK(out(&why) == &peers[order[i]] && why == XB_CLOSED_CONNECTIONS);
        CHECK(!xb_listener_over(&listener) && !out(&why));
    }
    CHECK_EQUAL(stats.closed[XB_CLOSED_CONNECTIONS], 3);
}

/* Too many bytes: of those that hold any, whoever has waited longest. One that is idle holds none and stays. */
static void too_many_bytes(void)
{
    xb_closed why;
    static char much[3000];
    memset(much, 'x', sizeof much);
    memcpy(much, "GET / HTTP/1.1\r\nX: ", 19);
    listen_anew();
    begin(0);
    feed(begin(1), much, 1000);
    feed(begin(2), much, 2000);
    CHECK_EQUAL(listener.bytes, 1024 + 2048);
    CHECK(!xb_listener_over(&listener));
    xb_connection_unread(&listener, &peers[0], BYTES - 1024 - 2048 + 1);
    CHECK(xb_listener_over(&listener));
    CHECK(out(&why) == &peers[1] && why == XB_CLOSED_BYTES);
    CHECK(!out(&why));
    feed(begin(3), much, 3000);
    CHECK(out(&why) == &peers[2] && xb_listener_over(&listener));
    feed(&peers[3], much, 2000); /* its 8192 alone are too many */
    CHECK(out(&why) == &peers[0] && out(&why) == &peers[3] && !out(&why));
    CHECK(!listener.bytes && !blocks);
    CHECK_EQUAL(stats.closed[XB_CLOSED_BYTES], 4);
}

/* The memory of a head grows with it, and never past the bound; where there is none, the connection ends. */
static void memory(void)
{
    xb_closed why;
    listen_anew();
    listener.host.max_bytes = SIZE_MAX;
    size_t size;
    char *head = repeated("GET / HTTP/1.1\r\n", "X-A: b\r\n", 20000, "", &size);
    xb_connection *c = begin(0);
    said_size = 0;
    most_heap = 0;
    for (size_t at = 0; at < size && !c->last; at += 1000) {
        feed(c, head + at, 1000);
        CHECK(heap <= XB_MAX_HEAD && (!c->size || heap < 2 * c->size || heap == 512));
    }
    CHECK(c->last && most_heap == XB_MAX_HEAD && !blocks);
    CHECK(said_size && !memcmp(said, "HTTP/1.1 200", 12) && stats.truncated == 1);
    c = begin(1);
    no_memory = true;
    CHECK_EQUAL(feed(c, head, 100), 0);
    CHECK(c->last && c->state == XB_LAST && !blocks);
    c = begin(2);
    no_memory = false;
    feed(c, head, 100);
    no_memory = true;
    CHECK_EQUAL(feed(c, head + 100, 1000), 0);
    CHECK(c->last && blocks == 1);
    xb_connection_end(&listener, c);
    no_memory = false;
    CHECK(!blocks && !out(&why));
    free(head);
}

/* A drain gives everybody little time, from now on or from when he begins to wait. */
/* A host that goes on reading while its peer leaves replies unread. */
static void reads_meanwhile(void)
{
    listen_anew();
    xb_connection *c = begin(0);
    xb_connection_unread(&listener, c, 0);
    CHECK_EQUAL(c->state, XB_IDLE);
    xb_connection_unread(&listener, c, 7);
    feed_text(c, "GET");
    CHECK(c->state == XB_UNREAD && c->size == 3);
    xb_connection_unread(&listener, c, 0);
    CHECK_EQUAL(c->state, XB_HALF);
    xb_connection_end(&listener, c);
    xb_connection_last(&listener, c);
    CHECK(c->state == XB_GONE && !c->last && !blocks);
}

static void drain(void)
{
    xb_closed why;
    listen_anew();
    now = 0;
    begin(0);
    feed_text(begin(1), "GET");
    feed_text(begin(2), GOOD);
    xb_connection_unread(&listener, &peers[2], 7);
    now = 10;
    service.closing = true;
    xb_listener_drain(&listener, 2, 20);
    CHECK_EQUAL(xb_listener_wake(&listener), 12);
    now = 11;
    begin(3);
    now = 12;
    CHECK(out(&why) == &peers[0] && why == XB_N_CLOSED && !out(&why));
    CHECK_EQUAL(feed_text(&peers[3], GOOD), 1);
    CHECK(peers[3].last);
    CHECK_EQUAL(xb_listener_wake(&listener), 12 + LAST);
    now = 30;
    CHECK(out(&why) == &peers[1] && why == XB_CLOSED_SLOW);
    CHECK(out(&why) == &peers[2] && why == XB_CLOSED_UNREAD);
    CHECK(out(&why) == &peers[3] && why == XB_N_CLOSED);
    CHECK(!out(&why) && !listener.connections && !blocks);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    xb_init();
    image_init(&image);
    image_fill(&image);
    if (xb_model_open(&model, &image, sizeof image, &work.request, &work.vector))
        return 2;
    table_in_pieces(argv[1]);
    idle_is_free();
    half_a_head_has_its_time();
    unread_replies_have_their_time();
    the_last_reply_is_the_last();
    too_many_connections();
    too_many_bytes();
    memory();
    reads_meanwhile();
    drain();
    return done("connection");
}
