// SPDX-License-Identifier: Apache-2.0

/// One filter. The number tells it from later ones at the same index.
struct FilterID: Hashable {
    let index: Int
    let number: UInt64
}

/// Which members may serve the requests that name a filter.
struct FilterTable {
    struct Filter {
        let number: UInt64
        var members: MemberSet
        /// What any of its members serves.
        var served: ServiceClass = []
    }

    private(set) var filters: [Filter?] = []
    private var vacant: [Int] = []
    private var nextNumber: UInt64 = 0

    /// nil once it was removed.
    subscript(id: FilterID) -> Filter? {
        guard filters.indices.contains(id.index), let filter = filters[id.index], filter.number == id.number else {
            return nil
        }
        return filter
    }

    mutating func add(_ members: MemberSet, among all: [Member]) -> FilterID {
        let index = vacant.popLast() ?? filters.count
        if index == filters.count { filters.append(nil) }
        filters[index] = Filter(number: nextNumber, members: members, served: Self.served(members, all))
        defer { nextNumber += 1 }
        return FilterID(index: index, number: nextNumber)
    }

    /// Returns whether that changed anything.
    mutating func set(_ id: FilterID, _ members: MemberSet, among all: [Member]) -> Bool {
        guard let filter = self[id], filter.members != members else { return false }
        filters[id.index]?.members = members
        filters[id.index]?.served = Self.served(members, all)
        return true
    }

    /// Requests that name it are served by nobody from now on.
    @discardableResult
    mutating func remove(_ id: FilterID) -> Bool {
        guard self[id] != nil else { return false }
        filters[id.index] = nil
        vacant.append(id.index)
        return true
    }

    /// The members serve something else now.
    mutating func servicesChanged(_ all: [Member]) {
        for index in filters.indices {
            guard let filter = filters[index] else { continue }
            filters[index]?.served = Self.served(filter.members, all)
        }
    }

    private static func served(_ members: MemberSet, _ all: [Member]) -> ServiceClass {
        all.indices.reduce(into: []) { served, index in
            if members.contains(index) { served.formUnion(all[index].services) }
        }
    }
}
