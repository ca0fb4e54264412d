// SPDX-License-Identifier: Apache-2.0

import PosthousePool

/// What hosts may not serve for the time being, whatever the topology says of them.
struct Withholding<Endpoint: Sendable & Hashable>: Sendable {
    /// How many callers hold writes back.
    var pauses = 0
    /// Hosts that are to get no reads.
    var readless: Set<Endpoint> = []
    /// Counts changes, so that whoever made one can tell when it is in force.
    private(set) var version = 0
    /// The version that the pools know of.
    var appliedVersion = 0

    var isApplied: Bool { appliedVersion == version }

    mutating func change(_ body: (inout Self) -> Void) -> Int {
        body(&self)
        version += 1
        return version
    }

    /// What is left of what a host could serve.
    func allowed(_ services: ServiceClass, on endpoint: Endpoint) -> ServiceClass {
        var allowed = services
        if pauses > 0 { allowed.remove(.primary) }
        if readless.contains(endpoint) { allowed.subtract(.reads) }
        return allowed
    }
}
