// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PosthouseSimulator

@Suite struct TimelineHistoryTests {
    /// 1: a b c d, 2 forks off after b: x y, 3 forks off 2 after x.
    private func forked() -> TimelineHistory {
        var history = TimelineHistory()
        for id in 1...4 as ClosedRange<UInt64> { _ = history.append(id, on: 1) }
        _ = history.fork(off: 1, at: 2)
        for id in 11...12 as ClosedRange<UInt64> { _ = history.append(id, on: 2) }
        _ = history.fork(off: 2, at: 3)
        return history
    }

    @Test func aPromotedServerHasWhatWasWrittenBeforeItsFork() {
        let history = forked()
        #expect(history.highest == 3)
        #expect(history.ids(of: 1, upTo: 4) == [4, 3, 2, 1])
        #expect(history.ids(of: 2, upTo: 4) == [12, 11, 2, 1])
        #expect(history.ids(of: 3, upTo: 3) == [11, 2, 1])
    }

    @Test func whatWasWrittenAfterTheForkIsNotPartOfTheOtherTimeline() {
        let history = forked()
        func common(_ timeline: UInt32, _ position: UInt64, _ other: UInt32) -> [UInt64] {
            let found = history.common(timeline, position, with: other)
            return [UInt64(found.timeline), found.position]
        }
        #expect(common(1, 4, 3) == [1, 2])
        #expect(common(1, 1, 3) == [1, 1])
        #expect(common(2, 4, 3) == [2, 3])
        #expect(common(3, 3, 2) == [2, 3])
        #expect(common(2, 4, 2) == [2, 4])
    }
}
