// SPDX-License-Identifier: Apache-2.0

import Testing

/// All that starts servers: one test after the other, because many at once only make all of them slow.
@Suite(.serialized) enum LocalServers {}
