// SPDX-License-Identifier: Apache-2.0

extension TopologyMachine {
    /// The rules that keep service away from where it would do harm, or keep it where it belongs. All are on; the tests leave
    /// out one at a time, to see that it would be missed.
    struct Guards: OptionSet, Sendable {
        let rawValue: UInt32

        /// A primary below the highest timeline is kept out.
        static let staleTimelines = Guards(rawValue: 1 << 0)
        /// A host of another system is kept out.
        static let foreignSystems = Guards(rawValue: 1 << 1)
        /// The cluster's identity does not change once it is known for sure.
        static let fixedIdentity = Guards(rawValue: 1 << 2)
        /// What was asked before an outage was proven does not end it.
        static let answersOfBefore = Guards(rawValue: 1 << 3)
        /// Within one run of a server recovery only ends.
        static let endOfRecovery = Guards(rawValue: 1 << 4)
        /// Within one run of a server its timeline only grows, and an upstream that may be older is no vote.
        static let growingTimelines = Guards(rawValue: 1 << 5)
        /// One server under two names is no second primary.
        static let aliases = Guards(rawValue: 1 << 6)
        /// Of several primaries on one timeline none but the incumbent, or whom the replicas follow, is used.
        static let equals = Guards(rawValue: 1 << 7)
        /// The first election waits for all hosts, or for the end of the grace.
        static let firstElection = Guards(rawValue: 1 << 8)
        /// One silence is no proof.
        static let secondMiss = Guards(rawValue: 1 << 9)
        /// A fault of this machine proves nothing.
        static let localFaults = Guards(rawValue: 1 << 10)
        /// A session that ends proves nothing of the server.
        static let lostSessions = Guards(rawValue: 1 << 11)
        /// A full server keeps its service.
        static let fullServers = Guards(rawValue: 1 << 12)
        /// A former primary is fenced when another one is elected, whatever its state.
        static let replacedPrimaries = Guards(rawValue: 1 << 13)
        /// Leases of a primary's former run are void.
        static let newRuns = Guards(rawValue: 1 << 14)
        /// What is taken away is taken before anything is given.
        static let takingFirst = Guards(rawValue: 1 << 15)
        /// Evidence grows old.
        static let age = Guards(rawValue: 1 << 16)
        /// Nothing grows old while this process itself was held up.
        static let ownStalls = Guards(rawValue: 1 << 17)
        /// Hosts that flap are held down.
        static let holdDown = Guards(rawValue: 1 << 18)
        /// Nobody is held down if nobody else serves reads.
        static let lastOfClass = Guards(rawValue: 1 << 19)
        /// A hold ends by itself.
        static let endOfHold = Guards(rawValue: 1 << 20)
        /// Drained hosts serve nothing.
        static let drained = Guards(rawValue: 1 << 21)
        /// A drained primary is a primary all the same: nobody else on its timeline is one.
        static let drainedIncumbents = Guards(rawValue: 1 << 22)
        /// Removed hosts do not count.
        static let removed = Guards(rawValue: 1 << 23)
        /// While it is disputed who is the primary, nobody is.
        static let disputes = Guards(rawValue: 1 << 24)
        /// Whoever was decided against is kept out.
        static let decisions = Guards(rawValue: 1 << 25)

        /// A host that answers its users is not taken for frozen.
        static let signsOfLife = Guards(rawValue: 1 << 26)

        /// The timeline of an answer that came too late counts all the same.
        static let lateTimelines = Guards(rawValue: 1 << 27)
        /// Timelines that were decided against stay so.
        static let rejections = Guards(rawValue: 1 << 28)

        /// The first primary is not elected while replicas say that another one has not been heard of.
        static let strangersFollowed = Guards(rawValue: 1 << 29)

        static let all = Guards(rawValue: 1 << 30 - 1)
    }
}
