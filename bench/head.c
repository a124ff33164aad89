/* head.c - the time from the bytes of a head to the bytes of the reply, in C alone: no socket, no Python.
 *
 * usage: head MODEL HEADS STAGE HEADS_A_BATCH BATCHES [POLICIES]
 *   HEADS  a file of heads as a proxy asks, each ended by a zero byte; they are taken in turn, over and over, so that
 *          the branch predictor cannot learn a single one
 *   STAGE  how far each head goes: parse, featurize (parse and that), judge (and score), answer (and the reply,
 *          counters and clock: all of it, as a worker calls it), recorded (answer, with a record of each decision for the log),
 *          table (judge, with a table of clients that knows them: each was here three times)
 *   POLICIES  an image of policies (csrc/policy/policy.h), by the first of which `answer` decides; without it the one that observes
 * Prints one line of JSON: bytes and tokens a head (mean), and nanoseconds a head of the median, fastest and slowest batch.
 * Built and run by bench/head.py, which also counts its instructions under callgrind.
 */
#define _POSIX_C_SOURCE 200809L
#include "answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MAX_HEADS = 4096 };

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "head: %s: %s\n", what, why);
    exit(2);
}

static char *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END))
        fail(path, "cannot be read");
    *size = (size_t)ftell(file);
    rewind(file);
    char *bytes = aligned_alloc(64, (*size + 64) / 64 * 64);
    if (!bytes || fread(bytes, 1, *size, file) != *size)
        fail(path, "cannot be read");
    fclose(file);
    return bytes;
}

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static xb_workspace work; /* zero before its first use */
static xb_stats stats;
static xb_handshakes handshakes;
static xb_ids ids = {.key = {1, 2}};
static xb_wheel wheel;
static xb_lane lane = {.rate = {.most = UINT32_MAX}};
static xb_recorder recorder = {.logged = true, .sample = UINT64_C(1) << 58};
static xb_reply reply;
static xb_clients *clients;

/* A table of a mebibyte. */
static xb_clients *made_table(void)
{
    static const uint64_t secret[2] = {1, 2};
    const size_t bytes = xb_clients_size(1);
    xb_clients *t = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
    if (!t)
        fail("the table", "no memory");
    memset(t, 0, bytes);
    xb_clients_init(t, bytes, secret, XB_CLIENTS_BY_ADDRESS);
    return t;
}

/* Takes one head as far as `stage`. */
static void run(const xb_service *service, char stage, xb_span head)
{
    const xb_model *model = service->model;
    long used;
    if (stage == 'r')
        lane.tail = lane.head; /* the reader keeps up */
    if (stage == 'a' || stage == 'r')
        used = xb_answer(service, &work, head.at, head.size, 0, false, &reply);
    else
        used = xb_request_parse(&work.request, head.at, head.size, 0);
    if (used != (long)head.size)
        fail("a head", "is not one whole request");
    if ((stage == 'a' || stage == 'r') && reply.again)
        fail("a head", "is of a connection that no head before it told of");
    if (stage != 'a' && stage != 'r')
        xb_dialect_apply(service->dialect, &work.request, work.scratch);
    if (stage == 'f')
        xb_featurize(&work.request, &model->shape, &work.vector);
    if (stage == 't') {
        work.clients = clients;
        work.now_ms += 100;
    }
    if (stage == 'j' || stage == 't')
        xb_judge(model, &work);
}

int main(int argc, char **argv)
{
    if ((argc != 6 && argc != 7) || !strchr("pfjart", *argv[3]))
        fail("usage", "head MODEL HEADS parse|featurize|judge|answer|recorded|table HEADS_A_BATCH BATCHES [POLICIES]");
    const char stage = *argv[3];
    const size_t a_batch = strtoul(argv[4], NULL, 10), batches = strtoul(argv[5], NULL, 10);

    size_t size;
    xb_init();
    static xb_model model;
    const char *image = read_file(argv[1], &size);
    const char *refused = xb_model_open(&model, image, size, &work.request, &work.vector);
    if (refused)
        fail(argv[1], refused);
    static xb_policies policies;
    image = argc == 7 ? read_file(argv[6], &size) : NULL;
    refused = image ? xb_policies_open(&policies, image, size) : NULL;
    if (refused)
        fail(argv[6], refused);
    const xb_service service = {.model = &model, .dialect = XB_DIALECT_NGINX, .stats = &stats, .handshakes = &handshakes,
                                .policies = argc == 7 ? &policies : NULL, .policy = argc == 7 ? &policies.policy[0] : &xb_observing,
                                .ids = &ids, .wheel = &wheel, .lane = stage == 'r' ? &lane : NULL, .recorder = &recorder};

    static xb_span heads[MAX_HEADS];
    size_t n = 0;
    const char *p = read_file(argv[2], &size), *end = p + size;
    for (const char *zero; n < MAX_HEADS && p < end && (zero = memchr(p, 0, (size_t)(end - p))); p = zero + 1)
        heads[n++] = xb_span_of(p, zero);
    double *ns = calloc(batches, sizeof *ns);
    if (!n || !a_batch || !batches || !ns)
        fail(argv[2], "no heads, or nothing to do");

    size_t next = 0, bytes = 0, tokens = 0;
    for (size_t i = 0; i < 8 * n; i++) /* warms the caches up; a program that is seen but once is not kept */
        run(&service, 'a', heads[i % n]);
    for (size_t i = 0; i < n; i++) {
        run(&service, 'a', heads[i]);
        bytes += heads[i].size;
        tokens += work.vector.n_tokens;
    }
    work.now_ms = UINT64_C(1795737600000); /* the table's clock: some day's */
    clients = made_table();
    for (size_t i = 0; stage == 't' && i < 3 * n; i++)
        run(&service, stage, heads[i % n]);
    for (size_t b = 0; b < batches; b++) {
        double started = now_ns();
        for (size_t i = 0; i < a_batch; i++, next = next + 1 == n ? 0 : next + 1)
            run(&service, stage, heads[next]);
        ns[b] = (now_ns() - started) / (double)a_batch;
    }
    qsort(ns, batches, sizeof *ns, ascending);
    printf("{\"heads\": %zu, \"bytes\": %.1f, \"tokens\": %.1f, \"ns\": %.1f, \"ns_min\": %.1f, \"ns_max\": %.1f}\n", n,
           (double)bytes / (double)n, (double)tokens / (double)n, ns[batches / 2], ns[0], ns[batches - 1]);
    return 0;
}
