// SPDX-License-Identifier: Apache-2.0

/// Where in a source a connection was asked for.
public struct AcquireSite: Sendable, Hashable, CustomStringConvertible {
    @usableFromInline let file: UInt
    @usableFromInline let line: UInt

    /// A place in a source, as `#fileID` and `#line` name it.
    @inlinable
    public init(fileID: StaticString = #fileID, line: UInt = #line) {
        self.file = fileID.hasPointerRepresentation ? UInt(bitPattern: fileID.utf8Start) : 0
        self.line = line
    }

    @usableFromInline
    init(file: UInt, line: UInt) {
        self.file = file
        self.line = line
    }

    /// For example "App/Orders.swift:12".
    public var description: String {
        // The text of a `StaticString` is there as long as the program, and ends with a zero.
        guard let text = UnsafePointer<CChar>(bitPattern: file) else { return "?" }
        return "\(String(cString: text)):\(line)"
    }
}

/// A lease that lasts, as the pool sees it from outside.
public struct LeaseReport: Sendable, CustomStringConvertible {
    /// The member whose connection it is.
    public let member: PoolMember
    /// Where in the source it was asked for.
    public let site: AcquireSite
    /// The name of the task that asked, if it has one and the pool notes names: with
    /// ``PoolConfiguration/leakDetectionThreshold`` or an observer that wants to know uses.
    public let taskName: String?
    /// How long it has lasted at the least.
    public let heldAtLeast: Duration

    init(_ slot: PoolSlot, of member: PoolMember, heldAtLeast: Duration) {
        self.init(
            member: member,
            site: slot.site,
            taskName: slot.notes?.current.taskName,
            heldAtLeast: heldAtLeast
        )
    }

    init(member: PoolMember, site: AcquireSite, taskName: String?, heldAtLeast: Duration) {
        self.member = member
        self.site = site
        self.taskName = taskName
        self.heldAtLeast = heldAtLeast
    }

    /// All of it in a few words.
    public var description: String {
        let task = taskName.map { " by task \"\($0)\"" } ?? ""
        return "leased at \(site)\(task) for \(heldAtLeast.rounded) or more"
    }
}
