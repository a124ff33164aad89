/* A connection: the first two bytes choose dialect, mode and the sizes of the reads, the rest is what a peer sends. The
 * replies must be the same whether it comes at once or in pieces, and nothing is kept of what was answered. */
#include "fuzz.h"
#include "connection.h"

typedef struct {
    char bytes[1 << 16];
    size_t size;
    bool closed;
} transcript;

static void say(transcript *t, const xb_reply *reply)
{
    REQUIRE(reply->size && reply->size <= XB_MAX_REPLY, "size of a reply");
    REQUIRE(memcmp(reply->bytes, "HTTP/1.1 ", 9) == 0, "a reply that is none");
    REQUIRE(reply->size > 4 && memcmp(reply->bytes + reply->size - 4, "\r\n\r\n", 4) == 0, "a reply without an end");
    for (size_t i = 0; i < reply->size; i++)
        REQUIRE((reply->bytes[i] >= ' ' && reply->bytes[i] < 0x7f) || reply->bytes[i] == '\r' || reply->bytes[i] == '\n', "a byte that is not printable");
    static xb_request r;
    char as_request[XB_MAX_REPLY + 16] = "GET / HTTP/1.1\r\n";
    const char *headers = (const char *)memchr(reply->bytes, '\n', reply->size) + 1;
    size_t rest = reply->size - (size_t)(headers - reply->bytes);
    memcpy(as_request + 16, headers, rest);
    REQUIRE(xb_request_parse(&r, as_request, 16 + rest, 0) == (long)(16 + rest) && !r.malformed, "not one head");
    if (t->size + reply->size <= sizeof t->bytes) {
        memcpy(t->bytes + t->size, reply->bytes, reply->size);
        t->size += reply->size;
    }
    t->closed = reply->close;
}

static xb_handshakes handshakes;

static size_t taken; /* blocks of memory that the machine has */

static void *resize(void *memory, size_t size)
{
    if (size) {
        taken += !memory;
        return realloc(memory, size);
    }
    taken--;
    free(memory);
    return NULL;
}

static uint64_t now;

static uint64_t clock_of_test(void) { return now++; }

/* The stream through a connection, `step` bytes a read; the connection's peer may leave replies unread for a while. */
static void converse(const xb_service *s, const char *stream, size_t size, size_t step, transcript *t)
{
    static xb_workspace work;
    static xb_listener l;
    const xb_host host = {resize, clock_of_test, 1, SIZE_MAX, {XB_NEVER, 1000, 1000, 1000}};
    xb_connection c;
    xb_reply reply;
    t->size = 0;
    t->closed = false;
    handshakes.secret[0]++; /* what is in it from before is nobody's */
    xb_listener_init(&l, s, &work, &host);
    xb_connection_begin(&l, &c, t);
    for (size_t at = 0, n; at < size; at += n) {
        n = size - at < step ? size - at : step;
        char *buf = exact_copy(stream + at, n);
        xb_span in = {buf, n};
        xb_step did;
        while ((did = xb_connection_next(&l, &c, &in, &reply)) != XB_WAIT) {
            REQUIRE(!t->closed, "a reply behind the last");
            REQUIRE((did == XB_REFUSED) == (memcmp(reply.bytes, "HTTP/1.1 400", 12) == 0), "refused, or not");
            REQUIRE(did != XB_REFUSED || reply.close, "a bad head keeps its connection");
            REQUIRE(span_inside(in, buf, n), "not in what was read");
            REQUIRE(!reply.again || (s->handshakes && work.request.files >= XB_FILES_TELL), "asks one who cannot tell");
            if (did == XB_ANSWERED && !reply.again)
                require_judged_well(s->model, &work);
            say(t, &reply);
        }
        REQUIRE(in.size == 0 && c.last == t->closed, "what is left of a read");
        REQUIRE(c.last || xb_connection_next(&l, &c, &in, &reply) == XB_WAIT, "an answer to nothing");
        REQUIRE(c.size < XB_MAX_HEAD && c.size <= c.room && taken == (c.piece != NULL) && l.bytes == c.room, "memory");
        REQUIRE(c.state == (c.last ? XB_LAST : c.size ? XB_HALF : XB_IDLE) && !!c.piece == (c.state == XB_HALF), "the state");
        if (step == 3) { /* the peer leaves replies unread for a while, and all goes on as if it had not */
            xb_connection_unread(&l, &c, 9);
            REQUIRE(c.state == XB_UNREAD && l.bytes == c.room + 9, "unread");
            xb_connection_unread(&l, &c, 0);
        }
        REQUIRE((xb_listener_wake(&l) == XB_NEVER) == (c.state == XB_IDLE), "idle is for ever, and nothing else");
        free(buf);
    }
    xb_connection_end(&l, &c);
    xb_connection_unread(&l, &c, 9); /* of one that is gone */
    REQUIRE(!taken && !l.bytes && !l.connections && xb_listener_wake(&l) == XB_NEVER, "something is kept");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static transcript whole, pieces;
    if (size < 2 || size > XB_MAX_HEAD / 2)
        return 0;
    xb_stats stats = {0};
    xb_service s = {
        .model = fuzz_model(),
        .dialect = (xb_dialect)(data[0] % XB_DIALECT_COUNT),
        .policy = data[0] & 0x40 ? &xb_enforcing : &xb_observing,
        .closing = data[0] & 0x80,
        .stats = data[0] & 0x20 ? &stats : NULL,
        .handshakes = &handshakes,
    };
    const char *stream = (const char *)data + 2;
    converse(&s, stream, size - 2, size, &whole);
    converse(&s, stream, size - 2, 1 + data[1] % 64u, &pieces);
    REQUIRE(pieces.size == whole.size && memcmp(pieces.bytes, whole.bytes, pieces.size) == 0, "pieces get other replies");
    REQUIRE(pieces.closed == whole.closed, "pieces end otherwise");
    uint64_t outcome[XB_N_OUTCOMES], by[XB_N_DECIDERS], refused;
    REQUIRE(xb_counters_decided(&stats, outcome, by, &refused) == outcome[XB_HUMAN] + outcome[XB_BOT] && refused <= outcome[XB_BOT], "counts");
    if (size - 2 > 0) { /* a head whose end never comes is judged on what fits */
        static xb_workspace work;
        xb_reply reply;
        char *buf = exact_copy(stream, size - 2);
        long used = xb_answer(&s, &work, buf, size - 2, 0, true, &reply);
        REQUIRE(used == XB_BAD || (used > 0 && (size_t)used <= size - 2), "a truncated head");
        if (used > 0 && !reply.again)
            require_judged_well(s.model, &work);
        free(buf);
    }
    return 0;
}
