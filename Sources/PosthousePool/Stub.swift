public protocol TimeSource: Sendable { var now: ContinuousClock.Instant { get }; func sleep(until deadline: ContinuousClock.Instant) async throws }
public enum InterruptReason: Sendable { case fenced, terminated }
public enum IdleVerdict: Sendable { case keep, evict }
public final class PoolSlot: Sendable { public func withIdleClaim(_ body: () -> IdleVerdict) -> Bool { false } }
public protocol ConnectionStrategy<Connection>: Sendable {
  associatedtype Connection: Sendable
  func create(slot: PoolSlot) async throws -> Connection
  func isClosed(_ connection: Connection) throws -> Bool
  func close(_ connection: Connection) throws
  func interrupt(_ connection: Connection, reason: InterruptReason)
  func affinity(of connection: Connection) -> Int
}
public struct ServiceClass: OptionSet, Sendable, Hashable { public let rawValue: UInt8; public init(rawValue: UInt8) { self.rawValue = rawValue } }
public struct PoolConfiguration: Sendable { public init() {}; public var connectTimeout: Duration = .seconds(10) }
public enum ConnectFailurePolicy: Sendable { case keepWaiting }
public struct PoolGroupConfiguration: Sendable { public init() {}; public var name = ""; public var acquireTimeout: Duration = .seconds(5); public var connectFailurePolicy: ConnectFailurePolicy = .keepWaiting }
public struct MemberID: Sendable, Hashable {}
public struct PoolActivity: Sendable { public init() {}; public var leased = 0; public var completedLeases: UInt64 = 0 }
public struct MemberStatus: Sendable { public var size = 0; public var lastConnectError: String? }
public struct PoolSnapshot: Sendable { public var members: [MemberStatus] = []; public var waiting = 0 }
public struct PoolError: Error { public struct Code: Hashable, Sendable { let v: Int; public static let closed = Code(v: 0), cancelled = Code(v: 1), timedOut = Code(v: 2) }; public var code: Code; public var message: String; public var waited: Duration }
public struct AcquireRequest: Sendable { public init(wants: ServiceClass, fallback: ServiceClass = [], member: MemberID? = nil, deadline: ContinuousClock.Instant? = nil, affinity: Int = 0) { self.wants = wants; self.fallback = fallback }; public var wants: ServiceClass; public var fallback: ServiceClass }
public struct LeasePermit: Sendable {}
public struct Lease<Connection: Sendable>: ~Copyable, Sendable { public let connection: Connection; public let member: MemberID; public let permit: LeasePermit; public consuming func release() throws {} }
public protocol PoolObserver: Sendable {}
public final class PoolGroup<Connection: Sendable>: Sendable {
 public init(configuration: PoolGroupConfiguration, time: any TimeSource, observer: (any PoolObserver)?) {}
 public func addMember(label: String, configuration: PoolConfiguration, strategy: any ConnectionStrategy<Connection>) -> MemberID { MemberID() }
 public func setServices(_ s: ServiceClass, for m: MemberID) {}
 public func fence(_ m: MemberID) {}
 public func expire(_ m: MemberID) {}
 public func acquire(_ r: AcquireRequest) async throws(PoolError) -> Lease<Connection> { throw PoolError(code: .closed, message: "", waited: .zero) }
 public func snapshot() -> PoolSnapshot { PoolSnapshot() }
 public func activity() -> [PoolActivity] { [] }
 public func close(deadline: ContinuousClock.Instant?) async -> Int { 0 }
 public func terminate() {}
}
