// SPDX-License-Identifier: Apache-2.0

extension TopologyMachine {
    /// What a report tells of the cluster.
    mutating func note(_ report: HostReport, of host: Int) {
        settleIdentity()
        guard let timeline = report.timeline, hosts[host].disowned != HostRecord.Claim(report), !isRejected(report)
        else {
            return
        }
        let system = report.systemIdentifier ?? systemIdentifier
        highestTimelines[system] = max(highestTimelines[system] ?? 0, timeline)
    }

    /// Counts which system the hosts belong to. The present answer stays unless another has more hosts, and for good once
    /// more than half of the hosts agree, or once all were heard of and there is a primary.
    mutating func settleIdentity() {
        guard !identityIsFixed || isOff(.fixedIdentity) else { return }
        var counts: [UInt64: Int] = [:]
        for index in members {
            if let identifier = hosts[index].report?.systemIdentifier { counts[identifier, default: 0] += 1 }
        }
        var best = election == .open ? systemIdentifier : nil
        for index in members {
            guard let identifier = hosts[index].report?.systemIdentifier else { continue }
            if counts[identifier] ?? 0 > best.flatMap({ counts[$0] }) ?? 0 { best = identifier }
        }
        guard let best else { return }
        if systemIdentifier == nil {
            // Said by servers that keep their identity to themselves.
            highestTimelines[best] = [highestTimelines[best], highestTimelines[nil]].compactMap { $0 }.max()
            rejections[best] = rejections[best] ?? rejections[nil]
        }
        systemIdentifier = best
        identityIsFixed = (counts[best] ?? 0) * 2 > members.count
    }

    /// The operator knows better: the former identity is a stranger's. Of the new one only what answers now counts, so that a
    /// restore to an earlier timeline is not stale for ever.
    mutating func adopt(_ identifier: UInt64, now: ContinuousClock.Instant, into actions: inout [Action]) {
        systemIdentifier = identifier
        identityIsFixed = true
        incumbent = nil
        dispute.isOpen = false
        rejections = [:]
        for index in hosts.indices { hosts[index].disowned = nil }
        let timelines = hosts.compactMap { host -> UInt32? in
            guard !host.isRemoved, host.isAnswering, isOurs(host.report) else { return nil }
            return host.report?.timeline
        }
        highestTimelines[identifier] = timelines.max()
        actions.append(.emit(ClusterEvent(host: "", kind: .adopted(systemIdentifier: identifier), at: now)))
    }

    /// A server that does not tell its system is not known to be a stranger.
    func isOurs(_ report: HostReport?) -> Bool {
        guard let theirs = report?.systemIdentifier, let systemIdentifier else { return true }
        return theirs == systemIdentifier || isOff(.foreignSystems)
    }

    func isStale(_ report: HostReport) -> Bool {
        guard let timeline = report.timeline, let highest = highestTimeline else { return false }
        return timeline < highest && !isOff(.staleTimelines)
    }
}
