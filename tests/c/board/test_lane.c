/* A ring of records: whole ones in their order, or none; what finds no room is dropped and counted; nothing outside is read. */
#include "harness.h"

#include "board/lane.h"

static xb_lane *lane;

static bool put(size_t size, uint8_t fill)
{
    uint8_t *to = xb_lane_begin(lane, size);
    if (!to)
        return false;
    memset(to, fill, size);
    xb_lane_end(lane, size);
    return true;
}

/* The next record, which must be these many bytes of this value behind its size. */
static void take(size_t want, uint8_t fill, int line)
{
    size_t size = 0;
    const uint8_t *at = xb_lane_first(lane, &size);
    check(at && size == want, __FILE__, line, "size");
    if (!at)
        return;
    for (size_t i = sizeof(uint32_t); i < size; i++)
        if (at[i] != fill) {
            check(false, __FILE__, line, "bytes");
            break;
        }
    xb_lane_next(lane, size);
}
#define TAKE(size, fill) take((size), (fill), __LINE__)

static bool empty(void)
{
    size_t size;
    return !xb_lane_first(lane, &size);
}

static void in_order(void)
{
    case_name = "order";
    memset(lane, 0, sizeof *lane);
    CHECK(empty());
    for (int round = 0; round < 5000; round++) { /* many times around, in sizes that fit nowhere */
        const size_t size = 8 + (size_t)round * 7919 % (XB_LANE_ROOM / 8 - 8);
        CHECK(put(size, (uint8_t)round));
        CHECK(put(9, (uint8_t)(round + 1)));
        TAKE(size, (uint8_t)round);
        TAKE(9, (uint8_t)(round + 1));
        if (!CHECK(empty()))
            return;
    }
    CHECK_EQUAL(lane->dropped, 0);
}

/* So many in a second that begins with the first of them; the others are counted. */
static void capped(void)
{
    case_name = "capped";
    memset(lane, 0, sizeof *lane);
    const uint64_t second = 1000000000, began = 7 * second + 5;
    CHECK(!xb_lane_may(lane, began)); /* nobody said how many */
    lane->rate.most = 3;
    for (int i = 0; i < 10; i++)
        CHECK_EQUAL(xb_lane_may(lane, began + 2 * second + (uint64_t)i * 99999999), i < 3);
    CHECK_EQUAL(lane->capped, 8);
    CHECK(xb_lane_may(lane, began + 3 * second));
    CHECK_EQUAL(lane->capped, 8);
}

static void full(void)
{
    case_name = "full";
    memset(lane, 0, sizeof *lane);
    CHECK(!put(XB_LANE_ROOM / 8 + 1, 1)); /* never fits */
    CHECK_EQUAL(lane->dropped, 1);
    size_t n = 0;
    while (put(1000, (uint8_t)n))
        n++;
    CHECK_EQUAL(n, XB_LANE_ROOM / 1000);
    CHECK_EQUAL(lane->dropped, 2);
    TAKE(1000, 0);
    CHECK(put(100, 77)); /* there is room again, and what was there stays */
    for (size_t i = 1; i < n; i++)
        TAKE(1000, (uint8_t)i);
    TAKE(100, 77);
    CHECK(empty());
}

/* A writer that died between begin and end, and the next one. */
static void half_written(void)
{
    case_name = "half";
    memset(lane, 0, sizeof *lane);
    CHECK(put(64, 5));
    memset(xb_lane_begin(lane, 640), 0xee, 640);
    TAKE(64, 5);
    CHECK(empty());
    CHECK(put(64, 6));
    TAKE(64, 6);
}

/* Whatever is in it: nothing outside is read, and a writer of ours can go on. */
static void damaged(void)
{
    case_name = "damaged";
    memset(lane, 0, sizeof *lane);
    CHECK(put(64, 5));
    memcpy(lane->room, &(uint32_t){128}, sizeof(uint32_t)); /* says that it is longer than what was written */
    CHECK(empty());
    lane->head = lane->tail + 2 * XB_LANE_ROOM; /* more than there is room for */
    CHECK(!put(64, 5));
    uint64_t state = 1;
    for (int round = 0; round < 3000; round++) {
        memset(lane, 0, sizeof *lane);
        for (size_t i = 0; i < sizeof lane->room; i += 4096 / 8) {
            state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
            memcpy(lane->room + i, &state, sizeof state);
        }
        lane->head = state >> (round % 60);
        lane->tail = round % 3 ? lane->head - (state >> 40) % (2 * XB_LANE_ROOM) : state >> 7;
        for (int i = 0; i < 100; i++) {
            size_t size = 0;
            const uint8_t *at = xb_lane_first(lane, &size);
            if (!at)
                break;
            if (!CHECK(at >= lane->room && at + size <= lane->room + sizeof lane->room && size >= sizeof(uint32_t)))
                return;
            xb_lane_next(lane, size);
        }
        put(64, 9);
    }
}

int main(void)
{
    lane = malloc(sizeof *lane);
    if (!lane)
        return 2;
    in_order();
    capped();
    full();
    half_written();
    damaged();
    free(lane);
    return done("test_lane");
}
