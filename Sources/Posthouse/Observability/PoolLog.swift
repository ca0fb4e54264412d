// SPDX-License-Identifier: Apache-2.0

import Logging
import PosthousePool
import PosthousePostgres

/// Puts the life of a pool's connections into a log: at the debug level what is ordinary, as warnings what is not.
struct PoolLog: Sendable {
    private let logger: Logger

    init(_ logger: Logger, name: String) {
        var logger = logger
        logger[metadataKey: "posthouse.pool"] = .string(name)
        self.logger = logger
    }

    /// Logs that a scope or a lease has begun.
    ///
    /// - Returns: What logs its end when nobody has it any more; nil if nobody would read that.
    func acquired(_ connection: DatabaseConnection) -> LeaseLog? {
        guard logger.logLevel <= .debug else { return nil }
        let metadata: Logger.Metadata = [
            "posthouse.host": .string(connection.host),
            "posthouse.backend": .stringConvertible(connection.backendPID),
        ]
        logger.debug("connection acquired", metadata: metadata)
        return LeaseLog(logger, metadata)
    }

    func closed(leaving left: Int) {
        logger.debug("pool closed", metadata: ["posthouse.interrupted": .stringConvertible(left)])
    }
}

/// Logs the end of a lease when it is dropped, which leases cannot do by themselves: they are only values.
final class LeaseLog: Sendable {
    private let logger: Logger
    private let metadata: Logger.Metadata

    fileprivate init(_ logger: Logger, _ metadata: Logger.Metadata) {
        self.logger = logger
        self.metadata = metadata
    }

    deinit {
        logger.debug("connection released", metadata: metadata)
    }
}

extension PoolLog: PoolObserver {
    func leaked(_ lease: LeaseReport) { logger.leaked(lease) }

    func leakEnded(_ lease: LeaseReport) { logger.leakEnded(lease) }

    func becameUnavailable(_ member: PoolMember) { logger.becameUnavailable(member) }

    func becameAvailable(_ member: PoolMember) { logger.becameAvailable(member) }

    func refused(_ error: PoolError) { logger.refused(error) }

    func connected(_ member: PoolMember, after duration: Duration) {
        logger.debug("connection opened", metadata: ["posthouse.duration": .stringConvertible(duration)])
    }

    func connectFailed(_ member: PoolMember, error: any Error, after duration: Duration) {
        logger.debug(
            "connection could not be opened",
            metadata: [
                "posthouse.error": .string(String(describing: error)),
                "posthouse.duration": .stringConvertible(duration),
            ]
        )
    }

    func connectionClosed(_ member: PoolMember, reason: CloseReason) {
        logger.debug("connection closed", metadata: ["posthouse.reason": .stringConvertible(reason)])
    }

    func returnError(_ member: PoolMember, error: any Error) {
        logger.warning(
            "closing a connection failed",
            metadata: ["posthouse.error": .string(String(describing: error))]
        )
    }

    func droppedWithoutClose(_ snapshot: PoolSnapshot) {
        logger.warning("pool was dropped without close; it has stopped")
    }
}
