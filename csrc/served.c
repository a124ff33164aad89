#include "served.h"

const xb_board_kind xb_served_kind = {"served", XB_SERVED_VERSION, XB_SERVED_HEADER, true, false};

static size_t round_up(size_t n) { return (n + 7) & ~(size_t)7; }

size_t xb_served_size(size_t model_size, size_t policies_size)
{
    return XB_SERVED_HEADER + round_up(model_size) + round_up(policies_size);
}

void xb_served_init(void *image, xb_span model, xb_span policies, uint64_t made, uint64_t booted)
{
    const size_t size = xb_served_size(model.size, policies.size);
    xb_served_header h = {.model = XB_SERVED_HEADER, .model_size = model.size, .policies_size = policies.size};
    h.policies = h.model + round_up(model.size);
    xb_board_init(&h.board, &xb_served_kind, size, made, booted);
    memset(image, 0, size);
    memcpy(image, &h, sizeof h);
    memcpy((char *)image + h.model, model.at, model.size);
    memcpy((char *)image + h.policies, policies.at, policies.size);
    xb_board_digest(image, size, h.board.digest);
    memcpy(image, &h, sizeof h);
}

/* A part behind the header, in an image of `size` bytes. */
static bool take_part(const void *image, size_t size, uint64_t at, uint64_t part_size, xb_span *part)
{
    if (at % 8 || at < XB_SERVED_HEADER || at > size || part_size > size - at)
        return false;
    *part = (xb_span){(const char *)image + at, part_size};
    return true;
}

const char *xb_served_open(const void *image, size_t size, bool verified, xb_span *model, xb_span *policies)
{
    if ((uintptr_t)image % 8)
        return "image not aligned to 8 bytes";
    const char *why = xb_board_check(image, size, &xb_served_kind, 0);
    if (!why && !verified)
        why = xb_board_check_digest(image, size);
    if (why)
        return why;
    xb_served_header h;
    memcpy(&h, image, sizeof h);
    if (!take_part(image, size, h.model, h.model_size, model) || !take_part(image, size, h.policies, h.policies_size, policies))
        return "wrong size: a part beyond the end";
    return NULL;
}
