// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// The place of one connection in a pool, from the moment it is opened until it is closed. A later connection gets a new
/// slot.
///
/// A driver keeps it to claim its connection while it is idle, for example when its socket reports that the server hung up.
public final class PoolSlot: Sendable {
    /// The member it belongs to.
    public let member: MemberID

    /// Counts the leases that have ended. Written only by the end of a lease, of which there is at most one at a time.
    @usableFromInline let epoch = Atomic<UInt64>(0)
    /// The task that took it last. Only compared.
    let holder = Atomic<UInt>(0)
    /// Where in the source it was asked for last: the file's name, and the line.
    @usableFromInline let siteFile = Atomic<UInt>(0)
    @usableFromInline let siteLine = Atomic<UInt>(0)
    /// A lease whose end makes so many of them is not laid open again without asking the machine. Written while the member's
    /// idle connections are withdrawn.
    let limit: Atomic<UInt64>
    /// There is something to do before it is handed out.
    @usableFromInline let needsPreparation: Atomic<Bool>
    /// It is to be validated before it is handed out, because it was idle for long.
    let isDoubtful = Atomic<Bool>(false)
    let terms: SlotTerms
    /// What is noted of each lease beyond what costs nothing, if anything is.
    @usableFromInline let notes: LeaseNotes?
    /// Where its connection is laid open. An old word of a member that has outgrown it stays there until the core's end, and
    /// refuses for ever. Unsafe only as a pointer: what it points to is atomic.
    nonisolated(unsafe) let word = Atomic<UnsafeMutablePointer<OpenIdle.Word>?>(nil)
    @usableFromInline let fence: MemberFence
    let id: SlotID
    @usableFromInline let core: PoolCore

    init(id: SlotID, fence: MemberFence, terms: SlotTerms, core: PoolCore) {
        self.id = id
        self.terms = terms
        limit = Atomic(terms.maximumUses)
        needsPreparation = Atomic(terms.isAlwaysPrepared)
        notes = terms.notesLeases ? LeaseNotes() : nil
        self.member = core.memberID(id.member)
        self.fence = fence
        self.core = core
    }

    /// Runs `body` if the connection is idle in the pool, and holds it out of the idle ones meanwhile: nobody else can take
    /// it. Then it goes back, or to a waiting request, or (``IdleVerdict/evict``) is closed.
    ///
    /// - Returns: Whether `body` ran.
    @discardableResult
    public func withIdleClaim(_ body: () -> IdleVerdict) -> Bool {
        guard core.claim(self) else { return false }
        core.settleClaim(self, body())
        return true
    }

    /// Whether it may be laid open without asking the machine, now that a lease of it has ended.
    var mayLieOpen: Bool { epoch.load(ordering: .relaxed) < limit.load(ordering: .relaxed) }

    var site: AcquireSite {
        AcquireSite(file: siteFile.load(ordering: .relaxed), line: siteLine.load(ordering: .relaxed))
    }

    /// Ends the lease that began in `expected`; `false` if it has ended already.
    func endLease(expected: UInt64) -> Bool {
        guard epoch.load(ordering: .relaxed) == expected else { return false }
        epoch.store(expected &+ 1, ordering: .releasing)
        return true
    }
}

/// What becomes of an idle connection that was claimed.
public enum IdleVerdict: Sendable {
    /// It stays in the pool.
    case keep
    /// It is closed.
    case evict
}

/// One word per member that every statement's check reads: how often the member was fenced, and whether the pool was
/// terminated. Written only under the pool's lock.
@usableFromInline
final class MemberFence: Sendable {
    @usableFromInline let word = Atomic<UInt64>(0)
    let label: String

    private static let terminatedBit: UInt64 = 1
    private static let fenceStep: UInt64 = 2

    init(label: String) {
        self.label = label
    }

    func raise() {
        word.wrappingAdd(Self.fenceStep, ordering: .sequentiallyConsistent)
    }

    func terminate() {
        word.bitwiseOr(Self.terminatedBit, ordering: .sequentiallyConsistent)
    }

    /// Whether `word` was fenced since `expected` was read.
    static func isFenced(_ word: UInt64, since expected: UInt64) -> Bool {
        word & ~terminatedBit != expected & ~terminatedBit
    }
}
