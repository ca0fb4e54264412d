// SPDX-License-Identifier: Apache-2.0

/// One member as it lies open: read without the lock, and so of a moment ago.
package struct MemberGlance: Sendable {
    /// What it serves.
    package let serves: ServiceClass
    /// Connections that are idle or could still be opened within the soft limit; idle ones only while they lie open. Not
    /// positive while a back-off runs.
    package let free: Int
}

extension PoolGroup {
    /// How the member looks, for whoever chooses among members: cheap enough to ask for each request.
    package func glance(at member: MemberID) -> MemberGlance {
        core.open.glance(at: core.index(of: member))
    }
}
