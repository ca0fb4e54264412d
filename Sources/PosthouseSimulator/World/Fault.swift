// SPDX-License-Identifier: Apache-2.0

/// Whom a fault happens to: a host, counted from 0, or whoever has a role when it happens.
public enum Target: Sendable, Hashable, CustomStringConvertible {
    /// This host.
    case host(Int)
    /// Whom the operator promoted last.
    case primary
    /// Whom the operator promoted before that.
    case former

    /// Its word in a script.
    public var description: String {
        switch self {
        case .host(let index): String(index)
        case .primary: "primary"
        case .former: "former"
        }
    }

    /// Whom that word means; nil if nobody.
    public init?(_ word: some StringProtocol) {
        switch (word, Int(word)) {
        case ("primary", _): self = .primary
        case ("former", _): self = .former
        case (_, let index?) where index >= 0: self = .host(index)
        default: return nil
        }
    }
}

/// Something that happens to the simulated servers, to the network, or to the process that uses them.
///
/// As text it is one line, a word and numbers: `crash 0`, `start primary 250`. Times are milliseconds.
/// What makes no sense at its moment (`thaw` of a host that is not frozen) does nothing, so that any part of a script is a
/// script.
public enum Fault: Sendable, Hashable {
    /// The server's process is killed: its connections are reset, new ones are refused.
    case crash(host: Target)
    /// The server is shut down: its sessions are told so (57P01) and end.
    case stop(host: Target)
    /// The machine is gone: nothing answers, nothing is reset.
    case vanish(host: Target)
    /// The server stands still; what is sent to it lies in its sockets.
    case freeze(host: Target)
    /// The frozen server goes on, and does what was sent to it.
    case thaw(host: Target)
    /// The crashed, stopped or vanished server starts as it was, and takes sessions after so long (57P03 until then).
    case start(host: Target, milliseconds: Int)
    /// The most advanced running replica that has all that was acknowledged is promoted, whatever the primary does.
    case promote
    /// The server is rewound and follows the present primary, after so long.
    case rejoin(host: Target, milliseconds: Int)
    /// Nothing passes between the process and the host.
    case cut(host: Target)
    /// It passes again.
    case mend(host: Target)
    /// Nothing passes between two hosts.
    case part(Target, Target)
    /// It passes again.
    case join(Target, Target)
    /// Each answer of the host takes so much longer.
    case slow(host: Target, milliseconds: Int)
    /// The host has no room for another session (53300), or has it again.
    case busy(host: Target, Bool)
    /// The replica receives what is written so much later.
    case lag(host: Target, milliseconds: Int)
    /// The server ends all its sessions (57P01), and runs on.
    case terminate(host: Target)
    /// The server is replaced by a copy of the primary that takes writes, too, on the same timeline: a backup that was
    /// started for itself. It is one until it is rewound.
    case copy(host: Target)
    /// The addresses of the two servers lead to the other one each. Sessions that are open live on, as through a proxy.
    case swap(Target, Target)
    /// The host's address leads to a server of another cluster. Sessions that are open live on.
    case usurp(host: Target)
    /// Its address leads to the host again. Sessions that are open live on.
    case restore
    /// The address of the second server leads to the first one, too. Sessions that are open live on.
    case alias(Target, Target)
    /// The cluster is told to give the host no new work.
    case drain(host: Target)
    /// The cluster is told to use it again.
    case undrain(host: Target)
    /// The cluster is told that the host does not belong to it any more.
    case remove(host: Target)
    /// The cluster is told that the host belongs to it again.
    case add(host: Target)
    /// The cluster is told that the host is the primary, and not one that was promoted later. That one was promoted by
    /// mistake, then.
    case adopt(host: Target)
    /// So many of a hundred packets are lost, and sent again 200 ms later.
    case lose(percent: Int)
    /// The process that uses the servers is stopped for so long.
    case pause(milliseconds: Int)
    /// The process has no descriptor left for another connection (EMFILE), or has some again.
    case exhaust(Bool)
    /// For so long after its promotion the server tells its former timeline, as control files do until the next checkpoint.
    case dawdle(host: Target, milliseconds: Int)
    /// All that is wrong is put right: every server runs, is where it belongs, and follows the primary; the network is whole;
    /// all hosts belong to the cluster.
    case heal
}

extension Fault: CustomStringConvertible {
    /// Its line in a script.
    public var description: String {
        switch self {
        case .crash(let host): "crash \(host)"
        case .stop(let host): "stop \(host)"
        case .vanish(let host): "vanish \(host)"
        case .freeze(let host): "freeze \(host)"
        case .thaw(let host): "thaw \(host)"
        case .start(let host, let milliseconds): "start \(host) \(milliseconds)"
        case .promote: "promote"
        case .rejoin(let host, let milliseconds): "rejoin \(host) \(milliseconds)"
        case .cut(let host): "cut \(host)"
        case .mend(let host): "mend \(host)"
        case .part(let one, let other): "part \(one) \(other)"
        case .join(let one, let other): "join \(one) \(other)"
        case .slow(let host, let milliseconds): "slow \(host) \(milliseconds)"
        case .busy(let host, let isBusy): "busy \(host) \(isBusy ? 1 : 0)"
        case .lag(let host, let milliseconds): "lag \(host) \(milliseconds)"
        case .terminate(let host): "terminate \(host)"
        case .copy(let host): "copy \(host)"
        case .swap(let one, let other): "swap \(one) \(other)"
        case .usurp(let host): "usurp \(host)"
        case .restore: "restore"
        case .alias(let one, let other): "alias \(one) \(other)"
        case .drain(let host): "drain \(host)"
        case .undrain(let host): "undrain \(host)"
        case .remove(let host): "remove \(host)"
        case .add(let host): "add \(host)"
        case .adopt(let host): "adopt \(host)"
        case .lose(let percent): "lose \(percent)"
        case .pause(let milliseconds): "pause \(milliseconds)"
        case .exhaust(let isExhausted): "exhaust \(isExhausted ? 1 : 0)"
        case .dawdle(let host, let milliseconds): "dawdle \(host) \(milliseconds)"
        case .heal: "heal"
        }
    }

    /// The fault that a line describes; nil if it describes none.
    public init?(_ line: some StringProtocol) {
        let words = line.split { $0 == " " }.map { String($0) }
        let numbers = words.map { Int($0) ?? -1 }
        let targets = words.map { Target($0) }
        switch (words.first, words.count) {
        case ("promote", 1): self = .promote
        case ("heal", 1): self = .heal
        case ("restore", 1): self = .restore
        case ("lose", 2) where (0...99).contains(numbers[1]): self = .lose(percent: numbers[1])
        case ("pause", 2) where numbers[1] >= 0: self = .pause(milliseconds: numbers[1])
        case ("exhaust", 2) where numbers[1] >= 0: self = .exhaust(numbers[1] != 0)
        default:
            guard words.count > 1, let host = targets[1] else { return nil }
            if words.count == 2 {
                self.init(words[0], host)
            } else if words.count == 3, numbers[2] >= 0 {
                self.init(words[0], host, numbers[2])
            } else if words.count == 3, let other = targets[2] {
                self.init(words[0], host, other)
            } else {
                return nil
            }
        }
    }

    private init?(_ verb: String, _ host: Target) {
        switch verb {
        case "crash": self = .crash(host: host)
        case "stop": self = .stop(host: host)
        case "vanish": self = .vanish(host: host)
        case "freeze": self = .freeze(host: host)
        case "thaw": self = .thaw(host: host)
        case "cut": self = .cut(host: host)
        case "mend": self = .mend(host: host)
        case "terminate": self = .terminate(host: host)
        case "copy": self = .copy(host: host)
        case "usurp": self = .usurp(host: host)
        case "drain": self = .drain(host: host)
        case "undrain": self = .undrain(host: host)
        case "remove": self = .remove(host: host)
        case "add": self = .add(host: host)
        case "adopt": self = .adopt(host: host)
        default: return nil
        }
    }

    private init?(_ verb: String, _ host: Target, _ number: Int) {
        switch verb {
        case "start": self = .start(host: host, milliseconds: number)
        case "rejoin": self = .rejoin(host: host, milliseconds: number)
        case "slow": self = .slow(host: host, milliseconds: number)
        case "busy": self = .busy(host: host, number != 0)
        case "lag": self = .lag(host: host, milliseconds: number)
        case "dawdle": self = .dawdle(host: host, milliseconds: number)
        default: self.init(verb, host, Target.host(number))
        }
    }

    private init?(_ verb: String, _ one: Target, _ other: Target) {
        switch verb {
        case "part": self = .part(one, other)
        case "join": self = .join(one, other)
        case "swap": self = .swap(one, other)
        case "alias": self = .alias(one, other)
        default: return nil
        }
    }

    /// Whom it happens to.
    var targets: [Target] {
        switch self {
        case .crash(let host), .stop(let host), .vanish(let host), .freeze(let host), .thaw(let host), .cut(let host),
            .mend(let host), .start(let host, _), .rejoin(let host, _), .slow(let host, _), .busy(let host, _),
            .lag(let host, _), .terminate(let host), .copy(let host), .usurp(let host), .drain(let host),
            .undrain(let host), .remove(let host), .add(let host), .adopt(let host), .dawdle(let host, _):
            [host]
        case .part(let one, let other), .join(let one, let other), .swap(let one, let other),
            .alias(let one, let other):
            [one, other]
        case .promote, .lose, .pause, .exhaust, .heal, .restore: []
        }
    }
}
