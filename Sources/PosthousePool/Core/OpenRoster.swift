// SPDX-License-Identifier: Apache-2.0

import CTask
import Synchronization

/// All members' open idle connections, to be read without the lock.
///
/// The list is replaced when a member is added or outgrows its words. Old lists and old words stay until the end, because
/// somebody may be reading them; what they say is "withdrawn" for ever. Members are added a few times in a pool's life.
///
/// Unchecked because of the pointers: `owned` is touched under the core's lock and by `deinit` only.
final class OpenRoster: @unchecked Sendable {
    /// Ends with nil.
    private typealias List = UnsafeMutablePointer<UnsafeMutablePointer<OpenIdle>?>

    private let list: Atomic<List>
    /// What any member serves.
    private let served = Atomic<UInt8>(0)
    private let stripes: Stripes
    private var owned: (lists: [List], members: [UnsafeMutablePointer<OpenIdle>])

    init(stripes: Stripes) {
        self.stripes = stripes
        let empty = List.allocate(capacity: 1)
        empty.initialize(to: nil)
        list = Atomic(empty)
        owned = ([empty], [])
    }

    deinit {
        for member in owned.members {
            member.deinitialize(count: 1)
            member.deallocate()
        }
        for list in owned.lists { list.deallocate() }
    }
}

// MARK: - Without the lock

extension OpenRoster {
    /// Takes an idle connection of the member with the most free capacity, a random one among equals.
    ///
    /// - Returns: nil if there is none, or if the machine has to decide: some member that could serve the request is
    ///   withdrawn, or the one that should serve it has nothing idle and a connection should be opened there.
    /// - Parameter isLow: Set if the member that served it has too few idle connections left.
    func take(_ request: AcquireRequest, isLow: inout Bool) -> Grant? {
        var next = list.load(ordering: .acquiring)
        if let member = request.member {
            // Whose member it is has been checked: it is in this list or a later one.
            return take(request, onlyFrom: next[member.index], isLow: &isLow)
        }
        // One member alone needs no comparing.
        if let only = next.pointee, next[1] == nil { return take(request, onlyFrom: only, isLow: &isLow) }
        let wanted = request.active(offered: ServiceClass(rawValue: served.load(ordering: .relaxed)))
        if let preferred = request.prefers {
            switch look(at: next[preferred.index], for: wanted) {
            case .takeThis(let member):
                defer { isLow = member.pointee.isLow }
                return member.pointee.take(for: wanted, affinity: request.affinity, holder: ctask_current())
            case .askMachine: return nil
            case .takeAny: break
            }
        }
        var best: UnsafeMutablePointer<OpenIdle>?
        var bestFree = Int.min
        var bestCount = 0
        var ties: UInt64 = 1
        while let member = next.pointee {
            next += 1
            let services = ServiceClass(rawValue: member.pointee.services.load(ordering: .relaxed))
            if services.isDisjoint(with: wanted) { continue }
            guard let count = member.pointee.count else { return nil }
            if count == 0, !member.pointee.canOpen.load(ordering: .relaxed) { continue }
            let free = member.pointee.room.load(ordering: .relaxed) &+ count
            if free < bestFree { continue }
            if free == bestFree {
                ties += 1
                if ctask_random() % ties != 0 { continue }
            } else {
                ties = 1
            }
            best = member
            bestFree = free
            bestCount = count
        }
        guard let best, bestCount > 0 else { return nil }
        defer { isLow = best.pointee.isLow }
        return best.pointee.take(for: wanted, affinity: request.affinity, holder: ctask_current())
    }

    /// The member as it lies open.
    func glance(at index: Int) -> MemberGlance {
        // In this list or a later one, as in `take`.
        let member = list.load(ordering: .acquiring)[index]!
        return MemberGlance(
            serves: ServiceClass(rawValue: member.pointee.services.load(ordering: .relaxed)),
            free: member.pointee.room.load(ordering: .relaxed) &+ (member.pointee.count ?? 0)
        )
    }

    private enum Preference { case takeThis(UnsafeMutablePointer<OpenIdle>), takeAny, askMachine }

    /// What becomes of a request that prefers this member.
    private func look(at preferred: UnsafeMutablePointer<OpenIdle>?, for wanted: ServiceClass) -> Preference {
        guard let preferred else { return .askMachine }
        let services = ServiceClass(rawValue: preferred.pointee.services.load(ordering: .relaxed))
        if services.isDisjoint(with: wanted) { return .takeAny }
        guard let count = preferred.pointee.count else { return .askMachine }
        if count > 0 { return .takeThis(preferred) }
        // With room it should open one; without, anyone will do.
        let hasRoom =
            preferred.pointee.canOpen.load(ordering: .relaxed)
            && preferred.pointee.room.load(ordering: .relaxed) > 0
        return hasRoom ? .askMachine : .takeAny
    }

    private func take(
        _ request: AcquireRequest,
        onlyFrom member: UnsafeMutablePointer<OpenIdle>?,
        isLow: inout Bool
    ) -> Grant? {
        guard let member else { return nil }
        let services = ServiceClass(rawValue: member.pointee.services.load(ordering: .relaxed))
        let wanted = request.active(offered: services)
        defer { isLow = member.pointee.isLow }
        return member.pointee.take(for: wanted, affinity: request.affinity, holder: ctask_current())
    }
}

// MARK: - Under the lock

extension OpenRoster {
    /// Members are added in the order of their indexes.
    func add(fence: MemberFence, capacity: Int) {
        replaceList { $0 + [make(fence: fence, capacity: capacity)] }
    }

    /// The member's words. To be changed while they are withdrawn.
    func withMember<Result>(_ index: Int, _ body: (borrowing OpenIdle) -> Result) -> Result {
        body(list.load(ordering: .relaxed)[index]!.pointee)
    }

    func noteServed(_ services: ServiceClass) {
        served.store(services.rawValue, ordering: .relaxed)
    }

    /// Makes room for more slots. The member's words must be withdrawn: the old ones remain so.
    func grow(_ index: Int, fence: MemberFence, capacity: Int, services: ServiceClass) {
        replaceList { members in
            var members = members
            members[index] = make(fence: fence, capacity: capacity)
            members[index].pointee.note(services)
            return members
        }
    }

    private func make(fence: MemberFence, capacity: Int) -> UnsafeMutablePointer<OpenIdle> {
        let made = UnsafeMutablePointer<OpenIdle>.allocate(capacity: 1)
        made.initialize(to: OpenIdle(fence: fence, capacity: capacity, stripes: stripes))
        owned.members.append(made)
        return made
    }

    private func replaceList(
        _ change: ([UnsafeMutablePointer<OpenIdle>]) -> [UnsafeMutablePointer<OpenIdle>]
    ) {
        var members: [UnsafeMutablePointer<OpenIdle>] = []
        var next = list.load(ordering: .relaxed)
        while let member = next.pointee {
            members.append(member)
            next += 1
        }
        members = change(members)
        let made = List.allocate(capacity: members.count + 1)
        for (index, member) in members.enumerated() { (made + index).initialize(to: member) }
        (made + members.count).initialize(to: nil)
        owned.lists.append(made)
        list.store(made, ordering: .releasing)
    }
}
