/* table.c - what the table of clients costs, beside what a verdict costs without it.
 *
 * usage: table STAGE CLIENTS MEBIBYTES A_BATCH BATCHES
 *   STAGE  judge: one request judged without a table; look: its keys made, its entries found and read, and it is counted;
 *          client: the request judged with the table, all of it
 * Each request is of a client drawn at random among CLIENTS, in networks of sixteen, of 64 shapes; the table is warm.
 * Prints one line of JSON: nanoseconds a request of the median, fastest and slowest batch. Built and run by bench/table.py, which
 * also counts instructions under callgrind.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/hash.h"
#include "../tests/c/support/model_image.h" /* a model with a weight for each row */

static const char head[] =
    "GET / HTTP/1.1\r\nX-Real-IP: 203.0.113.7\r\nX-Original-URI: /articles/2026/11/a-page?from=home\r\nX-Original-Method: GET\r\n"
    "X-Original-Protocol: HTTP/2.0\r\nX-Original-Scheme: https\r\nX-Original-Host: www.example.org\r\nX-Original-Order: kept\r\nHost: www.example.org\r\n"
    "sec-ch-ua: \"Chromium\";v=\"142\", \"Google Chrome\";v=\"142\", \"Not_A Brand\";v=\"99\"\r\nsec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: \"Windows\"\r\n"
    "upgrade-insecure-requests: 1\r\nuser-agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\n"
    "accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8\r\nsec-fetch-site: same-origin\r\n"
    "sec-fetch-mode: navigate\r\nsec-fetch-user: ?1\r\nsec-fetch-dest: document\r\nreferer: https://www.example.org/\r\n"
    "accept-encoding: gzip, deflate, br, zstd\r\naccept-language: de-DE,de;q=0.9,en;q=0.8\r\ncookie: session=0123456789abcdef\r\n\r\n";

static model_image image;
static xb_model model;
static xb_workspace work;
static uint64_t state = 1, now = UINT64_C(1795737600000);

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* what others do on a loaded machine is not ours */
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The next client's address, as text in the head's place and as bytes; and the letters that make its shape. */
static void next(char *ip, char *language, uint64_t clients)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    const uint64_t n = (uint64_t)((__uint128_t)state * clients >> 64), network = n / 16;
    const unsigned octets[] = {10 + (unsigned)(network >> 16 & 63), (unsigned)(network >> 8 & 255), (unsigned)(network & 255), (unsigned)(n % 16)};
    for (int i = 0; i < 4; i++) { /* always three digits */
        *ip++ = (char)('0' + octets[i] / 100);
        *ip++ = (char)('0' + octets[i] / 10 % 10);
        *ip++ = (char)('0' + octets[i] % 10);
        ip += i < 3;
    }
    language[0] = (char)('a' + n % 8);
    language[1] = (char)('a' + n / 8 % 8);
    now += 1;
}

int main(int argc, char **argv)
{
    if (argc != 6 || !strchr("jlc", *argv[1])) {
        fprintf(stderr, "usage: table judge|look|client CLIENTS MEBIBYTES A_BATCH BATCHES\n");
        return 2;
    }
    const char stage = *argv[1];
    const uint64_t clients = strtoull(argv[2], NULL, 10), secret[2] = {0x0123456789abcdef, 0xfedcba9876543210};
    const size_t bytes = xb_clients_size((unsigned)atoi(argv[3])), a_batch = strtoul(argv[4], NULL, 10), batches = strtoul(argv[5], NULL, 10);
    xb_clients *table = aligned_alloc(64, bytes);
    double *ns = calloc(batches, sizeof *ns);
    xb_init();
    image_init(&image);
    image_fill(&image);
    if (!table || !ns || !batches || !a_batch || xb_model_open(&model, &image, sizeof image, &work.request, &work.vector))
        return 2;
    memset(table, 0, bytes);
    xb_clients_init(table, bytes, secret, XB_CLIENTS_BY_ADDRESS);

    if (xb_request_parse(&work.request, head, sizeof head - 1, 0) != (long)sizeof head - 1)
        return 2;
    xb_dialect_apply(XB_DIALECT_NGINX, &work.request, work.scratch);
    char ip[] = "010.000.000.000", language[] = "aa-DE,de;q=0.9,en;q=0.8";
    work.request.ip = XB_SPAN("");
    work.request.ip = (xb_span){ip, sizeof ip - 1};
    work.request.headers[work.request.first[XB_H_ACCEPT_LANGUAGE]].value = (xb_span){language, sizeof language - 1};
    work.clients = stage == 'j' ? NULL : table;
    xb_facts *f = &work.vector.facts;
    xb_judge(&model, &work);
    for (size_t b = 0; b <= batches; b++) { /* the first warms up: each client comes three times */
        const size_t n = b ? a_batch : 3 * clients;
        const double started = now_ns();
        for (size_t i = 0; i < n; i++) {
            next(ip, language, clients);
            work.now_ms = now;
            if (stage != 'l') {
                xb_judge(&model, &work);
                continue;
            }
            xb_client_keys k;
            xb_visit visit;
            f->present |= XB_HAS_IP;
            xb_address_parse(work.request.ip, &f->ip);
            xb_client_places places;
            xb_client_keys_of(table, f, &k, &places);
            xb_visit_of(f, &visit);
            xb_clients_look_all(&k, &places);
            xb_behaviour_of(table, &places, now, f, &visit, &work.vector.behaviour);
            xb_clients_count(table, &k, &places, now, &visit);
        }
        if (b)
            ns[b - 1] = (now_ns() - started) / (double)n;
    }
    qsort(ns, batches, sizeof *ns, ascending);
    printf("{\"clients\": %llu, \"entries\": %llu, \"replaced\": %llu, \"ns\": %.1f, \"ns_min\": %.1f, \"ns_max\": %.1f}\n", (unsigned long long)clients,
           (unsigned long long)table->entries, (unsigned long long)table->replaced, ns[batches / 2], ns[0], ns[batches - 1]);
    return 0;
}
