/* A connection: the first two bytes choose dialect, mode and the sizes of the reads, the rest is what a peer sends. The
 * replies must be the same whether it comes at once or in pieces. */
#include "fuzz.h"

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
    xb_request r;
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

/* As sidecar/net/protocol.pyx does it: `step` bytes a read, what is left of a head is kept. */
static void converse(const xb_service *s, const char *stream, size_t size, size_t step, transcript *t)
{
    static xb_workspace work;
    xb_reply reply;
    size_t at = 0, seen = 0;
    t->size = 0;
    t->closed = false;
    handshakes.secret[0]++; /* what is in it from before is nobody's */
    for (size_t end = 0; end < size && !t->closed;) {
        end = size - end > step ? end + step : size;
        char *buf = exact_copy(stream + at, end - at);
        size_t from = at;
        while (at < end && !t->closed) {
            long used = xb_answer(s, &work, buf + (at - from), end - at, seen, false, &reply);
            seen = 0;
            if (used == XB_PARTIAL)
                break;
            REQUIRE(used == XB_BAD || (used > 0 && (size_t)used <= end - at), "consumed more than there is");
            REQUIRE(used != XB_BAD || reply.close, "a bad head keeps its connection");
            REQUIRE(!reply.again || (s->handshakes && work.request.files >= XB_FILES_TELL), "asks one who cannot tell");
            if (used > 0 && !reply.again)
                require_judged_well(s->model, &work);
            say(t, &reply);
            at += used > 0 ? (size_t)used : 0;
        }
        free(buf);
        seen = end - at;
    }
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
    REQUIRE(pieces.size <= whole.size && memcmp(pieces.bytes, whole.bytes, pieces.size) == 0, "pieces get other replies");
    if (pieces.size < whole.size) {
        /* A broken first line is seen at once; in pieces it is refused when the head has ended, here it has not. */
        static const char bad[] = "HTTP/1.1 400 ";
        REQUIRE(whole.closed && !pieces.closed, "pieces get fewer replies");
        REQUIRE(memcmp(whole.bytes + pieces.size, bad, sizeof bad - 1) == 0, "pieces lack a verdict");
    }
    REQUIRE(stats.requests == stats.outcome[XB_HUMAN] + stats.outcome[XB_BOT] && stats.refused <= stats.outcome[XB_BOT], "counts");
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
