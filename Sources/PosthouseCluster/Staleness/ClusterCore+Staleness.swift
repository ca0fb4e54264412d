// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import PosthousePool

extension ClusterCore {
    /// What is known of the host that a pool's connection belongs to.
    func record(of member: MemberID) -> HostRecord? {
        state.withLock { state in
            guard let host = state.slots.firstIndex(where: { $0.member == member }) else { return nil }
            return state.machine.hosts.indices.contains(host) ? state.machine.hosts[host] : nil
        }
    }

    /// A replica that is known to have what the token stands for: the one with the most free connections among them.
    func member(having token: CommitToken) -> MemberID? {
        let candidates = state.withLock { state in
            let machine = state.machineForReads
            return machine.hosts.indices.compactMap { host -> MemberID? in
                let record = machine.hosts[host]
                guard record.serves.contains(.replica), let report = record.report,
                    token.isReached(by: report.position, timeline: report.timeline)
                else { return nil }
                return state.slots[host].member
            }
        }
        guard candidates.count > 1 else { return candidates.first }
        let activity = group.activity().filter { candidates.contains($0.member) }
        return activity.min { $0.leased < $1.leased }?.member ?? candidates.first
    }

    /// Somebody knows more than we do: all hosts are asked.
    func suspectAll() {
        let hosts = state.withLock { state in state.machine.hosts.indices.filter { !state.machine.hosts[$0].isRemoved }
        }
        for host in hosts { suspect(host, .silence) }
    }
}
