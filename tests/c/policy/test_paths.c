/* Paths: whoever reads one, no segment of what comes out is "." or "..", none but the last is empty; and a path that nobody reads otherwise
 * is the same to all. Every path of a few pieces, at the edge of memory. */
#include "harness.h"
#include "policy/paths.h"

static const char *const pieces[] = {"/", ".", ";", "a", "%", "%c0", "\xae", "%af", "%5C", "%252e", "?", "#"};
enum { PIECES = sizeof pieces / sizeof *pieces, LONGEST = 4 };

static bool is_resolved(xb_span path)
{
    if (!path.size || *path.at != '/')
        return false;
    for (size_t from = 1, at = 1; at <= path.size; at++)
        if (at == path.size || path.at[at] == '/') {
            const size_t size = at - from;
            if ((size == 0 && at < path.size) || (size == 1 && path.at[from] == '.') || (size == 2 && path.at[from] == '.' && path.at[from + 1] == '.'))
                return false;
            from = at + 1;
        }
    return true;
}

static void read_by_all(const char *text)
{
    const size_t size = strlen(text);
    char plain[64];
    case_name = text;
    const xb_span path = {at_end(text, size), size}, resolved = xb_path_resolve(path, room(size));
    CHECK(is_resolved(resolved) && resolved.size <= sizeof plain);
    memcpy(plain, resolved.at, resolved.size);
    for (int reading = 0; reading < XB_N_READINGS; reading++) {
        const xb_span read = xb_path_read_by(reading, path, room(size));
        CHECK(is_resolved(read));
        if (!xb_path_has_other_readings(path))
            CHECK(read.size == resolved.size && memcmp(read.at, plain, read.size) == 0);
    }
}

int main(void)
{
    size_t n = 1;
    for (int length = 0; length <= LONGEST; length++, n *= PIECES)
        for (size_t number = 0; number < n; number++) {
            char text[64] = "/";
            size_t left = number;
            for (int i = 0; i < length; i++, left /= PIECES)
                strcat(text, pieces[left % PIECES]);
            read_by_all(text);
        }
    case_name = "a slash and a dot that are too long";
    const char sent[] = "/a/%c0%ae%c0%ae%c0%afb";
    const xb_span read = xb_path_read_by(3, (xb_span){at_end(sent, sizeof sent - 1), sizeof sent - 1}, room(sizeof sent - 1));
    CHECK_TEXT(read, "/b");
    return done("test_paths");
}
