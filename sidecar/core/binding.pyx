# cython: boundscheck=False, wraparound=False
"""The binding over csrc/: one included file for each noun, which uses only what is included before it.

Law: no decision is taken here; every number comes from csrc/. Imports nothing beyond the standard library. It is one
extension, as csrc/ is linked once, and a call from one noun to another is one that the compiler can inline.
"""

from sidecar.core.csrc cimport xb_init

xb_init()

include "names.pxi"
include "text.pxi"
include "request.pxi"
include "matrix.pxi"
include "board/past.pxi"
include "reports.pxi"
include "model.pxi"
include "board/lookups.pxi"
include "policies.pxi"
include "board/clients.pxi"
include "board/exchange.pxi"
include "answerer.pxi"
include "board/files.pxi"
include "board/shared.pxi"
