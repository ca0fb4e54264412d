// SPDX-License-Identifier: Apache-2.0

/// A connection in your hands. It goes back to the pool when the lease ends: by ``release()``, or when the value goes out
/// of scope. It cannot be copied, so it cannot be returned twice.
@frozen
public struct Lease<Connection: Sendable>: ~Copyable, Sendable {
    /// Not counted; see `Grant`.
    @usableFromInline let occupant: Unmanaged<Occupant>
    @usableFromInline let epoch: UInt64
    @usableFromInline let fence: UInt64

    @inlinable
    init(_ grant: Grant, of type: Connection.Type, at site: AcquireSite) {
        self.occupant = grant.occupant
        self.epoch = grant.epoch
        self.fence = grant.fence
        grant.note(site)
    }

    @inlinable
    deinit {
        Grant(occupant: occupant, epoch: epoch, fence: fence).giveBackReporting()
    }

    /// The strategy's connection. Not to be used after the lease.
    @inlinable public var connection: Connection {
        // A group's members all have strategies of the group's `Connection`: `PoolGroup.addMember` takes no other.
        occupant._withUnsafeGuaranteedRef { unsafeDowncast($0, to: ConnectionOccupant<Connection>.self).connection }
    }

    /// The member that the connection belongs to.
    public var member: MemberID { occupant._withUnsafeGuaranteedRef { $0.slot.member } }

    /// The right to use the connection, valid until the lease ends.
    @inlinable public var permit: LeasePermit {
        LeasePermit(
            slot: occupant._withUnsafeGuaranteedRef { $0.slot },
            expectedEpoch: epoch,
            expectedFence: fence
        )
    }

    /// Takes the connection out of the pool for good: it is yours to close, and the pool may open another in its place.
    public consuming func detach() -> Connection {
        let connection = connection
        let occupant = occupant
        let epoch = epoch
        discard self
        PoolCore.detach(occupant, epoch: epoch)
        return connection
    }

    /// Returns the connection to the pool.
    ///
    /// A lease that just goes out of scope does the same, and tells an error to the observer.
    ///
    /// - Throws: What ``ConnectionStrategy/close(_:)`` threw, if the pool did not keep the connection. It is gone all the same.
    @inlinable
    public consuming func release() throws {
        let grant = Grant(occupant: occupant, epoch: epoch, fence: fence)
        // It is given back here; the connection may be gone afterwards.
        discard self
        if let error = grant.giveBack() { throw error }
    }
}
