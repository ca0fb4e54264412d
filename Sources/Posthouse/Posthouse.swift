// SPDX-License-Identifier: Apache-2.0

@_exported public import PosthouseCluster
@_exported public import PosthousePool
@_exported public import PosthousePostgres
