/* The table of clients: its memory, who has to go when it is full, and what strangers' bytes and killed writers can do to it. */
#include "client_table.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

static void memory(void)
{
    case_name = "memory";
    CHECK_EQUAL(xb_clients_size(0), sizeof(xb_clients) + sizeof(xb_client_set));
    CHECK(xb_clients_size(64) <= 64u << 20 && xb_clients_size(64) > (64u << 20) - 2 * sizeof(xb_client_set));
    CHECK((xb_clients_size(64) - sizeof(xb_clients)) / sizeof(xb_client_set) * XB_CLIENTS_WAYS > 300000);
    fresh(1);
    CHECK(!xb_clients_check(table_of_all, table_size));
    CHECK(xb_clients_check(table_of_all, table_size - 64));
    CHECK(xb_clients_check(table_of_all, 100));
    CHECK(xb_clients_check(table_of_all, 0));
    table_of_all->n_sets++;
    CHECK(xb_clients_check(table_of_all, table_size));
    table_of_all->n_sets = 0;
    CHECK(xb_clients_check(table_of_all, table_size));
    xb_clients_init(table_of_all, sizeof *table_of_all, secret, XB_CLIENTS_BY_ADDRESS); /* a header, and no set */
    CHECK(xb_clients_check(table_of_all, sizeof *table_of_all));
    const size_t most = (sizeof *table_of_all + sizeof(xb_client_set) * (UINT64_C(1) << 32)); /* of which only the header is looked at */
    xb_clients_init(table_of_all, most, secret, XB_CLIENTS_BY_ADDRESS);
    CHECK(xb_clients_check(table_of_all, most));
    fresh(1);
    table_of_all->privacy = 2;
    CHECK(xb_clients_check(table_of_all, table_size));
    fresh(1);
    table_of_all->board.version++;
    CHECK(xb_clients_check(table_of_all, table_size));
}

/* Of a set's line of tags only those of its places are one: whoever else may write the rest leads nobody behind the entries. */
static void tags(void)
{
    const xb_client_keys k = keys_of(1, 0, 0);
    case_name = "tags";
    CHECK_EQUAL(xb_clients_tag(UINT64_C(5) << 48), 1); /* never that of an empty place */
    fresh(0);
    for (size_t i = 0; i < sizeof table_of_all->set->tag / sizeof *table_of_all->set->tag; i++) {
        memset(table_of_all->set->tag, 0, sizeof table_of_all->set->tag);
        table_of_all->set->tag[i] = xb_clients_tag(k.client);
        CHECK_EQUAL(xb_clients_place(table_of_all->set, xb_clients_tag(k.client)), i < XB_CLIENTS_WAYS ? i : XB_CLIENTS_WAYS);
        CHECK(there(k) == (i < XB_CLIENTS_WAYS));
    }
}

static void full(void)
{
    enum { WAYS = XB_CLIENTS_WAYS };
    case_name = "full";
    fresh(0);
    for (uint64_t i = 1; i <= WAYS; i++)
        for (int twice = 0; twice < 2; twice++)
            count(keys_of(i, 0, 0), NOON + 60000 * i, page());
    count(keys_of(3, 0, 0), NOON + 60000 * (WAYS + 1), page());
    const xb_client_keys once = keys_of(WAYS + 1, 0, 0);
    count(once, NOON + 60000 * (WAYS + 2), page()); /* 1 was idle for longest */
    CHECK(!there(keys_of(1, 0, 0)));
    for (uint64_t i = 2; i <= WAYS + 1; i++)
        CHECK(there(keys_of(i, 0, 0)));
    CHECK_NEAR(TALLY(client_of(once, NOON + 60000 * (WAYS + 2)), PAGES), 1); /* and nothing of 1 is in it */
    CHECK_EQUAL(client_of(once, NOON).gaps, 0);
    count(keys_of(WAYS + 2, 0, 0), NOON + 60000 * (WAYS + 5), page()); /* that one came once, and counts as idle eight times as long */
    CHECK(!there(once) && there(keys_of(2, 0, 0)));
    CHECK_EQUAL(table_of_all->entries, WAYS);
    CHECK_EQUAL(table_of_all->replaced, 2);
}

/* A million addresses in a table of a tenth as many places, and one person who goes on. */
static void flood(void)
{
    enum { N = 1000000 };
    const xb_client_keys person = keys_of(N + 1, N + 1, 1);
    case_name = "flood";
    fresh(16);
    const size_t places = table_of_all->n_sets * XB_CLIENTS_WAYS;
    CHECK(places < N / 10);
    xb_visit v = page();
    for (uint64_t i = 1; i <= N; i++) {
        v.address = i;
        count(keys_of(i, i / 8 + 1, 1), NOON + i / 4, v);
        if (i % 5000 == 0)
            count(person, NOON + i / 4, page());
    }
    const uint64_t end = NOON + N / 4;
    CHECK_NEAR(TALLY(client_of(person, end), PAGES), N / 5000);
    CHECK(table_of_all->entries <= places && table_of_all->entries > places * 98 / 100);
    uint64_t recent = 0;
    for (uint64_t i = N - places / 4; i < N; i++)
        recent += there(keys_of(i, 0, 0));
    CHECK(recent > places / 4 * 95 / 100);
    CHECK(fabs((double)TALLY(shape_of(person, end), REQUESTS) - (N + N / 5000)) < 10); /* no count is lost where one writes */
    CHECK(TALLY(site(end), ARRIVED) > N * 0.999);
}

static void texts(void)
{
    const xb_client_keys k = {0x0123456789abcdef, 0xfedcba9876543210, 0x00000000000000ff};
    xb_client_keys read;
    char *text = room(XB_CLIENT_KEYS_TEXT);
    case_name = "texts";
    CHECK(xb_client_keys_text(&k, text) == text + XB_CLIENT_KEYS_TEXT);
    CHECK_TEXT(((xb_span){text, XB_CLIENT_KEYS_TEXT}), "0123456789abcdeffedcba987654321000000000000000ff");
    CHECK(xb_client_keys_parse((xb_span){text, XB_CLIENT_KEYS_TEXT}, &read) && !memcmp(&read, &k, sizeof k));
    CHECK(!xb_client_keys_parse((xb_span){text, XB_CLIENT_KEYS_TEXT - 1}, &read) && !read.client && !read.network);
    text[47] = 'g';
    CHECK(!xb_client_keys_parse((xb_span){text, XB_CLIENT_KEYS_TEXT}, &read) && !read.client && !read.shape);
    CHECK(!xb_client_keys_parse(XB_SPAN("-"), &read));
}

static bool sane_view(const xb_client_view *v)
{
    for (int i = 0; i < XB_N_TALLIES; i++)
        if (!(v->count[i] >= 0.0f && v->count[i] <= 16777216.0f))
            return false;
    for (int i = 0; i < XB_CLIENTS_SKETCHES; i++)
        if (v->distinct[i] > 311)
            return false;
    return v->fast >= 0.0f && v->fast <= 16777216.0f && v->gap_mean >= 0.0f && v->gap_mean <= 16777216.0f && v->gap_spread >= 0.0f &&
           v->gap_spread <= 16777216.0f && v->gaps < 256 && v->pages_since_part < 256;
}

/* Any bytes behind the header: numbers are wrong then, and nothing else. */
static void strange_bytes(void)
{
    uint64_t random = 1;
    case_name = "strange bytes";
    fresh(1);
    for (int round = 0; round < 40; round++) {
        uint64_t *words = (uint64_t *)&table_of_all->site;
        const size_t n = (table_size - offsetof(xb_clients, site)) / 8;
        for (size_t i = 0; i < n; i++) {
            random = xb_mix(random + XB_GOLDEN);
            words[i] = round % 4 ? random : round % 8 ? UINT64_MAX : UINT64_C(0x7fc000007fc00000); /* all ones; NAN */
        }
        for (uint64_t i = 1; i < 200; i++) {
            const uint64_t now = i % 3 ? NOON + i * 50000 : xb_mix(random + i);
            xb_visit v = i % 2 ? page() : part();
            v.family = 3, v.version = (uint32_t)i;
            const xb_client_keys k = count(keys_of(i % 50, i % 20, i % 7), now, v);
            happened(k, now, 200, (xb_content)(i % 8));
            const xb_client_view views[] = {client_of(k, now), network_of(k, now), shape_of(k, now), site(now)};
            for (size_t j = 0; j < 4; j++)
                CHECK(sane_view(&views[j]));
            xb_clients_version(table_of_all, (unsigned)i);
        }
    }
}

/* Whoever else may write the table cannot have its users look elsewhere, nor miss what they had counted. */
static void another_size(void)
{
    static const uint64_t said[] = {0, 1, 2, UINT32_MAX, UINT64_MAX};
    case_name = "a table that says another number of sets";
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        fresh(1);
        CHECK(!xb_clients_check(table_of_all, table_size));
        const xb_client_keys mine = count(keys_of(7, 8, 9), NOON, page());
        table_of_all->n_sets = said[i];
        for (uint64_t n = 0; n < 2000; n++)
            happened(count(keys_of(n + 100, n, n), NOON, page()), NOON, 200, XB_CONTENT_PAGE);
        CHECK(xb_clients_find(table_of_all, &mine).client);
        CHECK(xb_clients_check(table_of_all, table_size));
    }
}

/* Writers that are killed at any moment: the others go on, nothing waits, and every number is one that somebody counted. */
static void killed(void)
{
    case_name = "killed";
    const size_t size = xb_clients_size(0);
    xb_clients *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        exit(2);
    xb_clients_init(shared, size, secret, XB_CLIENTS_BY_ADDRESS);
    xb_clients *const own = table_of_all;
    table_of_all = shared;
    for (int round = 0; round < 60; round++) {
        pid_t child[2];
        for (int c = 0; c < 2; c++) {
            child[c] = fork();
            if (child[c] == 0) {
                for (uint64_t i = 0;; i++) {
                    const xb_client_keys k = count(keys_of(i % 5 + 1, i % 2 + 1, 1), NOON + i * 1000, i % 3 ? part() : page());
                    happened(k, NOON + i * 1000, 404, XB_CONTENT_UNKNOWN);
                }
            }
            CHECK(child[c] > 0);
        }
        const struct timespec pause = {.tv_nsec = 1000000 + round * 77777};
        nanosleep(&pause, NULL);
        for (int c = 0; c < 2; c++) {
            kill(child[c], SIGKILL);
            CHECK_EQUAL(waitpid(child[c], NULL, 0), child[c]);
        }
        CHECK(!xb_clients_check(shared, size));
        for (uint64_t i = 1; i <= 5; i++) {
            const xb_client_keys k = keys_of(i, i % 2 + 1, 1);
            const xb_client_view before = client_of(k, NOON);
            const uint64_t late = NOON + (1000 + 10 * (uint64_t)round) * 24 * HOUR; /* nothing of before is left */
            CHECK(sane_view(&before));
            count(k, late, page());
            CHECK_NEAR(TALLY(client_of(k, late), PAGES), 1); /* it can be used as before */
            CHECK(there(k));
        }
    }
    CHECK(shared->entries <= XB_CLIENTS_WAYS + 2 * 60 * 2);
    munmap(shared, size);
    table_of_all = own;
}

int main(void)
{
    memory();
    tags();
    full();
    flood();
    texts();
    strange_bytes();
    another_size();
    killed();
    free(table_of_all);
    return done("test_table");
}
