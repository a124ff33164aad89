/* What is counted of whom: for a client, its network, its shape and the site; and which versions of browsers people have. */
#include "client_table.h"

static void counted(void)
{
    const xb_client_keys k = keys_of(1, 1, 1);
    xb_visit first = page(), second = page();
    case_name = "counted";
    fresh(1);
    CHECK_EQUAL(TALLY(client_of(k, NOON), REQUESTS), 0); /* nothing is known */
    CHECK_EQUAL(client_of(k, NOON).age_ms, 0);
    first.counts |= XB_COUNT(UNREFERRED) | XB_COUNT(TYPED);
    second.counts |= XB_COUNT(OWN) | XB_COUNT(COOKIES) | XB_COUNT(QUERIES);
    second.marks |= XB_MARK_KEEPS;
    second.path = 2;
    xb_client_keys done = count(k, NOON, first);
    CHECK_EQUAL(done.client & XB_SAYS_WHAT, XB_VISIT_PAGE);
    CHECK_EQUAL(done.client & ~(uint64_t)XB_SAYS, k.client);
    CHECK_EQUAL(client_of(k, NOON).pages_since_part, 1);
    done = count(done, NOON + 100, part()); /* a key that says what it was counted as is the same key */
    CHECK_EQUAL(done.client & XB_SAYS, XB_VISIT_PART);
    CHECK_EQUAL(client_of(k, NOON).pages_since_part, 0);
    count(k, NOON + 10000, second);
    const xb_client_view c = client_of(k, NOON + 11000);
    CHECK_NEAR(TALLY(c, REQUESTS), 3);
    CHECK_NEAR(TALLY(c, PAGES), 2);
    CHECK_NEAR(TALLY(c, PARTS), 1);
    CHECK_NEAR(TALLY(c, UNREFERRED), 1);
    CHECK_NEAR(TALLY(c, TYPED), 1);
    CHECK_NEAR(TALLY(c, OWN), 1);
    CHECK_NEAR(TALLY(c, COOKIES), 1);
    CHECK_NEAR(TALLY(c, QUERIES), 1);
    CHECK_EQUAL(TALLY(c, POSTS), 0);
    CHECK_EQUAL(c.distinct[0], 2);
    CHECK_EQUAL(c.age_ms, 11000);
    CHECK_EQUAL(c.idle_ms, 1000);
    CHECK_EQUAL(c.marks, XB_MARK_PAGED | XB_MARK_PARTED | XB_MARK_KEEPS | XB_MARK_BROUGHT | XB_MARK_BROWSER);
    CHECK_EQUAL(c.pages_since_part, 1);
    CHECK_NEAR(TALLY(site(NOON + 11000), REQUESTS), 3);
    CHECK_EQUAL(table_of_all->entries, 3);
    CHECK_EQUAL(table_of_all->replaced, 0);
    xb_visit with_cookie = page();
    with_cookie.marks |= XB_MARK_KEEPS;
    count(keys_of(2, 1, 1), NOON, with_cookie);
    count(keys_of(2, 1, 1), NOON, with_cookie);
    CHECK(!(client_of(keys_of(2, 1, 1), NOON).marks & XB_MARK_BROUGHT)); /* it had one when it came */
    CHECK_EQUAL(count(keys_of(0, 0, 0), NOON, page()).client, 0); /* without an address */
    CHECK_EQUAL(table_of_all->entries, 4);
    count(keys_of(9, 0, 0), NOON, page());
    CHECK_EQUAL(table_of_all->entries, 5);
}

/* Two in one network, one elsewhere, all of one shape; what the parts look like is another one. */
static void groups(void)
{
    case_name = "groups";
    fresh(1);
    xb_visit a = page(), b = page();
    a.agent = 11, a.address = 21;
    b.agent = 12, b.address = 22;
    count(keys_of(1, 1, 1), NOON, a);
    count(keys_of(2, 1, 1), NOON, b);
    count(keys_of(3, 2, 1), NOON, a);
    count(keys_of(1, 1, 7), NOON, part());
    count(keys_of(1, 1, 7), NOON, part());
    count(keys_of(1, 1, 1), NOON, a);
    xb_client_view n = network_of(keys_of(0, 1, 0), NOON), s = shape_of(keys_of(0, 0, 1), NOON);
    CHECK_NEAR(TALLY(n, REQUESTS), 5);
    CHECK_NEAR(TALLY(n, ARRIVED), 2);
    CHECK_NEAR(TALLY(n, VISITORS), 2);
    CHECK_NEAR(TALLY(n, LOADERS), 1);
    CHECK_NEAR(TALLY(n, LOADED_PARTS), 1);
    CHECK_NEAR(TALLY(n, LOADED_PAGES), 1);
    CHECK_EQUAL(n.distinct[0], 3); /* the parts had agent 0 */
    CHECK_EQUAL(n.distinct[1], 3);
    CHECK_NEAR(TALLY(s, REQUESTS), 4);
    CHECK_NEAR(TALLY(s, ARRIVED), 3);
    CHECK_NEAR(TALLY(s, VISITORS), 3);
    CHECK_NEAR(TALLY(s, LOADERS), 1); /* by parts that look otherwise */
    CHECK_NEAR(TALLY(s, LOADED_PARTS), 1);
    CHECK_NEAR(TALLY(s, NETWORKS), 2);
    CHECK_EQUAL(TALLY(shape_of(keys_of(0, 0, 7), NOON), LOADERS), 0);
    CHECK_NEAR(TALLY(site(NOON), VISITORS), 3);
    CHECK_NEAR(TALLY(site(NOON), LOADERS), 1);
    xb_visit crawler = page();
    crawler.marks = 0;
    count(keys_of(4, 1, 2), NOON, crawler); /* what claims no browser is no visitor */
    CHECK_NEAR(TALLY(network_of(keys_of(0, 1, 0), NOON), VISITORS), 2);
    CHECK_NEAR(TALLY(network_of(keys_of(0, 1, 0), NOON), ARRIVED), 3);
    CHECK_NEAR(TALLY(site(NOON), REQUESTS), 6);
}

static void versions(void)
{
    case_name = "versions";
    fresh(4);
    CHECK_EQUAL(xb_clients_version(table_of_all, 3), 0);
    for (uint64_t i = 1; i <= 40; i++) { /* 25 of 142, 10 of 143, 5 older; each in a network of its own */
        xb_visit p = page(), q = part();
        p.family = q.family = 3;
        p.version = q.version = i <= 25 ? 142 : i <= 35 ? 143 : 109;
        count(keys_of(i, i, 1), NOON, p);
        CHECK_EQUAL(xb_clients_version(table_of_all, 3), i <= 8 ? 0 : 142);
        count(keys_of(i, i, 1), NOON, q);
    }
    xb_visit p = page(), q = part();
    p.family = q.family = 3;
    p.version = q.version = 999; /* one network of impostors, and many that load nothing */
    for (uint64_t i = 100; i < 1000; i++) {
        count(keys_of(i, 99, 1), NOON, p);
        count(keys_of(i, 99, 1), NOON, q);
        count(keys_of(i + 10000, i + 10000, 1), NOON, p);
    }
    CHECK_EQUAL(xb_clients_version(table_of_all, 3), 142);
    CHECK_EQUAL(xb_clients_version(table_of_all, 4), 0);
    p.version = q.version = 143; /* the site's people take the new one */
    for (uint64_t i = 20000; i < 20400; i++) {
        count(keys_of(i, i, 1), NOON, p);
        count(keys_of(i, i, 1), NOON, q);
    }
    CHECK_EQUAL(xb_clients_version(table_of_all, 3), 143);
    for (uint64_t i = 30000; i < 30400; i++) { /* more versions than are told apart */
        p.version = q.version = 100 + (uint32_t)(i % 40);
        count(keys_of(i, i, 1), NOON, p);
        count(keys_of(i, i, 1), NOON, q);
    }
    CHECK(xb_clients_version(table_of_all, 3) >= 100 && xb_clients_version(table_of_all, 3) <= 143);
}

int main(void)
{
    counted();
    groups();
    versions();
    free(table_of_all);
    return done("test_count");
}
