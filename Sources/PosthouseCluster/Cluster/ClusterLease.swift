// SPDX-License-Identifier: Apache-2.0

import PosthousePool

/// A connection that is yours until you release or drop it.
///
/// It cannot be copied, so it cannot be given back twice.
public struct ClusterLease<Driver: ClusterDriver>: ~Copyable {
    private let lease: Lease<Driver.Connection>
    /// What to send statements through; worthless after the release.
    public let session: Driver.Session
    /// "host:port" of the server.
    public let host: String
    /// Ends with the lease, even if that is dropped.
    private let measured: HostUse?

    init(_ lease: consuming Lease<Driver.Connection>, of cluster: Cluster<Driver>) {
        let member = lease.member
        self.session = cluster.core.driver.session(on: lease.connection, permit: lease.permit)
        self.host = cluster.core.label(of: member)
        self.measured = cluster.core.router.begin(on: member)
        self.lease = lease
    }

    /// Gives the connection back.
    ///
    /// - Throws: What closing the connection threw, if it could not be kept.
    public consuming func release() throws {
        measured?.end()
        try lease.release()
    }
}
