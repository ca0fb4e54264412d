// SPDX-License-Identifier: Apache-2.0

extension Cluster {
    // MARK: - Hosts that come and go

    /// The hosts that belong to the cluster now, drained ones included, in the order they were added.
    public var endpoints: [Driver.Endpoint] { core.activeEndpoints }

    /// Adds a host: it is watched from now on, and serves when it has answered and fits.
    ///
    /// - Parameter endpoint: Where it is reached. Also one that was removed before.
    /// - Throws: ``ClusterError`` with code `duplicateHost` if it belongs to the cluster already, or `closed`.
    public func addHost(_ endpoint: Driver.Endpoint) throws(ClusterError) {
        try core.add(endpoint)
    }

    /// Gives a host no new work: idle connections are closed now, leased ones when they come back. It is still watched.
    ///
    /// Drained, the primary takes no writes, and nobody else does unless another host is promoted: writes wait. Drained
    /// twice is drained.
    ///
    /// - Throws: ``ClusterError`` with code `unknownHost`, or `closed`.
    public func drainHost(_ endpoint: Driver.Endpoint) throws(ClusterError) {
        try core.drain(endpoint)
    }

    /// Ends what ``drainHost(_:)`` began: the host serves again what it is fit for.
    ///
    /// - Throws: ``ClusterError`` with code `unknownHost`, or `closed`.
    public func undrainHost(_ endpoint: Driver.Endpoint) throws(ClusterError) {
        try core.undrain(endpoint)
    }

    /// Removes a host: it serves nothing and is watched no longer. What it still says, of a higher timeline too, is not about this
    /// cluster: it may be promoted apart.
    ///
    /// Idle connections are closed now. Work on a replica may finish; work on a primary is interrupted and can send nothing
    /// more, because nobody would notice that the primary has been replaced. To let that finish too, drain the host and wait
    /// until ``PoolStatus/leased`` of its pool is 0.
    ///
    /// What the cluster keeps of an address that was removed is small and is used again if the address comes back, but it is
    /// kept until the cluster is closed, and every check looks past it. Where hosts always come back under new addresses,
    /// give them names.
    ///
    /// - Throws: ``ClusterError`` with code `unknownHost`, `lastHost` for the only one that is left, or `closed`.
    public func removeHost(_ endpoint: Driver.Endpoint) throws(ClusterError) {
        try core.remove(endpoint)
    }

    // MARK: - Decisions of the operator

    /// Accepts another system identifier: the cluster was upgraded by `pg_upgrade`, or restored from elsewhere. Hosts with
    /// the former one are foreign from now on, and get no statement.
    ///
    /// With the present identifier it forgets the highest timeline, for a cluster that was restored to an earlier one: the
    /// highest among the hosts that answer now counts.
    ///
    /// - Parameter systemIdentifier: As `pg_controldata` or `pg_control_system()` tell it.
    /// - Throws: ``ClusterError`` with code `closed`.
    public func adopt(systemIdentifier: UInt64) throws(ClusterError) {
        try core.adopt(systemIdentifier: systemIdentifier)
    }

    /// Decides between hosts that claim to be the primary: this one is. The others get no statement, nor does anything else that
    /// is on a timeline above this one's, up to the highest that is known now. Newer than the decision is what is on a higher
    /// timeline than that, and a replica of this primary that is seen to be promoted. Does nothing if the host does not claim to
    /// be the primary.
    ///
    /// - Throws: ``ClusterError`` with code `unknownHost`, or `closed`.
    public func adoptPrimary(_ endpoint: Driver.Endpoint) throws(ClusterError) {
        try core.adoptPrimary(endpoint)
    }
}
