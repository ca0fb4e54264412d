// SPDX-License-Identifier: Apache-2.0

/// Services in the order in which a request would take them.
///
/// A service that was named once is not named again, so there are at most eight steps, as many as there are services.
public struct ServiceOrder: Sendable, Hashable, ExpressibleByArrayLiteral {
    /// A byte for each step, the first one in the lowest.
    @usableFromInline let bits: UInt64

    /// No step.
    @inlinable
    public init() { bits = 0 }

    /// These steps, the first one first.
    public init(_ steps: some Sequence<ServiceClass>) {
        var bits: UInt64 = 0
        var shift: UInt64 = 0
        var named: ServiceClass = []
        for step in steps {
            let new = step.subtracting(named)
            if new.isEmpty { continue }
            bits |= UInt64(new.rawValue) << shift
            shift += 8
            named.formUnion(new)
        }
        self.bits = bits
    }

    /// These steps, the first one first.
    public init(arrayLiteral steps: ServiceClass...) { self.init(steps) }

    /// All services that it names.
    public var all: ServiceClass { steps.reduce(into: []) { $0.formUnion($1) } }

    /// Its steps, the first one first.
    public var steps: [ServiceClass] {
        var steps: [ServiceClass] = []
        var rest = bits
        while rest != 0 {
            steps.append(ServiceClass(rawValue: UInt8(truncatingIfNeeded: rest)))
            rest >>= 8
        }
        return steps
    }

    /// The first step that is offered; nothing if none is.
    func first(offeredBy offered: ServiceClass) -> ServiceClass {
        var rest = bits
        while rest != 0 {
            let step = ServiceClass(rawValue: UInt8(truncatingIfNeeded: rest))
            if !step.isDisjoint(with: offered) { return step }
            rest >>= 8
        }
        return []
    }

    /// What a request is served by, of what is offered: its first step that is.
    @inline(__always)
    static func active(
        _ wants: ServiceClass,
        _ fallback: ServiceClass,
        _ further: ServiceOrder,
        offered: ServiceClass
    ) -> ServiceClass {
        if !offered.isDisjoint(with: wants) { return wants }
        if further.bits == 0 || !offered.isDisjoint(with: fallback) { return fallback }
        return further.first(offeredBy: offered)
    }
}
