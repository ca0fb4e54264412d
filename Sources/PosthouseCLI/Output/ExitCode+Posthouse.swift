// SPDX-License-Identifier: Apache-2.0
import ArgumentParser

/// The exit codes of every command; `.success` is 0.
extension ExitCode {
    /// 1: the command ran and what it was asked for failed.
    static let failed = ExitCode(1)
    /// 64: bad usage, a malformed connection string or id included.
    static let badUsage = ExitCode(64)
    /// 69: no host could be reached.
    static let noHostReachable = ExitCode(69)
    /// 75: no primary right now; trying again later may help.
    static let noPrimary = ExitCode(75)
    /// 130: interrupted.
    static let interrupted = ExitCode(130)
}
