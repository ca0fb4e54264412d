// SPDX-License-Identifier: Apache-2.0

// Connections for users, and whom they reached: an address may lead to several servers, or to another one than before.

extension TopologyMachine {
    /// Whom a new connection to a host's address reached.
    enum Reach: Sendable, Hashable {
        /// The server that the checks speak for, as far as anybody can tell.
        case theSame
        /// Another replica that is as good, or another run of it: several may share the address.
        case aSibling
        /// Another server, or another run of a primary: the address leads elsewhere now.
        case another
    }

    func reach(of report: HostReport, at host: Int) -> Reach {
        guard let known = hosts[host].report, let ours = known.incarnation, let theirs = report.incarnation,
            ours != theirs
        else { return .theSame }
        let isSibling =
            known.isInRecovery && report.isInRecovery && known.systemIdentifier == report.systemIdentifier
            && known.timeline == report.timeline
        return isSibling ? .aSibling : .another
    }

    /// - Parameter reach: Whom the connection was thought to have reached when it was decided whether to use it. What became known
    ///   since then may change that.
    mutating func admit(
        _ report: HostReport,
        to host: Int,
        asked: ContinuousClock.Instant,
        as reach: Reach,
        now: ContinuousClock.Instant,
        into actions: inout [Action]
    ) {
        switch self.reach(of: report, at: host) {
        case .theSame: take(report, of: host, asked: asked, now: now, into: &actions)
        case .aSibling:
            // Else it is not in use: it was refused, or was one to a run that is over.
            if reach == .aSibling { hosts[host].isShared = true }
        case .another:
            if reach == .aSibling {
                if hosts[host].report?.isInRecovery == true {
                    hosts[host].isShared = true
                } else {
                    fence(host, into: &actions)
                }
            }
            glimpse(report, of: host, asked: asked, now: now, into: &actions)
        }
    }

    private mutating func glimpse(
        _ report: HostReport,
        of host: Int,
        asked: ContinuousClock.Instant,
        now: ContinuousClock.Instant,
        into actions: inout [Action]
    ) {
        // First: the check that is asked for below is to use the new session.
        actions.append(.renew(host: host))
        if hosts[host].outage != nil {
            // No session of ours speaks for the former server.
            take(report, of: host, asked: asked, now: now, into: &actions)
        } else {
            note(report, of: host)
            suspect(host, .connectionLost, now: now, into: &actions)
        }
    }
}
