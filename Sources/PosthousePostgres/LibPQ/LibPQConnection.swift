// SPDX-License-Identifier: Apache-2.0

import CLibPQ

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// The C border: one `PGconn`, and every libpq call that the driver makes on one.
///
/// Only the owner may call: the task that has claimed the connection (see ``ConnectionWord``), or the one that is still
/// connecting it. Debug builds check that at each call.
///
/// `@unchecked Sendable`: the pointer travels with the ownership, which the claim's atomic swap hands over.
struct LibPQConnection: @unchecked Sendable {
    private let pointer: OpaquePointer

    #if DEBUG
        private let owner = OwnerWord()
    #endif

    /// Takes over a connection that libpq has made.
    init(owning pointer: OpaquePointer) {
        self.pointer = pointer
    }

    /// Somebody starts to own the connection. Checked in debug builds, free in release builds.
    @inline(__always)
    func take() {
        #if DEBUG
            owner.take()
        #endif
    }

    /// The owner is done.
    @inline(__always)
    func giveBack() {
        #if DEBUG
            owner.giveBack()
        #endif
    }

    @inline(__always)
    private func call<Result>(_ body: (OpaquePointer) -> Result) -> Result {
        #if DEBUG
            owner.enter()
            defer { owner.leave() }
        #endif
        return body(pointer)
    }
}

// MARK: - Life

extension LibPQConnection {
    /// Starts a connection without blocking, given numeric addresses only. Nil if memory ran out.
    static func start(_ parameters: [(keyword: String, value: String)]) -> LibPQConnection? {
        let keywords = parameters.map { strdup($0.keyword) }
        let values = parameters.map { strdup($0.value) }
        defer {
            keywords.forEach { free($0) }
            values.forEach { free($0) }
        }
        var keywordPointers: [UnsafePointer<CChar>?] = keywords.map { UnsafePointer($0) }
        var valuePointers: [UnsafePointer<CChar>?] = values.map { UnsafePointer($0) }
        keywordPointers.append(nil)
        valuePointers.append(nil)
        return PQconnectStartParams(keywordPointers, valuePointers, 0).map(LibPQConnection.init(owning:))
    }

    func connectPoll() -> PostgresPollingStatusType { call { PQconnectPoll($0) } }

    /// Frees everything. The socket must not be watched any more. Nothing may be called afterwards.
    func finish() { call { PQfinish($0) } }

    func setNonBlocking() { call { _ = PQsetnonblocking($0, 1) } }

    func setVerboseErrors() { call { _ = PQsetErrorVerbosity($0, PQERRORS_VERBOSE) } }

    /// Notices go to `sink`, which must outlive the connection, instead of stderr.
    func setNoticeReceiver(_ sink: Unmanaged<NoticeSink>) {
        call {
            _ = PQsetNoticeReceiver(
                $0,
                { argument, result in
                    guard let argument, let result else { return }
                    Unmanaged<NoticeSink>.fromOpaque(argument).takeUnretainedValue().receive(result)
                },
                sink.toOpaque()
            )
        }
    }
}

// MARK: - State

extension LibPQConnection {
    var status: ConnStatusType { call { PQstatus($0) } }
    var transactionStatus: PGTransactionStatusType { call { PQtransactionStatus($0) } }
    var socket: Int32 { call { PQsocket($0) } }
    var backendPID: Int32 { call { PQbackendPID($0) } }
    var serverVersion: Int32 { call { PQserverVersion($0) } }
    var isEncrypted: Bool { call { PQsslInUse($0) } != 0 }
    var needsPassword: Bool { call { PQconnectionNeedsPassword($0) } != 0 }

    /// libpq's last message, without the line break at its end.
    var errorMessage: String {
        var message = call { String(cString: PQerrorMessage($0)) }
        while message.last?.isNewline == true {
            message.removeLast()
        }
        return message
    }

    /// A copy: libpq's own string is valid until the next change only.
    func parameterStatus(_ name: String) -> String? {
        call { PQparameterStatus($0, name).map { String(cString: $0) } }
    }

    /// `in_hot_standby`, which servers from 14 on report; nil if this one does not.
    var inHotStandby: Bool? {
        call { connection in
            PQparameterStatus(connection, "in_hot_standby").map {
                $0[0] == CChar(UInt8(ascii: "o")) && $0[1] == CChar(UInt8(ascii: "n"))
            }
        }
    }
}

// MARK: - Exchange

extension LibPQConnection {
    // `withCString` where an implicit conversion would do: that one copies into an array, each time.

    func sendQuery(_ text: String) -> Bool {
        text.withCString { text in call { PQsendQuery($0, text) } } == 1
    }

    func sendQuery(_ text: String, parameters: ParameterBuffer) -> Bool {
        text.withCString { text in
            call { PQsendQueryParams($0, text, parameters.count, nil, parameters.pointers, nil, nil, 0) }
        } == 1
    }

    func sendPrepare(name: String, _ text: String) -> Bool {
        name.withCString { name in text.withCString { text in call { PQsendPrepare($0, name, text, 0, nil) } } } == 1
    }

    func sendQueryPrepared(name: String, parameters: ParameterBuffer) -> Bool {
        name.withCString { name in
            call { PQsendQueryPrepared($0, name, parameters.count, parameters.pointers, nil, nil, 0) }
        } == 1
    }

    /// 0: all is with the kernel; 1: more is left; -1: failed, and reading will say why.
    func flush() -> Int32 { call { PQflush($0) } }

    /// False if the transport failed.
    func consumeInput() -> Bool { call { PQconsumeInput($0) } == 1 }

    /// True if taking a result would block.
    var isBusy: Bool { call { PQisBusy($0) } == 1 }

    func takeResult() -> OpaquePointer? { call { PQgetResult($0) } }

    /// Takes notifications out of libpq's queue, where they would stay for ever, and drops them.
    func dropNotifications() {
        call { connection in
            while let notification = PQnotifies(connection) {
                PQfreemem(notification)
            }
        }
    }
}
