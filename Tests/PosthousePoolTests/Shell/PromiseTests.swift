// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PosthousePool

@Suite(.timeLimit(.minutes(20)))
struct PromiseTests {
    @Test func aValueKeptBeforeAnybodyWaitsIsThere() async {
        let promise = Promise<Int>()
        promise.keep(1)
        promise.keep(2)
        #expect(await promise.value() == 1)
    }

    @Test func theFirstOfManyValuesResumesTheWaiterOnce() async {
        for _ in 0..<500 {
            let promise = Promise<Int>()
            let value = await withTaskGroup(of: Int?.self) { group in
                group.addTask { await promise.value() }
                for value in 1...3 {
                    group.addTask {
                        promise.keep(value)
                        return nil
                    }
                }
                return await group.reduce(into: [Int]()) { values, value in
                    if let value { values.append(value) }
                }
            }
            #expect(value.count == 1)
        }
    }
}

/// Whether work of the pool's own may be written off.
struct PreparationTests {
    @Test func onlyWorkThatTookTooLongAndGoesOnIsWrittenOff() {
        let ended = Preparation()
        #expect(ended.end(), "in time")
        ended.tooLong { Issue.record("it has ended") }
        ended.writeOff { Issue.record("its connection is somebody else's by now") }

        let late = Preparation()
        late.writeOff { Issue.record("it may still end in time") }
        var events: [String] = []
        late.tooLong { events.append("interrupted") }
        late.writeOff { events.append("written off") }
        #expect(events == ["interrupted", "written off"])
        #expect(!late.end())
        late.writeOff { Issue.record("it has ended") }
    }
}
