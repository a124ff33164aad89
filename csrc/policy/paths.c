#include "policy/paths.h"

#include <stddef.h>

/* Anything in it that another reader of the path would resolve? */
static bool is_plain(xb_span path)
{
    char before = 0;
    for (size_t i = 0; i < path.size; before = path.at[i++]) {
        char c = path.at[i];
        if (c == '%' || c == '#' || c == '?' || (before == '/' && (c == '/' || c == '.')))
            return false;
    }
    return true;
}

/* Ends the segment that begins behind the last slash of out[0, *used): "." goes, ".." takes the one before with it. */
static void end_segment(char *out, size_t *used)
{
    size_t from = *used;
    while (from && out[from - 1] != '/')
        from--;
    xb_span segment = {out + from, *used - from};
    if (segment.size == 1 && segment.at[0] == '.') {
        *used = from;
    } else if (segment.size == 2 && segment.at[0] == '.' && segment.at[1] == '.') {
        *used = from ? from - 1 : 0;
        while (*used && out[*used - 1] != '/')
            (*used)--;
        if (!*used)
            out[(*used)++] = '/'; /* there is nothing above the root */
    }
}

/* Is there a byte of the path at `at`? */
static bool goes_on(xb_span path, size_t at) { return at < path.size && path.at[at] != '?' && path.at[at] != '#'; }

/* The byte at *at of a path as it was sent, decoded; *at goes on. */
static char decoded(xb_span path, size_t *at)
{
    const size_t i = (*at)++;
    if (path.at[i] != '%' || path.size - i <= 2 || xb_hex(path.at[i + 1]) < 0 || xb_hex(path.at[i + 2]) < 0)
        return path.at[i];
    *at += 2;
    return (char)(xb_hex(path.at[i + 1]) * 16 + xb_hex(path.at[i + 2]));
}

bool xb_path_is_read_otherwise(xb_span path)
{
    size_t length = 0, dots = 0; /* of the segment; how many it begins with */
    for (size_t i = 0; goes_on(path, i);) {
        const unsigned char c = (unsigned char)decoded(path, &i);
        if (c == '\\' || c == '%' || c < 0x20 || c == 0x7f || c == 0xc0 || c == 0xc1)
            return true;
        if (c == '/') {
            length = dots = 0;
            continue;
        }
        dots += c == '.' && dots == length;
        length++;
        if (length > dots && (dots >= 2 || (c == ';' && length == dots + 1))) /* what follows ";" is no part of the name for some */
            return true;
    }
    return false;
}

/* The next byte of a path that is resolved into `out`, which may be where it is read from: no more is written than was read. */
static void put(char *out, size_t *used, char c)
{
    if (c != '/') {
        out[(*used)++] = c;
        return;
    }
    end_segment(out, used);
    if (!*used || out[*used - 1] != '/')
        out[(*used)++] = '/';
}

xb_span xb_path_resolve(xb_span path, char *scratch)
{
    size_t used = 0;
    if (!path.size)
        return XB_SPAN("/"); /* http://host */
    if (is_plain(path))
        return path;
    for (size_t i = 0; goes_on(path, i);)
        put(scratch, &used, decoded(path, &i));
    end_segment(scratch, &used);
    return (xb_span){scratch, used};
}

/* What a reader of paths does that nginx does not. */
enum {
    DROPS_PARAMETERS = 1, /* what follows ";" in a segment, as Tomcat and its kin, before a path is decoded */
    DROPS_DECODED = 2,    /* the same afterwards */
    TURNS_SLASHES = 4,    /* "\\" is "/", as on Windows */
    DECODES_TWICE = 8,    /* and takes UTF-8 that is too long for a dot or a slash */
};
static const unsigned readings[XB_N_READINGS] = {DROPS_PARAMETERS, DROPS_DECODED, TURNS_SLASHES, DECODES_TWICE,
                                                 DROPS_DECODED | TURNS_SLASHES | DECODES_TWICE};

bool xb_path_has_other_readings(xb_span path)
{
    for (size_t i = 0; goes_on(path, i);) {
        const unsigned char c = (unsigned char)decoded(path, &i);
        if (c == ';' || c == '\\' || c == '%' || c == 0xc0)
            return true;
    }
    return false;
}

/* A segment's byte behind a ";" that ends its name, for who drops parameters. */
static bool is_dropped(bool *dropping, char c)
{
    *dropping = c == ';' || (*dropping && c != '/');
    return *dropping;
}

xb_span xb_path_read_by(int reading, xb_span path, char *scratch)
{
    const unsigned reader = readings[reading];
    size_t n = 0, used = 0;
    bool dropping = false;
    for (size_t i = 0; goes_on(path, i);) {
        const char sent = path.at[i], c = decoded(path, &i);
        if (!(reader & DROPS_PARAMETERS) || !is_dropped(&dropping, sent))
            scratch[n++] = c;
    }
    dropping = false;
    for (size_t i = 0; i < n;) {
        char c = scratch[i];
        if (!(reader & DECODES_TWICE))
            i++;
        else if ((unsigned char)c == 0xc0 && i + 1 < n && ((unsigned char)scratch[i + 1] == 0xae || (unsigned char)scratch[i + 1] == 0xaf))
            c = (unsigned char)scratch[i + 1] == 0xae ? '.' : '/', i += 2;
        else
            c = decoded((xb_span){scratch, n}, &i);
        c = reader & TURNS_SLASHES && c == '\\' ? '/' : c;
        if (!(reader & DROPS_DECODED) || !is_dropped(&dropping, c))
            put(scratch, &used, c);
    }
    end_segment(scratch, &used);
    return (xb_span){scratch, used};
}
