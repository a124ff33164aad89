/* margins MODEL: opens a model file and prints the margin of each request head on standard input, one a line; the heads are
 * `u32 size, bytes`. A model that is refused: the reason on standard output, exit 1. Not a test: tests/core/test_upgraded_rows.py
 * builds it on csrc/ with another features.def. */
#include <stdio.h>
#include <stdlib.h>

#include "answer.h"

static xb_model model;
static xb_workspace work;
static char head[XB_MAX_HEAD];

int main(int argc, char **argv)
{
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    if (!file || fseek(file, 0, SEEK_END))
        return 2;
    long size = ftell(file);
    void *image = size > 0 ? malloc((size_t)size) : NULL;
    if (!image || fseek(file, 0, SEEK_SET) || fread(image, 1, (size_t)size, file) != (size_t)size)
        return 2;
    xb_init();
    const char *why = xb_model_open(&model, image, (size_t)size, &work.request, &work.vector);
    if (why) {
        puts(why);
        return 1;
    }
    for (uint32_t n; fread(&n, sizeof n, 1, stdin) == 1;) {
        if (n > sizeof head || fread(head, 1, n, stdin) != n || xb_request_parse(&work.request, head, n, 0) != (long)n)
            return 2;
        xb_dialect_apply(XB_DIALECT_NGINX, &work.request, work.scratch);
        xb_judge(&model, &work);
        printf("%.17g\n", work.verdict.margin);
    }
    return 0;
}
