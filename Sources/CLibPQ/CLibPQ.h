// SPDX-License-Identifier: Apache-2.0
// libpq for Swift. Calls newer than libpq 14 go here as static inline functions behind
// `#ifdef LIBPQ_HAS_*`, because Swift cannot test those macros.
#ifndef POSTHOUSE_CLIBPQ_H
#define POSTHOUSE_CLIBPQ_H
#include <libpq-fe.h>
#endif
