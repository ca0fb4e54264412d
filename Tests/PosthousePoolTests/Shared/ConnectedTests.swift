// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PosthousePool

@Suite(.timeLimit(.minutes(20)))
struct ConnectedTests {
    private let shared = SharedPool<ConnectionPool<ScriptedStrategy>>(name: "TestPool")

    private func connection(_ connection: FakeConnection, of id: Int, named name: String) -> String {
        "\(connection.number) \(id) \(name)"
    }

    @Test func theHandleComesFirstUnlessAskedOtherwise() async throws {
        let test = try TestPool()
        shared.initialize(test.pool)
        let none = shared.connected { db in db.number }
        let one = shared.connected { (db, id: Int) in "\(db.number) \(id)" }
        let four = shared.connected { (db, a: Int, b: String, c: [Int], d: Bool?) in
            "\(db.number) \(a) \(b) \(c) \(d as Any)"
        }
        let explicit = shared.connected(at: .first) { (db, id: Int) in "\(db.number) \(id)" }
        #expect(try await none() == 1)
        #expect(try await one(7) == "1 7")
        #expect(try await four(7, "x", [1, 2], nil) == "1 7 x [1, 2] nil")
        #expect(try await explicit(8) == "1 8")
        try await test.expectAtRest()
    }

    @Test func theHandleMayComeSecondThirdOrLast() async throws {
        let test = try TestPool()
        shared.initialize(test.pool)
        let second = shared.connected(at: .second) { (id: Int, db, name: String) in "\(id) \(db.number) \(name)" }
        let secondOfTwo = shared.connected(at: .second) { (id: Int, db) in "\(id) \(db.number)" }
        let third = shared.connected(at: .third) { (id: Int, name: String, db, rest: Bool) in
            "\(id) \(name) \(db.number) \(rest)"
        }
        let lastOfTwo = shared.connected(at: .last) { (id: Int, db) in "\(id) \(db.number)" }
        let lastOfThree = shared.connected(at: .last) { (id: Int, name: String, db) in "\(id) \(name) \(db.number)" }
        let lastOfSix = shared.connected(at: .last) { (a: Int, b: Int, c: Int, d: Int, e: String, db) in
            "\(a + b + c + d) \(e) \(db.number)"
        }
        #expect(try await second(7, "x") == "7 1 x")
        #expect(try await secondOfTwo(7) == "7 1")
        #expect(try await third(7, "x", true) == "7 x 1 true")
        #expect(try await lastOfTwo(7) == "7 1")
        #expect(try await lastOfThree(7, "x") == "7 x 1")
        #expect(try await lastOfSix(1, 2, 3, 4, "x") == "10 x 1")
        try await test.expectAtRest()
    }

    private struct Transfer: Sendable {
        var from: Int
        var to: Int
        var db: FakeConnection?
    }

    @Test func theHandleMayGoByLabel() async throws {
        let test = try TestPool()
        shared.initialize(test.pool)
        let transfer = shared.connected(\Transfer.db) { call in
            "\(call.from) \(call.to) \(call.db?.number ?? 0)"
        }
        #expect(try await transfer(Transfer(from: 3, to: 4)) == "3 4 1")
        try await test.expectAtRest()
    }

    private static func describe(db: FakeConnection, id: Int, name: String) async throws -> String {
        await Task.yield()
        return "\(db.number) \(id) \(name)"
    }

    private static func brief(id: Int, db: FakeConnection) async -> String { "\(id) \(db.number)" }

    @Test func declaredFunctionsCanBeConnectedToo() async throws {
        shared.initialize(try TestPool().pool)
        let full = shared.connected(Self.describe(db:id:name:))
        let brief = shared.connected(at: .last, Self.brief(id:db:))
        #expect(try await full(7, "x") == "1 7 x")
        #expect(try await brief(7) == "7 1")
    }

    @Test func errorsPassThroughAndTheConnectionGoesBack() async throws {
        let test = try TestPool()
        shared.initialize(test.pool)
        let failing = shared.connected { (db, what: String) async throws -> Int in
            await Task.yield()
            throw ScriptedError(what: what)
        }
        for _ in 0..<3 {
            let error = await #expect(throws: ScriptedError.self) { try await failing("body") }
            #expect(error == ScriptedError(what: "body"))
            #expect(test.status.available == 1)
        }
        #expect(test.strategy.counts.creates == 1)
        try await test.expectAtRest()
    }

    @Test func aConnectErrorReachesTheCaller() async throws {
        let test = try TestPool()
        test.strategy.script(.error)
        shared.initialize(test.pool)
        let function = shared.connected { db in db.number }
        let error = await #expect(throws: PoolError.self) { try await function() }
        #expect(error?.code == .connectFailed)
        #expect(error?.underlying as? ScriptedError == ScriptedError(what: "connect"))
    }

    @Test func thePoolIsLookedUpWhenTheFunctionIsCalled() async throws {
        let function = shared.connected { (db, id: Int) in (db.slot.member, id) }
        let before = await #expect(throws: PoolError.self) { _ = try await function(0) }
        #expect(before?.code == .notInitialized)
        let first = try TestPool()
        shared.initialize(first.pool)
        #expect(try await function(1) == (first.status.member, 1))
        let second = try TestPool()
        shared.initialize(second.pool)
        #expect(try await function(2) == (second.status.member, 2))
        await shared.close()
        let after = await #expect(throws: PoolError.self) { _ = try await function(3) }
        #expect(after?.code == .notInitialized)
        shared.initialize(try TestPool().pool)
        #expect(try await function(4).1 == 4)
    }

    @Test func functionsAreCalledByManyTasksAtOnce() async throws {
        let test = try TestPool(4)
        shared.initialize(test.pool)
        let double = shared.connected { (db, number: Int) in
            await Task.yield()
            return 2 * number
        }
        try await withThrowingTaskGroup(of: Int.self) { group in
            for number in 0..<100 { group.addTask { try await double(number) } }
            let sum = try await group.reduce(0, +)
            #expect(sum == 9900)
        }
        try await test.expectAtRest()
        #expect(test.strategy.counts.mostLive <= 4)
    }
}
