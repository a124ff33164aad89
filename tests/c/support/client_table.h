/* client_table.h - a table of clients for tests: requests counted in it, and what it knows of them.
 *
 * Law: keys are numbers of the test's own, and time is what the test says.
 */
#ifndef CLIENT_TABLE_H
#define CLIENT_TABLE_H

#include "harness.h"

#include <math.h>

#include "base/hash.h"
#include "clients/clients.h"

static xb_clients *table_of_all;
static size_t table_size;
static const uint64_t secret[2] = {0x1234567890abcdef, 0xfedcba0987654321};
static const uint64_t NOON = UINT64_C(1795737600000); /* some day's, in milliseconds */
static const uint64_t HOUR = 3600 * 1000;

/* A new table of this size; 0 is one set. */
static inline void fresh(unsigned mebibytes)
{
    free(table_of_all);
    table_size = xb_clients_size(mebibytes);
    table_of_all = aligned_alloc(64, table_size);
    if (!table_of_all)
        exit(2);
    memset(table_of_all, 0, table_size);
    xb_clients_init(table_of_all, table_size, secret, XB_CLIENTS_BY_ADDRESS);
}

static inline xb_client_keys keys_of(uint64_t client, uint64_t network, uint64_t shape)
{
    const xb_client_keys k = {client ? xb_mix(client) & ~(uint64_t)XB_SAYS : 0, network ? xb_mix(network + 1000000007) : 0,
                              shape ? xb_mix(shape + 2000000011) : 0};
    return k;
}

static inline xb_visit page(void)
{
    return (xb_visit){.counts = XB_COUNT(REQUESTS) | XB_COUNT(PAGES), .marks = XB_MARK_BROWSER, .what = XB_VISIT_PAGE, .path = 1};
}

static inline xb_visit part(void)
{
    return (xb_visit){.counts = XB_COUNT(REQUESTS) | XB_COUNT(PARTS), .marks = XB_MARK_BROWSER, .what = XB_VISIT_PART};
}

static inline xb_visit other(void) { return (xb_visit){.counts = XB_COUNT(REQUESTS), .marks = XB_MARK_BROWSER, .what = XB_VISIT_OTHER}; }

static inline xb_client_keys count(xb_client_keys k, uint64_t now, xb_visit v)
{
    const xb_client_places places = xb_clients_find(table_of_all, &k);
    xb_clients_count(table_of_all, &k, &places, now, &v);
    return k;
}

static inline void happened(xb_client_keys k, uint64_t now, int status, xb_content content)
{
    const xb_response r = {.status = status, .bytes = -1, .content = (uint8_t)content};
    xb_clients_outcome(table_of_all, &k, now, &r);
}

static inline xb_client_view view_of(const xb_client_entry *e, uint64_t now)
{
    xb_client_view view;
    memset(&view, 0xff, sizeof view);
    xb_client_read(e, now, &view);
    return view;
}

static inline xb_client_view client_of(xb_client_keys k, uint64_t now) { return view_of(xb_clients_find(table_of_all, &k).client, now); }
static inline xb_client_view network_of(xb_client_keys k, uint64_t now) { return view_of(xb_clients_find(table_of_all, &k).network, now); }
static inline xb_client_view shape_of(xb_client_keys k, uint64_t now) { return view_of(xb_clients_find(table_of_all, &k).shape, now); }
static inline xb_client_view site(uint64_t now) { return view_of(&table_of_all->site, now); }

static inline bool there(xb_client_keys k) { return xb_clients_find(table_of_all, &k).client != NULL; }

static inline bool near(double a, double b) { return fabs(a - b) <= 1e-4 * fmax(1.0, fabs(b)); }
#define CHECK_NEAR(got, want) \
    (CHECK(near((got), (want))) ? (void)0 : (void)fprintf(stderr, "    got %.6f, want %.6f\n", (double)(got), (double)(want)))
#define TALLY(view, name) ((view).count[XB_TALLY_##name])

#endif
