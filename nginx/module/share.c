#include "module.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/* What the sidecar lends to this worker (csrc/board/share.h): asked for at the begin of a worker, and again each second while there
 * is no connection. Nothing here waits but `begin`, before the worker has a visitor, and that no longer than FIRST_MS. */

enum { TICK_MS = 1000, FIRST_MS = 50 };

typedef struct {
    void *at;
    size_t size;
} memory;

static u_char path_of_board[NGX_MAX_PATH]; /* a copy: without a master process a reload frees the configuration under our hands */
static const ngx_str_t board = {0, path_of_board};
static ngx_connection_t *channel;
static memory mapped[XB_N_SHARES];
static void *kept_wheel; /* of the board's file, for as long as no sidecar has lent one */
static xbot_lent lent;
static xb_recorder recorder;
static xb_stats before; /* what this worker's slot had told before the counters were lent */
static bool said; /* that nothing is lent */

const xbot_lent *xbot_lent_now(void) { return &lent; }

xb_recorder *xbot_recorder(void) { return &recorder; }

/* ---- memory ---- */

static void let_go(memory *m)
{
    if (m->at)
        munmap(m->at, m->size);
    *m = (memory){NULL, 0};
}

static uint64_t booted(void)
{
    struct timespec now, up;
    clock_gettime(CLOCK_REALTIME, &now);
    clock_gettime(CLOCK_BOOTTIME, &up);
    return ((uint64_t)now.tv_sec - (uint64_t)up.tv_sec) * 1000000000u + (uint64_t)now.tv_nsec - (uint64_t)up.tv_nsec;
}

static const char *exactly(const memory *m, size_t size) { return m->size == size ? NULL : "wrong size"; }

static const char *check(xb_share_kind kind, const memory *m)
{
    uint32_t slots;
    const char *why;
    switch (kind) {
    case XB_SHARE_CLIENTS:
        return xb_clients_check(m->at, m->size);
    case XB_SHARE_WHEEL:
        return xb_wheel_check(m->at, m->size, booted());
    case XB_SHARE_COUNTERS:
        why = exactly(m, xb_counters_size(2));
        return why ? why : xb_counters_check(m->at, m->size, &slots);
    case XB_SHARE_LOOKUPS:
    case XB_SHARE_QUESTIONS:
        return exactly(m, sizeof(xb_lookups));
    case XB_SHARE_VISITORS:
        return xb_visitors_check(m->at, m->size);
    case XB_SHARE_LANE:
        return exactly(m, sizeof(xb_lane));
    default:
        return m->size < sizeof(uint64_t) ? "wrong size" : NULL;
    }
}

/* Maps shared memory at a multiple of a large page: only there the processor can use one, where the sidecar put the memory into such
 * (sidecar/board/memory.py), or the system gives them to memory that asks. MAP_FAILED, with errno. */
static void *map_shared(size_t size, int protection, int fd)
{
    const size_t large = 1u << 21;
    const size_t slack = size < large ? 0 : large;
    char *room = mmap(NULL, size + slack, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED)
        return MAP_FAILED;
    char *at = slack ? (char *)ngx_align_ptr(room, large) : room, *end = at + (size + ngx_pagesize - 1) / ngx_pagesize * ngx_pagesize;
    void *found = mmap(at, size, protection, MAP_SHARED | MAP_FIXED, fd, 0);
    const int error = errno;
    if (found == MAP_FAILED) {
        munmap(room, size + slack);
        errno = error;
        return MAP_FAILED;
    }
    if (at > room)
        munmap(room, (size_t)(at - room));
    if (room + size + slack > end)
        munmap(end, (size_t)(room + size + slack - end));
    madvise(at, size, MADV_HUGEPAGE);
    return at;
}

/* Maps what is behind a descriptor, and closes it. NULL, or why not. What somebody could cut off under our hands is not mapped. */
static const char *map(xb_share_kind kind, int fd, memory *out)
{
    enum { SEALED = F_SEAL_SHRINK };
    struct stat found;
    const char *why = NULL;
    const bool reads = kind == XB_SHARE_WHEEL || kind == XB_SHARE_LOOKUPS || kind == XB_SHARE_CLOCK;
    const int protection = reads ? PROT_READ : PROT_READ | PROT_WRITE;
    if (fstat(fd, &found) || found.st_size <= 0)
        why = "no memory";
    else if (kind != XB_SHARE_CLOCK && !(fcntl(fd, F_GET_SEALS) & SEALED))
        why = "its size is not sealed";
    if (!why) {
        *out = (memory){map_shared((size_t)found.st_size, protection, fd), (size_t)found.st_size};
        if (out->at == MAP_FAILED)
            *out = (memory){NULL, 0}, why = strerror(errno);
    }
    close(fd);
    if (!why && (why = check(kind, out)))
        let_go(out);
    return why;
}

/* What the judge may use, of what is mapped. */
static void look_through(void)
{
    lent.clients = mapped[XB_SHARE_CLIENTS].at;
    lent.wheel = mapped[XB_SHARE_WHEEL].at ? mapped[XB_SHARE_WHEEL].at : kept_wheel;
    lent.lookups = mapped[XB_SHARE_LOOKUPS].at;
    lent.questions = mapped[XB_SHARE_QUESTIONS].at;
    lent.visitors = mapped[XB_SHARE_VISITORS].at;
    lent.lane = lent.connected ? mapped[XB_SHARE_LANE].at : NULL;
    lent.clock_ms = mapped[XB_SHARE_CLOCK].at;
}

/* ---- messages ---- */

static void take(const xb_share *message, const int *fds, ngx_log_t *log)
{
    recorder.logged = message->logged != 0;
    recorder.sample = message->sample;
    recorder.accused.most = message->accused;
    recorder.others.most = message->others;
    lent.signs = message->signs != 0;
    if (mapped[XB_SHARE_LANE].at)
        ((xb_lane *)mapped[XB_SHARE_LANE].at)->rate.most = message->per_second;
    if (!message->n)
        return;
    for (ngx_uint_t kind = 0; kind < XB_N_SHARES; kind++)
        let_go(&mapped[kind]);
    for (uint32_t i = 0; i < message->n; i++) {
        const unsigned kind = message->kind[i];
        const bool known = kind < XB_N_SHARES && !mapped[kind].at;
        const char *why = known ? map((xb_share_kind)kind, fds[i], &mapped[kind]) : NULL;
        if (!known)
            close(fds[i]);
        if (why)
            ngx_log_error(NGX_LOG_ERR, log, 0, "xbot: the sidecar's %s are not used: %s", xb_share_names[kind], why);
    }
    xb_stats *told;
    if (xbot_counters_told(&told))
        before = *told;
    lent.connected = true;
    if (mapped[XB_SHARE_LANE].at)
        ((xb_lane *)mapped[XB_SHARE_LANE].at)->rate.most = message->per_second;
    if (said)
        ngx_log_error(NGX_LOG_NOTICE, log, 0, "xbot: the sidecar is back");
    said = false;
    look_through();
}

/* Reads one message. NGX_OK; NGX_AGAIN: there is none; NGX_ERROR: the connection is of no use any more. */
static ngx_int_t receive(int fd, ngx_log_t *log)
{
    xb_share message;
    int fds[XB_SHARE_MOST];
    size_t n = 0;
    union {
        char bytes[CMSG_SPACE(sizeof fds)];
        struct cmsghdr aligned;
    } room;
    struct iovec piece = {&message, sizeof message};
    struct msghdr header = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = &room, .msg_controllen = sizeof room};
    const ssize_t size = recvmsg(fd, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (size < 0)
        return errno == EAGAIN || errno == EINTR ? NGX_AGAIN : NGX_ERROR;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&header); c; c = CMSG_NXTHDR(&header, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
            n = (c->cmsg_len - CMSG_LEN(0)) / sizeof *fds;
            memcpy(fds, CMSG_DATA(c), n * sizeof *fds);
        }
    const char *why = size ? xb_share_check(&message, (size_t)size, n) : "it ended";
    if (!why) {
        take(&message, fds, log);
        return NGX_OK;
    }
    while (n > 0)
        close(fds[--n]);
    if (size)
        ngx_log_error(NGX_LOG_ERR, log, 0, "xbot: %s/module: %s", path_of_board, why);
    return NGX_ERROR;
}

/* The sidecar is away: what it lent is used as it is. Of a lane nobody reads any more. */
static void lose(void)
{
    if (channel)
        ngx_close_connection(channel);
    channel = NULL;
    lent.connected = false;
    let_go(&mapped[XB_SHARE_LANE]);
    look_through();
}

static void when_readable(ngx_event_t *event)
{
    const ngx_connection_t *c = event->data;
    ngx_int_t rc;
    while ((rc = receive(c->fd, event->log)) == NGX_OK)
        ;
    event->ready = 0;
    if (rc == NGX_ERROR || ngx_handle_read_event(event, 0) != NGX_OK)
        lose();
}

static void when_writable(ngx_event_t *event) { (void)event; }

/* ---- the connection ---- */

/* Is he whom we are connected to the one who has the directory, or root? */
static const char *stranger(int fd, const char *path)
{
    struct ucred peer;
    struct stat found;
    socklen_t size = sizeof peer;
    if (stat(path, &found) || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size))
        return strerror(errno);
    if (found.st_mode & (S_IWGRP | S_IWOTH))
        return "others than its owner may write in the directory";
    return peer.uid != 0 && peer.uid != found.st_uid ? "whoever listens there does not own the directory" : NULL;
}

/* A connected socket, or -1. Of a Unix socket a connection is there at once, or not at all. */
static int reach(ngx_log_t *log)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int length = snprintf(address.sun_path, sizeof address.sun_path, "%s/module", (const char *)path_of_board);
    const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const char *why = NULL;
    if (length >= (int)sizeof address.sun_path)
        why = "the path is too long";
    else if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address))
        why = strerror(errno);
    else
        why = stranger(fd, (const char *)path_of_board);
    if (!why)
        return fd;
    if (!said)
        ngx_log_error(NGX_LOG_WARN, log, 0, "xbot: %s/module: %s; what visitors did before is not known, until it can be reached", path_of_board, why);
    said = true;
    if (fd >= 0)
        close(fd);
    return -1;
}

static void ask(ngx_log_t *log)
{
    const int fd = reach(log);
    if (fd < 0)
        return;
    channel = ngx_get_connection(fd, log);
    if (!channel) {
        close(fd);
        return;
    }
    channel->log = channel->read->log = channel->write->log = log;
    channel->read->handler = when_readable;
    channel->write->handler = when_writable;
    if (ngx_handle_read_event(channel->read, 0) != NGX_OK)
        lose();
}

/* What an operator said before the sidecar went away holds, too, if this worker has never met it. */
static void look_for_wheel(void)
{
    const char *why;
    size_t size;
    if (mapped[XB_SHARE_WHEEL].at)
        return;
    void *found = xbot_board_read(&board, "wheel", sizeof(xb_wheel), &size, &why);
    if (found && xb_wheel_check(found, size, booted())) {
        ngx_free(found);
        found = NULL;
    }
    if (kept_wheel)
        ngx_free(kept_wheel);
    kept_wheel = found;
    look_through();
}

void xbot_share_tell(void)
{
    xb_stats *told;
    const xb_stats *counted = xbot_counters_told(&told);
    void *file = mapped[XB_SHARE_COUNTERS].at;
    if (!lent.connected || !file || !counted)
        return;
    xb_counters_since(xb_counters_slot(file, 1), counted, &before);
    *told = *counted;
}

static ngx_event_t tick;

static void at_tick(ngx_event_t *event)
{
    event->log = ngx_cycle->log;
    if (channel)
        channel->log = channel->read->log = channel->write->log = ngx_cycle->log;
    if (channel && !lent.connected) /* it has said nothing for a whole tick */
        lose();
    if (!channel)
        ask(event->log);
    if (!lent.connected)
        look_for_wheel();
    xbot_share_tell();
    ngx_add_timer(event, TICK_MS);
}

void xbot_share_begin(const xbot_main *conf, ngx_cycle_t *cycle)
{
    static ngx_connection_t nobody = {.fd = (ngx_socket_t)-1}; /* what nginx's log of timers wants to see */
    ngx_memcpy(path_of_board, conf->board.data, conf->board.len);
    tick = (ngx_event_t){.handler = at_tick, .data = &nobody, .log = cycle->log, .cancelable = 1};
    ask(cycle->log);
    if (channel) {
        struct pollfd ready = {channel->fd, POLLIN, 0};
        if (poll(&ready, 1, FIRST_MS) > 0)
            when_readable(channel->read);
    }
    if (!lent.connected)
        look_for_wheel();
    ngx_add_timer(&tick, TICK_MS);
}

void xbot_share_end(void)
{
    xbot_share_tell();
    if (tick.timer_set)
        ngx_del_timer(&tick);
    lose();
}
