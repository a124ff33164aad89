/* Cost is linear: twice the bytes cost at most a little more than twice the work, whatever the bytes are, and however
 * small the pieces are in which a head comes. Work is counted (counted.h), not timed. */
#include "harness.h"
#include "request/challenge.h"
#include "request/logline.h"
#include "model_image.h"

static unsigned long work_done;

void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_pc(void) { work_done++; }

void *counted_memchr(const void *s, int c, size_t n);
void *counted_memchr(const void *s, int c, size_t n)
{
    const char *found = n ? memchr(s, c, n) : NULL;
    work_done += (found ? (size_t)(found - (const char *)s) : n) / 8 + 1;
    return (void *)(uintptr_t)found;
}

void *counted_memrchr(const void *s, int c, size_t n);
void *counted_memrchr(const void *s, int c, size_t n)
{
    const char *from = s;
    size_t left = n;
    while (left && from[left - 1] != (char)c)
        left--;
    work_done += (n - left) / 8 + 1;
    return left ? (void *)(uintptr_t)(from + left - 1) : NULL;
}

static xb_model model;
static xb_workspace work;
static xb_reply reply;

typedef struct {
    const char *name, *prefix, *unit, *suffix;
    char how; /* b: byte by byte; w: whole; challenge, combined: a line */
} shape;

#define LONG_64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define LONG_512 LONG_64 LONG_64 LONG_64 LONG_64 LONG_64 LONG_64 LONG_64 LONG_64
#define LONG LONG_512 LONG_512 LONG_512 LONG_512 LONG_512 LONG_512 LONG_512 LONG_512

static const shape shapes[] = {
    {"line breaks before, in pieces", "", "\r\n", "GET / HTTP/1.1\r\n\r\n", 'b'},
    {"line feeds before, in pieces", "", "\n", "GET / HTTP/1.1\r\n\r\n", 'b'},
    {"headers, in pieces", "GET / HTTP/1.1\r\n", "X-A: b\r\n", "\r\n", 'b'},
    {"lines without a colon, in pieces", "GET / HTTP/1.1\r\n", "a\n", "\n", 'b'},
    {"a value, in pieces", "GET / HTTP/1.1\r\nX-A: ", "a", "\r\n\r\n", 'b'},
    {"carriage returns, in pieces", "GET / HTTP/1.1\r\nX-A: ", "\r", "\n\r\n", 'b'},
    {"a target, in pieces", "GET /", "a ", " HTTP/1.1\r\n\r\n", 'b'},
    {"no target, in pieces", "GET", " ", "HTTP/1.1\r\n\r\n", 'b'},
    {"lines behind a long target, in pieces", "GET /" LONG " HTTP/1.1\r\n", "a\n", "\n", 'b'},
    {"Content-Length", "GET / HTTP/1.1\r\n", "Content-Length: 0\r\n", "\r\n", 'w'},
    {"Connection", "GET / HTTP/1.1\r\nConnection: ", "a,", "\r\n\r\n", 'w'},
    {"blanks of a list", "GET / HTTP/1.1\r\nAccept-Encoding: ", " ", "\r\n\r\n", 'w'},
    {"members of a list", "GET / HTTP/1.1\r\nAccept-Encoding: ", "br;q=1,", "\r\n\r\n", 'w'},
    {"words of an agent", "GET / HTTP/1.1\r\nUser-Agent: ", "Chrome/1 bot ", "\r\n\r\n", 'w'},
    {"one word of an agent", "GET / HTTP/1.1\r\nUser-Agent: ", "a", "\r\n\r\n", 'w'},
    {"versions of an agent", "GET / HTTP/1.1\r\nUser-Agent: Chrome/", "9", "\r\n\r\n", 'w'},
    {"client hints", "GET / HTTP/1.1\r\nSec-CH-UA: ", "headles", "\r\n\r\n", 'w'},
    {"users of a referrer", "GET / HTTP/1.1\r\nReferer: http://", "@", "\r\n\r\n", 'w'},
    {"ports of a referrer", "GET / HTTP/1.1\r\nReferer: http://", ":", "\r\n\r\n", 'w'},
    {"brackets of a referrer", "GET / HTTP/1.1\r\nReferer: http://", "[", "\r\n\r\n", 'w'},
    {"ports of a host", "GET / HTTP/1.1\r\nReferer: http://a/\r\nX-Original-Host: ", ":", "\r\n\r\n", 'w'},
    {"slashes", "GET / HTTP/1.1\r\nX-Original-URI: /", "/.", "\r\n\r\n", 'w'},
    {"dots", "GET / HTTP/1.1\r\nX-Original-URI: /", "a.", "\r\n\r\n", 'w'},
    {"question marks", "GET / HTTP/1.1\r\nX-Original-URI: /", "?&%", "\r\n\r\n", 'w'},
    {"an address", "GET / HTTP/1.1\r\nX-Real-IP: ", "1.", "\r\n\r\n", 'w'},
    {"separators of suites", "GET / HTTP/1.1\r\nX-TLS-Ciphers: ", ":", "\r\n\r\n", 'w'},
    {"suites", "GET / HTTP/1.1\r\nX-TLS-Ciphers: ", "AES128-SHA:", "\r\n\r\n", 'w'},
    {"one suite", "GET / HTTP/1.1\r\nX-TLS-Ciphers: ", "a", "\r\n\r\n", 'w'},
    {"a connection", "GET / HTTP/1.1\r\nX-Connection: ", "1", "-1-1\r\n\r\n", 'w'},
    {"a long name", "GET / HTTP/1.1\r\n", "X", ": y\r\n\r\n", 'w'},
    {"fields of a challenge line", "", "\t", "", 'l'},
    {"escapes of a challenge line", "192.0.2.1\t", "%41", "\t\tfalse", 'l'},
    {"brackets of a combined line", "192.0.2.1 - ", "[ ", "\"", 'c'},
    {"times of a combined line", "192.0.2.1 - ", "[17/May/2015:10:05:03 +0000] ", "\"", 'c'},
    {"escapes of a combined line", "192.0.2.1 - - [17/May/2015:10:05:03 +0000] \"", "\\x41", "\" 200 1 \"-\" \"-\"", 'c'},
    {"backslashes of a combined line", "192.0.2.1 - - [17/May/2015:10:05:03 +0000] \"", "\\", "", 'c'},
    {"blanks of a combined line", "192.0.2.1 - - [17/May/2015:10:05:03 +0000]", " ", "", 'c'},
    {"blanks of a request", "192.0.2.1 - - [17/May/2015:10:05:03 +0000] \"", " ", "\" 200 1 \"-\" \"-\"", 'c'},
};

/* Counts of one input of about `size` bytes. */
static unsigned long cost(const shape *s, size_t size)
{
    static char scratch[XB_MAX_LINE];
    const xb_service service = {.model = &model, .dialect = XB_DIALECT_NGINX, .policy = &xb_observing};
    xb_line line;
    size_t n;
    char *text = repeated(s->prefix, s->unit, size / strlen(s->unit), s->suffix, &n);
    unsigned long before = work_done;
    switch (s->how) {
    case 'b':
        for (size_t seen = 0, end; seen < n; seen = end) {
            end = seen + 1;
            if (xb_answer(&service, &work, text, end, seen, false, &reply) != XB_PARTIAL)
                break;
        }
        break;
    case 'w':
        CHECK(xb_answer(&service, &work, text, n, 0, false, &reply) != XB_PARTIAL);
        break;
    default:
        if (s->how == 'l')
            xb_challenge_line((xb_span){text, n}, scratch, &work.request, &line);
        else
            xb_clf_line(XB_CLF_COMBINED, (xb_span){text, n}, scratch, &work.request, &line);
        if (!line.error)
            xb_judge(&model, &work);
    }
    free(text);
    return work_done - before;
}

int main(void)
{
    static model_image image;
    xb_init();
    image_init(&image);
    image_fill(&image);
    if (xb_model_open(&model, &image, sizeof image, &work.request, &work.vector))
        return 2;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        case_name = shapes[i].name;
        unsigned long base = cost(&shapes[i], 64), once = cost(&shapes[i], 8192), twice = cost(&shapes[i], 16384), most = cost(&shapes[i], 32768);
        if (!CHECK(twice <= 2.2 * once + base) || !CHECK(most <= 2.2 * twice + base))
            fprintf(stderr, "    64 bytes: %lu, 8 KiB: %lu, 16 KiB: %lu, 32 KiB: %lu\n", base, once, twice, most);
        CHECK(most <= 64 * 32768ul); /* and the factor is no absurd one */
    }
    CHECK(work_done > 100000); /* the build does count */
    return done("cost");
}
