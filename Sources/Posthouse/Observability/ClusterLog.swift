// SPDX-License-Identifier: Apache-2.0

import Logging
import PosthouseCluster
import PosthousePool

/// Puts what happens to a cluster into a log: a line for each change of a host, none for a quiet day.
struct ClusterLog: Sendable {
    private let logger: Logger

    init(_ logger: Logger, name: String) {
        var logger = logger
        logger[metadataKey: "posthouse.cluster"] = .string(name)
        self.logger = logger
    }

    /// Logs until the events end with the cluster.
    func follow(_ events: AsyncStream<ClusterEvent>) {
        Task(name: "posthouse log") {
            for await event in events { write(event) }
        }
    }

    func warn(_ text: String) {
        logger.warning("\(text)")
    }

    private func write(_ event: ClusterEvent) {
        var metadata: Logger.Metadata = ["posthouse.host": .string(event.host)]
        if let reason = event.reason { metadata["posthouse.reason"] = .string(reason) }
        switch event.kind {
        case .stateChanged(let from, let to):
            metadata["posthouse.from"] = .string(from.rawValue)
            metadata["posthouse.to"] = .string(to.rawValue)
            logger.info("host changed its state", metadata: metadata)
        case .roleChanged(let from, let to):
            metadata["posthouse.from"] = .string(from.rawValue)
            metadata["posthouse.to"] = .string(to.rawValue)
            logger.info("host changed its role", metadata: metadata)
        case .primaryElected(let timeline, let gap):
            if let timeline { metadata["posthouse.timeline"] = .stringConvertible(timeline) }
            if let gap { metadata["posthouse.gap"] = .stringConvertible(gap) }
            logger.info("host is the primary now", metadata: metadata)
        case .primaryLost: logger.info("primary lost", metadata: metadata)
        case .quarantined: logger.info("host is quarantined: nothing is sent to it", metadata: metadata)
        case .restarted: logger.info("another run of the server answers", metadata: metadata)
        case .suspected(let evidence):
            metadata["posthouse.evidence"] = .string(String(describing: evidence))
            logger.debug("host is suspected and checked", metadata: metadata)
        case .heldDown(let time):
            metadata["posthouse.time"] = .stringConvertible(time)
            logger.info("host went out several times: it gets no reads for a while", metadata: metadata)
        case .added: logger.info("host was added", metadata: metadata)
        case .drained: logger.info("host is drained: it gets no new work", metadata: metadata)
        case .undrained: logger.info("host is not drained any more", metadata: metadata)
        case .removed: logger.info("host was removed", metadata: metadata)
        case .adopted(let identifier):
            metadata["posthouse.system_identifier"] = .stringConvertible(identifier)
            logger.notice("another system identifier was adopted", metadata: metadata)
        }
    }
}

/// Of the hosts' pools it tells only what is a defect, or an outage.
extension ClusterLog: PoolObserver {
    func leaked(_ lease: LeaseReport) { logger.leaked(lease) }

    func leakEnded(_ lease: LeaseReport) { logger.leakEnded(lease) }

    func becameUnavailable(_ member: PoolMember) { logger.becameUnavailable(member) }

    func becameAvailable(_ member: PoolMember) { logger.becameAvailable(member) }

    func refused(_ error: PoolError) { logger.refused(error) }
}
