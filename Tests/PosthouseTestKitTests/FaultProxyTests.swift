// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import PosthouseTestKit

/// `.silence` in these tests is a wait for something that must not come. It can make a test pass that should fail, on a
/// machine that is slow, but never fail one that should pass.
@Suite(.timeLimit(.minutes(20)))
struct FaultProxyTests {
    private static let shortly = Duration.milliseconds(60)

    @Test func passesBytesOnAndCountsThem() async throws {
        let server = try EchoServer()
        let proxy = try FaultProxy(target: server.port)
        let client = try Client(port: proxy.port)
        #expect(await client.ask("horse") == .bytes("horse"))
        #expect(proxy.statistics.accepted == 1)
        #expect(proxy.statistics.open == 1)
        #expect(proxy.statistics.bytesToServer == 5)
        #expect(proxy.statistics.bytesToClient == 5)
        await proxy.close()
    }

    @Test func passesTheEndOfOneDirectionOnAndTheRestOfTheOther() async throws {
        let server = try EchoServer()
        let proxy = try FaultProxy(target: server.port)
        let client = try Client(port: proxy.port)
        try await proxy.apply(.delay(.milliseconds(20)))
        client.send("horse")
        client.endSending()
        #expect(await client.next() == .bytes("horse"))
        #expect(await client.next() == .end)
        try await proxy.waitUntilOpen(0)
        await proxy.close()
    }

    @Test func aDelayHoldsEveryByteBackAndHealingReleasesThem() async throws {
        let server = try EchoServer()
        let proxy = try FaultProxy(target: server.port)
        let client = try Client(port: proxy.port)
        #expect(await client.ask("now") == .bytes("now"))
        try await proxy.apply(.delay(.milliseconds(50)))
        let begin = ContinuousClock.now
        #expect(await client.ask("later") == .bytes("later"))
        // There and back.
        #expect(begin.duration(to: .now) >= .milliseconds(100))
        let newcomer = try Client(port: proxy.port)
        let then = ContinuousClock.now
        #expect(await newcomer.ask("later") == .bytes("later"))
        #expect(then.duration(to: .now) >= .milliseconds(100))

        try await proxy.apply(.delay(.seconds(600)))
        #expect(await client.ask("held", within: Self.shortly) == .silence)
        try await proxy.heal()
        #expect(await client.next() == .bytes("held"))
        await proxy.close()
    }

    @Test func aBlackHoleIsSilentAndKeepsTheBytesUntilItIsHealed() async throws {
        let server = try EchoServer()
        let proxy = try FaultProxy(target: server.port)
        let client = try Client(port: proxy.port)
        #expect(await client.ask("a") == .bytes("a"))
        try await proxy.apply(.blackHole())
        #expect(await client.ask("b", within: Self.shortly) == .silence)
        let newcomer = try Client(port: proxy.port)
        #expect(await newcomer.connected() == nil)
        #expect(await newcomer.ask("c", within: Self.shortly) == .silence)
        #expect(server.bytes == 1)
        try await proxy.heal()
        #expect(await client.next() == .bytes("b"))
        #expect(await newcomer.next() == .bytes("c"))
        await proxy.close()
    }

    @Test func aBlackHoleTowardsTheClientLetsTheServerHear() async throws {
        let server = try EchoServer()
        let proxy = try FaultProxy(target: server.port)
        let client = try Client(port: proxy.port)
        #expect(await client.ask("a") == .bytes("a"))
        try await proxy.apply(.blackHole(.toClient))
        #expect(await client.ask("COMMIT", within: Self.shortly) == .silence)
        #expect(try await waitUntilTrue { server.bytes == 7 })
        try await proxy.apply(.reset, to: .existing)
        #expect(await client.next() == .failure(ECONNRESET))
        await proxy.close()
    }

    @Test func aCutIsAnOrderlyEnd() async throws {
        let server = try EchoServer()
        let proxy = try FaultProxy(target: server.port)
        let client = try Client(port: proxy.port)
        #expect(await client.ask("a") == .bytes("a"))
        client.send("in the midst of something")
        try await proxy.apply(.cut)
        #expect(await Self.last(of: client) == .end)
        let newcomer = try Client(port: proxy.port)
        #expect(await newcomer.next() == .end)
        try await proxy.heal()
        #expect(await (try Client(port: proxy.port)).ask("b") == .bytes("b"))
        await proxy.close()
    }

    @Test func aResetIsAReset() async throws {
        let server = try EchoServer()
        let proxy = try FaultProxy(target: server.port)
        let client = try Client(port: proxy.port)
        #expect(await client.ask("a") == .bytes("a"))
        try await proxy.apply(.reset)
        #expect(await client.next() == .failure(ECONNRESET))
        let newcomer = try Client(port: proxy.port)
        #expect(await newcomer.next() == .failure(ECONNRESET))
        await proxy.close()
    }

    @Test func refusingStopsTheListenerAndHealingBringsItBack() async throws {
        let server = try EchoServer()
        let proxy = try FaultProxy(target: server.port)
        let client = try Client(port: proxy.port)
        #expect(await client.ask("a") == .bytes("a"))
        try await proxy.apply(.refuse, to: .new)
        #expect(await (try Client(port: proxy.port)).connected() == ECONNREFUSED)
        #expect(await client.ask("still here") == .bytes("still here"))
        try await proxy.apply(.refuse)
        #expect(await client.next() == .failure(ECONNRESET))
        try await proxy.heal()
        #expect(await (try Client(port: proxy.port)).ask("b") == .bytes("b"))
        await proxy.close()
    }

    @Test func anUnreachableHostDoesNotEvenAccept() async throws {
        let server = try EchoServer()
        let proxy = try FaultProxy(target: server.port)
        let client = try Client(port: proxy.port)
        #expect(await client.ask("a") == .bytes("a"))
        try await proxy.apply(.unreachable)
        let newcomer = try Client(port: proxy.port)
        #expect(await newcomer.connected(within: Self.shortly) == ETIMEDOUT)
        #expect(await client.ask("b", within: Self.shortly) == .silence)
        try await proxy.heal()
        #expect(await client.next() == .bytes("b"))
        // The kernel sends its SYN again after a second.
        #expect(await newcomer.connected() == nil)
        #expect(await newcomer.ask("c") == .bytes("c"))
        await proxy.close()
    }

    @Test func garbageAnswersInsteadOfTheServer() async throws {
        let server = try EchoServer()
        let proxy = try FaultProxy(target: server.port)
        let client = try Client(port: proxy.port)
        #expect(await client.ask("a") == .bytes("a"))
        try await proxy.apply(.garbage(Array("???".utf8)))
        #expect(await client.next() == .bytes("???"))
        let newcomer = try Client(port: proxy.port)
        #expect(await newcomer.ask("hello") == .bytes("???"))
        #expect(server.bytes == 1)
        try await proxy.heal()
        #expect(await client.next() == .end)
        await proxy.close()
    }

    @Test func theTargetMovesForNewConnectionsOnly() async throws {
        let first = try EchoServer()
        let second = try EchoServer()
        let proxy = try FaultProxy(target: first.port)
        let old = try Client(port: proxy.port)
        #expect(await old.ask("a") == .bytes("a"))
        try await proxy.retarget(to: second.port)
        #expect(await old.ask("b") == .bytes("b"))
        let new = try Client(port: proxy.port)
        #expect(await new.ask("c") == .bytes("c"))
        #expect(first.bytes == 2)
        #expect(second.bytes == 1)
        await proxy.close()
    }

    @Test func aTargetThatIsDownResetsTheClient() async throws {
        let nobody = try PortReservation.any()
        let proxy = try FaultProxy(target: nobody.port)
        #expect(await (try Client(port: proxy.port)).next() == .failure(ECONNRESET))
        #expect(proxy.statistics.targetFailures == 1)
        await proxy.close()
        _ = nobody
    }

    @Test func moreBytesThanAnyBufferHoldsArriveInOrder() async throws {
        let server = try EchoServer()
        let proxy = try FaultProxy(target: server.port)
        let client = try Client(port: proxy.port)
        #expect(await client.connected() == nil)
        let total = 4_000_000
        let sent = (0..<total).map { UInt8(33 + $0 / 7 % 90) }
        var rest = sent[...]
        var received = ""
        while received.utf8.count < total {
            if !rest.isEmpty { rest = rest.dropFirst(client.send(rest.prefix(1_000_000))) }
            // While it is our turn to send, an answer that is not there yet must not stop us.
            let event = await client.next(within: rest.isEmpty ? .seconds(60) : .zero)
            if case .bytes(let text) = event { received += text } else if rest.isEmpty { break }
        }
        #expect(received.utf8.elementsEqual(sent))
        #expect(proxy.statistics.bytesToServer == total)
        #expect(proxy.statistics.bytesToClient == total)
        await proxy.close()
    }

    @Test func aClosedProxyGivesBackEveryFileDescriptor() async throws {
        let server = try EchoServer()
        let faults: [FaultProxy.Fault] = [
            .none, .delay(.seconds(600)), .blackHole(), .unreachable, .cut, .reset, .refuse, .garbage(),
        ]
        for fault in faults {
            let proxy = try FaultProxy(target: server.port)
            let clients = try (0..<4).map { _ in try Client(port: proxy.port) }
            try await proxy.waitUntilOpen(4)
            for client in clients { #expect(await client.ask("a") == .bytes("a")) }
            #expect(descriptors(ofProxyOn: proxy.port, target: server.port) >= 9)
            try await proxy.apply(fault)
            await proxy.close()
            #expect(descriptors(ofProxyOn: proxy.port, target: server.port) == 0, "\(fault)")
            #expect(proxy.statistics.open == 0)
            #expect(await (try Client(port: proxy.port)).connected() == ECONNREFUSED)
            await #expect(throws: LocalClusterError.self) { try await proxy.heal() }
        }
    }

    private static func last(of client: Client) async -> Client.Event {
        while true {
            let event = await client.next()
            if case .bytes = event { continue }
            return event
        }
    }
}

func waitUntilTrue(_ condition: () async throws -> Bool) async throws -> Bool {
    let deadline = ContinuousClock.now + .seconds(120)
    while ContinuousClock.now < deadline {
        if try await condition() { return true }
        try await Task.sleep(for: .milliseconds(5))
    }
    return false
}
