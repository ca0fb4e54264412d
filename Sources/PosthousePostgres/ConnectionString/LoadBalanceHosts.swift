// SPDX-License-Identifier: Apache-2.0

/// In which order hosts and their addresses are tried: `load_balance_hosts`, as libpq has it from version 16. Posthouse
/// does it itself, so it works with every libpq.
@nonexhaustive
public enum LoadBalanceHosts: String, Sendable, Hashable, CaseIterable {
    /// In the given order. The default.
    case disable
    /// Hosts shuffled, and each host's addresses too.
    case random
}
