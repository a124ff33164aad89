/* Log lines: the cases of tests/data/lines.tsv whole and in every prefix, at both edges of readable memory, with decoded
 * text going to a place that is as large as the line and no larger. */
#include "harness.h"
#include "invariants.h"
#include "request/logline.h"
#include "model_image.h"

typedef bool (*line_reader)(xb_span line, char *scratch, xb_request *r, xb_line *out);

static xb_workspace work;
static xb_model model;

/* Reads a line at an edge; a line that is read can be judged, one that is not says where and why. */
static bool read_at(line_reader reader, placement place, const char *text, size_t size, xb_line *out)
{
    const char *line = place(text, size);
    char *scratch = room(size);
    bool ok = reader((xb_span){line, size}, scratch, &work.request, out);
    if (!ok) {
        CHECK(out->error && *out->error && out->error_field && *out->error_field);
        return false;
    }
    const xb_request *r = &work.request;
    const xb_span fields[] = {r->ip, r->method, r->uri, r->protocol, r->agent, r->referrer};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        CHECK(span_inside(fields[i], line, size) || span_inside(fields[i], scratch, size));
    CHECK(!r->n_headers && !r->host.at && !r->scheme.at);
    xb_judge(&model, &work);
    char wrong[128];
    if (!judged_well(&model, &work, wrong, sizeof wrong))
        check(false, __FILE__, __LINE__, wrong);
    return true;
}

static void table_of_lines(const char *path)
{
    static table t;
    int rows = 0;
    table_open(&t, path);
    for (; table_next(&t); rows++) {
        if (!CHECK(t.n == 5))
            continue;
        line_reader reader = strcmp(t.column[1], "challenge") == 0 ? xb_challenge_line : xb_combined_line;
        bool want = strcmp(t.column[2], "ok") == 0;
        size_t size = unescape_cell(t.column[4]);
        xb_line out;
        for (int edge = 0; edge < 2; edge++) {
            CHECK_EQUAL(read_at(reader, placements[edge], t.column[4], size, &out), want);
            if (!want && out.error) {
                check_text((xb_span){out.error_field, strlen(out.error_field)}, (xb_span){t.column[2], strlen(t.column[2])}, __FILE__, __LINE__, "field");
                if (!CHECK(strstr(out.error, t.column[3]) != NULL))
                    fprintf(stderr, "    %s\n", out.error);
            }
            for (size_t n = 0; n < size; n++)
                read_at(reader, placements[edge], t.column[4], n, &out);
        }
    }
    CHECK(rows > 80);
}

static void values(void)
{
    xb_line out;
    const char challenge[] = "192%2E0.2.1\tMozilla%2F5.0+%28X11%29\t-\tfalse";
    CHECK(read_at(xb_challenge_line, at_end, challenge, sizeof challenge - 1, &out));
    CHECK_TEXT(work.request.ip, "192.0.2.1");
    CHECK_TEXT(work.request.agent, "Mozilla/5.0 (X11)");
    CHECK_TEXT(work.request.referrer, "-");
    CHECK_EQUAL(out.label, XB_LABEL_BOT);
    CHECK_EQUAL(work.request.present, XB_HAS_IP | XB_HAS_UA | XB_HAS_REFERRER);

    const char combined[] = "203.0.113.7 - a b [17/May/2015:10:05:03 +0200] \"GET /a\\x20b HTTP/1.1\" 404 12 \"\\xd0\\\"\\\\\\n\" \"a\\q\" x";
    CHECK(read_at(xb_combined_line, at_end, combined, sizeof combined - 1, &out));
    CHECK_TEXT(work.request.ip, "203.0.113.7");
    CHECK_TEXT(work.request.method, "GET");
    CHECK_TEXT(work.request.uri, "/a b");
    CHECK_TEXT(work.request.protocol, "HTTP/1.1");
    CHECK_TEXT(work.request.referrer, "\xd0\"\\\n");
    CHECK_TEXT(work.request.agent, "a\\q");
    CHECK_EQUAL(out.status, 404);
    CHECK_EQUAL(out.label, XB_LABEL_NONE);
    CHECK_EQUAL(out.time, 1431849903);
    CHECK_EQUAL(work.request.present, XB_HAS_IP | XB_HAS_UA | XB_HAS_REFERRER | XB_HAS_URL);

    const char tls[] = "203.0.113.7 - - [17/May/2015:10:05:03 +0200] \"\\x16\\x03\" 400 0 \"-\" \"-\"";
    CHECK(read_at(xb_combined_line, at_end, tls, sizeof tls - 1, &out));
    CHECK(!(work.request.present & XB_HAS_URL) && !work.request.uri.at);
}

static void too_long(void)
{
    xb_line out;
    size_t size;
    char *line = repeated("192.0.2.1\t", "%41", XB_MAX_LINE / 3, "\t", &size);
    CHECK(size > XB_MAX_LINE);
    CHECK(!read_at(xb_challenge_line, at_end, line, size, &out));
    CHECK(strcmp(out.error_field, "line") == 0);
    CHECK(!read_at(xb_combined_line, at_end, line, size, &out));
    CHECK(strcmp(out.error_field, "line") == 0);
    memcpy(line + XB_MAX_LINE - 3, "A\t", 3); /* as long as can be */
    CHECK(read_at(xb_challenge_line, at_end, line, XB_MAX_LINE - 1, &out));
    free(line);
}

int main(int argc, char **argv)
{
    static model_image image;
    if (argc != 2)
        return 2;
    xb_init();
    image_init(&image);
    image_fill(&image);
    const char *why = xb_model_open(&model, &image, sizeof image, &work.request, &work.vector);
    if (why) {
        fprintf(stderr, "%s\n", why);
        return 2;
    }
    table_of_lines(argv[1]);
    values();
    too_long();
    return done("logline");
}
