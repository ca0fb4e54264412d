// SPDX-License-Identifier: Apache-2.0

/// How a source's answers are trusted.
///
/// A host that is new is used as soon as it has proven what it is. A host that is gone from the answers is *drained* (it
/// gets nothing new, what runs there goes on), and then removed, when all of this holds:
///
/// - it was missing from ``absences`` answers in a row, the first of them at least ``removalDelay`` ago; failures and empty
///   answers do not count, one answer that names it starts the count anew;
/// - it is not the primary: nothing else could take the writes;
/// - at least one host that the source does name is in use.
///
/// So one odd answer (a name server that restarts, a Patroni that has just lost its store) changes nothing.
public struct SourceRules: Sendable, Hashable {
    /// How long the source may take for an answer. Default: 5 s.
    public var deadline: Duration
    /// In how many answers in a row a host must be missing before it goes. Default: 3.
    public var absences: Int
    /// How long a host must have been missing before it goes. Default: 30 s.
    public var removalDelay: Duration
    /// When a drained host is removed though work still runs there: reads may end even then, anything else is interrupted.
    /// Default: 30 s.
    public var drainTimeout: Duration
    /// The least time between two questions.
    var leastGap = SourceSchedule.leastGap

    /// Makes rules with the defaults.
    public init(
        deadline: Duration = .seconds(5),
        absences: Int = 3,
        removalDelay: Duration = .seconds(30),
        drainTimeout: Duration = .seconds(30)
    ) {
        self.deadline = deadline
        self.absences = absences
        self.removalDelay = removalDelay
        self.drainTimeout = drainTimeout
    }

    /// - Throws: ``ClusterError`` with code `invalidArgument`.
    package func validate() throws(ClusterError) {
        if let complaint { throw ClusterError(.invalidArgument, message: complaint) }
    }

    private var complaint: String? {
        if deadline <= .zero { return "the source's deadline must be positive" }
        if absences < 1 { return "absences must be at least 1" }
        if removalDelay < .zero { return "removalDelay must not be negative" }
        if drainTimeout < .zero { return "drainTimeout must not be negative" }
        return nil
    }
}
