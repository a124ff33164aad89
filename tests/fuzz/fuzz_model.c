/* A model file: an even first byte takes the rest as the file; an odd one as changes to a good file, each two bytes of
 * place and one of value, so that the fuzzer gets past the header. What opens can be used: any request gets a margin that
 * is a number, a score from 0 to 1 and contributions that add up. */
#include "fuzz.h"

#define BROWSER \
    "GET / HTTP/1.1\r\nX-Real-IP: 2001:db8::1\r\nX-Original-URI: /\r\nX-Original-Scheme: https\r\nX-Original-Protocol: HTTP/2.0\r\n" \
    "X-Original-Host: a\r\nUser-Agent: Mozilla/5.0 (X11; Linux) Chrome/99 Safari/1\r\nSec-CH-UA: headless\r\nAccept-Encoding: br\r\n\r\n"

static const char *const heads[] = {
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\nX-Real-IP: 255.255.255.255\r\nX-Original-URI: /a?b\r\nUser-Agent: curl/8\r\nAccept: */*\r\nReferer: http://a.b/\r\n\r\n",
    BROWSER,
};

static void use(const xb_model *m)
{
    static xb_workspace work;
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        size_t size = strlen(heads[i]);
        REQUIRE(xb_request_parse(&work.request, heads[i], size, 0) == (long)size, "parse");
        xb_dialect_apply(XB_DIALECT_NGINX, &work.request, work.scratch);
        xb_judge(m, &work);
        REQUIRE(isfinite(work.verdict.margin), "a margin that is no number");
        require_judged_well(m, &work);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static xb_workspace work;
    static model_image good, changed;
    static xb_model model;
    if (size < 1)
        return 0;
    if (!good.header.version) {
        fuzz_init();
        image_init(&good);
        image_fill(&good);
    }
    char *image;
    size_t image_size = size - 1;
    if (data[0] & 1) {
        image_size = sizeof changed;
        changed = good;
        for (size_t i = 1; i + 3 <= size; i += 3)
            ((uint8_t *)&changed)[(data[i] | data[i + 1] << 8) % sizeof changed] = data[i + 2];
        image = exact_copy(&changed, image_size);
    } else {
        image = exact_copy(data + 1, image_size);
    }
    const char *why = xb_model_open(&model, image, image_size, &work.request, &work.vector);
    if (!why)
        use(&model);
    else
        REQUIRE(*why, "refused without a reason");
    free(image);
    return 0;
}
