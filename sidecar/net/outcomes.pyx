"""Messages of a datagram socket about what happened to requests: taken in batches, without the interpreter's lock.

Law: bytes move, nothing is decided; what a message says is csrc/clients/outcomes.h's to know. The loop waits in the kernel, takes what
is there, and ends when another descriptor becomes readable; it holds no lock and no memory but its buffers.
"""

from libc.errno cimport EAGAIN, ECONNRESET, EINTR, errno
from libc.string cimport memset

from sidecar.core.binding cimport Outcomes
from sidecar.core.csrc cimport XB_OUTCOME_MOST

cdef extern from "<poll.h>" nogil:
    struct pollfd:
        int fd
        short events
        short revents
    int poll(pollfd *fds, unsigned long n, int milliseconds)
    short POLLIN

cdef extern from "<sys/socket.h>" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len
    struct msghdr:
        iovec *msg_iov
        size_t msg_iovlen
    struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    int recvmmsg(int sock, mmsghdr *messages, unsigned int n, int flags, void *timeout)
    int MSG_DONTWAIT

cdef enum:
    BATCH = 32  # messages


def receive(Outcomes outcomes not None, int sock, int stop):
    """Take messages from `sock` until `stop` is readable. OSError if the socket fails."""
    cdef int failed
    with nogil:
        failed = _receive(outcomes, sock, stop)
    if failed:
        raise OSError(failed, "no more outcomes")


cdef int _receive(Outcomes outcomes, int sock, int stop) noexcept nogil:
    cdef char buffers[BATCH][XB_OUTCOME_MOST]
    cdef iovec pieces[BATCH]
    cdef mmsghdr messages[BATCH]
    cdef pollfd ready[2]
    cdef int i, n
    memset(messages, 0, sizeof(messages))
    for i in range(BATCH):
        pieces[i].iov_base, pieces[i].iov_len = &buffers[i][0], XB_OUTCOME_MOST
        messages[i].msg_hdr.msg_iov, messages[i].msg_hdr.msg_iovlen = &pieces[i], 1
    ready[0].fd, ready[1].fd = sock, stop
    ready[0].events = ready[1].events = POLLIN
    while True:
        if poll(ready, 2, -1) < 0:
            if errno == EINTR:
                continue
            return errno
        if ready[1].revents:
            return 0
        n = recvmmsg(sock, messages, BATCH, MSG_DONTWAIT, NULL)
        if n < 0 and errno not in (EAGAIN, EINTR, ECONNRESET):
            return errno
        for i in range(n):
            outcomes.take(&buffers[i][0], messages[i].msg_len)
