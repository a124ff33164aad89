/* file.h - the board: files below one directory (/run/xbot) that hosts share. This is the header of each file, and its check.
 *
 * Law: a process that may write a file may also truncate it, and then every process that maps it gets SIGBUS. Therefore
 *   - a file of the board has one writer, its owner: a regular file with a link count of one, which neither group nor others
 *     may write;
 *   - only processes of its owner map it. All others, such as a module inside nginx, read it into their own memory, and check
 *     and use this copy, so nobody can change it between the check and the use;
 *   - what processes of several users write is not a file here, but anonymous memory (memfd_create) of a sealed size, whose
 *     descriptor is passed over a socket (share.h).
 * A file is written under another name and renamed into place, so nobody sees an unfinished one. What is checked here is
 * only the header; each kind's own module checks what follows it, and never trusts it.
 *
 * Which file it is: no two files of a kind are `made` at the same time. A process that uses a file reads the header at the path
 * from time to time. If xb_board_same says no, its file is stale: it opens the new one, or keeps the old one if the new one is
 * refused. A kind that is not valid after a reboot (it holds process ids, or times of a monotonic clock) is `of_one_boot`. A
 * boot is identified by its time, CLOCK_REALTIME - CLOCK_BOOTTIME. Only a step of the clock changes it; then a file counts as
 * one of an earlier boot.
 *
 * Little-endian, as all of the project's images. Pure: no system call, no allocation.
 */
#ifndef XB_BOARD_FILE_H
#define XB_BOARD_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sha256.h"

#define XB_BOARD_MAGIC "XBBOARD\n"
enum { XB_BOARD_NAME = 16 /* bytes of a kind's name, with its closing zero */ };
#define XB_BOARD_SAME_BOOT UINT64_C(1000000000) /* nanoseconds by which the time of one boot may differ */

typedef struct {
    uint8_t magic[8];
    char kind[XB_BOARD_NAME]; /* padded with zeros */
    uint32_t version;         /* of the kind's layout */
    uint32_t header_size;     /* bytes: this header and the kind's own; the contents begin there */
    uint64_t size;            /* bytes of the whole file */
    uint64_t made;            /* nanoseconds since 1970 UTC */
    uint64_t booted;          /* likewise: the time of boot, by the clocks of that moment */
    uint8_t digest[XB_SHA256_SIZE]; /* of a digested kind: SHA-256 of the file, these bytes as zeros; else zeros */
    uint8_t reserved[40];     /* zeros */
} xb_board_header;

_Static_assert(sizeof(xb_board_header) == 128 && offsetof(xb_board_header, digest) == 56, "the header has no padding");

/* What a kind is: stated once, by the module that knows its layout. */
typedef struct {
    const char *name;     /* of the kind and of its file: a-z, at most XB_BOARD_NAME - 1 */
    uint32_t version;     /* raised whenever the layout, or what a field means, changes */
    uint32_t header_size; /* at least sizeof(xb_board_header), a multiple of 64 */
    bool digested;        /* it never changes once it has its name */
    bool of_one_boot;     /* it is not valid after a reboot */
} xb_board_kind;

/* Makes the header of a new file of `size` bytes, kind->header_size at least. The digest comes last: xb_board_digest. */
void xb_board_init(xb_board_header *h, const xb_board_kind *kind, uint64_t size, uint64_t made, uint64_t booted);

/* The digest of a whole file in memory, `size` bytes, sizeof(xb_board_header) at least. */
void xb_board_digest(const void *file, size_t size, uint8_t digest[XB_SHA256_SIZE]);

/* Checks the header of a file of which `size` bytes are mapped or were read: all of it, as fstat says. `booted` is the time of
 * the last boot, which matters to kinds of one boot only. Returns NULL, or the reason why it is refused. Reads the header and
 * no byte beyond file[0, size). If it returns NULL, the file has the whole header of its kind, and header.size is `size`. */
const char *xb_board_check(const void *file, size_t size, const xb_board_kind *kind, uint64_t booted);

/* Of a digested kind whose header passed: are these the bytes that were published? Returns NULL, or why not. */
const char *xb_board_check_digest(const void *file, size_t size);

/* Are these headers of the same file? */
bool xb_board_same(const xb_board_header *a, const xb_board_header *b);

#endif
