// SPDX-License-Identifier: Apache-2.0

import CLibPQ
import Testing

@testable import PosthousePostgres

/// All transitions of the word, as a pure value.
@Suite struct ConnectionWordTests {
    private let open = ConnectionWord(bits: 0)

    @Test func anOpenConnectionIsClaimedOnce() throws {
        let busy = try #require(open.claimed())
        #expect(busy.claimed() == nil && busy.isBusy && busy.transactionStatus == .active)
        #expect(busy.released(PQTRANS_IDLE) == open)
    }

    @Test func theStatusOfTheAnswerBecomesTheState() throws {
        let busy = try #require(open.claimed())
        #expect(busy.released(PQTRANS_INTRANS).transactionStatus == .inTransaction)
        #expect(busy.released(PQTRANS_INERROR).transactionStatus == .inFailedTransaction)
        #expect(busy.released(PQTRANS_INTRANS).claimed()?.released(PQTRANS_IDLE) == open)
        for status in [PQTRANS_ACTIVE, PQTRANS_UNKNOWN] {
            #expect(busy.released(status).isUnusable, "an answer is pending, or the connection is gone")
        }
    }

    @Test func whatIsBrokenInterruptedOrClosingIsNeverClaimed() throws {
        let busy = try #require(open.claimed())
        let interrupted = try #require(open.interruptedAndClaimed()).released(PQTRANS_IDLE)
        for word in [busy.breaking().released(PQTRANS_IDLE), interrupted, try #require(open.closed())] {
            #expect(word.claimed() == nil && word.isUnusable && !word.isReusable && word.transactionStatus == .unknown)
        }
    }

    @Test func exactlyOneFreesAClosingConnection() throws {
        let closing = try #require(open.closed())
        #expect(closing.isBusy && closing.closed() == nil && closing.interruptedAndClaimed() == nil)
        let busy = try #require(open.claimed())
        let closingWhileBusy = try #require(busy.closed())
        #expect(closingWhileBusy.isClosing && closingWhileBusy.closed() == nil)
        #expect(closing.freed().isFreed && closing.freed().closed() == nil)
    }

    @Test func onlyAnIdleOpenConnectionIsReusable() throws {
        #expect(open.isReusable)
        let busy = try #require(open.claimed())
        #expect(!busy.isReusable && !busy.released(PQTRANS_INTRANS).isReusable)
        #expect(!busy.released(PQTRANS_INERROR).isReusable && !busy.breaking().isReusable)
    }
}

#if DEBUG
    /// Debug builds stop when the ownership of a libpq connection is broken.
    @Suite struct OwnerWordTests {
        @Test func theOwnerMayTouchTheConnection() {
            let word = OwnerWord()
            word.take()
            for _ in 0..<2 {
                word.enter()
                word.leave()
            }
            word.giveBack()
            word.take()
            word.giveBack()
        }

        @Test func touchingWithoutOwningStopsTheProgram() async {
            await #expect(processExitsWith: .failure) { OwnerWord().enter() }
        }

        @Test func touchingTwiceAtOnceStopsTheProgram() async {
            await #expect(processExitsWith: .failure) {
                let word = OwnerWord()
                word.take()
                word.enter()
                word.enter()
            }
        }

        @Test func takingWhatSomebodyOwnsStopsTheProgram() async {
            await #expect(processExitsWith: .failure) {
                let word = OwnerWord()
                word.take()
                word.take()
            }
        }

        @Test func givingBackInTheMidstOfACallStopsTheProgram() async {
            await #expect(processExitsWith: .failure) {
                let word = OwnerWord()
                word.take()
                word.enter()
                word.giveBack()
            }
        }

        @Test func aConnectionIsCheckedAtEveryCall() async {
            await #expect(processExitsWith: .failure) {
                let pq = LibPQConnection.start([("host", "/nonexistent")])
                _ = pq?.status
            }
            await #expect(processExitsWith: .success) {
                let pq = LibPQConnection.start([("host", "/nonexistent")])
                pq?.take()
                _ = pq?.status
                pq?.finish()
            }
        }
    }
#endif
