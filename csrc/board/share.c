#include "board/share.h"

#include <string.h>

const char *const xb_share_names[XB_N_SHARES] = {
    [XB_SHARE_CLIENTS] = "clients", [XB_SHARE_WHEEL] = "wheel", [XB_SHARE_COUNTERS] = "counters",
    [XB_SHARE_LOOKUPS] = "lookups", [XB_SHARE_QUESTIONS] = "questions", [XB_SHARE_LANE] = "lane", [XB_SHARE_VISITORS] = "visitors", [XB_SHARE_CLOCK] = "clock",
};

const char *xb_share_check(const xb_share *message, size_t size, size_t n)
{
    if (size != sizeof *message || memcmp(message->magic, XB_SHARE_MAGIC, sizeof message->magic) != 0)
        return "not a message of xbot";
    if (message->version != XB_SHARE_VERSION)
        return "of another version of xbot";
    return message->n != n || n > XB_SHARE_MOST ? "descriptors are missing" : NULL;
}
