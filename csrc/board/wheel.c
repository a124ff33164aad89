#include "board/wheel.h"

#include <string.h>

const xb_board_kind xb_wheel_kind = {"wheel", XB_WHEEL_VERSION, XB_WHEEL_HEADER, false, true};

const char *const xb_wheel_names[XB_N_WHEEL_MODES] = {
    [XB_WHEEL_CONFIGURED] = "configured",
    [XB_WHEEL_OBSERVE] = "observe",
    [XB_WHEEL_ENFORCE] = "enforce",
    [XB_WHEEL_OFF] = "off",
};

enum { LOW = 255 }; /* the byte of a word that is not its end */

static uint64_t load(const uint64_t *at) { return __atomic_load_n(at, __ATOMIC_ACQUIRE); }
static void store(uint64_t *at, uint64_t word) { __atomic_store_n(at, word, __ATOMIC_RELEASE); }
static bool holds(uint64_t word, uint64_t now) { return now < (word & ~(uint64_t)LOW); }

/* The end, rounded down; never so that it says something past it, nor 0 bits of nothing. */
static uint64_t word_of(uint64_t end, unsigned low) { return (end & ~(uint64_t)LOW) | low; }

void xb_wheel_init(xb_wheel *w, uint64_t made, uint64_t booted)
{
    memset(w, 0, sizeof *w);
    xb_board_init(&w->board, &xb_wheel_kind, sizeof *w, made, booted);
}

const char *xb_wheel_check(const void *file, size_t size, uint64_t booted)
{
    const char *why = xb_board_check(file, size, &xb_wheel_kind, booted);
    return why ? why : size == sizeof(xb_wheel) ? NULL : "wrong size";
}

/* ---- reading ---- */

static bool is_named(const xb_wheel_policy *slot, const uint64_t *name)
{
    for (size_t i = 0; i < XB_WHEEL_NAME / 8; i++)
        if (load(&slot->name[i]) != name[i])
            return false;
    return true;
}

static xb_wheel_mode mode_in(uint64_t word)
{
    const unsigned mode = word & LOW;
    return mode < XB_N_WHEEL_MODES ? (xb_wheel_mode)mode : XB_WHEEL_CONFIGURED;
}

xb_wheel_mode xb_wheel_mode_of(const xb_wheel *w, const char *name, uint64_t now)
{
    uint64_t wanted[XB_WHEEL_NAME / 8];
    memcpy(wanted, name, sizeof wanted);
    for (size_t i = 0; i < XB_WHEEL_POLICIES; i++) {
        const xb_wheel_policy *slot = &w->policy[i];
        const uint64_t word = load(&slot->word);
        if (holds(word, now) && is_named(slot, wanted) && load(&slot->word) == word)
            return mode_in(word);
    }
    const uint64_t all = load(&w->all);
    return holds(all, now) ? mode_in(all) : XB_WHEEL_CONFIGURED;
}

/* The address as a number, and how many bits come before those of IPv4. */
static unsigned number_of(const xb_address *address, uint64_t *high, uint64_t *low)
{
    uint8_t bytes[16] = {[10] = 0xff, [11] = 0xff};
    const unsigned before = address->version == 4 ? 96 : 0;
    memcpy(bytes + before / 8, address->bytes, sizeof bytes - before / 8);
    memcpy(high, bytes, 8);
    memcpy(low, bytes + 8, 8);
    *high = __builtin_bswap64(*high);
    *low = __builtin_bswap64(*low);
    return before;
}

/* The first `bits` bits of 64, the upper ones. */
static uint64_t first_bits(unsigned bits) { return bits >= 64 ? UINT64_MAX : ~(UINT64_MAX >> bits); }

static bool is_in(const xb_wheel_address *slot, unsigned bits, uint64_t high, uint64_t low)
{
    return !((load(&slot->high) ^ high) & first_bits(bits)) && !((load(&slot->low) ^ low) & (bits > 64 ? first_bits(bits - 64) : 0));
}

bool xb_wheel_lets_by(const xb_wheel *w, const xb_address *address, uint64_t now)
{
    uint64_t high, low;
    if (!address->version)
        return false;
    number_of(address, &high, &low);
    for (size_t i = 0; i < XB_WHEEL_ADDRESSES; i++) {
        const xb_wheel_address *slot = &w->address[i];
        const uint64_t word = load(&slot->word);
        if (holds(word, now) && is_in(slot, word & LOW, high, low) && load(&slot->word) == word)
            return true;
    }
    return false;
}

/* ---- writing ---- */

bool xb_wheel_turn(xb_wheel *w, const char *name, xb_wheel_mode mode, uint64_t now, uint64_t end)
{
    uint64_t wanted[XB_WHEEL_NAME / 8];
    xb_wheel_policy *place = NULL;
    if (!name) {
        store(&w->all, mode == XB_WHEEL_CONFIGURED ? 0 : word_of(end, mode));
        for (size_t i = 0; i < XB_WHEEL_POLICIES; i++)
            store(&w->policy[i].word, 0);
        store(&w->engaged, 1);
        return true;
    }
    memcpy(wanted, name, sizeof wanted);
    for (size_t i = 0; i < XB_WHEEL_POLICIES; i++) {
        xb_wheel_policy *slot = &w->policy[i];
        if (is_named(slot, wanted)) {
            place = slot;
            break;
        }
        if (!place && !holds(slot->word, now))
            place = slot;
    }
    if (!place)
        return false;
    if (!is_named(place, wanted)) {
        store(&place->word, 0);
        for (size_t i = 0; i < XB_WHEEL_NAME / 8; i++)
            store(&place->name[i], wanted[i]);
    }
    store(&place->word, word_of(end, mode));
    store(&w->engaged, 1);
    return true;
}

bool xb_wheel_let_by(xb_wheel *w, const xb_address *address, unsigned bits, uint64_t now, uint64_t end)
{
    uint64_t high, low;
    xb_wheel_address *place = NULL;
    if (!address->version || bits > (address->version == 4 ? 32 : 128))
        return false;
    bits += number_of(address, &high, &low);
    high &= first_bits(bits);
    low &= bits > 64 ? first_bits(bits - 64) : 0;
    for (size_t i = 0; i < XB_WHEEL_ADDRESSES; i++) {
        xb_wheel_address *slot = &w->address[i];
        if (holds(slot->word, now) && slot->high == high && slot->low == low && (slot->word & LOW) == bits) {
            place = slot;
            break;
        }
        if (!place && !holds(slot->word, now))
            place = slot;
    }
    if (!place)
        return false;
    store(&place->word, 0);
    if (end <= now)
        return true;
    store(&place->high, high);
    store(&place->low, low);
    store(&place->word, word_of(end, bits));
    store(&w->engaged, 1);
    return true;
}
