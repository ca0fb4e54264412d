// SPDX-License-Identifier: Apache-2.0

/// Several connections in your hands that were leased together. They go back to the pool together, by ``release()``, or when
/// the value goes out of scope.
public struct LeaseBatch<Connection: Sendable>: ~Copyable, Sendable {
    private var grants: [Grant]

    init(_ grants: [Grant], of type: Connection.Type, at site: AcquireSite) {
        self.grants = grants
        for grant in grants { grant.note(site) }
    }

    deinit {
        for grant in grants { grant.giveBackReporting() }
    }

    /// How many.
    public var count: Int { grants.count }

    /// The strategy's connections. Not to be used after the lease.
    public var connections: [Connection] {
        // As in `Lease`.
        grants.map { grant in
            grant.occupant._withUnsafeGuaranteedRef {
                unsafeDowncast($0, to: ConnectionOccupant<Connection>.self).connection
            }
        }
    }

    /// The right to use each of them, valid until the lease ends.
    public var permits: [LeasePermit] {
        grants.map { LeasePermit(slot: $0.slot, expectedEpoch: $0.epoch, expectedFence: $0.fence) }
    }

    /// Returns all of them to the pool.
    ///
    /// - Throws: What closing one of them threw, the first such error if the pool did not keep several. All are given back.
    public consuming func release() throws {
        let leased = grants
        grants = []
        var first: (any Error)?
        for grant in leased {
            let error = grant.giveBack()
            if first == nil { first = error }
        }
        if let first { throw first }
    }
}
