// SPDX-License-Identifier: Apache-2.0
import Glibc

/// Why a loop could not be made, or a socket could not be registered with it.
public struct ReactorError: Error, Sendable, Hashable, CustomStringConvertible {
    /// What kind of failure this is.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Base: String, Sendable {
            case tooManyOpenFiles
            case outOfResources
            case invalidSocket
            case alreadyRegistered
            case shutDown
            case systemCallFailed
        }

        private let base: Base

        /// The process or the system has no file descriptor left (EMFILE, ENFILE).
        public static let tooManyOpenFiles = Code(base: .tooManyOpenFiles)

        /// Memory, threads or epoll watches ran out (ENOMEM, EAGAIN, ENOSPC).
        public static let outOfResources = Code(base: .outOfResources)

        /// The descriptor is closed, or is of a kind that cannot be polled (EBADF, EPERM).
        public static let invalidSocket = Code(base: .invalidSocket)

        /// The socket already has a registration with this loop (EEXIST).
        public static let alreadyRegistered = Code(base: .alreadyRegistered)

        /// The loop was shut down, or the registration was given up.
        public static let shutDown = Code(base: .shutDown)

        /// Any other failure; `ReactorError.errorNumber` says which.
        public static let systemCallFailed = Code(base: .systemCallFailed)

        /// The name of the code.
        public var description: String { base.rawValue }
    }

    /// The kind of failure.
    public let code: Code

    /// What was being done, such as "epoll_ctl(ADD)".
    public let operation: String

    /// The system's error number; 0 if no system call failed.
    public let errorNumber: Int32

    /// One line for people.
    public var description: String {
        guard errorNumber != 0 else { return "\(operation): \(code)" }
        return "\(operation): \(code) (\(String(cString: strerror(errorNumber))), errno \(errorNumber))"
    }

    init(_ code: Code, operation: String) {
        self.code = code
        self.operation = operation
        self.errorNumber = 0
    }

    init(errorNumber: Int32, operation: String) {
        self.code =
            switch errorNumber {
            case EMFILE, ENFILE: .tooManyOpenFiles
            case ENOMEM, EAGAIN, ENOSPC: .outOfResources
            case EBADF, EPERM, EINVAL, ELOOP: .invalidSocket
            case EEXIST: .alreadyRegistered
            default: .systemCallFailed
            }
        self.operation = operation
        self.errorNumber = errorNumber
    }
}
