#include "module.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "served.h"

enum { MAX_SERVED = 1 << 30 }; /* bytes: far more than any lists take */

/* What was found at the path when somebody looked last; a file that was refused is not read again until it changes. */
static struct {
    time_t looked;
    int error; /* of stat, or 0 */
    struct stat file;
} last = {.error = -1};

static xbot_served *current;

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* Who could have written it: the one who has the directory, or root, and nobody else (csrc/board/file.h). */
static const char *foreign(const struct stat *directory, const struct stat *file, size_t most)
{
    if (!S_ISREG(file->st_mode))
        return "no regular file";
    if (file->st_nlink != 1)
        return "it has a second name";
    if ((directory->st_mode | file->st_mode) & (S_IWGRP | S_IWOTH))
        return "others than its owner may write it";
    if (file->st_uid != directory->st_uid && file->st_uid != 0)
        return "its owner is not that of the directory";
    return file->st_size <= 0 || (size_t)file->st_size > most ? "wrong size" : NULL;
}

char *xbot_board_read(const ngx_str_t *board, const char *name, size_t most, size_t *size, const char **why)
{
    struct stat directory, file;
    char *bytes = NULL;
    int dir = open((const char *)board->data, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int fd = dir < 0 ? -1 : openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    *why = NULL;
    if (fd < 0 || fstat(dir, &directory) || fstat(fd, &file))
        *why = strerror(errno);
    else if (!(*why = foreign(&directory, &file, most)) && !(bytes = ngx_alloc((size_t)file.st_size, ngx_cycle->log)))
        *why = "no memory";
    for (*size = 0; bytes && *size < (size_t)file.st_size;) {
        const ssize_t n = pread(fd, bytes + *size, (size_t)file.st_size - *size, (off_t)*size);
        if (n > 0) {
            *size += (size_t)n;
        } else {
            *why = n ? strerror(errno) : "it was cut while it was read";
            ngx_free(bytes);
            bytes = NULL;
        }
    }
    if (fd >= 0)
        close(fd);
    if (dir >= 0)
        close(dir);
    return bytes;
}

static void let_go(xbot_served *served)
{
    if (served) {
        ngx_free(served->image);
        ngx_free(served);
    }
}

/* The file, read and checked. NULL, and why not: a text that lives until the next call. */
static xbot_served *load(const ngx_str_t *board, xb_workspace *work, const char **why)
{
    static char reason[sizeof((xb_model *)NULL)->why];
    size_t size;
    xb_span model, policies;
    xbot_served *served = ngx_calloc(sizeof *served, ngx_cycle->log);
    if (!served) {
        *why = "no memory";
        return NULL;
    }
    served->image = xbot_board_read(board, "served", MAX_SERVED, &size, why);
    if (served->image)
        *why = xb_served_open(served->image, size, false, &model, &policies);
    if (!*why)
        *why = xb_model_open(&served->model, model.at, model.size, &work->request, &work->vector);
    if (!*why)
        *why = xb_policies_open(&served->policies, policies.at, policies.size);
    if (!*why && !xb_policy_named(&served->policies, XB_SPAN("default")))
        *why = "no policy named default";
    if (!*why) {
        served->made = ((const xb_board_header *)(const void *)served->image)->made;
        return served;
    }
    *why = memcpy(reason, *why, ngx_min(strlen(*why) + 1, sizeof reason - 1));
    let_go(served);
    return NULL;
}

xbot_served *xbot_board_look(const ngx_str_t *board, xb_workspace *work, ngx_log_t *log)
{
    char path[NGX_MAX_PATH];
    struct stat file;
    const time_t now = ngx_time();
    if (now == last.looked)
        return current;
    last.looked = now;
    snprintf(path, sizeof path, "%s/served", (const char *)board->data);
    const int error = lstat(path, &file) ? errno : 0;
    if (error == last.error && (error || same_file(&file, &last.file)))
        return current;
    last.error = error;
    last.file = file;
    const char *why = error ? strerror(error) : NULL, *then = current ? "what was served before goes on" : "X-Bot is unknown";
    xbot_served *found = error ? NULL : load(board, work, &why);
    if (!found) {
        ngx_log_error(NGX_LOG_ERR, log, 0, "xbot: %s: %s; %s", path, why, then);
        return current;
    }
    ngx_log_error(NGX_LOG_NOTICE, log, 0, "xbot: serves %s, %uD policies", path, found->policies.n_policies);
    let_go(current);
    return current = found;
}

const xbot_served *xbot_served_now(void) { return current; }
