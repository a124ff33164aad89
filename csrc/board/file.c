#include "board/file.h"

#include <string.h>

void xb_board_init(xb_board_header *h, const xb_board_kind *kind, uint64_t size, uint64_t made, uint64_t booted)
{
    memset(h, 0, sizeof *h);
    memcpy(h->magic, XB_BOARD_MAGIC, sizeof h->magic);
    memcpy(h->kind, kind->name, strlen(kind->name));
    h->version = kind->version;
    h->header_size = kind->header_size;
    h->size = size;
    h->made = made;
    h->booted = booted;
}

void xb_board_digest(const void *file, size_t size, uint8_t digest[XB_SHA256_SIZE])
{
    xb_board_header h;
    memcpy(&h, file, sizeof h);
    memset(h.digest, 0, sizeof h.digest);
    xb_sha256 hash;
    xb_sha256_init(&hash);
    xb_sha256_add(&hash, &h, sizeof h);
    xb_sha256_add(&hash, (const char *)file + sizeof h, size - sizeof h);
    xb_sha256_end(&hash, digest);
}

static bool all_zero(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i])
            return false;
    return true;
}

const char *xb_board_check(const void *file, size_t size, const xb_board_kind *kind, uint64_t booted)
{
    xb_board_header h;
    if (size < sizeof h)
        return "wrong size: too short for a header";
    memcpy(&h, file, sizeof h);
    char name[XB_BOARD_NAME] = "";
    memcpy(name, kind->name, strlen(kind->name));
    if (memcmp(h.magic, XB_BOARD_MAGIC, sizeof h.magic) != 0)
        return "wrong magic: this is no file of the board";
    if (memcmp(h.kind, name, sizeof name) != 0)
        return "another kind of file";
    if (h.version != kind->version)
        return "another version of its layout";
    if (h.size != size)
        return "wrong size: it is not what the header says";
    if (h.header_size != kind->header_size || h.header_size > size)
        return "wrong size of the header";
    if (!all_zero(h.reserved, sizeof h.reserved))
        return "the header has bytes that this version does not know";
    if (kind->of_one_boot && (h.booted > booted ? h.booted - booted : booted - h.booted) > XB_BOARD_SAME_BOOT)
        return "it was made before the last boot";
    if (!kind->digested && !all_zero(h.digest, sizeof h.digest))
        return "a digest where there is none";
    return NULL;
}

const char *xb_board_check_digest(const void *file, size_t size)
{
    uint8_t digest[XB_SHA256_SIZE];
    xb_board_digest(file, size, digest);
    return memcmp((const char *)file + offsetof(xb_board_header, digest), digest, sizeof digest) == 0 ? NULL : "wrong digest";
}

bool xb_board_same(const xb_board_header *a, const xb_board_header *b)
{
    return a->made == b->made && a->booted == b->booted;
}
