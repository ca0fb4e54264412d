// SPDX-License-Identifier: Apache-2.0

/// Why a host name has no address.
enum ResolverFailure: Error, Hashable {
    /// The name server said so, or could not be asked; with its reason.
    case notFound(String)
    /// No answer came before the deadline.
    case timedOut
    /// The task was cancelled.
    case cancelled
    /// No thread could be made to ask on.
    case outOfResources(String)

    func databaseError(host: HostEndpoint) -> DatabaseError {
        let (code, message): (DatabaseError.Code, String) =
            switch self {
            case .notFound(let reason): (.addressNotFound, "The host name \"\(host.host)\" has no address: \(reason).")
            case .timedOut: (.timedOut, "No name server gave an address for \"\(host.host)\" in time.")
            case .cancelled: (.cancelled, "Looking up \"\(host.host)\" was cancelled.")
            case .outOfResources(let reason): (.localFailure, "\"\(host.host)\" cannot be looked up: \(reason).")
            }
        return DatabaseError(
            code: code,
            message: message,
            host: host.description,
            phase: .resolving,
            outcome: .notSent
        )
    }
}
