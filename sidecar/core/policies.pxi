# Policies and lists: their image, opened, and what they decide of a request.
#
# Law: csrc/ checks an image once, so its buffer must be read-only. csrc/ takes the decision.

from cpython.buffer cimport PyBuffer_Release

from sidecar.core.csrc cimport (
    XB_MAX_REASON, xb_apply_policy, xb_decision_text, xb_judge, xb_path_resolve, xb_policies_open, xb_policy,
    xb_policy_named,
)


def resolve_path(bytes path not None):
    """The path as the lists of a policy see it (csrc/policy/policy.h)."""
    cdef bytearray scratch = bytearray(len(path) + 1)
    return _bytes(xb_path_resolve(_span(path), scratch))


cdef class Policies:
    """Policies and lists, opened from an image that sidecar/config/policies.py made. `data` is a read-only buffer and is not
    copied."""

    def __cinit__(self, data):
        cdef const char *why
        _hold(data, &self.view)
        self.data = data
        why = xb_policies_open(&self.policies, self.view.buf, self.view.len)
        if why is not NULL:
            raise PoliciesError(why.decode())

    def __dealloc__(self):
        PyBuffer_Release(&self.view)

    @property
    def names(self):
        """The policies' names, in the order of the image."""
        return tuple(self.policies.policy[i].name.decode("ascii") for i in range(self.policies.n_policies))

    cdef const xb_policy *named(self, str name) except NULL:
        cdef bytes text = name.encode()
        cdef const xb_policy *policy = xb_policy_named(&self.policies, _span(text))
        if policy is NULL:
            raise KeyError(name)
        return policy

    def decide(self, Model model not None, Request request not None, str policy not None):
        """The Decision on what `request` holds now: by the policy that it asks for, or by `policy`."""
        cdef char reason[XB_MAX_REASON]
        cdef const xb_policy *chosen = self.named(policy)
        request.idle()
        xb_judge(&model.model, request.work)
        xb_apply_policy(&self.policies, chosen, &model.model, request.work)
        d = &request.work.decision
        size = xb_decision_text(d, &request.work.verdict, &request.work.vector, reason, sizeof(reason))
        listed = None if d.list is NULL else d.list.name.decode("ascii")
        return Decision(OUTCOMES[d.outcome], bool(d.refuse), reason[:size].decode("ascii"), d.policy.name.decode("ascii"), listed)
