/* read_served FILE: another host of the judge. Reads what a sidecar serves from its board, checks it by csrc alone, and judges the
 * request heads on standard input, each `u32 size, bytes`: one line each, margin and outcome by the policy `default`. What is
 * refused: the reason on standard output, exit 1. Not a test: tests/board/test_served.py builds and runs it. */
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE
#endif
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "judge.h"
#include "request/dialect.h"
#include "served.h"

static xb_model model;
static xb_policies policies;
static xb_workspace work;
static char head[XB_MAX_HEAD];
static void *image;

/* The file's bytes in memory of our own: whoever may write the file cannot change these, nor take them away. */
static void *read_whole(const char *path, size_t *size)
{
    struct stat found;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &found) || !S_ISREG(found.st_mode) || found.st_size <= 0)
        return NULL;
    char *bytes = malloc((size_t)found.st_size);
    for (*size = 0; bytes && *size < (size_t)found.st_size;) {
        ssize_t n = pread(fd, bytes + *size, (size_t)found.st_size - *size, (off_t)*size);
        if (n <= 0)
            break;
        *size += (size_t)n;
    }
    close(fd);
    return bytes;
}

int main(int argc, char **argv)
{
    size_t size;
    image = argc == 2 ? read_whole(argv[1], &size) : NULL;
    if (!image)
        return 2;
    xb_span of_model, of_policies;
    xb_init();
    const char *why = xb_served_open(image, size, false, &of_model, &of_policies);
    if (!why)
        why = xb_model_open(&model, of_model.at, of_model.size, &work.request, &work.vector);
    if (!why)
        why = xb_policies_open(&policies, of_policies.at, of_policies.size);
    if (why) {
        puts(why);
        return 1;
    }
    const xb_policy *policy = xb_policy_named(&policies, XB_SPAN("default"));
    if (!policy)
        return 2;
    for (uint32_t n; fread(&n, sizeof n, 1, stdin) == 1;) {
        if (n > sizeof head || fread(head, 1, n, stdin) != n || xb_request_parse(&work.request, head, n, 0) != (long)n)
            return 2;
        xb_dialect_apply(XB_DIALECT_NGINX, &work.request, work.scratch);
        xb_judge(&model, &work);
        xb_apply_policy(&policies, policy, &model, &work);
        printf("%.17g %s\n", work.verdict.margin, xb_outcome_names[work.decision.outcome]);
    }
    return 0;
}
