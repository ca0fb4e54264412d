// SPDX-License-Identifier: Apache-2.0

package import PosthousePool

/// What the cluster has just done, for whoever watches each of its steps.
package enum TopologyStep: Sendable {
    /// The host, "host:port", serves these classes now, and nothing else.
    case serves(String, ServiceClass)
    /// Subscribers are told.
    case event(ClusterEvent)
}
