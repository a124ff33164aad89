/* Files of the board: what is refused, in which words, and that nothing beyond the bytes that are there is read. */
#include "harness.h"

#include "board/counters.h"
#include "board/share.h"
#include "board/file.h"
#include "served.h"

static const xb_board_kind plain = {"plain", 3, 192, false, false};
static const xb_board_kind sealed = {"sealed", 1, 128, true, false};
static const xb_board_kind fleeting = {"fleeting", 1, 128, false, true};
#define BOOT (UINT64_C(1600000000) * UINT64_C(1000000000))
static const uint64_t boot = BOOT, other_boot = BOOT + 2 * XB_BOARD_SAME_BOOT;

static void check_digest_of(const char *text, size_t repeat, const char *want)
{
    xb_sha256 h;
    uint8_t digest[XB_SHA256_SIZE];
    char hex[2 * XB_SHA256_SIZE + 1];
    xb_sha256_init(&h);
    for (size_t i = 0; i < repeat; i++)
        xb_sha256_add(&h, text, strlen(text));
    xb_sha256_end(&h, digest);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    check_text((xb_span){hex, 64}, (xb_span){want, strlen(want)}, __FILE__, __LINE__, "digest");
}

/* The examples of NIST for FIPS 180-4; and pieces that fit no block, as hashlib has it. */
static void test_sha256(void)
{
    case_name = "sha256";
    check_digest_of("", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check_digest_of("abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check_digest_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
                    "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    check_digest_of("a", 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    check_digest_of("aaaaaaa", 1000000 / 7, "6c7aaf9baa56d59e3651f608e2fb587688382cbc78c8b39abbdb916a00a52098");
}

/* A file of this kind in `bytes`, its contents counting up. */
static void make(uint8_t *bytes, size_t size, const xb_board_kind *kind)
{
    for (size_t i = sizeof(xb_board_header); i < size; i++)
        bytes[i] = (uint8_t)i;
    xb_board_init((xb_board_header *)(void *)bytes, kind, size, 1700000000, boot);
    if (kind->digested)
        xb_board_digest(bytes, size, ((xb_board_header *)(void *)bytes)->digest);
}

static void check_why(const uint8_t *bytes, size_t size, const xb_board_kind *kind, const char *want, int line)
{
    for (size_t i = 0; i < 2; i++) {
        const char *why = xb_board_check(placements[i](bytes, size), size, kind, boot);
        check_text((xb_span){why, why ? strlen(why) : 0}, (xb_span){want, strlen(want)}, __FILE__, line, "why");
    }
}
#define CHECK_WHY(bytes, size, kind, want) check_why(bytes, size, kind, want, __LINE__)

static void test_header(void)
{
    static _Alignas(8) uint8_t file[1000], changed[1000];
    const size_t size = sizeof file;

    case_name = "sound";
    make(file, size, &plain);
    CHECK(!xb_board_check(at_end(file, size), size, &plain, other_boot));
    make(file, size, &fleeting);
    CHECK(!xb_board_check(at_end(file, size), size, &fleeting, boot));
    make(file, size, &sealed);
    CHECK(!xb_board_check(at_start(file, size), size, &sealed, other_boot));
    CHECK(!xb_board_check_digest(at_start(file, size), size) && !xb_board_check_digest(at_end(file, size), size));
    make(file, 128, &sealed); /* no contents at all */
    CHECK(!xb_board_check(at_end(file, 128), 128, &sealed, boot));

    case_name = "cut short";
    make(file, size, &sealed);
    for (size_t n = 0; n < size; n++)
        CHECK_WHY(file, n, &sealed, n < sizeof(xb_board_header) ? "wrong size: too short for a header" : "wrong size: it is not what the header says");
    make(file, 128, &plain); /* says that its header is of 192 bytes */
    CHECK_WHY(file, 128, &plain, "wrong size of the header");

    case_name = "another";
    make(file, size, &plain);
    CHECK_WHY(file, size, &sealed, "another kind of file");
    xb_board_kind newer = plain, wider = plain, longer = plain;
    newer.version++;
    wider.header_size += 64;
    longer.name = "plainer";
    CHECK_WHY(file, size, &newer, "another version of its layout");
    CHECK_WHY(file, size, &wider, "wrong size of the header");
    CHECK_WHY(file, size, &longer, "another kind of file");
    memset(changed, 'x', size);
    CHECK_WHY(changed, size, &plain, "wrong magic: this is no file of the board");
    make(file, size, &fleeting);
    CHECK(!xb_board_check(at_end(file, size), size, &fleeting, boot + XB_BOARD_SAME_BOOT));
    CHECK(!xb_board_check(at_end(file, size), size, &fleeting, boot - XB_BOARD_SAME_BOOT));
    CHECK(xb_board_check(at_end(file, size), size, &fleeting, boot - XB_BOARD_SAME_BOOT - 1));
    ((xb_board_header *)(void *)file)->booted = other_boot;
    CHECK_WHY(file, size, &fleeting, "it was made before the last boot");

    case_name = "a bit changed";
    make(file, size, &sealed);
    for (size_t i = 0; i < size; i++) {
        memcpy(changed, file, size);
        changed[i] ^= (uint8_t)(1 << i % 8);
        const char *at = at_end(changed, size);
        bool identity = i >= offsetof(xb_board_header, made) && i < offsetof(xb_board_header, digest);
        bool contents = i >= offsetof(xb_board_header, digest) && i < offsetof(xb_board_header, reserved);
        contents |= identity || i >= sizeof(xb_board_header);
        CHECK_EQUAL(!xb_board_check(at, size, &sealed, boot), contents);
        CHECK(xb_board_check_digest(at, size));
    }
    make(file, size, &plain); /* its contents change as they like, its header does not */
    for (size_t i = 0; i < size; i++) {
        memcpy(changed, file, size);
        changed[i] ^= 0x40;
        bool refused = xb_board_check(at_end(changed, size), size, &plain, boot);
        bool identity = i >= offsetof(xb_board_header, made) && i < offsetof(xb_board_header, digest);
        CHECK_EQUAL(refused, i < sizeof(xb_board_header) && !identity);
    }

    case_name = "same";
    xb_board_header a, b;
    xb_board_init(&a, &plain, size, 1, boot);
    xb_board_init(&b, &plain, size, 1, boot);
    CHECK(xb_board_same(&a, &b));
    b.made++;
    CHECK(!xb_board_same(&a, &b));
    xb_board_init(&b, &plain, size, 1, other_boot);
    CHECK(!xb_board_same(&a, &b));
}

/* What is served: the parts are found where they were put, and nowhere beyond the end. */
static void test_served(void)
{
    static _Alignas(8) char image[600], changed[600];
    const xb_span model = XB_SPAN("a model, of no multiple of eight"), policies = XB_SPAN("policies");
    const size_t size = xb_served_size(model.size, policies.size);
    xb_span m, p;

    case_name = "served";
    if (!CHECK(size <= sizeof image))
        return;
    xb_served_init(image, model, policies, 1, 2);
    for (size_t i = 0; i < 2; i++) {
        const char *at = placements[i](image, size);
        if (CHECK(!xb_served_open(at, size, false, &m, &p))) {
            CHECK_TEXT(m, "a model, of no multiple of eight");
            CHECK_TEXT(p, "policies");
            CHECK((uintptr_t)m.at % 8 == 0 && (uintptr_t)p.at % 8 == 0);
        }
    }
    CHECK(xb_served_open(memcpy(changed + 1, image, size), size, false, &m, &p));
    for (size_t n = 0; n < size; n++)
        CHECK(xb_served_open(at_end(image, (n + 7) / 8 * 8), n, false, &m, &p));

    case_name = "offsets";
    static const uint64_t odd[] = {0, 8, 128, 191, 193, 196, 10000, 1ull << 62, UINT64_MAX - 7, UINT64_MAX};
    for (size_t field = 0; field < 4; field++)
        for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
            xb_served_header h;
            memcpy(changed, image, size);
            memcpy(&h, image, sizeof h);
            uint64_t *const fields[] = {&h.model, &h.model_size, &h.policies, &h.policies_size};
            *fields[field] = odd[i];
            memcpy(changed, &h, sizeof h);
            xb_board_digest(changed, size, h.board.digest);
            memcpy(changed, &h, sizeof h);
            const char *at = at_end(changed, size), *why = xb_served_open(at, size, false, &m, &p);
            if (!why)
                CHECK(m.at >= at + XB_SERVED_HEADER && m.size <= (size_t)(at + size - m.at) && p.at >= at + XB_SERVED_HEADER &&
                      p.size <= (size_t)(at + size - p.at));
            bool is_size = field % 2;
            CHECK_EQUAL(!why, is_size && odd[i] <= (field == 1 ? size - XB_SERVED_HEADER : policies.size));
        }

    case_name = "digest";
    memcpy(changed, image, size);
    changed[size - 1] ^= 1;
    CHECK(xb_served_open(at_end(changed, size), size, false, &m, &p));
    CHECK(!xb_served_open(at_end(changed, size), size, true, &m, &p)); /* who says that it was verified */
}

static void test_counters(void)
{
    static _Alignas(8) char file[1 << 16], other[1 << 16];
    const size_t size = xb_counters_size(5);
    uint32_t n;

    case_name = "counters";
    if (!CHECK(size <= sizeof file))
        return;
    xb_counters_init(file, 5, 1, 2);
    CHECK(!xb_counters_check(at_end(file, size), size, &n));
    CHECK_EQUAL(n, 5);
    for (uint32_t i = 0; i < 5; i++) {
        xb_stats *slot = xb_counters_slot(file, i);
        slot->probes = i + 1;
        slot->score[XB_SCORES - 1] = 1;
        slot->histogram[XB_HISTOGRAM - 1] = UINT64_C(1) << 60;
    }
    xb_stats total = {.probes = 100};
    xb_counters_add(&total, at_end(file, size));
    CHECK_EQUAL(total.probes, 115);
    CHECK_EQUAL(total.score[XB_SCORES - 1], 5);
    CHECK(total.histogram[XB_HISTOGRAM - 1] == UINT64_C(5) << 60);
    CHECK_EQUAL(total.histogram[0] + total.policy[0].refused[0] + total.policy[1].named + total.sum_ns, 0);
    CHECK((char *)xb_counters_slot(file, 4) + XB_COUNTERS_SLOT == file + size);

    case_name = "policies, which have other places in each slot";
    static const char web[XB_COUNTED_NAME] = "web", login[XB_COUNTED_NAME] = "login", none[XB_COUNTED_NAME] = "";
    xb_stats *first = xb_counters_slot(file, 1), *second = xb_counters_slot(file, 2);
    xb_counters_policy(first, web)->decided[0][1] += 3;
    xb_counters_policy(first, login)->decided[1][2] += 4;
    xb_counters_policy(second, login)->decided[1][2] += 50;
    xb_counters_policy(second, login)->refused[1] += 7;
    xb_counters_policy(second, web)->decided[0][1] += 600;
    xb_counters_policy(second, none)->decided[0][0] += 9;
    memset(&total, 0, sizeof total);
    xb_counters_add(&total, at_end(file, size));
    CHECK_EQUAL(xb_counters_policy(&total, web)->decided[0][1], 603);
    CHECK_EQUAL(xb_counters_policy(&total, login)->decided[1][2], 54);
    CHECK_EQUAL(total.policy[0].decided[0][0], 9);
    CHECK_EQUAL(total.policy[3].named, 0);
    uint64_t outcome[XB_COUNTED_OUTCOMES], by[XB_COUNTED_DECIDERS], refused;
    CHECK_EQUAL(xb_counters_decided(&total, outcome, by, &refused), 666);
    CHECK_EQUAL(outcome[1], 603);
    CHECK_EQUAL(outcome[2], 54);
    CHECK_EQUAL(by[0], 612);
    CHECK_EQUAL(by[1], 54);
    CHECK_EQUAL(refused, 7);
    for (int i = 0; i < 2 * XB_COUNTED_POLICIES; i++) { /* more of them than places: none is lost, and none goes down */
        char name[XB_COUNTED_NAME] = {(char)('a' + i % 26), (char)('a' + i / 26)};
        xb_counters_policy(first, name)->decided[0][0]++;
    }
    memset(&total, 0, sizeof total);
    xb_counters_add(&total, at_end(file, size));
    CHECK_EQUAL(xb_counters_policy(&total, web)->decided[0][1], 603);
    CHECK_EQUAL(xb_counters_decided(&total, outcome, by, &refused), 666 + 2 * XB_COUNTED_POLICIES);
    CHECK_EQUAL(total.policy[0].decided[0][0], 9 + XB_COUNTED_POLICIES + 2);

    case_name = "buckets";
    CHECK_EQUAL(xb_score_bucket(0.0), 0);
    CHECK_EQUAL(xb_score_bucket(0.5), XB_SCORES / 2);
    CHECK_EQUAL(xb_score_bucket(1.0), XB_SCORES - 1);
    CHECK_EQUAL(xb_score_bucket(__builtin_nan("")), 0);
    CHECK_EQUAL(xb_margin_bucket(0.0), XB_MARGINS / 2);
    CHECK_EQUAL(xb_margin_bucket(-0.1), XB_MARGINS / 2 - 1);
    CHECK_EQUAL(xb_margin_bucket(-1e300), 0);
    CHECK_EQUAL(xb_margin_bucket(1e300), XB_MARGINS - 1);

    case_name = "counters that do not fit";
    for (size_t k = 0; k < size; k += k < 512 ? 1 : 509) {
        CHECK(xb_counters_check(at_end(file, k), k, &n));
        CHECK_EQUAL(n, 0);
    }
    static const uint32_t slots[] = {0, 1, 4, 6, XB_COUNTERS_MOST + 1, UINT32_MAX};
    for (size_t i = 0; i < sizeof slots / sizeof *slots; i++) {
        memcpy(other, file, size);
        memcpy(other + offsetof(xb_counters_header, n_slots), &slots[i], 4);
        CHECK(xb_counters_check(at_end(other, size), size, &n));
    }
    const uint32_t wider = XB_COUNTERS_SLOT + 128;
    memcpy(other, file, size);
    memcpy(other + offsetof(xb_counters_header, slot_size), &wider, 4);
    CHECK(xb_counters_check(at_end(other, size), size, &n));
}

/* What a slot tells is what was counted since, whatever it told before. */
static void test_told(void)
{
    static const char shop[XB_COUNTED_NAME] = "shop", late[XB_COUNTED_NAME] = "late";
    xb_stats slot = {.truncated = 77}, now = {.truncated = 5, .probes = UINT64_MAX};
    xb_counters_policy(&now, shop)->decided[1][2] = 4;
    xb_stats before = now;

    case_name = "counters that are told";
    xb_counters_since(&slot, &now, &before);
    CHECK_EQUAL(slot.truncated, 0);
    now.truncated += 3;
    now.histogram[XB_HISTOGRAM - 1] += 1;
    now.probes += 2;
    xb_counters_policy(&now, shop)->decided[1][2] += 6;
    xb_counters_policy(&now, late)->refused[0] += 1;
    for (int i = 0; i < 2; i++)
        xb_counters_since(&slot, &now, &before);
    CHECK_EQUAL(slot.truncated, 3);
    CHECK_EQUAL(slot.histogram[XB_HISTOGRAM - 1], 1);
    CHECK_EQUAL(slot.probes, 2);
    CHECK_EQUAL(before.truncated, 5);
    CHECK(slot.policy[1].named && memcmp(slot.policy[1].name, shop, sizeof shop) == 0);
    CHECK_EQUAL(slot.policy[1].decided[1][2], 6);
    CHECK(slot.policy[2].named && memcmp(slot.policy[2].name, late, sizeof late) == 0);
    CHECK_EQUAL(slot.policy[2].refused[0], 1);
}

static void test_share(void)
{
    xb_share message = {.magic = XB_SHARE_MAGIC, .version = XB_SHARE_VERSION, .n = 3};

    case_name = "what is lent";
    CHECK(!xb_share_check(&message, sizeof message, 3));
    CHECK(xb_share_check(&message, sizeof message, 2));
    CHECK(xb_share_check(&message, sizeof message - 1, 3));
    CHECK(xb_share_check(&message, 0, 3));
    message.n = XB_SHARE_MOST + 1;
    CHECK(xb_share_check(&message, sizeof message, XB_SHARE_MOST + 1));
    message.n = 3;
    message.version++;
    CHECK(xb_share_check(&message, sizeof message, 3));
    message.version--;
    message.magic[7] ^= 1;
    CHECK(xb_share_check(&message, sizeof message, 3));
}

int main(void)
{
    test_sha256();
    test_header();
    test_served();
    test_counters();
    test_told();
    test_share();
    return done("test_board");
}
