/* Model images at the edge of readable memory: cut at every size, every header field changed, numbers that are none. */
#include "harness.h"
#include "invariants.h"
#include "model_image.h"
#include "features/url.h"

static model_image image;
static xb_model model;
static xb_workspace work;

/* The image's end lies at the guard; it must be aligned to 8, as its size is. */
static const char *open_size(size_t size) { return xb_model_open(&model, at_end(&image, size), size, &work.request, &work.vector); }
static const char *open_image(void) { return open_size(sizeof image); }

static void fresh(void)
{
    image_init(&image);
    image_fill(&image);
}

/* Refused, with a reason that holds `part`. */
static void refused(const char *part)
{
    const char *why = open_image();
    if (check(why && strstr(why, part), __FILE__, __LINE__, part))
        return;
    fprintf(stderr, "    %s\n", why ? why : "was opened");
}

static void sizes(void)
{
    fresh();
    CHECK(open_image() == NULL);
    for (size_t size = 0; size < sizeof image; size += 8) {
        const char *why = open_size(size);
        if (size < 8)
            CHECK(why && strstr(why, "magic"));
        else
            CHECK(why && strstr(why, "size"));
    }
    /* The same when the header agrees with the size: the parts do not. */
    for (size_t size = 0; size < sizeof image; size += 8) {
        image.header.file_size = size;
        CHECK(open_size(size) != NULL);
    }
    fresh();
    CHECK(xb_model_open(&model, (const char *)at_start(&image, sizeof image) + 4, sizeof image - 8, &work.request, &work.vector) != NULL);
    static const uint64_t large[] = {8, 1 << 20, UINT32_MAX, UINT64_MAX, UINT64_MAX - 15, UINT64_MAX / 2 + 7};
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
        fresh();
        image.header.tests_size = large[i];
        refused("size");
        fresh();
        image.header.provenance_size = large[i] + 8;
        refused("size");
        fresh();
        image.header.n_hosts = (uint32_t)large[i];
        refused("size");
    }
}

static void header(void)
{
    for (size_t byte = 0; byte < 8; byte++) {
        fresh();
        image.header.magic[byte] ^= 1;
        refused("magic");
    }
    fresh(), image.header.version = XB_MODEL_VERSION + 1, refused("future");
    fresh(), image.header.version = 0, refused("version");
    fresh(), image.header.header_size = 120, refused("version");
    fresh(), image.header.version = 1, refused("train again");
    fresh(), image.header.n_dense--, refused("size");
    fresh(), image.header.n_dense = UINT32_MAX, refused("more rows");
    fresh(), image.header.n_families = UINT32_MAX, refused("more rows");
    fresh(), image.header.k = XB_MIN_K - 1, refused("k out of range");
    fresh(), image.header.k = XB_MAX_K + 1, refused("k out of range");
    fresh(), image.header.k = UINT32_MAX, refused("k out of range");
    fresh(), image.header.families |= 1u << XB_N_FAMILIES, refused("families");
    fresh(), image.header.dtype = 2, refused("dtype");
    fresh(), image.header.threshold = 1.5, refused("threshold");
    fresh(), image.header.threshold = -0.1, refused("threshold");
    const double bad[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        fresh(), image.header.bias = bad[i], refused("NaN or infinity in the header");
        fresh(), image.header.threshold = bad[i], refused("NaN or infinity in the header");
        fresh(), image.header.a = bad[i], refused("NaN or infinity in the header");
        fresh(), image.header.b = bad[i], refused("NaN or infinity in the header");
        fresh(), image.mean[i] = bad[i], refused("NaN or infinity in the arrays");
        fresh(), image.scale[XB_N_DENSE - 1] = bad[i], refused("NaN or infinity in the arrays");
        fresh(), image.lower[5] = bad[i], refused("NaN or infinity in the arrays");
        fresh(), image.upper[XB_N_DENSE - 1] = bad[i], refused("NaN or infinity in the arrays");
        fresh(), image.weight[7] = bad[i], refused("NaN or infinity in the arrays");
        fresh(), image.bucket[(1 << IMAGE_K) - 1] = bad[i], refused("NaN or infinity in the arrays");
    }
    fresh(), image.scale[3] = 0.0, refused("scale of 0");
    fresh(), image.scale[3] = -0.0, refused("scale of 0");
    fresh(), image.scale[3] = 5e-324, image.weight[3] = 1.0, refused("over its scale");
    fresh(), image.mean[3] = 1e61, refused("beyond 1e60");
    fresh(), image.upper[3] = 1e61, refused("beyond 1e60");
    fresh(), image.lower[3] = image.upper[3] + 1e-9, refused("bounds out of order");
}

/* Rows by name: one that is not the program's, of another version, twice or unreadable is refused, and the reason names it. */
static void rows(void)
{
    fresh(), memcpy(image.rows[7].name, "ua_foo\0", 8), image.rows[7].version = 2, refused("row ua_foo: this xbot has none");
    fresh(), image.rows[XB_F_ua_empty].version = 9, refused("row ua_empty: version 9, this xbot computes version");
    fresh(), image.rows[1] = image.rows[0], refused("row ua_empty: named twice");
    fresh(), image.rows[XB_N_DENSE + 1].version = 0, refused("family ref_host: version 0");
    fresh(), image.rows[XB_N_DENSE].name[0] = 'x', refused("family xa_word: this xbot has none");
    fresh(), memset(image.rows[3].name, 'a', XB_ROW_NAME), refused("without a readable name");
    fresh(), memset(image.rows[3].name, 'a', XB_ROW_NAME - 1), refused("row aaaaaaaaaaaaaaaaaaaaaaaaaaa: this xbot has none");
    fresh(), image.rows[3].name[0] = 0, refused("without a readable name");
    fresh(), image.rows[3].name[1] = '\n', refused("without a readable name");
}

/* The margin of one head by the model that is open. */
static double margin_of(const char *head)
{
    CHECK(xb_request_parse(&work.request, head, strlen(head), 0) > 0);
    xb_dialect_apply(XB_DIALECT_NGINX, &work.request, work.scratch);
    xb_judge(&model, &work);
    return work.verdict.margin;
}

static const char some_head[] =
    "GET / HTTP/1.1\r\nX-Real-IP: 192.0.2.1\r\nX-Original-URI: /a/b?c\r\nUser-Agent: a/1 b\r\nReferer: http://b/\r\nAccept: */*\r\n\r\n";

/* The file's order of rows is its own: reversed, they give the same margin. */
static void another_order(void)
{
    fresh();
    CHECK(open_image() == NULL);
    const double want = margin_of(some_head);
    for (size_t i = 0, j = XB_N_DENSE - 1; i < j; i++, j--) {
        double *const column[] = {image.mean, image.scale, image.lower, image.upper, image.weight};
        xb_model_row row = image.rows[i];
        image.rows[i] = image.rows[j], image.rows[j] = row;
        for (size_t c = 0; c < 5; c++) {
            double number = column[c][i];
            column[c][i] = column[c][j], column[c][j] = number;
        }
    }
    CHECK(open_image() == NULL);
    CHECK(margin_of(some_head) == want);
    /* A family's number in the file decides its words' buckets: another one must not take them. */
    fresh();
    xb_model_row first = image.rows[XB_N_DENSE];
    image.rows[XB_N_DENSE] = image.rows[XB_N_DENSE + 1], image.rows[XB_N_DENSE + 1] = first;
    image.header.families = 1u << 1;
    CHECK(open_image() == NULL);
    CHECK_EQUAL(model.shape.families, 1u << 0);
    CHECK(model.shape.salt[0] == xb_family_salt(1) && model.shape.salt[1] == xb_family_salt(0));
}

/* A value beyond the bounds counts as the bound; an absent one stays absent. */
static void bounds(void)
{
    image_init(&image);
    image.weight[XB_F_url_parameters] = -1.0;
    image.lower[XB_F_url_parameters] = 2.0, image.upper[XB_F_url_parameters] = 3.0;
    CHECK(open_image() == NULL);
    static const char *const target[] = {"/", "/?a", "/?a&b", "/?a&b&c", "/?a&b&c&d", "/?a&b&c&d&e&f&g&h"};
    static const double want[] = {-2.0, -2.0, -2.0, -3.0, -3.0, -3.0};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        char head[128];
        snprintf(head, sizeof head, "GET / HTTP/1.1\r\nX-Original-URI: %s\r\n\r\n", target[i]);
        CHECK(margin_of(head) == want[i]);
        CHECK(xb_contribution(&model, &work.vector, XB_F_url_parameters) == want[i]);
    }
    CHECK(xb_request_parse(&work.request, "GET / HTTP/1.1\r\n\r\n", 18, 0) > 0);
    work.request.present = 0; /* no target at all */
    xb_judge(&model, &work);
    CHECK(work.verdict.margin == 0.0);
}

/* Numbers beyond what a fit can give, each in its array. */
static void too_large(void)
{
    fresh(), image.weight[3] = 1e61, refused("beyond 1e60 in the arrays");
    fresh(), image.bucket[3] = -1e61, refused("beyond 1e60 in the arrays");
    fresh(), image.lower[3] = -1e61, refused("a bound beyond 1e60");
    fresh(), image.upper[3] = 1e61, refused("a bound beyond 1e60");
}

/* "A model that loads can be used without a further check": numbers so large that a margin overflows do not load. */
static void huge_numbers(void)
{
    static const char head[] = "GET / HTTP/1.1\r\nX-Real-IP: 192.0.2.1\r\nUser-Agent: a\r\nReferer: http://b/\r\nX-Original-URI: /\r\n\r\n";
    for (double huge = 1e10; huge < 1e308; huge *= 1e6)
        for (int sign = -1; sign <= 1; sign += 2) {
            fresh();
            for (size_t i = 0; i < XB_N_DENSE; i++) {
                image.mean[i] = i % 2 ? huge : -huge;
                image.weight[i] = i % 3 ? huge * sign : -huge * sign;
            }
            for (size_t i = 0; i < 1 << IMAGE_K; i++)
                image.bucket[i] = i % 2 ? huge : -huge;
            image.header.bias = huge;
            image.header.a = -huge;
            image.header.b = huge * sign;
            if (open_image())
                continue;
            CHECK(xb_request_parse(&work.request, head, sizeof head - 1, 0) > 0);
            xb_dialect_apply(XB_DIALECT_NGINX, &work.request, work.scratch);
            xb_judge(&model, &work);
            CHECK(isfinite(work.verdict.margin));
            CHECK(work.verdict.score >= 0.0 && work.verdict.score <= 1.0);
        }
}

/* An image with what the small one lacks: known hosts and self-tests. */
static struct {
    xb_model_header header;
    xb_model_row rows[XB_N_DENSE + XB_N_FAMILIES];
    double numbers[5 * XB_N_DENSE + (1 << IMAGE_K)];
    uint32_t hosts[4];
    xb_self_test test;
    char parts[80];
    char provenance[8];
    char digest[32];
} full;
/* An address, a method, a target; no protocol, scheme, host, agent, referrer among the fields; two headers. */
#define ABSENT "\xff\xff\xff\xff"
static const char test_parts[] = "\x09\0\0\0" "192.0.2.1" "\x03\0\0\0" "GET" "\x01\0\0\0" "/" ABSENT ABSENT ABSENT ABSENT ABSENT
                                 "\x0a\0\0\0" "User-Agent" "\x03\0\0\0" "a/1" "\x06\0\0\0" "Accept" "\x00\0\0\0";

static const char *open_full(void) { return xb_model_open(&model, at_end(&full, sizeof full), sizeof full, &work.request, &work.vector); }

static void make_full(void)
{
    fresh();
    memset(&full, 0, sizeof full);
    full.header = image.header;
    memcpy(full.rows, image.rows, sizeof full.rows);
    memcpy(full.numbers, image.mean, sizeof full.numbers);
    full.header.n_hosts = 3;
    full.hosts[0] = 5, full.hosts[1] = 6, full.hosts[2] = UINT32_MAX;
    full.header.n_tests = 1;
    full.header.tests_size = sizeof full.test + sizeof full.parts;
    full.header.file_size = sizeof full;
    full.test.size = sizeof test_parts - 1;
    full.test.headers = XB_HEADERS_ORDERED;
    CHECK((full.test.size + 7) / 8 * 8 == sizeof full.parts);
    memcpy(full.parts, test_parts, full.test.size);
    CHECK(open_image() == NULL);
    model.shape.hosts.hash = full.hosts, model.shape.hosts.count = 3;
    const xb_fields fields = {.ip = XB_SPAN("192.0.2.1"), .method = XB_SPAN("GET"), .uri = XB_SPAN("/"), .headers = XB_HEADERS_ORDERED};
    xb_request_clear(&work.request);
    xb_request_add(&work.request, XB_SPAN("User-Agent"), XB_SPAN("a/1"));
    xb_request_add(&work.request, XB_SPAN("Accept"), XB_SPAN(""));
    CHECK(xb_request_complete(&work.request, &fields));
    xb_judge(&model, &work);
    full.test.margin = work.verdict.margin;
}

static void refused_full(const char *part)
{
    const char *why = open_full();
    if (!check(why && strstr(why, part), __FILE__, __LINE__, part))
        fprintf(stderr, "    %s\n", why ? why : "was opened");
}

static void hosts_and_self_tests(void)
{
    make_full();
    CHECK(open_full() == NULL);
    CHECK_EQUAL(model.shape.hosts.count, 3);
    CHECK(model.shape.hosts.hash[2] == UINT32_MAX && model.provenance.size == 8);
    full.test.margin += 1e-6, refused_full("failed self-test");
    make_full(), full.test.margin = NAN, refused_full("self-test unreadable");
    make_full(), full.test.size--, refused_full("self-test unreadable");
    make_full(), full.test.size++, refused_full("self-test unreadable");
    make_full(), full.test.size = 0, refused_full("self-test unreadable");
    make_full(), full.test.size = UINT32_MAX, refused_full("self-test unreadable");
    make_full(), full.test.headers = XB_HEADERS_KINDS, refused_full("self-test unreadable");
    make_full(), full.test.headers = XB_HEADERS_UNKNOWN, refused_full("self-test unreadable");
    make_full(), full.test.headers = XB_HEADERS_UNORDERED, refused_full("failed self-test");
    make_full(), full.test.headers |= XB_TEST_TLS, refused_full("self-test unreadable"); /* six texts more */
    make_full(), memcpy(full.parts + 45, ABSENT "\x0a\0\0\0" "User-Agent", 18), refused_full("self-test unreadable"); /* a header without a name */
    make_full(), full.parts[0] = '\xff', refused_full("self-test unreadable");
    make_full(), memcpy(full.parts, ABSENT, 4), refused_full("self-test unreadable");
    make_full(), memcpy(full.parts + full.test.size - 4, ABSENT, 4), refused_full("self-test unreadable");
    for (uint32_t size = 0; size < sizeof test_parts - 1; size++) { /* cut anywhere, it is refused */
        make_full(), full.test.size = size;
        CHECK(open_full() != NULL);
    }
    make_full(), full.header.n_tests = 2, refused_full("self-test cut short");
    make_full(), full.header.n_tests = UINT32_MAX, refused_full("self-test cut short");
    make_full(), full.header.n_tests = 0, refused_full("self-test too long");
    make_full(), full.hosts[1] = 5, refused_full("hosts out of order");
    make_full(), full.hosts[2] = 1, refused_full("hosts out of order");
    make_full(), full.numbers[4 * XB_N_DENSE + XB_F_ua_length] += 0.5, refused_full("failed self-test");
}

static bool knows(const xb_hosts *set, xb_span host) { return xb_hosts_know(set, xb_host_hash(host)); }

static void known_hosts(void)
{
    uint32_t hashes[3] = {xb_host_hash(XB_SPAN("a.example")), xb_host_hash(XB_SPAN("b.example")), xb_host_hash(XB_SPAN("c.example"))};
    for (int i = 0; i < 3; i++)
        for (int j = i + 1; j < 3; j++)
            if (hashes[j] < hashes[i]) {
                uint32_t swap = hashes[i];
                hashes[i] = hashes[j], hashes[j] = swap;
            }
    for (uint32_t n = 0; n <= 3; n++) {
        xb_hosts set = {(const uint32_t *)at_end(hashes, 4 * n), n};
        int known = 0;
        known += knows(&set, XB_SPAN("a.example"));
        known += knows(&set, XB_SPAN("WWW.B.EXAMPLE"));
        known += knows(&set, XB_SPAN("c.Example"));
        CHECK_EQUAL(known, n);
        CHECK(!knows(&set, XB_SPAN("d.example")) && !knows(&set, XB_SPAN("")) && !knows(&set, (xb_span){NULL, 0}));
    }
}

int main(void)
{
    xb_init();
    sizes();
    header();
    rows();
    another_order();
    bounds();
    too_large();
    huge_numbers();
    hosts_and_self_tests();
    known_hosts();
    return done("model");
}
