/* The operator's hand: whose word holds, for how long, and that a reader never acts on half of one. */
#include "harness.h"

#include "board/wheel.h"

#define BOOT (UINT64_C(1600000000) * UINT64_C(1000000000))
enum { NOW = 1 << 20, LATER = 1 << 22 };
static xb_wheel wheel;

static const char login[XB_WHEEL_NAME] = "login", shop[XB_WHEEL_NAME] = "shop";

static void begin(const char *name)
{
    case_name = name;
    xb_wheel_init(&wheel, 1, BOOT);
}

static xb_address address(const char *text)
{
    xb_address out;
    CHECK(xb_address_parse((xb_span){text, strlen(text)}, &out));
    return out;
}

static void modes(void)
{
    begin("modes");
    CHECK(!xb_wheel_engaged(&wheel));
    CHECK_EQUAL(xb_wheel_mode_of(&wheel, login, NOW), XB_WHEEL_CONFIGURED);
    CHECK(xb_wheel_turn(&wheel, NULL, XB_WHEEL_OBSERVE, NOW, LATER));
    CHECK(xb_wheel_engaged(&wheel));
    CHECK_EQUAL(xb_wheel_mode_of(&wheel, login, NOW), XB_WHEEL_OBSERVE);
    CHECK_EQUAL(xb_wheel_mode_of(&wheel, login, LATER), XB_WHEEL_CONFIGURED); /* it has run out */
    CHECK(xb_wheel_turn(&wheel, login, XB_WHEEL_ENFORCE, NOW, XB_WHEEL_EVER));
    CHECK_EQUAL(xb_wheel_mode_of(&wheel, login, NOW), XB_WHEEL_ENFORCE); /* what was said last, of this one */
    CHECK_EQUAL(xb_wheel_mode_of(&wheel, login, UINT64_MAX - 256), XB_WHEEL_ENFORCE);
    CHECK_EQUAL(xb_wheel_mode_of(&wheel, shop, NOW), XB_WHEEL_OBSERVE);
    CHECK(xb_wheel_turn(&wheel, shop, XB_WHEEL_CONFIGURED, NOW, XB_WHEEL_EVER));
    CHECK_EQUAL(xb_wheel_mode_of(&wheel, shop, NOW), XB_WHEEL_CONFIGURED);
    CHECK(xb_wheel_turn(&wheel, NULL, XB_WHEEL_OFF, NOW, XB_WHEEL_EVER)); /* ends those of single ones */
    CHECK_EQUAL(xb_wheel_mode_of(&wheel, login, NOW), XB_WHEEL_OFF);
    CHECK_EQUAL(xb_wheel_mode_of(&wheel, shop, NOW), XB_WHEEL_OFF);
    CHECK(xb_wheel_turn(&wheel, NULL, XB_WHEEL_CONFIGURED, NOW, XB_WHEEL_EVER));
    CHECK_EQUAL(xb_wheel_mode_of(&wheel, login, NOW), XB_WHEEL_CONFIGURED);
}

static void places(void)
{
    begin("places");
    char name[XB_WHEEL_NAME] = "";
    for (int i = 0; i < XB_WHEEL_POLICIES; i++) {
        snprintf(name, sizeof name, "policy-%d", i);
        CHECK(xb_wheel_turn(&wheel, name, XB_WHEEL_OBSERVE, NOW, LATER));
        memset(name, 0, sizeof name);
    }
    CHECK(!xb_wheel_turn(&wheel, login, XB_WHEEL_OBSERVE, NOW, LATER));
    CHECK_EQUAL(xb_wheel_mode_of(&wheel, login, NOW), XB_WHEEL_CONFIGURED);
    memcpy(name, "policy-9", 8);
    CHECK(xb_wheel_turn(&wheel, name, XB_WHEEL_ENFORCE, NOW, LATER)); /* it has a place */
    CHECK_EQUAL(xb_wheel_mode_of(&wheel, name, NOW), XB_WHEEL_ENFORCE);
    CHECK(xb_wheel_turn(&wheel, login, XB_WHEEL_OBSERVE, LATER, 2 * (uint64_t)LATER)); /* those of the others have run out */
    CHECK_EQUAL(xb_wheel_mode_of(&wheel, login, LATER), XB_WHEEL_OBSERVE);
}

static bool lets_by(const char *text, uint64_t now)
{
    const xb_address a = address(text);
    return xb_wheel_lets_by(&wheel, &a, now);
}

static bool let_by(const char *text, unsigned bits, uint64_t end)
{
    const xb_address a = address(text);
    return xb_wheel_let_by(&wheel, &a, bits, NOW, end);
}

static void addresses(void)
{
    begin("addresses");
    static const xb_address none;
    CHECK(let_by("192.0.2.7", 32, LATER));
    CHECK(lets_by("192.0.2.7", NOW) && !lets_by("192.0.2.6", NOW) && !lets_by("192.0.2.7", LATER));
    CHECK(!lets_by("::1", NOW) && !xb_wheel_lets_by(&wheel, &none, NOW));
    CHECK(let_by("198.51.100.0", 24, LATER) && lets_by("198.51.100.255", NOW) && !lets_by("198.51.101.0", NOW));
    CHECK(let_by("2001:db8::", 32, LATER) && lets_by("2001:db8:ffff::1", NOW) && !lets_by("2001:db9::", NOW));
    CHECK(let_by("2001:db9::5", 128, LATER) && lets_by("2001:db9::5", NOW) && !lets_by("2001:db9::4", NOW));
    CHECK(let_by("2001:dba:0:0:8000::", 65, LATER) && lets_by("2001:dba::8000:0:0:1", NOW) && !lets_by("2001:dba::1", NOW));
    CHECK(let_by("192.0.2.7", 32, 0) && !lets_by("192.0.2.7", NOW)); /* no longer */
    CHECK(let_by("192.0.2.8", 32, 0) && !lets_by("192.0.2.8", NOW)); /* never was */
    CHECK(!let_by("192.0.2.7", 33, LATER) && !let_by("::1", 129, LATER));
    CHECK(let_by("0.0.0.0", 0, LATER) && lets_by("203.0.113.9", NOW) && !lets_by("2001:dbb::", NOW));
    char text[32];
    for (int i = 0; i < XB_WHEEL_ADDRESSES - 5; i++) {
        snprintf(text, sizeof text, "10.0.0.%d", i);
        CHECK(let_by(text, 32, LATER));
    }
    CHECK(!let_by("10.0.1.0", 32, LATER) && let_by("10.0.0.3", 32, XB_WHEEL_EVER)); /* it has a place */
}

/* One place is one network: the same bits, and of the same length. */
static void networks(void)
{
    begin("networks");
    static const xb_address none;
    CHECK(!xb_wheel_let_by(&wheel, &none, 0, NOW, LATER));
    CHECK(let_by("2001:db8::5", 128, LATER) && let_by("2001:db8::6", 128, LATER) && let_by("2001:db9::5", 128, LATER));
    CHECK(let_by("192.0.2.0", 24, LATER) && let_by("192.0.2.0", 32, LATER));
    CHECK(let_by("192.0.2.0", 32, 0) && lets_by("192.0.2.0", NOW)); /* still by the other */
    CHECK(let_by("2001:db8::6", 128, 0) && lets_by("2001:db8::5", NOW) && !lets_by("2001:db8::6", NOW) && lets_by("2001:db9::5", NOW));
}

/* A word that was changed in place by a writer of another version, or damaged. */
static void damaged(void)
{
    begin("damaged");
    xb_wheel_turn(&wheel, NULL, XB_WHEEL_OBSERVE, NOW, LATER);
    wheel.all |= 255;
    CHECK_EQUAL(xb_wheel_mode_of(&wheel, login, NOW), XB_WHEEL_CONFIGURED);
    let_by("192.0.2.7", 32, LATER);
    wheel.address[0].word |= 255;
    CHECK(lets_by("192.0.2.7", NOW) && !lets_by("192.0.2.6", NOW));
}

static void check_why(size_t size, uint64_t booted, const char *want)
{
    for (size_t i = 0; i < 2; i++) {
        const char *why = xb_wheel_check(placements[i](&wheel, size), size, booted);
        check_text((xb_span){why ? why : "", why ? strlen(why) : 0}, (xb_span){want, strlen(want)}, __FILE__, __LINE__, "why");
    }
}

static void checks_of_a_file(void)
{
    begin("file");
    check_why(sizeof wheel, BOOT, "");
    check_why(sizeof wheel - 8, BOOT, "wrong size: it is not what the header says");
    check_why(sizeof wheel, BOOT + 2 * XB_BOARD_SAME_BOOT, "it was made before the last boot");
    wheel.board.version++;
    check_why(sizeof wheel, BOOT, "another version of its layout");
    xb_wheel_init(&wheel, 1, BOOT);
    wheel.board.size -= 64;
    check_why(sizeof wheel - 64, BOOT, "wrong size");
}

int main(void)
{
    modes();
    places();
    addresses();
    networks();
    damaged();
    checks_of_a_file();
    return done("test_wheel");
}
