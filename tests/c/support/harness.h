/* harness.h - what the C tests share: checks that go on and count, and inputs between two pages that must not be touched.
 *
 * Law: a check prints the place and both sides; a program ends with the number of failures (0 is success). An input lies
 * flush against a PROT_NONE page, behind it (at_end) or before it (at_start): one byte read too far is a fault.
 */
#ifndef HARNESS_H
#define HARNESS_H

#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#endif

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/span.h"

static const char *case_name = ""; /* what is tested now; part of every message */
static unsigned long checks, failures;

static inline bool check(bool holds, const char *file, int line, const char *what)
{
    checks++;
    if (!holds && failures++ < 40)
        fprintf(stderr, "%s:%d: [%s] %s\n", file, line, case_name, what);
    return holds;
}
#define CHECK(condition) check((condition), __FILE__, __LINE__, #condition)

static inline bool check_equal(long long got, long long want, const char *file, int line, const char *what)
{
    char text[256];
    snprintf(text, sizeof text, "%s: got %lld, want %lld", what, got, want);
    return check(got == want, file, line, text);
}
#define CHECK_EQUAL(got, want) check_equal((long long)(got), (long long)(want), __FILE__, __LINE__, #got)

static inline bool check_text(xb_span got, xb_span want, const char *file, int line, const char *what)
{
    char text[512];
    snprintf(text, sizeof text, "%s: got %s\"%.*s\", want \"%.*s\"", what, got.at ? "" : "absent ",
             got.size > 150 ? 150 : (int)got.size, got.at ? got.at : "", want.size > 150 ? 150 : (int)want.size, want.at);
    bool same = got.at != NULL && got.size == want.size && memcmp(got.at, want.at, want.size) == 0;
    return check(same, file, line, text);
}
#define CHECK_TEXT(got, literal) check_text((got), XB_SPAN(literal), __FILE__, __LINE__, #got)

static inline int done(const char *program)
{
    fprintf(failures ? stderr : stdout, "%s: %lu checks, %lu failures\n", program, checks, failures);
    return failures != 0;
}

/* ---- inputs at the edge of a protected page ---- */

enum { ARENA = 1 << 18 }; /* bytes between the guards; a multiple of every usual page size */

static inline char *arena(int which)
{
    static char *insides[2];
    char *inside = insides[which];
    if (!inside) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        char *map = mmap(NULL, ARENA + 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (map == MAP_FAILED || mprotect(map, page, PROT_NONE) || mprotect(map + page + ARENA, page, PROT_NONE)) {
            perror("arena");
            exit(2);
        }
        inside = insides[which] = map + page;
    }
    return inside;
}

/* A copy of the bytes whose end is the end of readable memory. Valid until the next call of either. */
static inline const char *at_end(const void *bytes, size_t size)
{
    if (size > ARENA)
        abort();
    return memcpy(arena(0) + ARENA - size, bytes, size);
}

/* A copy whose first byte is the first readable one. */
static inline const char *at_start(const void *bytes, size_t size)
{
    if (size > ARENA)
        abort();
    return memcpy(arena(0), bytes, size);
}

/* Writable memory of exactly `size` bytes before the guard; another place than the copies. */
static inline char *room(size_t size)
{
    if (size > ARENA)
        abort();
    return memset(arena(1) + ARENA - size, 0x5a, size);
}

/* The two of them, to loop over. */
typedef const char *(*placement)(const void *bytes, size_t size);
static const placement placements[] = {at_end, at_start};

/* Bytes of `text` repeated `n` times behind `prefix`, and `suffix` behind them; *size is their number. To be freed. */
static inline char *repeated(const char *prefix, const char *text, size_t n, const char *suffix, size_t *size)
{
    size_t a = strlen(prefix), b = strlen(text), c = strlen(suffix);
    char *out = malloc(a + b * n + c + 1), *p = out + a;
    memcpy(out, prefix, a);
    for (size_t i = 0; i < n; i++, p += b)
        memcpy(p, text, b);
    memcpy(p, suffix, c);
    *size = a + b * n + c;
    return out;
}

/* ---- tables: tests/data/ *.tsv, one case a line, columns by tabs, # comments ---- */

enum { MAX_COLUMNS = 8, MAX_ROW = 1 << 16 };

typedef struct {
    FILE *file;
    char text[MAX_ROW];
    char *column[MAX_COLUMNS]; /* zero-ended text */
    int n;
} table;

static inline void table_open(table *t, const char *path)
{
    t->file = fopen(path, "r");
    if (!t->file) {
        perror(path);
        exit(2);
    }
}

/* The next row, false at the end. `case_name` becomes its first column. */
static inline bool table_next(table *t)
{
    while (fgets(t->text, sizeof t->text, t->file)) {
        t->text[strcspn(t->text, "\n")] = 0;
        if (!t->text[0] || t->text[0] == '#')
            continue;
        t->n = 0;
        for (char *p = t->text; p && t->n < MAX_COLUMNS; t->n++) {
            t->column[t->n] = p;
            p = strchr(p, '\t');
            if (p)
                *p++ = 0;
        }
        case_name = t->column[0];
        return true;
    }
    fclose(t->file);
    case_name = "";
    return false;
}

/* Undoes \r \n \t \\ \xHH in place, as tests/support/tables.py does; returns the number of bytes. */
static inline size_t unescape_cell(char *text)
{
    char *to = text;
    for (char *p = text; *p; p++) {
        if (*p != '\\') {
            *to++ = *p;
            continue;
        }
        switch (*++p) {
        case 'r': *to++ = '\r'; break;
        case 'n': *to++ = '\n'; break;
        case 't': *to++ = '\t'; break;
        case '\\': *to++ = '\\'; break;
        case 'x': *to++ = (char)(xb_hex(p[1]) * 16 + xb_hex(p[2])); p += 2; break;
        default: fprintf(stderr, "[%s] bad escape in the table\n", case_name); exit(2);
        }
    }
    return (size_t)(to - text);
}

#endif
