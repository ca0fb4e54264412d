// SPDX-License-Identifier: Apache-2.0

/// A fault and when it happens.
public struct ScheduledFault: Sendable, Hashable {
    /// Since the beginning.
    public var milliseconds: Int
    /// What happens.
    public var fault: Fault

    /// Makes one.
    public init(at milliseconds: Int, _ fault: Fault) {
        self.milliseconds = milliseconds
        self.fault = fault
    }
}

/// All that a simulation follows from: run twice, it runs the same way.
///
/// As text it is a script that can be replayed:
/// ```
/// seed 42
/// hosts 3
/// clients 8
/// synchronous 1
/// 1200 crash 0
/// 1450 promote
/// ```
public struct Scenario: Sendable, Hashable {
    /// Draws all that is not said here: delays, jitter, the order of what happens at the same time.
    public var seed: UInt64
    /// How many servers there are; the first one is the primary at first.
    public var hosts: Int
    /// How many tasks use the cluster all the time.
    public var clients: Int
    /// Whether a commit is acknowledged only when a replica has it.
    public var isSynchronous: Bool
    /// What happens, in order.
    public var faults: [ScheduledFault]

    /// Makes a scenario.
    public init(
        seed: UInt64,
        hosts: Int = 3,
        clients: Int = 6,
        isSynchronous: Bool = true,
        faults: [ScheduledFault] = []
    ) {
        self.seed = seed
        self.hosts = hosts
        self.clients = clients
        self.isSynchronous = isSynchronous
        self.faults = faults
    }
}

extension Scenario: CustomStringConvertible {
    /// Its script.
    public var description: String {
        let head = ["seed \(seed)", "hosts \(hosts)", "clients \(clients)", "synchronous \(isSynchronous ? 1 : 0)"]
        return (head + faults.map { "\($0.milliseconds) \($0.fault)" }).joined(separator: "\n")
    }

    /// The scenario of a script; nil if a line makes no sense.
    public init?(_ script: String) {
        self.init(seed: 0)
        for line in script.split(whereSeparator: \.isNewline) {
            let words = line.split(maxSplits: 1) { $0 == " " }
            guard words.count == 2 else { return nil }
            switch (words[0], UInt64(words[1])) {
            case ("seed", let seed?): self.seed = seed
            case ("hosts", let count?) where (1...100).contains(count): hosts = Int(count)
            case ("clients", let count?) where count <= 1_000_000: clients = Int(count)
            case ("synchronous", let flag?): isSynchronous = flag != 0
            default:
                guard let milliseconds = Int(words[0]), milliseconds >= 0, let fault = Fault(words[1]) else {
                    return nil
                }
                faults.append(ScheduledFault(at: milliseconds, fault))
            }
        }
    }
}
