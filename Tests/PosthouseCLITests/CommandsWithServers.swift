// SPDX-License-Identifier: Apache-2.0

import Testing

/// All commands that start servers or need some: one test after the other, because many at once only make all of them slow.
@Suite(.serialized) enum CommandsWithServers {}
