/* The header of the board's files: what is refused, in which words, and that nothing beyond the mapped bytes is read. */
#include "harness.h"

#include "board/file.h"

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

int main(void)
{
    test_sha256();
    test_header();
    return done("test_board");
}
